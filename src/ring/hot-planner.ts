/**
 * Which hot range a node that has too much work gives for which cool one (design §6, hot ranges). A function of what is told in member
 * records and of the node's own averages. Every range is served by all members of its list, and a change of one owner changes
 * several lists: what becomes of the load of each node is read off the lists before and after.
 *
 * It stops well before loads are even: what a record says may be a quarter off (it is told anew only then), and what is gained by less
 * is not worth a movement. A range that is too hot for any node stays where it is: wherever it went, that node would have most.
 */
import type { RangeWork } from '../heat.ts'
import { chooseFlips, type FlipEffect, flipEffects } from './flips.ts'
import { placesOf } from './places.ts'
import { type PlanMember, planSteals, type Steal } from './planner.ts'
import { type Flip, RingView } from './ring-view.ts'

/** Too much is so many times what its share of the work is: outside of what records may be off. */
export const HOT_ABOVE = 1.25
/** A node that was above that has enough of it gone below this. */
export const COOL_BELOW = 1.15
/** Of a share of the work: what a swap must take off the most loaded of all whom it touches. */
const LEAST_GAIN = 0.05
/** A node with less work a second has nothing to complain of, however little the others have. */
export const LEAST_WORK = 200
/** How many are looked at: nodes to give to, ranges to give, pairs of the two, each with every range told of to take. */
const TARGETS = 4
const PLACES = 6
const PAIRS = 4

export interface Standing {
  /** Times its share of the work, by capacity. */
  share: number
  /** How many have more. */
  rank: number
}

export interface HotBoard {
  view: RingView
  /** All that own ranges or may. */
  members: readonly PlanMember[]
  self: string
  /** Work a second; those of whom it is not known are left out, and nothing is given to them. */
  loads: ReadonlyMap<string, number>
  /** Of this node, by range that it serves. */
  workOf: (range: number) => number
  /** Ranges of a member that make little work; undefined where it has too little to tell. */
  coolOf: (peerId: string) => readonly RangeWork[] | undefined
  mayMove: (range: number) => boolean
  mayReceive: (peerId: string) => boolean
}

export interface Swap {
  give: Flip
  /** Absent: the counts are even without. */
  take?: Steal
  /** Times a share of the work: the most that anybody of those that it touches has before, and after. */
  before: number
  after: number
}

/** How a node stands against the others; undefined where it has no work worth speaking of. */
export function standingOf(
  members: readonly PlanMember[],
  loads: ReadonlyMap<string, number>,
  self: string
): Standing | undefined {
  if ((loads.get(self) ?? 0) < LEAST_WORK) return undefined
  const shares = sharesOf(members, loads)
  const share = shares.get(self)
  if (share === undefined) return undefined
  return { share, rank: [...shares.values()].filter(other => other > share).length }
}

/** Of the members whose work is known, times what it would be if all had the same by capacity. */
function sharesOf(members: readonly PlanMember[], loads: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...factorsOf(members, loads)].map(([peerId, factor]) => [peerId, loads.get(peerId)! * factor]))
}

/** Of the same members: what makes work into times a share. */
function factorsOf(members: readonly PlanMember[], loads: ReadonlyMap<string, number>): Map<string, number> {
  const known = members.filter(({ peerId, capacity }) => capacity > 0 && loads.has(peerId))
  const work = known.reduce((sum, { peerId }) => sum + loads.get(peerId)!, 0)
  const capacity = known.reduce((sum, member) => sum + member.capacity, 0)
  return new Map(known.map(member => [member.peerId, capacity / (work * member.capacity)]))
}

/** The swap that leaves the most loaded of those that it touches with least; undefined where none is worth it. */
export function planSwap(board: HotBoard): Swap | undefined {
  const { view, members, self, loads, mayMove, mayReceive } = board
  const standing = standingOf(members, loads, self)
  if (standing === undefined || standing.share <= HOT_ABOVE) return undefined
  const shares = sharesOf(members, loads)
  const targets = members
    .filter(({ peerId }) => peerId !== self && (shares.get(peerId) ?? 1) < 1 && mayReceive(peerId))
    .sort((a, b) => shares.get(a.peerId)! - shares.get(b.peerId)! || (a.peerId < b.peerId ? -1 : 1))
    .slice(0, TARGETS)
  const places = placesOf(view, self, board.workOf)
    .filter(({ range, work }) => work > 0 && mayMove(range))
    .sort((a, b) => b.work - a.work || a.range - b.range)
    .slice(0, PLACES)
  const outcomes = new Outcomes(board, shares)
  const pairs = targets
    .flatMap(({ peerId }) => places.map(place => ({ give: { range: place.range, to: peerId } })))
    .flatMap(({ give }) => {
      const after = outcomes.after([give])
      return after === undefined ? [] : [{ give, after }]
    })
    .sort((a, b) => a.after - b.after)
    .slice(0, PAIRS)
  let best: Swap | undefined
  for (const pair of pairs) {
    for (const swap of completed(board, outcomes, pair)) {
      if (best === undefined || swap.after < best.after) best = { ...swap, before: standing.share }
    }
  }
  return best !== undefined && best.after <= standing.share - LEAST_GAIN ? best : undefined
}

