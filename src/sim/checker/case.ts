/** A run as the rules look at it: plan, history and findings, sorted by key, with what follows from the faults. */
import { DEFAULT_SETTINGS, type NodeSettings } from '../../config.ts'
import type { Findings, History, KeyFindings, ReadRecord, WriteRecord } from '../history.ts'
import type { Fault, FaultKind, Plan } from '../plan/plan.ts'
import { SWIZZLE_SHARE } from '../plan/plan-times.ts'
import { KeyCase } from './key-case.ts'
import { Losses } from './losses.ts'
import { WallClocks } from './wall-clocks.ts'

/** The client of the reads with which a run is looked at when it is over. */
export const INSPECTOR_CLIENT = -1

/** Nodes that nobody hears of while the fault lasts. */
function awayNodes(fault: Fault): string[] {
  switch (fault.kind) {
    case 'crash':
    case 'power-cut':
    case 'restart':
    case 'wipe':
    case 'pause':
      return [fault.node]
    case 'partition':
      return fault.groups.flat()
    case 'swizzle':
      return fault.nodes
    default:
      return []
  }
}

const ENDS_PROCESSES: readonly FaultKind[] = ['crash', 'power-cut', 'restart', 'wipe']

/** Until everybody has heard that a node is back, and a takeover that began before has ended. */
const JUST_BACK_MS = 10_000
const HARDLY_BACK_MS = 1000
/** Between the last read of a run and the last look at a replica. */
const LOOKING_MS = 5000

/** Virtual milliseconds: nobody hears of a node from then on, some do again, all do. */
interface Absence {
  fromMs: number
  backMs: number
  toMs: number
}

export class Case {
  readonly plan: Plan
  readonly history: History
  readonly findings: Findings
  readonly settings: NodeSettings
  readonly clocks: WallClocks
  readonly losses: Losses
  /** Sorted by name. */
  readonly keys: readonly KeyCase[]
  /** Nothing was looked at later. */
  readonly endMs: number

  constructor(plan: Plan, history: History, findings: Findings) {
    this.plan = plan
    this.history = history
    this.findings = findings
    this.settings = { ...DEFAULT_SETTINGS, ...plan.settings }
    this.clocks = new WallClocks(plan)
    this.losses = new Losses(plan, findings.destroyed)
    this.keys = this.#sortByKey()
    let endMs = plan.healAtMs + (findings.settledAfterMs ?? plan.settleMs)
    for (const read of history.reads) endMs = Math.max(endMs, read.endMs ?? 0)
    for (const write of history.writes) endMs = Math.max(endMs, write.endMs ?? 0)
    this.endMs = endMs + LOOKING_MS
  }

  get settled(): boolean {
    return this.findings.settledAfterMs !== undefined
  }

  /** A key of a range that has lost its last synced copy: never "no such key", and not readable until an operator says so. */
  isOrphan({ range }: Pick<KeyFindings, 'range'>): boolean {
    return this.findings.orphans.includes(range)
  }

  /**
   * True for a write that every read at the cluster's R meets: R + W > N, and the cluster's W acknowledged it. (W may be
   * capped by the number of owners; then fewer acknowledge, and such a write is none of these.)
   */
  isQuorumWrite({ outcome, acks, sloppy }: WriteRecord): boolean {
    const { n, r, w } = this.plan.params
    return r + w > n && outcome === 'acked' && !sloppy && acks >= w
  }

  /** A delete without a context that read, with a quorum, what it deletes. */
  isQuorumDelete(write: WriteRecord): boolean {
    return this.isQuorumWrite(write) && write.readReplies >= this.plan.params.r
  }

  /**
   * True for a write all of whose copies may be with nodes that the others had given up by then, and whose ranges they had
   * taken over: they are read without it until one of them is back (design §6, death). Not of one that was acknowledged later
   * than that: a node that has been cut off for so long vouches for nothing.
   */
  isGivenUp({ acks, endMs }: WriteRecord, byMs: number): boolean {
    const { reclaimAfterMs } = this.plan.settings
    if (reclaimAfterMs === undefined || reclaimAfterMs === 0) return false
    const given = this.plan.faults.filter(
      fault =>
        'forMs' in fault &&
        Math.min(fault.atMs + fault.forMs, byMs) - fault.atMs >= reclaimAfterMs &&
        endMs! <= fault.atMs + reclaimAfterMs
    )
    return new Set(given.flatMap(awayNodes)).size >= acks
  }

