/**
 * The walk that makes a preference list: from a range around the ring to the next N distinct owners, distinct zones
 * first (design §6, Dynamo §4.3 and §6.1). `RingView` caches what it finds; `flips.ts` tries changes out on a copy.
 *
 * Peers and zones are small integers in here, so that a ring of 4,096 ranges and 1,000 owners costs little.
 */

const NOBODY = -1

export interface Walk {
  /** The owner of the range (or the first after it) first, then one owner of every other zone, then others. */
  members: string[]
  /** Ranges walked, from the first on: an owner beyond them does not matter to this list. */
  span: number
}

export class Layout {
  readonly q: number
  readonly n: number
  readonly zoneOf: (peerId: string) => string
  readonly #owners: Int32Array
  /** By number: peer id, zone number, ranges owned. */
  readonly #peers: string[] = []
  readonly #zones: number[] = []
  readonly #counts: number[] = []
  readonly #numbers = new Map<string, number>()
  readonly #zoneNumbers = new Map<string, number>()
  /** Distinct owners per zone number. */
  readonly #zoneCounts: number[] = []
  #ownerCount = 0
  #zoneCount = 0

  /** `owners[range]`, undefined where nobody is known to own the range. */
  constructor(owners: readonly (string | undefined)[], zoneOf: (peerId: string) => string, n: number) {
    this.q = owners.length
    this.n = n
    this.zoneOf = zoneOf
    this.#owners = new Int32Array(owners.length).fill(NOBODY)
    owners.forEach((owner, range) => {
      this.set(range, owner)
    })
  }

  owner(range: number): string | undefined {
    return this.#peers[this.#owners[range]]
  }

  set(range: number, owner: string | undefined): void {
    const before = this.#owners[range]
    const after = owner === undefined ? NOBODY : this.#numberOf(owner)
    if (before === after) return
    this.#owners[range] = after
    if (before !== NOBODY) this.#count(before, -1)
    if (after !== NOBODY) this.#count(after, 1)
  }

  /** Members that every list has: N, or all owners where there are fewer. */
  get size(): number {
    return Math.min(this.n, this.#ownerCount)
  }

  /** Distinct zones that every list has. */
  get zones(): number {
    return Math.min(this.n, this.#zoneCount)
  }

  walk(range: number): Walk {
    const { q, size, zones } = this
    const near: number[] = []
    const picked: number[] = []
    const seen: number[] = []
    let span = 0
    for (; span < q && (near.length < size || picked.length < zones); span++) {
      const owner = this.#owners[(range + span) % q]
      if (owner === NOBODY) continue
      if (near.length < size && !near.includes(owner)) near.push(owner)
      const zone = this.#zones[owner]
      if (picked.length === zones || seen.includes(zone)) continue
      seen.push(zone)
      picked.push(owner)
    }
    for (const owner of near) {
      if (picked.length < size && !picked.includes(owner)) picked.push(owner)
    }
    return { members: picked.map(owner => this.#peers[owner]), span }
  }

  /**
   * The ranges whose walks pass over `range`: those just before it and itself. A walk that starts later never ends
   * earlier (what it passes is part of what the earlier one passes), so the first that falls short ends the search.
   */
  rangesReaching(range: number): number[] {
    const reaching: number[] = []
    for (let back = 0; back < this.q; back++) {
      const start = (range - back + this.q) % this.q
      if (this.walk(start).span <= back) break
      reaching.push(start)
    }
    return reaching
  }

  /** Distinct owners in the order of the ring from `range` on. */
  ownersFrom(range: number): string[] {
    const met = new Uint8Array(this.#peers.length)
    const found: string[] = []
    for (let step = 0; step < this.q && found.length < this.#ownerCount; step++) {
      const owner = this.#owners[(range + step) % this.q]
      if (owner === NOBODY || met[owner] === 1) continue
      met[owner] = 1
      found.push(this.#peers[owner])
    }
    return found
  }

  toOwners(): (string | undefined)[] {
    return Array.from(this.#owners, owner => this.#peers[owner])
  }

  #numberOf(peer: string): number {
    const known = this.#numbers.get(peer)
    if (known !== undefined) return known
    const number = this.#peers.push(peer) - 1
    const zone = this.zoneOf(peer)
    const zoneNumber = this.#zoneNumbers.get(zone) ?? this.#zoneCounts.push(0) - 1
    this.#zoneNumbers.set(zone, zoneNumber)
    this.#numbers.set(peer, number)
    this.#zones.push(zoneNumber)
    this.#counts.push(0)
    return number
  }

  #count(owner: number, change: 1 | -1): void {
    this.#counts[owner] += change
    const appeared = change === 1 && this.#counts[owner] === 1
    const vanished = change === -1 && this.#counts[owner] === 0
    if (!appeared && !vanished) return
    this.#ownerCount += change
    const zone = this.#zones[owner]
    this.#zoneCounts[zone] += change
    if (this.#zoneCounts[zone] === (appeared ? 1 : 0)) this.#zoneCount += change
  }
}
