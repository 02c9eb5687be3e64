/** Arbitrary dots, contexts and key states: few actors and counters, so that they meet often. */
import fc from 'fast-check'
import { type CausalContext, covers, normalise } from '../../src/version/causal-context.ts'
import { compareDots, type Dot } from '../../src/version/dot.ts'
import type { KeyState, Replaced, Sibling } from '../../src/version/key-state.ts'

export const ACTORS = ['0000000000000001', '00000000000000aa', 'ffffffffffffffff']
export const NOW = 1_800_000_000_000

export const dotArb: fc.Arbitrary<Dot> = fc
  .tuple(fc.constantFrom(...ACTORS), fc.integer({ min: 1, max: 6 }))
  .map(([actor, counter]) => ({ actor, counter }))

export const contextArb: fc.Arbitrary<CausalContext> = fc
  .tuple(fc.array(dotArb, { maxLength: 3 }), fc.array(dotArb, { maxLength: 6 }))
  .map(([vector, dots]) =>
    normalise(
      vector.map(({ actor, counter }) => [actor, counter] as const),
      dots
    )
  )

/** One dot is one write, as in life; a write may have two dots (a retry), with the same id, value and expiry. */
export function writeOf(dot: Dot): Sibling {
  const number = ACTORS.indexOf(dot.actor) * 6 + dot.counter
  const write = number % 11
  const value = write % 4 === 0 ? undefined : new Uint8Array([write, write])
  const writtenAtMs = write % 3 === 0 ? 0 : NOW - number
  return { dot, value, writeId: idOf(write), expiresAtMs: write % 5 === 0 ? NOW - 1 : 0, writtenAtMs }
}

export const idOf = (write: number) => write.toString(16).padStart(16, '0')

const replacedArb: fc.Arbitrary<Replaced> = fc
  .tuple(fc.integer({ min: 0, max: 10 }).map(idOf), dotArb, fc.integer({ min: NOW - 70_000, max: NOW + 10_000 }))
  .map(([id, dot, atMs]) => ({ id, dot, atMs }))

/** Any state that holds together: siblings sorted and in the context, no id both live and replaced. */
export const stateArb: fc.Arbitrary<KeyState> = fc
  .tuple(contextArb, fc.array(dotArb, { maxLength: 5 }), fc.array(replacedArb, { maxLength: 2 }))
  .map(([context, dots, past]) => {
    const replaced = [...new Map(past.map(entry => [entry.id, entry])).values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    const distinct = dots.filter((dot, index) => dots.findIndex(other => compareDots(other, dot) === 0) === index)
    const siblings = distinct
      .filter(dot => covers(context, dot))
      .map(writeOf)
      .filter(({ writeId }) => !replaced.some(({ id }) => id === writeId))
      .sort((a, b) => compareDots(a.dot, b.dot))
    return { context, siblings, replaced }
  })
