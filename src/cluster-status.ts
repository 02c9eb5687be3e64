/**
 * Whether every range has its N synced copies, asked of all who should have them; and whether they are in as many zones as
 * they could be (the document of `coterie status`).
 */
import { CopyStatuses } from './coordinator/copy-statuses.ts'
import type { Peers } from './coordinator/peers.ts'
import type { Membership } from './membership/membership.ts'
import type { RingView } from './ring/ring-view.ts'
import { crowdedRanges } from './ring/zone-spread.ts'
import type { Topology } from './topology.ts'
import type { Zones } from './zones.ts'

const COPIES_TIMEOUT_MS = 2000

export interface ClusterStatus {
  ranges: number
  /** N: how many copies each range is to have. */
  copies: number
  /** Ranges with N synced copies. */
  whole: number
  /** The others, with how many they have. */
  short: { range: number; synced: number }[]
  /** Ranges whose lists span fewer zones than min(N, zones that there are). */
  crowded: number[]
  /** List members that did not answer. */
  silent: string[]
}

export interface PlacementParts {
  topology: Topology
  zones: Zones
  membership: Membership
}

export interface StatusParts extends PlacementParts {
  peers: Peers
}

/** Whether copies are in as many zones as they could be. */
export class Placement {
  readonly #parts: PlacementParts
  /** `stats` is polled, and most rings stay as they are: one look at all lists serves until the ring or its zones change. */
  #looked: { view: RingView; zones: number; crowded: readonly number[] } | undefined

  constructor(parts: PlacementParts) {
    this.#parts = parts
  }

  /** Ranges whose lists span fewer than min(N, zones that there are) zones, rising. */
  crowded(): readonly number[] {
    const { topology, zones } = this.#parts
    const { view } = topology
    const count = this.#zoneCount()
    if (this.#looked?.view !== view || this.#looked.zones !== count) {
      const crowded = count > 1 ? crowdedRanges(view, member => zones.of(member), count) : []
      this.#looked = { view, zones: count, crowded }
    }
    return this.#looked.crowded
  }

  /**
   * Zones of owners, and of all who may own ranges and are not down: a list spans all zones of owners by the way it is made, and
   * it is the zone whose nodes own nothing (yet) that it could span, and does not.
   */
  #zoneCount(): number {
    const { topology, zones, membership } = this.#parts
    const names = new Set(topology.view.owners().map(owner => zones.of(owner)))
    for (const { record, verdict, self } of membership.members()) {
      const mayOwn = record.status === 'up' || record.status === 'joining'
      if (mayOwn && (self || verdict !== 'down')) names.add(record.zone)
    }
    return names.size
  }
}

export async function clusterStatus({ peers, topology }: StatusParts, placement: Placement): Promise<ClusterStatus> {
  const { view, params } = topology
  const silent: string[] = []
  const statuses = new CopyStatuses()
  await statuses.ask(peers, new Map(view.owners().map(member => [member, view.rangesHeldBy(member)])), {
    timeoutMs: COPIES_TIMEOUT_MS,
    // Not answering is the finding, not a failure of this question.
    onSilent: member => silent.push(member)
  })
  const status: ClusterStatus = {
    ranges: params.q,
    copies: params.n,
    whole: 0,
    short: [],
    crowded: [...placement.crowded()],
    silent: silent.sort()
  }
  for (let range = 0; range < params.q; range++) {
    const list = view.preferenceList(range)
    const synced = list.filter(member => statuses.of(member, range) === 'synced').length
    if (synced >= params.n) status.whole++
    else status.short.push({ range, synced })
  }
  return status
}
