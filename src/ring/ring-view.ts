/**
 * One state of the ring, frozen: who owns what, who holds what, who stands in. Built anew when the owner map or a zone
 * changes; everything else is worked out on first use and kept.
 *
 * @example
 *   const view = new RingView(map.ownerList(), peer => zones.get(peer) ?? '', 3)
 *   view.preferenceList(rangeOf(positionOf(key), view.q))   // ['12D3…A', '12D3…B', '12D3…C']
 */
import { Layout } from './preference.ts'

/** A change of owner. */
export interface Flip {
  range: number
  /** The new owner. */
  to: string
}

export class RingView {
  readonly q: number
  readonly n: number
  readonly #layout: Layout
  readonly #lists: (readonly string[])[]
  #held: Map<string, number[]> | undefined
  #owners: readonly string[] | undefined

  /** `owners[range]`, undefined where unknown. `zoneOf` is asked once for every owner; '' is the one unnamed zone. */
  constructor(owners: readonly (string | undefined)[], zoneOf: (peerId: string) => string, n: number) {
    this.#layout = new Layout(owners, zoneOf, n)
    this.q = owners.length
    this.n = n
    this.#lists = new Array(owners.length)
  }

  owner(range: number): string | undefined {
    return this.#layout.owner(range)
  }

  /** Distinct owners, sorted. */
  owners(): readonly string[] {
    this.#owners ??= this.#layout.ownersFrom(0).sort()
    return this.#owners
  }

  /**
   * Who holds the range: its owner, then the next owners of other zones around the ring, then the next whatever their
   * zone: N distinct peers, or all owners where there are fewer. Do not change the array.
   */
  preferenceList(range: number): readonly string[] {
    return (this.#lists[range] ??= this.#layout.walk(range).members)
  }

  isMember(range: number, peer: string): boolean {
    return this.preferenceList(range).includes(peer)
  }

  /** The ranges on whose preference lists the peer is, rising. Do not change the array. */
  rangesHeldBy(peer: string): readonly number[] {
    this.#held ??= this.#invert()
    return this.#held.get(peer) ?? []
  }

  /** Who stands in for a list member that does not answer: the other owners, in ring order from the range on. */
  fallbacks(range: number): string[] {
    const members = this.preferenceList(range)
    return this.#layout.ownersFrom(range).filter(owner => !members.includes(owner))
  }

  /** A copy to try changes out on. */
  toLayout(): Layout {
    return new Layout(this.#layout.toOwners(), this.#layout.zoneOf, this.n)
  }

  #invert(): Map<string, number[]> {
    const held = new Map<string, number[]>()
    for (let range = 0; range < this.q; range++) {
      for (const member of this.preferenceList(range)) {
        const ranges = held.get(member)
        if (ranges) ranges.push(range)
        else held.set(member, [range])
      }
    }
    return held
  }
}
