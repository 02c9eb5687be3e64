/**
 * What a node says in its member record of the work that its ranges make (design §6, hot ranges), and what counts as work: what
 * a node's processor spends on a range that it serves, in units that each stand for one answer as a replica.
 */

/** Work a second that would move with the ownership of a range. */
export interface RangeWork {
  range: number
  work: number
}

export interface Heat {
  /** Work a second on all ranges that the node serves. */
  work: number
  /** Of the ranges that it owns: those that make far more work than most, the hottest first, and those that make the least. */
  hot: RangeWork[]
  cool: RangeWork[]
}

/** To coordinate an operation is to take it in, ask the other replicas and merge what they say; its own copy counts beside. */
export const COORDINATING_WORK = 2
/** So many bytes of keys' states cost about as much as one more answer. */
export const BYTES_PER_WORK = 4096
/** As many are told at most, of either kind: a thousand records are kept in memory and gossiped. */
export const MAX_TOLD = 4
/** As many are read, of a later version that tells more. */
export const MAX_HEARD = 16
/** A node that tells of no work and does so much else is of an earlier version. */
export const UNTOLD_OPS = 100
/** Below it nothing is told: there is nothing to even out, and a quiet cluster sends no records. */
export const LEAST_TOLD = 50

/** Whole numbers, as the record carries them. */
export function roundHeat({ work, hot, cool }: Heat): Heat {
  const rounded = (told: RangeWork[]) => told.map(({ range, work }) => ({ range, work: Math.round(work) }))
  return { work: Math.round(work), hot: rounded(hot), cool: rounded(cool) }
}
