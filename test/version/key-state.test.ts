import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../src/config.ts'
import { type ErrorCode, isCoterieError } from '../../src/errors.ts'
import { type CausalContext, covers, EMPTY_CONTEXT, withDot } from '../../src/version/causal-context.ts'
import { encodeState } from '../../src/version/codec.ts'
import { compareDots, type Dot, formatDot } from '../../src/version/dot.ts'
import {
  deletedAtMs,
  emptyState,
  type KeyState,
  liveSiblings,
  MAX_REPLACED,
  merge,
  type Sibling,
  sameVersions,
  stateBytes,
  type WriteInput,
  write
} from '../../src/version/key-state.ts'
import { ACTORS, idOf, NOW, stateArb } from './arbitraries.ts'

const test = suite('version/key-state')
const [a, b] = ACTORS

/** A write of the text `value` (null: a tombstone) by actor `a`; the write id is made from the dot unless given. */
function put(state: KeyState, counter: number, value: string | null, more: Partial<WriteInput> = {}) {
  const dot = more.dot ?? { actor: a, counter }
  const bytes = value === null ? undefined : new TextEncoder().encode(value)
  const writeId = idOf(ACTORS.indexOf(dot.actor) * 100_000 + counter)
  return write(state, { dot, value: bytes, writeId, expiresAtMs: 0, nowMs: NOW, ...more })
}

const by = (actor: string, counter: number) => ({ dot: { actor, counter } })
const texts = (state: KeyState, nowMs = NOW) =>
  liveSiblings(state, nowMs).map(({ value }) => new TextDecoder().decode(value))
const throwsCode = (run: () => unknown, code: ErrorCode) =>
  assert.throws(run, (error: unknown) => isCoterieError(error, code), code)

test('a write replaces what its context covers and nothing else', () => {
  const one = put(emptyState(), 1, 'one').state
  const two = put(one, 2, 'two')
  assert.equal(texts(two.state), ['one', 'two'], 'without context: a sibling')
  const three = put(two.state, 3, 'three', { context: one.context })
  assert.equal(texts(three.state), ['two', 'three'])
  assert.is(three.replaced, 1)
  const four = put(three.state, 4, 'four', { context: three.state.context })
  assert.equal(texts(four.state), ['four'])
  assert.is(four.replaced, 2)
})

test('the context after a blind write does not reach siblings that its writer never saw', () => {
  const one = put(emptyState(), 1, 'one').state
  const two = put(one, 2, 'two')
  const seen = withDot(EMPTY_CONTEXT, two.dot)
  assert.equal(texts(put(two.state, 3, 'three', { context: seen }).state), ['one', 'three'])
  // The same at a coordinator that has nothing of the key yet: its state must not reach down to dot 1 either.
  const elsewhere = put(emptyState(), 1, 'three', { context: seen, ...by(b, 1) }).state
  assert.equal(texts(merge(elsewhere, two.state, NOW)), ['one', 'three'])
})

test('a delete is a tombstone, and a concurrent write survives it', () => {
  const one = put(emptyState(), 1, 'one').state
  const gone = put(one, 2, null, { context: one.context }).state
  assert.equal(texts(gone), [])
  assert.is(gone.siblings.length, 1)
  const late = put(one, 1, 'late', { context: one.context, ...by(b, 1) }).state
  assert.equal(texts(merge(gone, late, NOW)), ['late'])
  assert.equal(texts(merge(gone, one, NOW)), [], 'the deleted value does not return')
})

test('an expired value counts as a tombstone', () => {
  const { state } = put(emptyState(), 1, 'short', { expiresAtMs: NOW + 10 })
  assert.equal(texts(state, NOW + 9), ['short'])
  assert.equal(texts(state, NOW + 10), [])
  const next = put(state, 2, 'next', { context: state.context, nowMs: NOW + 20 })
  assert.is(next.replaced, 0, 'no value was replaced')
})

test('a write drops what has expired beside it: blind writes with a time to live never fill a key', () => {
  const limits = { ...LIMITS, maxSiblings: 3 }
  let state = put(emptyState(), 1, 'for ever', { limits }).state
  for (let second = 0; second < 20; second++) {
    const nowMs = NOW + second * 1000
    const brief = put(state, 2 + second, `v${second}`, { limits, nowMs, expiresAtMs: nowMs + 1500 })
    assert.is(brief.replaced, 0, 'nobody saw it go')
    state = brief.state
    assert.ok(state.siblings.length <= 3)
    assert.ok(texts(state, nowMs).includes('for ever'))
  }
})

