/**
 * A causal context is a set of dots: what a reader has seen of a key, or what a key state knows of. It is held as a
 * version vector (every dot of an actor up to a counter) and a cloud of single dots beyond it.
 *
 * The cloud is there for writes without context: their writer has seen its own dot and not the actor's earlier ones,
 * which may still be live siblings, so its context must not reach down to them.
 *
 * Contexts are values: no function here changes its arguments, and all results are in normal form (no cloud dot lies
 * in the vector or next to it; the cloud is sorted; no entry is 0), so equal sets have equal forms.
 */
import { compareDots, type Dot } from './dot.ts'

export interface CausalContext {
  readonly vector: ReadonlyMap<string, number>
  readonly cloud: readonly Dot[]
}

export const EMPTY_CONTEXT: CausalContext = { vector: new Map(), cloud: [] }

/** Brings any vector and dots, in any order, with repeats, to normal form. */
export function normalise(vector: Iterable<readonly [string, number]>, dots: Iterable<Dot>): CausalContext {
  const reach = new Map<string, number>()
  for (const [actor, counter] of vector) {
    if (counter > (reach.get(actor) ?? 0)) reach.set(actor, counter)
  }
  const cloud: Dot[] = []
  for (const dot of [...dots].sort(compareDots)) {
    const known = reach.get(dot.actor) ?? 0
    const last = cloud.at(-1)
    if (dot.counter <= known || (last && compareDots(last, dot) === 0)) continue
    if (dot.counter === known + 1) reach.set(dot.actor, dot.counter)
    else cloud.push(dot)
  }
  return { vector: reach, cloud }
}

/** True when the context holds the dot. */
export function covers(context: CausalContext, dot: Dot): boolean {
  if (dot.counter <= (context.vector.get(dot.actor) ?? 0)) return true
  return context.cloud.some(seen => seen.counter === dot.counter && seen.actor === dot.actor)
}

/** Both sets together. */
export function join(a: CausalContext, b: CausalContext): CausalContext {
  if (a === b) return a
  return normalise([...a.vector, ...b.vector], [...a.cloud, ...b.cloud])
}

/** The context and this one dot: what a client has seen after a write. */
export function withDot(context: CausalContext, dot: Dot): CausalContext {
  return covers(context, dot) ? context : normalise(context.vector, [...context.cloud, dot])
}

/**
 * The context and every dot of the actor up to this one: for the key state in the copy that minted the dot, nowhere
 * else. Sound there, because that copy holds or knows as replaced every dot it ever minted for this key (a copy that
 * may have forgotten one draws a new actor), and its dots for other keys never occur in this one. A client has seen
 * nothing but the dot itself: give it `withDot`, or its next write erases siblings that it never saw.
 */
export function withDotsUpTo(context: CausalContext, dot: Dot): CausalContext {
  return normalise([...context.vector, [dot.actor, dot.counter]], context.cloud)
}

/** True when both are the same set of dots. */
export function equals(a: CausalContext, b: CausalContext): boolean {
  if (a === b) return true
  if (a.vector.size !== b.vector.size || a.cloud.length !== b.cloud.length) return false
  for (const [actor, counter] of a.vector) if (b.vector.get(actor) !== counter) return false
  return a.cloud.every((dot, index) => compareDots(dot, b.cloud[index]) === 0)
}

/** Entries of the vector and the cloud together: what the context costs. */
export function entryCount(context: CausalContext): number {
  return context.vector.size + context.cloud.length
}
