/**
 * The joiner's side of a movement: works out its fair share of the ranges, asks their owners, and claims what it is
 * granted. A node that has its share asks for nothing (design §6).
 */
import type { Background } from '../background.ts'
import { expectAnswer, type Peers } from '../coordinator/peers.ts'
import type { Clock, Log, Timers } from '../ports.ts'
import { type PlanMember, planSteals, type Steal } from '../ring/planner.ts'
import type { Topology } from '../topology.ts'

const CALL_TIMEOUT_MS = 5000
/** While ranges are on their way, owners are asked this often. */
const POLL_MS = 200
/** A range whose owner would not give it is left alone for this long, and twice as long each time, until the ring has changed. */
const REFUSED_MS = 5000
const REFUSED_MOST_MS = 5 * 60_000
/** Once nothing of what leavers have has moved for so long, one more is taken than is due; for twice as long, two more; and so on. */
const STUCK_MS = 15_000

export interface ThiefParts {
  clock: Clock
  timers: Timers
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  /** Members that count for the shares: those that leave with a capacity of 0, without those that have left. */
  shareholders: () => PlanMember[]
  /** Ranges that make far more work than most: taken only where there is nothing else to take. */
  hotRanges: () => ReadonlySet<number>
}

export class Thief {
  readonly #parts: ThiefParts
  readonly #wanted = new Map<number, string>()
  readonly #refused = new Map<number, { untilMs: number; forMs: number }>()
  #version = -1
  readonly #settleMs: number
  #asked = new Set<string>()
  #running = false
  #known = ''
  #knownSinceMs = 0
  /** What leavers own, since when, and how many more than due are taken of it. */
  #left = { ranges: 0, sinceMs: 0, slack: 0 }

  /** `settleMs`: how long the members must have been the same before shares are worked out. */
  constructor(parts: ThiefParts, init: { settleMs: number }) {
    this.#parts = parts
    this.#settleMs = init.settleMs
  }

  /** Ranges asked for and not granted yet. */
  get pending(): number {
    return this.#wanted.size
  }

  /** Which range to take first, if one is due: for one that this node has given that owner. */
  prefer({ range, from }: Steal): void {
    this.#wanted.set(range, from)
  }

  tick(): void {
    if (this.#running || !this.#parts.topology.complete || this.#parts.background.signal.aborted) return
    if (this.#settled()) this.#plan()
    if (this.#wanted.size === 0 && this.#asked.size === 0) return
    this.#running = true
    this.#parts.background.run('asking for ranges', this.#ask())
  }

  /**
   * Several nodes that start at once hear of one another within a few rounds; planning before that would move ranges
   * that have to move again.
   */
  #settled(): boolean {
    const nowMs = this.#parts.clock.monotonicMs()
    const members = this.#parts
      .shareholders()
      .map(({ peerId, capacity }) => `${peerId} ${capacity}`)
      .sort()
      .join()
    if (members !== this.#known) {
      this.#known = members
      this.#knownSinceMs = nowMs
    }
    return nowMs - this.#knownSinceMs >= this.#settleMs
  }

  /** Keeps to what it asked for while that makes sense, so that owners do not copy for nothing. */
  #plan(): void {
    const { topology, peers, clock, shareholders, hotRanges } = this.#parts
    const nowMs = clock.monotonicMs()
    if (topology.version !== this.#version) {
      for (const refusal of this.#refused.values()) {
        refusal.forMs = 0
        refusal.untilMs = Math.min(refusal.untilMs, nowMs + REFUSED_MS)
      }
    }
    this.#version = topology.version
    const owners = Array.from({ length: topology.params.q }, (_, range) => topology.claim(range)?.owner)
    const canGive = (peerId: string) => peers.isReachable(peerId)
    const mayTake = (range: number) => (this.#refused.get(range)?.untilMs ?? 0) <= nowMs
    // Most plans end before the ring is looked at.
    let hot: ReadonlySet<number> | undefined
    const isHot = (range: number) => (hot ??= hotRanges()).has(range)
    const members = shareholders()
    const slack = this.#slack(owners, members)
    const steals = planSteals(owners, members, peers.self, topology.params.n, { canGive, mayTake, isHot, slack })
    for (const [range, owner] of this.#wanted) {
      if (owners[range] !== owner || !peers.isReachable(owner)) this.#wanted.delete(range)
    }
    for (const range of [...this.#wanted.keys()].slice(steals.length)) this.#wanted.delete(range)
    for (const { range, from } of steals) {
      if (this.#wanted.size >= steals.length) break
      this.#wanted.set(range, from)
    }
  }

  /**
   * Where zones forbid those that are due to take what a leaver has, nothing of it moves any more: others take it then,
   * and even out later.
   */
  #slack(owners: readonly (string | undefined)[], members: readonly PlanMember[]): number {
    const leavers = new Set(members.filter(({ capacity }) => capacity === 0).map(({ peerId }) => peerId))
    const left = leavers.size === 0 ? 0 : owners.filter(owner => owner !== undefined && leavers.has(owner)).length
    const nowMs = this.#parts.clock.monotonicMs()
    if (left === 0) this.#left = { ranges: 0, sinceMs: nowMs, slack: 0 }
    if (left !== this.#left.ranges) this.#left = { ...this.#left, ranges: left, sinceMs: nowMs }
    const stuck = (nowMs - this.#left.sinceMs) / STUCK_MS
    // Kept until the leavers have nothing left: what was in the way of one range is in the way of the next.
    if (left > 0 && stuck >= 1) this.#left.slack = Math.max(this.#left.slack, 1 + Math.floor(Math.log2(stuck)))
    return this.#left.slack
  }

  async #ask(): Promise<void> {
    const { timers } = this.#parts
    try {
      const byOwner = new Map<string, number[]>([...this.#asked].map(owner => [owner, []]))
      for (const [range, owner] of this.#wanted) byOwner.set(owner, [...(byOwner.get(owner) ?? []), range])
      this.#asked = new Set([...byOwner].filter(([, ranges]) => ranges.length > 0).map(([owner]) => owner))
      await Promise.all([...byOwner].map(([owner, ranges]) => this.#askOwner(owner, ranges)))
    } finally {
      this.#running = false
      if (this.#wanted.size > 0) timers.after(POLL_MS, () => this.tick())
    }
  }

  async #askOwner(owner: string, ranges: number[]): Promise<void> {
    const { peers, topology, clock, log } = this.#parts
    try {
      const answer = expectAnswer(
        await peers.call(owner, { type: 'ask', ranges }, { timeoutMs: CALL_TIMEOUT_MS }),
        'asked'
      )
      const taken = await topology.apply(answer.granted)
      for (const { range } of answer.granted) {
        this.#wanted.delete(range)
        this.#refused.delete(range)
      }
      for (const range of answer.refused) {
        this.#wanted.delete(range)
        const forMs = Math.min(REFUSED_MOST_MS, 2 * (this.#refused.get(range)?.forMs ?? 0) || REFUSED_MS)
        this.#refused.set(range, { untilMs: clock.monotonicMs() + forMs, forMs })
      }
      if (taken.length > 0) log.info('took ranges over', { ranges: taken.length, from: owner })
    } catch (error) {
      log.debug('an owner did not answer', { owner, error: String(error) })
    }
  }
}
