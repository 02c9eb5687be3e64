/** The JSON documents behind `members`, `ring`, `where`, `stats` and `transfers` (docs: the command's `--json` shapes). */
import type { Background } from './background.ts'
import { clusterStatus, Placement } from './cluster-status.ts'
import type { Coordinator } from './coordinator/coordinator.ts'
import { expectAnswer, type Peers } from './coordinator/peers.ts'
import { CoterieError } from './errors.ts'
import type { Membership } from './membership/membership.ts'
import type { CopyStatus, Request } from './messages.ts'
import type { Reconciler } from './reconciler.ts'
import type { Transfers } from './repair/transfers.ts'
import type { CopyTable } from './replica/copy-table.ts'
import type { RangeLoads } from './replica/range-loads.ts'
import type { Replicas } from './replica/replicas.ts'
import type { StandIns } from './replica/stand-ins.ts'
import { formatPosition, positionOf, rangeOf } from './ring/position.ts'
import type { RangeStore } from './storage/range-store.ts'
import type { Topology } from './topology.ts'
import type { Zones } from './zones.ts'

export interface InfoParts {
  background: Background
  peers: Peers
  topology: Topology
  zones: Zones
  membership: Membership
  store: RangeStore
  copies: CopyTable
  replicas: Replicas
  rangeLoads: RangeLoads
  coordinator: Coordinator
  transfers: Transfers
  standIns: StandIns
  reconciler: Reconciler
  inFlight: () => number
}

type What = Extract<Request, { type: 'info' }>['what']
const COPIES_TIMEOUT_MS = 1000

export class Info {
  readonly #parts: InfoParts
  readonly #placement: Placement

  constructor(parts: InfoParts) {
    this.#parts = parts
    this.#placement = new Placement(parts)
  }

  async about(what: What, key?: Uint8Array): Promise<unknown> {
    switch (what) {
      case 'cluster':
        return this.#parts.topology.params
      case 'members':
        return this.#members()
      case 'ring':
        return this.#ring()
      case 'stats':
        return this.#stats()
      case 'transfers':
        return this.#parts.transfers.list()
      case 'copies':
        return this.#copies()
      case 'status':
        return clusterStatus(this.#parts, this.#placement)
      case 'where':
        if (key === undefined || key.length === 0) throw new CoterieError('bad-usage', 'where takes a key')
        return this.#where(key)
    }
  }

  #members(): unknown {
    const { membership, topology } = this.#parts
    const counts = new Map<string, number>()
    for (const { owner } of topology.claims()) counts.set(owner, (counts.get(owner) ?? 0) + 1)
    const heard = membership.members().map(({ peerId, record, verdict, self }) => ({
      peerId,
      status: record.status,
      alive: self || verdict === 'up',
      verdict,
      zone: record.zone,
      capacity: record.capacity,
      addresses: record.addresses,
      ranges: counts.get(peerId) ?? 0,
      ...record.load,
      incarnation: record.incarnation,
      self
    }))
    // Owners that nobody has told us about since our start: down all the while, and not to be overlooked.
    const silent = [...counts.keys()].filter(peerId => membership.member(peerId) === undefined)
    return [...heard, ...silent.map(peerId => this.#silentOwner(peerId, counts.get(peerId)!))]
  }

  #silentOwner(peerId: string, ranges: number): unknown {
    const { membership, zones } = this.#parts
    const addresses = membership.addressBook.addressesOf(peerId)
    const verdict = membership.isRemoved(peerId) ? 'removed' : 'down'
    const unknown = { capacity: 1, keys: 0, bytes: 0, opsPerSecond: 0, incarnation: 0 }
    const zone = zones.of(peerId)
    return { peerId, status: 'up', alive: false, verdict, zone, addresses, ranges, ...unknown, self: false }
  }

  #ring(): unknown {
    const { params } = this.#parts.topology
    const owners = this.#parts.topology.claims().map(({ range, owner, epoch }) => ({ range, owner, epoch }))
    return {
      clusterId: params.clusterId,
      name: params.name,
      q: params.q,
      n: params.n,
      r: params.r,
      w: params.w,
      owners,
      loads: this.#loads()
    }
  }

