/** Arbitrary rings, and the plain, slow reading of design §6 that the fast walk is held against. */
import fc from 'fast-check'

export interface Ring {
  owners: (string | undefined)[]
  n: number
  zones: Record<string, string>
}

export const zoneOf = (ring: Ring) => (peer: string) => ring.zones[peer] ?? ''

const PEERS = Array.from({ length: 9 }, (_, index) => `p${index}`)

/** Q of 8 to 32, up to nine peers in up to four zones, N up to 5; now and then ranges without an owner. */
export const ringArb: fc.Arbitrary<Ring> = fc
  .tuple(fc.constantFrom(8, 16, 32), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 5 }), fc.boolean())
  .chain(([q, peers, n, holes]) => {
    const ownerArb: fc.Arbitrary<string | undefined> = fc.constantFrom(...PEERS.slice(0, peers))
    const rangeArb = holes ? fc.oneof({ weight: 5, arbitrary: ownerArb }, fc.constant(undefined)) : ownerArb
    return fc
      .tuple(fc.array(rangeArb, { minLength: q, maxLength: q }), fc.array(fc.nat(3), { minLength: 9, maxLength: 9 }))
      .map(([owners, zones]) => ({
        owners,
        n,
        zones: Object.fromEntries(PEERS.map((peer, index) => [peer, zones[index] === 0 ? '' : `z${zones[index]}`]))
      }))
  })

/** The preference list, read off the whole ring. */
export function plainList(ring: Ring, range: number): string[] {
  const turned = [...ring.owners.slice(range), ...ring.owners.slice(0, range)]
  const inOrder = [...new Set(turned.filter(owner => owner !== undefined))]
  const zone = zoneOf(ring)
  const firstOfZone = inOrder.filter(peer => inOrder.find(other => zone(other) === zone(peer)) === peer)
  const picked = firstOfZone.slice(0, ring.n)
  // The fill is a prefix of the walk: with all zones met, those nearest in ring order come next.
  const rest = inOrder.filter(peer => !picked.includes(peer))
  return [...picked, ...rest].slice(0, ring.n)
}
