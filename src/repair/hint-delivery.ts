/**
 * Hands over what this node keeps for others (`replica/stand-ins.ts`): soon after a list member can be reached again, one
 * session at a time, and then drops it. It is dropped only once every member of the list, as the ring is then, has said
 * that it holds all of it, synced to disk (design §6.4, §10).
 */
import type { Background } from '../background.ts'
import type { Peers } from '../coordinator/peers.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Clock, Log, Network, Timers } from '../ports.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { StandIns } from '../replica/stand-ins.ts'
import type { Topology } from '../topology.ts'
import { compareRanges } from './compare.ts'
import { Renewals } from './renewals.ts'

/** Ranges in one session. */
const RANGES_AT_ONCE = 32
/** Until a range is tried again that could not be dropped; twice as long each time, until a member returns. */
const PAUSE_MS = 1000
const MAX_PAUSE_MS = 15_000
/** Merges into this node's own copies at once. */
const MERGES_AT_ONCE = 64

export interface HintDeliveryParts {
  clock: Clock
  timers: Timers
  network: Network
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  replicas: Replicas
  standIns: StandIns
}

/** Where a range stands. */
interface Progress {
  dueMs: number
  pauseMs: number
  /** The members that have proved that they hold what was kept at `changes`. */
  changes: number | undefined
  proven: Set<string>
}

export class HintDelivery {
  readonly #parts: HintDeliveryParts
  readonly #progress = new Map<number, Progress>()
  readonly #counts = { sessions: 0, failed: 0, sent: 0, dropped: 0 }
  readonly #renewals: Renewals
  #running = false

  constructor(parts: HintDeliveryParts) {
    this.#parts = parts
    const { replicas } = parts.standIns
    const copies = { status: (range: number) => replicas.status(range), set: async () => {} }
    this.#renewals = new Renewals({ ...parts, replicas, copies })
  }

  stats(): Readonly<{ sessions: number; failed: number; sent: number; dropped: number }> {
    return this.#counts
  }

  /** What is kept for this peer is handed over at the next tick. */
  peerReturned(peerId: string): void {
    const { topology } = this.#parts
    for (const [range, progress] of this.#progress) {
      if (!topology.view.isMember(range, peerId)) continue
      progress.dueMs = 0
      progress.pauseMs = PAUSE_MS
    }
  }

