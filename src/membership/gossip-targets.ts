/**
 * With whom to gossip this round (design §5): one live member at random, now and then one that seems dead, now and then
 * one that is only remembered, so that islands find each other again. Pure but for the random port.
 */
import type { Random } from '../ports.ts'

export interface Candidates {
  live: string[]
  /** Members that seem down or suspect. */
  doubtful: string[]
  /** Connected peers whose record is not here yet. */
  newcomers: string[]
  /** Seeds and remembered peers that are no known members. */
  remembered: string[]
}

/** Above this many members one exchange a node and round spreads news fast enough, and digests are long. */
export const ONE_TARGET_ABOVE = 300
/** Least chance of trying a doubtful member in a round. */
const DOUBTFUL_CHANCE = 0.2
/** Chance of trying a remembered peer in a round while others are live. */
const REMEMBERED_CHANCE = 0.1

export function chooseTargets(candidates: Candidates, random: Pick<Random, 'float'>): string[] {
  const { live, doubtful, newcomers, remembered } = candidates
  const pick = (from: string[]) => (from.length > 0 ? [from[Math.floor(random.float() * from.length)]!] : [])
  const alone = live.length === 0
  // As Cassandra does: the more are doubtful, the likelier; a node that sees nobody tries every time.
  const doubtfulChance = alone ? 1 : Math.min(1, Math.max(DOUBTFUL_CHANCE, doubtful.length / (live.length + 1)))
  const extras = [
    ...pick(newcomers),
    ...(random.float() < doubtfulChance ? pick(doubtful) : []),
    ...(random.float() < (alone ? 1 : REMEMBERED_CHANCE) ? pick(remembered) : [])
  ]
  const targets = [...new Set([...pick(live), ...extras])].slice(0, 3)
  if (live.length + doubtful.length <= ONE_TARGET_ABOVE) return targets
  // One only: mostly a live one, one time in eight one of the others.
  const other = extras.length > 0 && random.float() < 1 / 8
  return other ? pick(extras) : targets.slice(0, 1)
}
