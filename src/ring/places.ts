/**
 * Work by place: a node is on a preference list through the first of its own ranges that the walk comes to. That range is its
 * place on the list, and whoever takes it over takes the work of all lists that it stands for.
 */
import { type Heat, LEAST_TOLD, MAX_TOLD, type RangeWork } from '../heat.ts'
import type { RingView } from './ring-view.ts'

/** A place that makes so many times what the middle one of the node's does is worth telling. */
const HOT_FACTOR = 2

/** The node's own ranges, each with the work of the lists that it is on through it. `workOf`: of the node, by range that it serves. */
export function placesOf(view: RingView, peer: string, workOf: (range: number) => number): RangeWork[] {
  const places = new Map<number, number>()
  for (let range = 0; range < view.q; range++) if (view.owner(range) === peer) places.set(range, 0)
  for (const range of view.rangesHeldBy(peer)) {
    let place = range
    while (view.owner(place) !== peer) place = (place + 1) % view.q
    places.set(place, places.get(place)! + workOf(range))
  }
  return [...places].map(([range, work]) => ({ range, work }))
}

/** Of all ranges that a node serves. */
export const workHeld = (view: RingView, peer: string, workOf: (range: number) => number): number =>
  view.rangesHeldBy(peer).reduce((sum, range) => sum + workOf(range), 0)

/** What a node tells of its work; undefined where there is next to none. */
export function heatOf(view: RingView, peer: string, workOf: (range: number) => number): Heat | undefined {
  const work = workHeld(view, peer, workOf)
  if (work < LEAST_TOLD) return undefined
  const rising = placesOf(view, peer, workOf).sort((a, b) => a.work - b.work || a.range - b.range)
  const middle = rising[rising.length >> 1]?.work ?? 0
  const hot = rising
    .filter(place => place.work > HOT_FACTOR * middle)
    .slice(-MAX_TOLD)
    .reverse()
  return { work, hot, cool: rising.filter(place => !hot.includes(place)).slice(0, MAX_TOLD) }
}