/** The pair by itself where counts are even without a return, or the giver can take any; else with each range that it may take. */
function completed(
  { view, members, self, mayMove, mayReceive, coolOf }: HotBoard,
  outcomes: Outcomes,
  { give, after }: { give: Flip; after: number }
): Omit<Swap, 'before'>[] {
  const owners = view.toLayout().toOwners()
  owners[give.range] = give.to
  const isDue = planSteals(owners, members, self, view.n, { canGive: mayReceive }).length > 0
  const cool = coolOf(give.to)
  if (!isDue || cool === undefined) return [{ give, after }]
  const between = new RingView(owners, view.toLayout().zoneOf, view.n)
  return cool.flatMap(({ range, work }) => {
    const flip = { range, to: self }
    if (owners[range] !== give.to || range === give.range || !mayMove(range)) return []
    if (chooseFlips(between, [flip]).length === 0) return []
    const both = outcomes.after([give, flip], { from: give.to, work })
    return both === undefined ? [] : [{ give, take: { range, from: give.to }, after: both }]
  })
}

/** What loads would be, by the lists. */
class Outcomes {
  readonly #board: HotBoard
  readonly #shares: ReadonlyMap<string, number>
  readonly #zones: ReadonlyMap<string, string>
  /** Work to times a share, by member. */
  readonly #factors: ReadonlyMap<string, number>

  constructor(board: HotBoard, shares: ReadonlyMap<string, number>) {
    const { members, loads } = board
    this.#board = board
    this.#shares = shares
    this.#zones = new Map(members.map(({ peerId, zone }) => [peerId, zone]))
    this.#factors = factorsOf(members, loads)
  }

  /**
   * Times a share: the most that anybody has whose work changes, the giver included. Undefined where the flip is not safe, a list would
   * lose a zone or a member, or one comes onto it of whom too little is known. `taken`: what goes with the second flip; what of it is not
   * this node's own to know is shared out over the lists that it does not serve.
   */
  after(flips: readonly Flip[], taken?: { from: string; work: number }): number | undefined {
    const { view, self, workOf, mayReceive } = this.#board
    const effects = flipEffects(view, flips)
    const isKnown = ({ before }: FlipEffect) => before.includes(self)
    const known = effects.filter(effect => isKnown(effect) && taken && effect.leaving.includes(taken.from))
    const unknown = Math.max(
      0,
      known.reduce((rest, { range }) => rest - workOf(range), taken?.work ?? 0)
    )
    const lists = effects.length - effects.filter(isKnown).length
    const changes = new Map<string, number>([[self, 0]])
    const change = (peer: string, work: number) => void changes.set(peer, (changes.get(peer) ?? 0) + work)
    for (const effect of effects) {
      const { range, before, after, entering, leaving } = effect
      if (flips.length === 1 && (entering.length > 1 || leaving.length > 1)) return undefined
      if (after.length < before.length || this.#zonesOf(after) < this.#zonesOf(before)) return undefined
      if (entering.some(peer => !this.#factors.has(peer) || !(peer === self || mayReceive(peer)))) return undefined
      const work = isKnown(effect) ? workOf(range) : unknown / lists
      for (const peer of entering) change(peer, work)
      for (const peer of leaving) change(peer, -work)
    }
    const shares = [...changes].map(
      ([peer, work]) => (this.#shares.get(peer) ?? 0) + work * (this.#factors.get(peer) ?? 0)
    )
    return Math.max(...shares)
  }

  #zonesOf(list: readonly string[]): number {
    return new Set(list.map(peer => this.#zones.get(peer) ?? '')).size
  }
}
