/**
 * What the faults of a run may have destroyed, and which lost writes that excuses: those that at least as many nodes may
 * have lost as acknowledged them (design §11), or as ever stayed in the cluster from then on, if those are fewer: who is
 * made to leave gives its copies up once the others have them, however few they are. A node counts once, however often it was
 * struck.
 *
 * When a fault may have taken a node's copy of a write that was sent at `startMs` and acknowledged at `endMs`:
 *
 *     wipe                    it struck at or after startMs
 *     power cut, `disk`       never: the copy counted when it was synced
 *     power cut, `interval`   it struck at or after startMs, and the node had run for less than the sync window (below)
 *                             since endMs
 *     power cut, `os`         the same, with the 35 s after which a system has written back what it was given (Linux: 30 s
 *                             of age, looked at every 5 s); it does so whether the node's process runs or not
 *     bit rot, EIO, lost and misdirected writes
 *                             always: they strike some time after they were set up, are found later still, and what is
 *                             found bad (the header of a file) may stand for what was written after
 *
 * The sync window of `interval` (docs/operations.md: within 100 ms, or as fast as the disk can) is 100 ms and two rounds of
 * the syncer over all ranges (`storage/disk/syncer.ts`): the one that was under way, and the next. It stands still while the
 * node's disk stalls, and while its process is paused, down or starting: who was killed has not synced its last writes,
 * and whoever starts in its place does so later.
 */
import { DEFAULT_SETTINGS } from '../../config.ts'
import type { Findings, WriteRecord } from '../history.ts'
import type { Plan } from '../plan/plan.ts'

type Destroyed = Findings['destroyed'][number]

const PROMISED_MS = 100
const WRITE_BACK_MS = 35_000
/** From the start of a process until it has opened and synced its files; twice what a machine waits after a failed start. */
const START_MS = 4000
/** The syncer syncs this many at once (`SYNC_CONCURRENCY` of the range store) … */
const SYNCS_AT_ONCE = 2
/** … of ranges with at most this many files: one that is rewritten has two. */
const FILES_A_RANGE = 2
/** Its content, its name, and the directory sync that began before the name was there … */
const SYNCS_A_FILE = 3
/** … each this many times as long as the mean. */
const SLOW_SYNC = 3

export class Losses {
  readonly #plan: Plan
  readonly #destroyed: readonly Destroyed[]
  readonly #durability: 'os' | 'interval' | 'disk'

  constructor(plan: Plan, destroyed: readonly Destroyed[]) {
    this.#plan = plan
    this.#durability = plan.settings.durability ?? DEFAULT_SETTINGS.durability
    this.#destroyed = destroyed.filter(({ how }) => how !== 'power-cut' || this.#durability !== 'disk')
  }

  /** Nodes that may have lost their copy of this write. */
  of(write: WriteRecord): string[] {
    const struck = this.#destroyed.filter(destroyed => this.#mayHaveTaken(destroyed, write))
    return [...new Set(struck.map(({ node }) => node))]
  }

  /** True when as many nodes may have lost the write as acknowledged it, or as kept it. */
  excuse(write: WriteRecord): boolean {
    return this.of(write).length >= Math.max(1, Math.min(write.acks, this.#fewestStaying(write.startMs)))
  }

  /** Nodes that had joined and had not been told to leave, when they were fewest. */
  #fewestStaying(fromMs: number): number {
    const { nodes, faults } = this.#plan
    const leaves = faults.filter(({ kind }) => kind === 'leave')
    const stayingAt = (atMs: number) =>
      nodes.filter(
        ({ name, joinAtMs }) =>
          joinAtMs <= atMs && !leaves.some(fault => 'node' in fault && fault.node === name && fault.atMs <= atMs)
      ).length
    const times = [fromMs, ...leaves.map(({ atMs }) => atMs).filter(atMs => atMs > fromMs)]
    return Math.min(...times.map(stayingAt))
  }

  /**
   * What had happened by then: nothing; only wipes, after which a copy knows that it is not complete; or faults after which
   * a node takes a copy for complete that is not.
   */
  by(atMs: number): 'nothing' | 'wipes' | 'ruin' {
    const before = this.#destroyed.filter(destroyed => destroyed.atMs <= atMs)
    if (before.length === 0) return 'nothing'
    return before.every(({ how }) => how === 'wipe') ? 'wipes' : 'ruin'
  }

  /** How long after its acknowledgement a write may be lost in a power cut: milliseconds in which the node runs. */
  get windowMs(): number {
    if (this.#durability === 'disk') return 0
    if (this.#durability === 'os') return WRITE_BACK_MS
    const { params, disks } = this.#plan
    const inARow = Math.ceil((FILES_A_RANGE * params.q) / SYNCS_AT_ONCE)
    return PROMISED_MS + 2 * inARow * SYNCS_A_FILE * SLOW_SYNC * disks.syncMs
  }

  #mayHaveTaken({ node, atMs, how }: Destroyed, { startMs, endMs }: WriteRecord): boolean {
    if (how !== 'power-cut' && how !== 'wipe') return true
    if (atMs < startMs) return false
    if (how === 'wipe' || endMs === undefined || endMs >= atMs) return true
    return this.#ranMs(node, endMs, atMs) <= this.windowMs
  }

  /** For how long the node ran, and its disk did, between two moments; with `os`, the system does the work. */
  #ranMs(node: string, fromMs: number, toMs: number): number {
    if (this.#durability === 'os') return toMs - fromMs
    const stops = this.#plan.faults.flatMap((fault): [number, number][] => {
      if (!('node' in fault) || fault.node !== node) return []
      switch (fault.kind) {
        case 'pause':
        case 'disk-stall':
          return [[fault.atMs, fault.atMs + fault.forMs]]
        case 'crash':
        case 'restart':
        case 'power-cut':
        case 'wipe':
          return [[fault.atMs, fault.atMs + fault.forMs + START_MS]]
        default:
          return []
      }
    })
    let ranMs = 0
    let at = fromMs
    for (const [stopMs, goMs] of stops.sort(([a], [b]) => a - b)) {
      if (stopMs >= toMs) break
      ranMs += Math.max(0, stopMs - at)
      at = Math.max(at, goMs)
    }
    return ranMs + Math.max(0, toMs - at)
  }
}
