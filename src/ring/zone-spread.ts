/** Over how many zones the copies of ranges are spread. */
import type { RingView } from './ring-view.ts'

/** Ranges whose lists span fewer than min(N, `zones`) zones. A member of unknown zone adds none. */
export function crowdedRanges(view: RingView, zoneOf: (peerId: string) => string | undefined, zones: number): number[] {
  const most = Math.min(view.n, zones)
  const crowded: number[] = []
  for (let range = 0; range < view.q; range++) {
    const spanned = new Set(view.preferenceList(range).flatMap(member => zoneOf(member) ?? []))
    if (spanned.size < most) crowded.push(range)
  }
  return crowded
}