  tick(): void {
    const { standIns, topology, background } = this.#parts
    if (this.#running || !topology.complete || standIns.ranges().length === 0) return
    this.#running = true
    const pass = this.#pass().finally(() => {
      this.#running = false
    })
    background.run('handing over what was kept for others', pass)
  }

  /**
   * Hands over at once what is kept of these ranges to those of their members that can be reached; nothing is dropped for
   * that. Throws `range-busy` when one of them has not taken it, and what the session throws.
   */
  async deliver(ranges: readonly number[]): Promise<void> {
    const { standIns, topology, peers } = this.#parts
    const kept = standIns.ranges().filter(range => ranges.includes(range))
    const members = new Set(
      kept.flatMap(range => topology.view.preferenceList(range)).filter(member => peers.isReachable(member))
    )
    for (const member of members) {
      const theirs = kept.filter(range => topology.view.isMember(range, member))
      const taken = await this.#handOver(member, theirs)
      const open = theirs.filter(range => !taken.includes(range))
      if (open.length > 0)
        throw new CoterieError('range-busy', `${member} does not take what is kept for it of range ${open.join(', ')}`)
    }
  }

  async #pass(): Promise<void> {
    const { standIns, clock } = this.#parts
    const kept = standIns.ranges()
    for (const range of this.#progress.keys()) if (!kept.includes(range)) this.#progress.delete(range)
    await this.#renew(kept)
    const nowMs = clock.monotonicMs()
    const due = kept.filter(range => this.#of(range).dueMs <= nowMs)
    for (const [member, ranges] of this.#unproven(due)) {
      for (let at = 0; at < ranges.length; at += RANGES_AT_ONCE) {
        await this.#prove(member, ranges.slice(at, at + RANGES_AT_ONCE))
      }
    }
    for (const range of due) await this.#dropIfProven(range)
  }

  /** What is kept in a file that failed is nowhere else. */
  async #renew(kept: number[]): Promise<void> {
    await this.#renewals.finish()
    const fenced = kept.filter(range => this.#parts.standIns.replicas.isFenced(range))
    this.#renewals.note(fenced)
    for (const range of fenced) this.#renewals.renew(range)
  }

  /** By member that can be reached: the ranges that it has not proved yet to hold. */
  #unproven(ranges: number[]): Map<string, number[]> {
    const { topology, peers, standIns } = this.#parts
    const byMember = new Map<string, number[]>()
    for (const range of ranges) {
      const progress = this.#of(range)
      const changes = standIns.changes(range)
      if (changes === undefined || changes !== progress.changes) {
        progress.changes = changes
        progress.proven.clear()
      }
      for (const member of topology.view.preferenceList(range)) {
        if (progress.proven.has(member) || !peers.isReachable(member)) continue
        byMember.set(member, [...(byMember.get(member) ?? []), range])
      }
    }
    return byMember
  }

  async #prove(member: string, ranges: number[]): Promise<void> {
    const { standIns, log } = this.#parts
    const before = new Map(ranges.map(range => [range, standIns.changes(range)]))
    try {
      const taken = await this.#handOver(member, ranges)
      for (const range of taken) {
        const progress = this.#of(range)
        const changes = before.get(range)
        if (changes !== undefined && changes === progress.changes) progress.proven.add(member)
      }
    } catch (error) {
      this.#counts.failed++
      log.debug('handing over what was kept for a member failed', { member, error: String(error) })
    }
  }

  /** The ranges that the member, or this node for itself, says it takes. */
  #handOver(member: string, ranges: number[]): Promise<number[]> {
    return member === this.#parts.peers.self ? this.#takeOver(ranges) : this.#send(member, ranges)
  }

  async #send(member: string, ranges: number[]): Promise<number[]> {
    const { standIns, background } = this.#parts
    this.#counts.sessions++
    const { statuses, sent } = await compareRanges({ ...this.#parts, replicas: standIns.replicas }, member, ranges, {
      pushOnly: true,
      durable: true,
      signal: background.signal
    })
    this.#counts.sent += sent
    return ranges.filter(range => ['synced', 'syncing'].includes(statuses.get(range) ?? 'none'))
  }

  /** This node has come onto the list itself. */
  async #takeOver(ranges: number[]): Promise<number[]> {
    const { standIns, replicas } = this.#parts
    const apart = new Set<number>()
    for (const range of ranges) {
      const clock = standIns.replicas.clocks.of(range).entries()
      const damages = () => standIns.replicas.damages(range) + replicas.damages(range)
      const before = damages()
      const positions: { hi: number; lo: number }[] = []
      standIns.replicas.forEach(range, (hi, lo) => positions.push({ hi, lo }))
      for (let at = 0; at < positions.length; at += MERGES_AT_ONCE) {
        const merges = positions.slice(at, at + MERGES_AT_ONCE).map(async ({ hi, lo }) => {
          for (const { key, state } of await standIns.replicas.lookup(range, hi, lo)) {
            if ((await replicas.merge(range, key, state)).news) this.#counts.sent++
          }
        })
        // As in a session: a key that does not fit keeps its range here, and no other.
        const settled = merges.map(merge =>
          merge.catch(error => {
            if (!isCoterieError(error, 'too-large')) throw error
            apart.add(range)
          })
        )
        await Promise.all(settled)
      }
      // What was found damaged on the way has not been copied, or is gone again.
      const isWhole = damages() === before && !apart.has(range)
      if (replicas.status(range) === 'synced' && isWhole) replicas.clocks.join(range, clock)
    }
    const taken = ranges.filter(range => !apart.has(range))
    await replicas.sync(taken)
    return taken
  }

  async #dropIfProven(range: number): Promise<void> {
    const { topology, standIns, clock, log } = this.#parts
    const progress = this.#of(range)
    const { changes, proven } = progress
    // By the ring of now, in the same turn as the drop.
    const list = topology.view.preferenceList(range)
    const isProven = list.length > 0 && list.every(member => proven.has(member))
    if (isProven && changes !== undefined && (await standIns.drop(range, changes))) {
      this.#progress.delete(range)
      this.#counts.dropped++
      log.debug('handed over what was kept for others', { range })
      return
    }
    progress.dueMs = clock.monotonicMs() + progress.pauseMs
    progress.pauseMs = Math.min(MAX_PAUSE_MS, progress.pauseMs * 2)
  }

  #of(range: number): Progress {
    let progress = this.#progress.get(range)
    if (progress === undefined) {
      progress = { dueMs: 0, pauseMs: PAUSE_MS, changes: undefined, proven: new Set() }
      this.#progress.set(range, progress)
    }
    return progress
  }
}