test('what a write dropped as expired goes from every copy, and a late retry of it mints nothing', () => {
  const brief = put(emptyState(), 1, 'brief', { expiresAtMs: NOW + 10 })
  const tombstone = put(emptyState(), 1, null, by(b, 1)).state
  const replica = merge(brief.state, tombstone, NOW)
  const { state } = put(replica, 2, 'next', { nowMs: NOW + 10 })
  assert.equal(
    state.siblings.map(({ dot }) => formatDot(dot)),
    [`${a}:2`, `${b}:1`],
    'a tombstone stays'
  )
  assert.equal(texts(merge(replica, state, NOW + 10)), ['next'])
  assert.ok(sameVersions(merge(replica, state, NOW + 10), state))
  // Its clock is behind: it takes the value for live, and learns that it is gone.
  assert.equal(texts(merge(replica, state, NOW)), ['next'])
  const late = put(state, 3, 'brief', { writeId: idOf(1), expiresAtMs: NOW + 10, nowMs: NOW + 20 })
  assert.ok(late.repeated)
  assert.equal(late.dot, brief.dot)
})

test('what was written later than now, by a clock that is ahead, stays for the last-writer-wins view', () => {
  const ahead = put(emptyState(), 1, 'ahead', { nowMs: NOW + 500, expiresAtMs: NOW + 10 }).state
  const { state } = put(ahead, 2, 'next', { nowMs: NOW + 100 })
  assert.is(state.siblings.length, 2)
  assert.is(deletedAtMs(state, NOW + 100), NOW + 500)
})

test('a retry mints nothing, live or replaced, within the window', () => {
  const first = put(emptyState(), 1, 'one')
  const retry = put(first.state, 2, 'one', { writeId: idOf(1) })
  assert.ok(retry.repeated)
  assert.is(retry.state, first.state)
  assert.equal(retry.dot, first.dot)
  const over = put(first.state, 3, 'over', { context: first.state.context }).state
  const late = put(over, 4, 'one', { writeId: idOf(1), nowMs: NOW + LIMITS.retryWindowMs })
  assert.ok(late.repeated)
  assert.equal(late.dot, first.dot)
  const later = put(over, 5, 'one', { writeId: idOf(1), nowMs: NOW + LIMITS.retryWindowMs + 1 })
  assert.not(later.repeated)
  assert.equal(texts(later.state), ['over', 'one'], 'past the window it is a sibling, never a loss')
})

test('a retry through another coordinator makes no second value', () => {
  const first = put(emptyState(), 1, 'one').state
  const second = put(emptyState(), 1, 'one', { writeId: idOf(1), ...by(b, 1) }).state
  const both = merge(first, second, NOW)
  assert.equal(texts(both), ['one'])
  assert.is(formatDot(liveSiblings(both, NOW)[0].dot), `${a}:1`)
  // A writer who saw only the one replaces the other with it.
  const over = put(both, 2, 'over', { context: second.context, ...by(b, 2) })
  assert.equal(texts(over.state), ['over'])
  assert.is(over.replaced, 1)
  // A coordinator that knows neither: the merge sees that the write was replaced.
  const blind = put(emptyState(), 1, 'over', { context: first.context, ...by(ACTORS[2], 1) }).state
  assert.equal(texts(merge(merge(blind, first, NOW), second, NOW)), ['over'])
  assert.equal(texts(merge(merge(second, blind, NOW), first, NOW)), ['over'])
})

test('a write id used for another value, a dot minted twice and a context from the future are refused', () => {
  const { state } = put(emptyState(), 2, 'one')
  throwsCode(() => put(state, 3, 'other', { writeId: idOf(2) }), 'bad-usage')
  throwsCode(() => put(state, 2, 'again', { writeId: idOf(9) }), 'internal')
  throwsCode(() => put(state, 1, 'again', { writeId: idOf(9) }), 'internal')
  const future: CausalContext = { vector: new Map([[a, 3]]), cloud: [] }
  throwsCode(() => put(state, 3, 'three', { context: future }), 'bad-context')
})

test('past the sibling limit only a write that does not shrink the key is refused', () => {
  const limits = { ...LIMITS, maxSiblings: 3 }
  let state = emptyState()
  for (let counter = 1; counter <= 3; counter++) state = put(state, counter, `v${counter}`, { limits }).state
  throwsCode(() => put(state, 4, 'four', { limits }), 'too-many-siblings')
  assert.equal(texts(put(state, 4, 'four', { limits, context: state.context }).state), ['four'])
  const other = put(put(emptyState(), 1, 'x', by(b, 1)).state, 2, 'y', by(b, 2)).state
  const many = merge(state, other, NOW)
  assert.is(many.siblings.length, 5, 'replication is never refused')
  throwsCode(
    () => put(many, 6, 'six', { limits, context: withDot(EMPTY_CONTEXT, { actor: b, counter: 1 }) }),
    'too-many-siblings'
  )
  assert.is(put(many, 6, 'six', { limits, context: other.context }).state.siblings.length, 4)
})

test('past the size limit only a write that does not shrink the key is refused', () => {
  const limits = { ...LIMITS, maxStateBytes: 1000 }
  const { state } = put(emptyState(), 1, 'x'.repeat(700), { limits })
  throwsCode(() => put(state, 2, 'y'.repeat(300), { limits }), 'too-large')
  assert.is(put(state, 2, 'y'.repeat(300), { limits, context: state.context }).state.siblings.length, 1)
  const large = merge(state, put(emptyState(), 1, 'z'.repeat(700), by(b, 1)).state, NOW)
  const context = withDot(EMPTY_CONTEXT, { actor: b, counter: 1 })
  assert.ok(put(large, 3, 'w'.repeat(400), { limits, context }), 'still over the limit, but smaller than before')
  throwsCode(() => put(large, 3, 'w'.repeat(800), { limits, context }), 'too-large')
})

