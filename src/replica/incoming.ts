/** What a copy makes of a key state that comes from another one: what it leaves out, and what it cannot hold. */
import { LIMITS } from '../config.ts'
import { CoterieError } from '../errors.ts'
import type { Log } from '../ports.ts'
import { type CausalContext, covers, EMPTY_CONTEXT } from '../version/causal-context.ts'
import type { Dot } from '../version/dot.ts'
import { isLive, type KeyState, stateBytes, withoutSiblings } from '../version/key-state.ts'

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

/**
 * The one merge that fails: into a state that no record holds. Found before anything is appended, so that the copy has
 * shown nothing that it would have to take back.
 */
export class Oversize {
  readonly #log: Log
  /** Keys that it has been said of: the next comparison meets them again. */
  readonly #told = new Set<string>()

  constructor(log: Log) {
    this.#log = log
  }

  /** Throws `too-large`. */
  mustFit(key: Uint8Array, merged: KeyState): void {
    const bytes = stateBytes(merged)
    if (bytes <= LIMITS.maxMergedBytes) return
    const name = JSON.stringify(Buffer.from(key).toString())
    const sizes = `the values of key ${name} in two copies take ${bytes} bytes together, and one holds at most ${LIMITS.maxMergedBytes}`
    const message = `${sizes}; delete the key: the copies stay apart until then`
    if (!this.#told.has(name)) this.#log.warn(message)
    this.#told.add(name)
    throw new CoterieError('too-large', message)
  }
}
