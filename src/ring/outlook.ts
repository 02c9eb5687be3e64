/**
 * What a change of members comes to: the ranges and copies that move against the least that would have to, what each node
 * owns before and after, and what is wrong with where copies will be. Pure; the document of `coterie plan`.
 */
import { ADVISED_RANGES } from '../config.ts'
import { type FutureMember, planAhead } from './plan-ahead.ts'
import type { RingView } from './ring-view.ts'
import { crowdedRanges } from './zone-spread.ts'

const EPSILON = 1e-9

export interface PresentMember extends FutureMember {
  /** Of all the copies that it holds, as it last said. */
  bytes: number
}

export interface Change {
  /** Nodes to come, with ids that nobody has. */
  joins: readonly FutureMember[]
  /** Peer ids of those that give everything away and stop. */
  leaves: readonly string[]
  /** Peer ids of those that are barred: the others take over what they own. */
  removals: readonly string[]
  /** By peer id. */
  capacities: ReadonlyMap<string, number>
}

export interface PlannedNode {
  peerId: string
  fate: 'stays' | 'joins' | 'leaves' | 'removed'
  up: boolean
  zone: string
  /** The new one. */
  capacity: number
  before: number
  after: number
  /** Its fair share afterwards: ranges by capacity, among those that stay. */
  share: number
}

/** Numbers of one plan. `moved`: ranges that change owner; `copied`: copies that are made on the way. */
export interface Cost {
  moved: number
  copied: number
  /** About: of copies of mean size. */
  bytes: number
}

export type Warning =
  /** Nodes that are up and stay are fewer than the copies of each range. */
  | { what: 'few-nodes'; nodes: number }
  /** There will be zones for fewer of the copies than before. */
  | { what: 'fewer-zones'; before: number; after: number }
  /** Lists that span fewer zones than they could. */
  | { what: 'crowded'; ranges: number[] }
  /** More nodes than ranges for 8 each. */
  | { what: 'thin'; nodes: number }
  /** Nodes that end a range or more from their share. */
  | { what: 'off-share'; peerIds: string[] }
  /** Ranges that nobody can take from those that go. */
  | { what: 'stuck'; ranges: number[] }
  /** Nodes that are down keep what they have, and get nothing. */
  | { what: 'down'; peerIds: string[] }
  /** Nodes that are to be removed though they could leave. */
  | { what: 'alive'; peerIds: string[] }

export interface Outlook extends Cost {
  ranges: number
  copies: number
  /**
   * The least that leaves every node with as many ranges and copies as this plan does, and every range with all its copies.
   */
  least: Cost
  moves: { from: string; to: string; ranges: number }[]
  nodes: PlannedNode[]
  warnings: Warning[]
}

/** `present`: all members that have not left, those that leave with a capacity of 0. Owners that are none are dead. */
export function outlook(view: RingView, present: readonly PresentMember[], change: Change): Outlook {
  const members = membersAfter(present, change)
  const future = planAhead(view, members)
  const moves = movesBetween(view, future.view)
  const moved = moves.reduce((sum, { ranges }) => sum + ranges, 0)
  const bytesPerCopy = meanCopy(view, present)
  const cost = (ranges: number, copies: number): Cost => ({
    moved: ranges,
    copied: copies,
    bytes: Math.round(copies * bytesPerCopy)
  })
  const nodes = nodesOf(view, future.view, { present, members, change })
  return {
    ranges: view.q,
    copies: view.n,
    ...cost(moved, future.copies),
    least: cost(leastMoved(nodes), leastCopied(view, future.view)),
    moves,
    nodes,
    warnings: warningsOf(future.view, nodes, { present, change, stuck: future.stuck })
  }
}

function membersAfter(present: readonly PresentMember[], { joins, leaves, removals, capacities }: Change) {
  const stayed = present
    .filter(({ peerId }) => !removals.includes(peerId))
    .map(({ peerId, zone, capacity, isUp }): FutureMember => {
      const goes = capacity === 0 || leaves.includes(peerId)
      return { peerId, zone, isUp, capacity: goes ? 0 : (capacities.get(peerId) ?? capacity) }
    })
  return [...stayed, ...joins]
}

/** From whom to whom, most ranges first. Neither view has ranges that only the other has owners of. */
function movesBetween(before: RingView, after: RingView): Outlook['moves'] {
  const moves = new Map<string, Outlook['moves'][number]>()
  for (let range = 0; range < before.q; range++) {
    const [from, to] = [before.owner(range), after.owner(range)]
    if (from === undefined || to === undefined || from === to) continue
    const move = moves.get(`${from} ${to}`) ?? { from, to, ranges: 0 }
    move.ranges++
    moves.set(`${from} ${to}`, move)
  }
  const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return [...moves.values()].sort((a, b) => b.ranges - a.ranges || byName(a.from, b.from) || byName(a.to, b.to))
}

