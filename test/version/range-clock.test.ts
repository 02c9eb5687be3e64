import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Dot } from '../../src/version/dot.ts'
import { RangeClock } from '../../src/version/range-clock.ts'
import { ACTORS, contextArb } from './arbitraries.ts'

const test = suite('range clock')

const dotArb: fc.Arbitrary<Dot> = fc.record(
  { actor: fc.constantFrom(...ACTORS), counter: fc.integer({ min: 1, max: 40 }) },
  { noNullPrototype: true }
)
const entriesArb = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...ACTORS), fc.integer({ min: 1, max: 40 })), { selector: ([actor]) => actor })
  .map(entries => entries.sort(([a], [b]) => (a < b ? -1 : 1)))
const stepArb = fc.oneof(
  fc.record({ note: dotArb }, { noNullPrototype: true }),
  fc.record({ join: entriesArb }, { noNullPrototype: true })
)

test('it covers what was noted or joined without a gap below, whatever the order, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(stepArb, { maxLength: 120 }), steps => {
      const clock = new RangeClock()
      const here = new Set<string>()
      for (const step of steps) {
        if ('note' in step) {
          clock.note(step.note)
          here.add(`${step.note.actor} ${step.note.counter}`)
        } else {
          clock.join(step.join)
          for (const [actor, counter] of step.join) for (let i = 1; i <= counter; i++) here.add(`${actor} ${i}`)
        }
      }
      for (const actor of ACTORS) {
        let reach = 0
        while (here.has(`${actor} ${reach + 1}`)) reach++
        for (let counter = 1; counter <= 41; counter++)
          assert.is(clock.covers({ actor, counter }), counter <= reach, `${actor}:${counter}, reach ${reach}`)
      }
    })
  )
})

test('one made of the entries of another covers the same; contexts are covered dot by dot', () => {
  fc.assert(
    fc.property(entriesArb, entriesArb, contextArb, (entries, others, context) => {
      const clock = new RangeClock(entries)
      assert.equal(clock.entries(), entries)
      assert.is(clock.isEmpty, entries.length === 0)
      assert.is(
        clock.includes(others),
        others.every(([actor, counter]) => clock.covers({ actor, counter }))
      )
      const tops = [...context.vector].map(([actor, counter]) => ({ actor, counter }))
      assert.is(
        clock.coversAll(context),
        [...tops, ...context.cloud].every(dot => clock.covers(dot))
      )
    })
  )
})

test('a copy that missed a dot waits for it with a bounded number of later ones', () => {
  const clock = new RangeClock()
  const actor = ACTORS[0]!
  for (let counter = 2; counter <= 10_000; counter++) clock.note({ actor, counter })
  assert.not(clock.covers({ actor, counter: 1 }))
  clock.note({ actor, counter: 1 })
  assert.ok(clock.covers({ actor, counter: 200 }), 'those that waited')
  assert.not(clock.covers({ actor, counter: 9999 }), 'those that were forgotten')
  clock.join([[actor, 9999]])
  clock.note({ actor, counter: 10_000 })
  assert.ok(clock.covers({ actor, counter: 10_000 }))
})

test.run()
