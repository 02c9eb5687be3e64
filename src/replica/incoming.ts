/** What a copy makes of a key state that comes from another one, and what it says of it. */
import { type CausalContext, covers, EMPTY_CONTEXT } from '../version/causal-context.ts'
import type { Dot } from '../version/dot.ts'
import { isLive, type KeyState, withoutSiblings } from '../version/key-state.ts'

export interface Merged {
  /** The copy has changed. */
  news: boolean
  /** Dots of the incoming state that were deleted and reaped here: the range clock covers them, and the copy does not hold them. */
  dead: readonly Dot[]
  /** One of those stands for a live value: either its sender has missed a delete, or this copy has lost it. */
  revives: boolean
  /** Live values of the key in this copy, after the merge. */
  siblings: number
}

export interface Incoming extends Pick<Merged, 'dead' | 'revives'> {
  /** What is to be merged: the incoming state without what is dead here. */
  theirs: KeyState
}

/**
 * Leaves out what was reaped here (design §10). `known`: the context of what the copy holds of the key; `isReaped`: the
 * range clock covers the dot.
 */
export function sift(
  incoming: KeyState,
  known: CausalContext = EMPTY_CONTEXT,
  isReaped: (dot: Dot) => boolean,
  nowMs: number
): Incoming {
  const { state: theirs, gone: dead } = withoutSiblings(incoming, dot => isReaped(dot) && !covers(known, dot))
  const revives = incoming.siblings.some(sibling => dead.includes(sibling.dot) && isLive(sibling, nowMs))
  return { theirs, dead, revives }
}
