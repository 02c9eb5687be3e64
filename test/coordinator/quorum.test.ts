import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { answersNeeded, ReadQuorum, WriteQuorum } from '../../src/coordinator/quorum.ts'
import { isCoterieError } from '../../src/errors.ts'
import type { Level } from '../../src/messages.ts'

const test = suite('quorum')
const MEMBERS = ['a', 'b', 'c', 'd', 'e']

test('levels as numbers, by name and by default', () => {
  const rules = { n: 5, byDefault: 2, owners: 9 }
  const needed = (level: Level) => answersNeeded(level, rules)
  assert.equal((['default', 'quorum', 'all', 1, 5] as Level[]).map(needed), [2, 3, 5, 1, 5])
  for (const level of [0, 6, -1, 1.5, Number.NaN]) {
    assert.throws(
      () => needed(level),
      (error: unknown) => isCoterieError(error, 'bad-usage')
    )
  }
})

test('no level asks for more than there are owners, nor for nobody', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), fc.nat(16), fc.nat(), (n, owners, pick) => {
      const byDefault = 1 + (pick % n)
      for (const level of ['default', 'quorum', 'all', byDefault] as Level[]) {
        const needed = answersNeeded(level, { n, byDefault, owners })
        assert.ok(needed >= 1 && needed <= n && needed <= Math.max(1, owners))
      }
    })
  )
})

type Event = { member: string; kind: 'fail' } | { member: string; kind: 'answer'; shows: boolean; synced: boolean }

/** One event of every member, in any order. */
const eventsArb: fc.Arbitrary<Event[]> = fc.integer({ min: 1, max: 5 }).chain(n =>
  fc
    .tuple(
      fc.shuffledSubarray(MEMBERS.slice(0, n), { minLength: n, maxLength: n }),
      fc.array(fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()), { minLength: n, maxLength: n })
    )
    .map(([order, facts]) =>
      order.map((member, i): Event => {
        const [fails, shows, synced] = facts[i]
        return fails ? { member, kind: 'fail' } : { member, kind: 'answer', shows, synced }
      })
    )
)

test('a read says value, absent or failed exactly when it may, and never changes a final word into another failure', () => {
  fc.assert(
    fc.property(eventsArb, fc.nat(), (events, pick) => {
      const members = events.map(({ member }) => member)
      const needed = 1 + (pick % members.length)
      const read = new ReadQuorum(needed, members)
      assert.is(read.verdict, 'waiting')
      events.forEach((event, i) => {
        const verdict =
          event.kind === 'fail' ? read.fail(event.member) : read.answer(event.member, event.shows, event.synced)
        const answers = events.slice(0, i + 1).flatMap(one => (one.kind === 'answer' ? [one] : []))
        const open = members.length - (i + 1)
        const value = answers.length >= needed && answers.at(-1)!.shows
        const absent = !value && answers.filter(({ synced }) => synced).length >= needed
        assert.is(verdict === 'value', value)
        assert.is(verdict === 'absent', absent)
        // Hopeless: nobody is left who could answer, or not enough of them.
        if (verdict === 'failed') assert.ok(open === 0 || answers.length + open < needed)
        if (verdict === 'waiting') assert.ok(open > 0)
        assert.is(read.answers, answers.length)
      })
      assert.is.not(read.verdict, 'waiting')
    }),
    { numRuns: 500 }
  )
})

test('copies that are syncing never make a key absent', () => {
  const read = new ReadQuorum(2, ['a', 'b', 'c'])
  assert.is(read.answer('a', false, false), 'waiting')
  assert.is(read.answer('b', false, true), 'waiting')
  assert.is(read.answer('c', false, false), 'failed')
  const other = new ReadQuorum(2, ['a', 'b', 'c'])
  other.answer('a', false, false)
  assert.is(other.answer('b', true, false), 'value')
})

test('what an answer brought to light another one may have deleted: then it takes answers of synced copies', () => {
  const read = new ReadQuorum(2, ['a', 'b', 'c'])
  assert.is(read.answer('a', true, true), 'waiting')
  assert.is(read.answer('b', false, false), 'waiting')
  assert.is(read.answer('c', false, true), 'absent')
})

test('a write is stored at W, failed when W is out of reach, and waits otherwise', () => {
  fc.assert(
    fc.property(eventsArb, fc.nat(), (events, pick) => {
      const members = events.map(({ member }) => member)
      const needed = 1 + (pick % members.length)
      const write = new WriteQuorum(needed, members)
      events.forEach(({ member, kind }, i) => {
        const verdict = kind === 'fail' ? write.fail(member) : write.ack(member)
        const acks = events.slice(0, i + 1).filter(one => one.kind === 'answer').length
        const open = members.length - (i + 1)
        assert.is(verdict, acks >= needed ? 'stored' : acks + open < needed ? 'failed' : 'waiting')
        assert.is(write.acks, acks)
      })
    }),
    { numRuns: 500 }
  )
})

test('a list that changes in the middle counts only the acks of those on the new one', () => {
  const write = new WriteQuorum(2, ['a', 'b', 'c'])
  write.ack('a')
  write.fail('c')
  assert.is(write.retarget(2, ['b', 'd', 'e']), 'waiting')
  assert.is(write.acks, 0)
  write.ack('a')
  assert.is(write.ack('b'), 'waiting')
  assert.is(write.ack('d'), 'stored')
})

test.run()