  /**
   * True for a node that was away for so long that the others may have given it up and taken over what it owned, while it
   * gave that away itself: just before, when nobody heard of it any more, or just back, when not all had heard of it.
   */
  mayBeTakenFrom(node: string, { givenMs, takenMs }: { givenMs: number; takenMs: number }): boolean {
    const { reclaimAfterMs } = this.settings
    return this.#absences(node).some(
      absence =>
        this.#isGivenUpIn(absence, takenMs) &&
        (givenMs >= absence.backMs || (givenMs >= absence.fromMs && givenMs < absence.fromMs + reclaimAfterMs))
    )
  }

  /** True for a node that was away for so long that the others may have taken over what it owned by then. */
  mayBeGivenUp(node: string, takenMs: number): boolean {
    return this.#absences(node).some(absence => this.#isGivenUpIn(absence, takenMs))
  }

  #isGivenUpIn({ fromMs, toMs }: Absence, takenMs: number): boolean {
    const { reclaimAfterMs } = this.plan.settings
    if (reclaimAfterMs === undefined || reclaimAfterMs === 0 || toMs - fromMs < reclaimAfterMs) return false
    return takenMs >= fromMs + reclaimAfterMs && takenMs < toMs + JUST_BACK_MS
  }

  /** As they may look to others: each by itself, and with those that it followed on so soon that it may be one with them. */
  #absences(node: string): Absence[] {
    const absences: Absence[] = []
    const faults = this.plan.faults.flatMap(fault =>
      'forMs' in fault && awayNodes(fault).includes(node) ? [fault] : []
    )
    for (const fault of faults.sort((a, b) => a.atMs - b.atMs)) {
      const last = absences.at(-1)
      const isOne = last !== undefined && fault.atMs <= last.toMs + HARDLY_BACK_MS
      // What hangs is gone once it is killed: the next process does not hang.
      const deaths = faults.filter(({ kind, atMs }) => ENDS_PROCESSES.includes(kind) && atMs >= fault.atMs)
      const forMs = Math.min(
        fault.forMs,
        ...(fault.kind === 'pause' ? deaths.map(({ atMs }) => atMs - fault.atMs) : [])
      )
      // Of a swizzle, some are back long before it is over.
      const share = fault.kind === 'swizzle' ? 1 - SWIZZLE_SHARE : 1
      absences.push({
        fromMs: isOne ? last.fromMs : fault.atMs,
        backMs: Math.max(last?.backMs ?? 0, fault.atMs + forMs * share),
        toMs: Math.max(last?.toMs ?? 0, fault.atMs + forMs)
      })
    }
    return absences
  }

  /** True for a node that nobody heard of at some time between the two. */
  isAway(node: string, fromMs: number, toMs: number): boolean {
    return this.plan.faults.some(
      fault =>
        'forMs' in fault &&
        awayNodes(fault).includes(node) &&
        fault.atMs <= toMs &&
        fault.atMs + fault.forMs + HARDLY_BACK_MS >= fromMs
    )
  }

  isQuorumRead({ outcome, replies }: ReadRecord): boolean {
    return outcome === 'answered' && replies >= this.plan.params.r
  }

  /**
   * How long ranges move after a node has joined: it hears of everybody, waits two quiet rounds of gossip, asks and copies;
   * with faults, a lease may have to end first. They can make it longer still: it is no promise, it decides under which
   * name a stale read is reported, and which refusals are no news.
   */
  get movingMs(): number {
    const { gossipIntervalMs, reconcileIntervalMs, leaseMs } = this.settings
    const { nodes, faults } = this.plan
    const quietMs = 6500 + 4 * gossipIntervalMs + 2 * reconcileIntervalMs + 200 * nodes.length
    return quietMs + (faults.length > 0 ? leaseMs : 0)
  }

  /** True when a node joined between the two, or not long before; or from when one was told to leave: that takes its time. */
  isMoving(fromMs: number, toMs: number): boolean {
    const joins = this.plan.nodes.slice(1)
    return (
      joins.some(({ joinAtMs }) => joinAtMs <= toMs && fromMs <= joinAtMs + this.movingMs) ||
      this.plan.faults.some(({ kind, atMs }) => kind === 'leave' && atMs <= toMs)
    )
  }

  /** True once a fault has begun that ends processes: copies are opened and prepared anew while ranges move. */
  isDisturbed(atMs: number): boolean {
    return this.plan.faults.some(fault => fault.atMs <= atMs && ENDS_PROCESSES.includes(fault.kind))
  }

  #sortByKey(): KeyCase[] {
    const found = new Map(this.findings.keys.map(one => [one.key, one]))
    const cases = new Map<string, KeyCase>()
    const caseOf = (key: string) => {
      let one = cases.get(key)
      if (one === undefined) cases.set(key, (one = new KeyCase(key, found.get(key), this.clocks)))
      return one
    }
    for (const key of found.keys()) caseOf(key)
    for (const write of this.history.writes) caseOf(write.key).addWrite(write)
    for (const read of this.history.reads) if (read.outcome === 'answered') caseOf(read.key).reads.push(read)
    return [...cases.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  }
}
