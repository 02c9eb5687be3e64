/**
 * When a plan heals and how long the cluster may then take to settle.
 *
 * The bound on settling (liveness), from when every machine runs and every link is whole:
 *
 *     40 s                           what no setting scales: a transfer without progress (20 s), the longest suspicion (15 s)
 *   + 20 × gossipIntervalMs          everybody hears of everybody, and sees them up
 *   +  2 × requestTimeoutMs          what clients still have under way
 *   +  2 × leaseMs                   one that was left behind ends, one is taken anew
 *   +  3 × antiEntropyIntervalMs     one round may be cut, one is missed, one mends
 *   +  3 × reapAfterMs               every member has seen a key dead for so long, the last of the list for twice as long
 *   +      reclaimAfterMs            where that is for the run: one that was about to be taken for dead has returned, or not
 *   + 10 s for every joiner and      movements that change one preference list wait for each other
 *     every leaver
 */
import { DEFAULT_SETTINGS } from '../../config.ts'
import type { Fault, Plan } from './plan.ts'

/** Nodes of a swizzle are cut off, and come back, within this share of its time each. */
export const SWIZZLE_SHARE = 0.4
const FIXED_MS = 40_000
const JOIN_MS = 10_000

export function settleLimitMs({ settings, nodes, faults }: Pick<Plan, 'settings' | 'nodes' | 'faults'>): number {
  const all = { ...DEFAULT_SETTINGS, ...settings }
  const scaledMs =
    20 * all.gossipIntervalMs +
    2 * all.requestTimeoutMs +
    2 * all.leaseMs +
    3 * all.antiEntropyIntervalMs +
    3 * all.reapAfterMs +
    (settings.reclaimAfterMs ?? 0)
  const leavers = faults.filter(({ kind }) => kind === 'leave').length
  return FIXED_MS + scaledMs + (nodes.length - 1 + leavers) * JOIN_MS
}

/** When the last operation, fault or node starts. */
export function lastStartMs({ nodes, operations, faults }: Pick<Plan, 'nodes' | 'operations' | 'faults'>): number {
  return Math.max(
    0,
    ...nodes.map(node => node.joinAtMs),
    ...operations.map(operation => operation.atMs),
    ...faults.map(fault => fault.atMs)
  )
}

/** The faults in order of time, each over by `healAtMs`, before which all of them start. */
export function endBy(faults: readonly Fault[], healAtMs: number): Fault[] {
  return faults
    .map(fault => ('forMs' in fault ? { ...fault, forMs: Math.min(fault.forMs, healAtMs - fault.atMs) } : fault))
    .sort((a, b) => a.atMs - b.atMs)
}
