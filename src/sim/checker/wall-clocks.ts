/**
 * How far the nodes' wall clocks may be off. Nothing but expiry depends on them (design §7): clients fix `expiresAt` by
 * the true time, and every node compares it with its own clock.
 */
import type { WriteRecord } from '../history.ts'
import type { Plan } from '../plan/plan.ts'

/** Clocks give whole milliseconds, and `expiresAt` is rounded up. */
const ROUNDING_MS = 2

export class WallClocks {
  /** Milliseconds that the slowest clock is behind the true time (≤ 0), and the fastest before it (≥ 0), ever. */
  readonly lowest: number = 0
  readonly highest: number = 0

  constructor({ nodes, faults, healAtMs, settleMs }: Pick<Plan, 'nodes' | 'faults' | 'healAtMs' | 'settleMs'>) {
    const endMs = healAtMs + settleMs
    for (const { name, skewMs, drift } of nodes) {
      // A jump of a machine that has not started does nothing: it counts for one bound and not for the other.
      const jumps = faults.filter(fault => fault.kind === 'clock-jump' && fault.node === name)
      const by = jumps.map(fault => (fault.kind === 'clock-jump' ? fault.byMs : 0))
      const back = by.reduce((sum, ms) => sum + Math.min(0, ms), 0)
      const forward = by.reduce((sum, ms) => sum + Math.max(0, ms), 0)
      this.lowest = Math.min(this.lowest, skewMs + Math.min(0, drift * endMs) + back)
      this.highest = Math.max(this.highest, skewMs + Math.max(0, drift * endMs) + forward)
    }
  }

  /** True when some node may take the write for expired at this time. */
  mayBeExpired({ expiresAtMs }: WriteRecord, atMs: number): boolean {
    return expiresAtMs !== undefined && atMs >= expiresAtMs - this.highest - ROUNDING_MS
  }

  /** True when every node must. */
  mustBeExpired({ expiresAtMs }: WriteRecord, atMs: number): boolean {
    return expiresAtMs !== undefined && atMs > expiresAtMs - this.lowest + ROUNDING_MS
  }
}
