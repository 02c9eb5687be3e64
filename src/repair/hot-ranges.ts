/**
 * A node that has too much work swaps a hot range for a cool one (design §6): gives the hot one to a node that has little, as an owner
 * gives any range, and lets its own thief take a cool one back from there, so that counts stay even.
 *
 * So that nothing goes back and forth: it must have had well more than its share since the ring last changed, for long enough that what
 * others tell of themselves is true again; the one with most goes first, the others wait longer; and a range that has moved
 * stays for a long time. So there are about as many swaps a minute in the whole cluster as one node may make.
 */
import type { Peers } from '../coordinator/peers.ts'
import type { RangeWork } from '../heat.ts'
import type { Clock, Log } from '../ports.ts'
import type { RangeLoads } from '../replica/range-loads.ts'
import { COOL_BELOW, HOT_ABOVE, LEAST_WORK, planSwap, type Swap, standingOf } from '../ring/hot-planner.ts'
import { workHeld } from '../ring/places.ts'
import type { PlanMember } from '../ring/planner.ts'
import type { Topology } from '../topology.ts'
import type { Handover } from './handover.ts'
import type { Thief } from './thief.ts'

/** Times the time that a node must have been hot: how long a range stays that has moved. */
const REST = 10

export interface HotRangesParts {
  clock: Clock
  log: Log
  peers: Peers
  topology: Topology
  handover: Pick<Handover, 'offer'>
  thief: Pick<Thief, 'prefer'>
  rangeLoads: Pick<RangeLoads, 'work' | 'total'>
  shareholders: {
    plan(): PlanMember[]
    /** Work a second, of those of whom it is known. */
    loads(): Map<string, number>
    coolOf(peerId: string): readonly RangeWork[] | undefined
    /** True while everybody who owns ranges is there, and nobody comes or goes. */
    areSettled(owners: readonly string[]): boolean
  }
}

export class HotRanges {
  readonly #parts: HotRangesParts
  readonly #afterMs: number
  readonly #giveUpMs: number
  /** When each range moved last, of those that have since this node started. */
  readonly #movedMs = new Map<number, number>()
  #ringMs: number
  #hotSinceMs: number | undefined
  #swap: (Swap & { untilMs: number }) | undefined
  readonly #counts = { given: 0, givenUp: 0, nothingToGain: 0 }

  /** `afterMs`: how long a node must have had too much work; 0: nothing is ever swapped. `giveUpMs`: how long a range may take to move. */
  constructor(parts: HotRangesParts, init: { afterMs: number; giveUpMs: number }) {
    this.#parts = parts
    this.#afterMs = init.afterMs
    this.#giveUpMs = init.giveUpMs
    this.#ringMs = parts.clock.monotonicMs()
    parts.topology.onChange(changed => {
      this.#ringMs = parts.clock.monotonicMs()
      for (const { range } of changed) this.#movedMs.set(range, this.#ringMs)
    })
  }

  /** Hot ranges given away so far; moves that did not come about; times that no swap was worth it. */
  stats(): Readonly<{ given: number; givenUp: number; nothingToGain: number }> {
    return this.#counts
  }

  tick(): void {
    if (this.#afterMs === 0 || !this.#parts.topology.complete) return
    if (this.#swap !== undefined) this.#follow(this.#swap)
    else if (this.#parts.rangeLoads.total < LEAST_WORK) this.#hotSinceMs = undefined
    else this.#judge()
  }

  #judge(): void {
    const { clock, peers, topology, shareholders, rangeLoads, log } = this.#parts
    const nowMs = clock.monotonicMs()
    const { self } = peers
    const { view } = topology
    const workOf = (range: number) => rangeLoads.work(range)
    const members = shareholders.plan()
    const loads = shareholders.loads().set(self, workHeld(view, self, workOf))
    const standing = standingOf(members, loads, self)
    const enough = this.#hotSinceMs === undefined ? HOT_ABOVE : COOL_BELOW
    if (standing === undefined || standing.share <= enough || !shareholders.areSettled(view.owners())) {
      this.#hotSinceMs = undefined
      return
    }
    this.#hotSinceMs ??= nowMs
    const waitedMs = nowMs - Math.max(this.#hotSinceMs, this.#ringMs)
    if (waitedMs < this.#afterMs * (1 + standing.rank + turnOf(self, members))) return
    const swap = planSwap({
      view,
      members,
      self,
      loads,
      workOf,
      coolOf: peerId => shareholders.coolOf(peerId),
      mayMove: range => nowMs - (this.#movedMs.get(range) ?? Number.NEGATIVE_INFINITY) >= REST * this.#afterMs,
      mayReceive: peerId => peers.isReachable(peerId)
    })
    // Either way it is for some time until the next one.
    this.#hotSinceMs = nowMs
    if (swap === undefined) {
      this.#counts.nothingToGain++
      return
    }
    log.info('gives a hot range away', {
      range: swap.give.range,
      to: swap.give.to,
      ...(swap.take && { takes: swap.take.range }),
      load: swap.before.toFixed(2),
      expected: swap.after.toFixed(2)
    })
    this.#swap = { ...swap, untilMs: nowMs + this.#giveUpMs }
    this.#follow(this.#swap)
  }

  /** Offers the range again and again: what the owner was asked meanwhile may have pushed it aside. */
  #follow({ give, take, untilMs }: Swap & { untilMs: number }): void {
    const { clock, topology, peers, handover, thief, log } = this.#parts
    const owner = topology.claim(give.range)?.owner
    if (owner === give.to) {
      this.#counts.given++
      if (take !== undefined) thief.prefer(take)
    } else if (owner === peers.self && clock.monotonicMs() < untilMs && handover.offer(give)) return
    else {
      this.#counts.givenUp++
      this.#movedMs.set(give.range, clock.monotonicMs())
      log.info('a hot range could not be given away', { range: give.range, to: give.to })
    }
    this.#swap = undefined
  }
}

/**
 * From 0 to 1: what is told of loads is a quarter off, so several may take themselves for the hottest. Who acts first changes
 * the ring, and the others wait anew: two at once would give to the same node, which others would then take from at once.
 */
function turnOf(self: string, members: readonly PlanMember[]): number {
  return members.filter(({ peerId }) => peerId < self).length / members.length
}