test('replaced ids are few and recent', () => {
  let state = emptyState()
  for (let counter = 1; counter <= MAX_REPLACED + 50; counter++) {
    state = put(state, counter, 'v', { context: state.context, nowMs: NOW + counter }).state
  }
  assert.is(state.replaced.length, MAX_REPLACED)
  assert.is(Math.min(...state.replaced.map(({ atMs }) => atMs)), NOW + 51, 'the newest are kept')
  assert.is(merge(state, emptyState(), NOW + LIMITS.retryWindowMs * 2).replaced.length, 0)
})

test('merging is commutative, associative and idempotent', () => {
  fc.assert(
    fc.property(stateArb, stateArb, stateArb, (x, y, z) => {
      const xy = merge(x, y, NOW)
      assert.equal(encodeState(xy), encodeState(merge(y, x, NOW)))
      assert.equal(encodeState(merge(xy, z, NOW)), encodeState(merge(x, merge(y, z, NOW), NOW)))
      assert.equal(encodeState(merge(xy, y, NOW)), encodeState(xy))
      assert.ok(sameVersions(merge(xy, x, NOW), xy))
    }),
    { numRuns: 500 }
  )
})

test('a merge drops only what the other side covered or replaced, and brings nothing back', () => {
  fc.assert(
    fc.property(stateArb, stateArb, (x, y) => {
      const both = merge(x, y, NOW)
      const recent = [...x.replaced, ...y.replaced].filter(({ atMs }) => NOW - atMs <= LIMITS.retryWindowMs)
      const kept = new Set(both.siblings.map(({ dot }) => formatDot(dot)))
      for (const [mine, other] of [
        [x, y],
        [y, x]
      ]) {
        const others = new Set(other.siblings.map(({ dot }) => formatDot(dot)))
        for (const { dot, writeId } of mine.siblings) {
          const superseded = covers(other.context, dot) && !others.has(formatDot(dot))
          if (superseded) assert.not(kept.has(formatDot(dot)), 'what the other side covered is gone')
          // A retry of a write that this merge sees replaced goes as well.
          const retried = both.replaced.some(({ id }) => id === writeId)
          if (!superseded && !retried) assert.ok(kept.has(formatDot(dot)), 'what nobody replaced stays')
        }
      }
      for (const { id } of recent) assert.ok(both.siblings.every(({ writeId }) => writeId !== id))
      assert.ok(both.siblings.every(({ dot }) => covers(both.context, dot)))
    }),
    { numRuns: 500 }
  )
})

test('a write that drops what has expired shows every reader the same, whatever is merged before and after', () => {
  const isNew = ({ writeId }: Sibling) => writeId === idOf(99)
  const sameDot = (one: Dot, other: Dot) => compareDots(one, other) === 0
  const byDot = (one: Sibling, other: Sibling) => compareDots(one.dot, other.dot)
  fc.assert(
    fc.property(stateArb, stateArb, (x, y) => {
      const fresh: Dot = { actor: '00000000000000bb', counter: 1 }
      const input = { dot: fresh, value: new Uint8Array([99]), writeId: idOf(99), expiresAtMs: 0, nowMs: NOW }
      const written = write(x, input).state
      for (const { dot, value } of x.siblings) {
        const isKept = written.siblings.some(sibling => sameDot(sibling.dot, dot))
        assert.ok(isKept || value !== undefined, 'no tombstone goes')
        assert.ok(covers(written.context, dot), 'what goes stays covered')
      }
      const shown = (state: KeyState) => liveSiblings(state, NOW).map(({ dot }) => formatDot(dot))
      assert.equal(
        shown(written),
        shown({ ...x, siblings: [...x.siblings, written.siblings.find(isNew)!].sort(byDot) })
      )
      const one = merge(written, y, NOW)
      assert.equal(encodeState(one), encodeState(merge(y, written, NOW)))
      assert.equal(encodeState(merge(one, x, NOW)), encodeState(merge(written, merge(x, y, NOW), NOW)))
      assert.ok(sameVersions(merge(written, x, NOW), written), 'the copies before it bring nothing back')
    }),
    { numRuns: 500 }
  )
})

test('sameVersions looks at siblings and context, not at replaced ids', () => {
  const one = put(emptyState(), 1, 'one').state
  const two = put(one, 2, 'two', { context: one.context }).state
  assert.ok(sameVersions(two, { ...two, replaced: [] }))
  assert.not(sameVersions(one, two))
  assert.not(sameVersions(two, { ...two, context: one.context }))
})

test('stateBytes is never below the encoded size', () => {
  fc.assert(fc.property(stateArb, state => assert.ok(stateBytes(state) >= encodeState(state).length)))
})

test.run()