  /** Of the ranges that this node serves and that make any work, a second; the busiest first. */
  #loads(): { range: number; operations: number; bytes: number; work: number }[] {
    const { rangeLoads, topology, membership } = this.#parts
    rangeLoads.look()
    return topology.view
      .rangesHeldBy(membership.self)
      .filter(range => rangeLoads.work(range) >= 1)
      .map(range => ({
        range,
        operations: Math.round(rangeLoads.operations(range)),
        bytes: Math.round(rangeLoads.bytes(range)),
        work: Math.round(rangeLoads.work(range))
      }))
      .sort((a, b) => b.work - a.work || a.range - b.range)
  }

  async #where(key: Uint8Array): Promise<unknown> {
    const { topology } = this.#parts
    const position = positionOf(key)
    const range = rangeOf(position, topology.params.q)
    const preference = topology.view.preferenceList(range)
    const replicas = await Promise.all(preference.map(peerId => this.#replica(peerId, range)))
    const printable = Buffer.from(key).toString()
    const isText = Buffer.from(printable).equals(key)
    return {
      key: isText ? printable : undefined,
      keyBase64: Buffer.from(key).toString('base64'),
      position: formatPosition(position),
      range,
      preference,
      replicas
    }
  }

  /** Of this node: equal copies have equal sums. */
  #copies(): unknown {
    const { copies, replicas } = this.#parts
    const readable = copies.ranges().filter(range => !replicas.isFenced(range))
    return readable
      .sort((a, b) => a - b)
      .map(range => {
        const sums = replicas.sums(range)
        return { range, status: copies.status(range), keys: sums.keys, sum: formatPosition(sums.total()) }
      })
  }

  async #replica(
    peerId: string,
    range: number
  ): Promise<{ peerId: string; zone: string; alive: boolean; synced: boolean; status: CopyStatus | 'unknown' }> {
    // What the list was worked out from: known of members that are down, too.
    const zone = this.#parts.zones.of(peerId)
    try {
      const answer = await this.#parts.peers.call(
        peerId,
        { type: 'copies', ranges: [range] },
        { timeoutMs: COPIES_TIMEOUT_MS }
      )
      const { status } = expectAnswer(answer, 'copies').copies[0]
      return { peerId, zone, alive: true, synced: status === 'synced', status }
    } catch {
      // Not answering is the finding, not a failure of this question.
      return { peerId, zone, alive: false, synced: false, status: 'unknown' }
    }
  }

  /**
   * Of the ranges that this node owns, not of all that it holds: so the figures of all nodes add up to the cluster's, each
   * range and key counted once.
   */
  #crowded(): { crowdedRanges: number; crowdedKeys: number } {
    const { topology, membership, store } = this.#parts
    const own = this.#placement.crowded().filter(range => topology.view.owner(range) === membership.self)
    return {
      crowdedRanges: own.length,
      crowdedKeys: own.reduce((sum, range) => sum + store.stats(range).keys, 0)
    }
  }

  #stats(): unknown {
    const { store, copies, replicas, coordinator, transfers, standIns, membership, inFlight } = this.#parts
    const { antiEntropy, mirrors, handover, keeper, thief, hotRanges, reclaimer, hints, reaper, leaver, majority } =
      this.#parts.reconciler
    const totals = store.totalStats()
    const kept = standIns.stats()
    return {
      keys: totals.keys,
      bytes: totals.liveBytes,
      fileBytes: totals.fileBytes,
      hints: kept.keys,
      hintBytes: kept.bytes,
      hintRanges: kept.ranges,
      hintsTaken: kept.held,
      hintsDeclined: kept.declined,
      hintDelivery: hints.stats(),
      reaping: reaper.stats(),
      hedges: coordinator.hedgeStats(),
      ...coordinator.stats(),
      inFlight: inFlight(),
      leaving: leaver.progress,
      copies: copies.ranges().length,
      copiesSyncing: copies.withStatus('syncing').length,
      copiesFrozen: copies.withStatus('frozen').length,
      copiesFenced: copies.ranges().filter(range => replicas.isFenced(range)).length,
      copiesDropped: keeper.dropped,
      rangesGranted: handover.granted,
      rangesAskedFor: thief.pending,
      rangesReclaimed: reclaimer.reclaimed,
      work: this.#loads().reduce((sum, { work }) => sum + work, 0),
      hotRanges: hotRanges.stats(),
      placement: this.#crowded(),
      hearsMajority: majority.isHeard,
      trustsItsRing: majority.isCurrent,
      mirrors: mirrors.size,
      transfers: transfers.list().length,
      keysReceived: transfers.keysReceived,
      bytesReceived: transfers.bytesReceived,
      antiEntropy: antiEntropy.stats(),
      gossip: membership.stats(),
      syncLagMs: store.syncLagMs(),
      rewritten: store.compactions,
      background: this.#parts.background.list()
    }
  }
}