/** Bytes of a copy, of those that are up: what the others said last may be old. 0 where nobody holds any. */
function meanCopy(view: RingView, present: readonly PresentMember[]): number {
  const up = present.filter(({ isUp }) => isUp)
  const copies = up.reduce((sum, { peerId }) => sum + view.rangesHeldBy(peerId).length, 0)
  return copies === 0 ? 0 : up.reduce((sum, { bytes }) => sum + bytes, 0) / copies
}

function nodesOf(
  before: RingView,
  after: RingView,
  { present, members, change }: { present: readonly PresentMember[]; members: FutureMember[]; change: Change }
): PlannedNode[] {
  const owned = countOwned(before)
  const future = countOwned(after)
  const total = members.reduce((sum, { capacity }) => sum + capacity, 0)
  const node = (peerId: string, fate: PlannedNode['fate'], member?: FutureMember): PlannedNode => ({
    peerId,
    fate,
    up: member?.isUp ?? false,
    zone: member?.zone ?? '',
    capacity: fate === 'removed' ? 0 : (member?.capacity ?? 0),
    before: owned.get(peerId) ?? 0,
    after: future.get(peerId) ?? 0,
    share: fate === 'removed' ? 0 : (before.q * (member?.capacity ?? 0)) / total
  })
  const joins = new Set(change.joins.map(({ peerId }) => peerId))
  const fateOf = ({ peerId, capacity }: FutureMember) =>
    joins.has(peerId) ? 'joins' : capacity === 0 ? 'leaves' : 'stays'
  const known = new Set(members.map(({ peerId }) => peerId))
  const removed = [...new Set([...change.removals, ...before.owners()])].filter(peerId => !known.has(peerId))
  return [
    ...members.map(member => node(member.peerId, fateOf(member), member)),
    ...removed.map(peerId =>
      node(
        peerId,
        'removed',
        present.find(member => member.peerId === peerId)
      )
    )
  ]
}

function countOwned(view: RingView): Map<string, number> {
  const counts = new Map<string, number>()
  for (let range = 0; range < view.q; range++) {
    const owner = view.owner(range)
    if (owner !== undefined) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  }
  return counts
}

const leastMoved = (nodes: readonly PlannedNode[]): number =>
  nodes.reduce((sum, { before, after }) => sum + Math.max(0, after - before), 0)

/** Every node has to gain as many copies as it ends with more; every list to fill the places of those that hold nothing afterwards. */
function leastCopied(before: RingView, after: RingView): number {
  const gained = after.owners().reduce((sum, peerId) => {
    return sum + Math.max(0, after.rangesHeldBy(peerId).length - before.rangesHeldBy(peerId).length)
  }, 0)
  const holders = new Set(after.owners())
  let missing = 0
  for (let range = 0; range < before.q; range++) {
    const kept = before.preferenceList(range).filter(member => holders.has(member)).length
    missing += Math.max(0, after.preferenceList(range).length - kept)
  }
  return Math.max(gained, missing)
}

function warningsOf(
  view: RingView,
  nodes: readonly PlannedNode[],
  { present, change, stuck }: { present: readonly PresentMember[]; change: Change; stuck: number[] }
): Warning[] {
  const remaining = nodes.filter(({ fate }) => fate === 'stays' || fate === 'joins')
  const up = remaining.filter(node => node.up)
  const zoneCount = (all: readonly { zone: string }[]) => new Set(all.map(({ zone }) => zone)).size
  const zones = { before: zoneCount(present.filter(({ capacity }) => capacity > 0)), after: zoneCount(remaining) }
  const zoneOf = new Map(remaining.map(({ peerId, zone }) => [peerId, zone]))
  // A zone all of whose nodes own nothing is on no list, though it is there.
  const crowded = crowdedRanges(view, peerId => zoneOf.get(peerId), zones.after)
  const ids = (some: readonly { peerId: string }[]) => some.map(({ peerId }) => peerId)
  const off = remaining.filter(({ after, share }) => Math.abs(after - share) >= 1 - EPSILON)
  const down = remaining.filter(node => !node.up)
  const alive = present.filter(({ peerId, isUp }) => isUp && change.removals.includes(peerId))
  const warnings: Warning[] = []
  if (up.length < view.n) warnings.push({ what: 'few-nodes', nodes: up.length })
  if (zones.after < Math.min(view.n, zones.before))
    warnings.push({ what: 'fewer-zones', before: zones.before, after: zones.after })
  if (crowded.length > 0) warnings.push({ what: 'crowded', ranges: crowded })
  if (remaining.length * ADVISED_RANGES > view.q) warnings.push({ what: 'thin', nodes: remaining.length })
  if (off.length > 0) warnings.push({ what: 'off-share', peerIds: ids(off) })
  if (stuck.length > 0) warnings.push({ what: 'stuck', ranges: stuck })
  if (down.length > 0) warnings.push({ what: 'down', peerIds: ids(down) })
  if (alive.length > 0) warnings.push({ what: 'alive', peerIds: ids(alive) })
  return warnings
}
