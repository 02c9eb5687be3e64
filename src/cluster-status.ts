/**
 * Whether every range has its N synced copies, asked of all who should have them; and whether they are in as many zones as
 * they could be (the document of `coterie status`).
 */
import { CopyStatuses } from './coordinator/copy-statuses.ts'
import type { Peers } from './coordinator/peers.ts'
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
  /** Ranges whose lists span fewer zones than min(N, zones of owners). */
  crowded: number[]
  /** List members that did not answer. */
  silent: string[]
}

export interface StatusParts {
  peers: Peers
  topology: Topology
  zones: Zones
}

export async function clusterStatus({ peers, topology, zones }: StatusParts): Promise<ClusterStatus> {
  const { view, params } = topology
  const silent: string[] = []
  const statuses = new CopyStatuses()
  await statuses.ask(peers, new Map(view.owners().map(member => [member, view.rangesHeldBy(member)])), {
    timeoutMs: COPIES_TIMEOUT_MS,
    // Not answering is the finding, not a failure of this question.
    onSilent: member => silent.push(member)
  })
  const zoneCount = new Set(view.owners().map(owner => zones.of(owner))).size
  const status: ClusterStatus = {
    ranges: params.q,
    copies: params.n,
    whole: 0,
    short: [],
    crowded: crowdedRanges(view, member => zones.of(member), zoneCount),
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
