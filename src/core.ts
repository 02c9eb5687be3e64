/**
 * A node without its network, disk and clock: what is built from what, and in which order it starts and stops. `node.ts`
 * gives it the real ports, the simulator fake ones; the code in between is the same.
 */
import { Background } from './background.ts'
import { ADVISED_RANGES, type ClusterParams, DEFAULT_SETTINGS, type NodeSettings } from './config.ts'
import { Coordinator } from './coordinator/coordinator.ts'
import { Peers } from './coordinator/peers.ts'
import { Dispatch } from './dispatch.ts'
import type { CoterieError } from './errors.ts'
import { type Heat, LEAST_TOLD, roundHeat } from './heat.ts'
import { Info } from './info.ts'
import { LoopLag } from './loop-lag.ts'
import { Manager } from './manager.ts'
import type { MemberRecord } from './membership/member-record.ts'
import { Membership } from './membership/membership.ts'
import type { Answer, Request } from './messages.ts'
import type { Caller, Ports, RequestOptions, Timer } from './ports.ts'
import { Reconciler } from './reconciler.ts'
import { Transfers } from './repair/transfers.ts'
import { CopyFiles } from './replica/copy-files.ts'
import { CopyTable } from './replica/copy-table.ts'
import { RangeClocks } from './replica/range-clocks.ts'
import { RangeLoads } from './replica/range-loads.ts'
import { Replicas } from './replica/replicas.ts'
import { StandIns } from './replica/stand-ins.ts'
import { heatOf } from './ring/places.ts'
import { RingFacts } from './ring-facts.ts'
import { Shareholders } from './shareholders.ts'
import { RangeStore } from './storage/range-store.ts'
import { StoreRequests } from './store-requests.ts'
import { Topology } from './topology.ts'
import { Zones } from './zones.ts'

/** How long work behind answers may hold up a stop. */
const STOP_MS = 3000

export interface CoreInit {
  /** The data directory; it exists. */
  dir: string
  params: ClusterParams
  settings: NodeSettings
  /** The node that `init` made: it owns every range from the first epoch on. */
  founder: boolean
  /** Multiaddrs that others reach this node by. */
  addresses: () => string[]
  /** Peer ids of seeds, as far as known. */
  seeds: () => string[]
  /** The node cannot go on (its identity runs twice, it was removed); it is to be stopped. */
  onFatal: (error: CoterieError) => void
  /** The node has left its cluster; it is to be stopped. */
  onLeft: () => void
}

export class Core {
  readonly #ports: Ports
  readonly #init: CoreInit
  readonly #background: Background
  readonly membership: Membership
  readonly topology: Topology
  readonly store: StoreRequests
  readonly #shareholders: Shareholders
  readonly #zones: Zones
  readonly #storage: RangeStore
  readonly #copies: CopyTable
  readonly #replicas: Replicas
  readonly #rangeLoads: RangeLoads
  readonly #standIns: StandIns
  readonly #reconciler: Reconciler
  readonly #dispatch: Dispatch
  readonly #lag: LoopLag
  readonly #facts: RingFacts
  readonly #unsubscribes: (() => void)[] = []
  #timer: Timer | undefined
  #tickSoon = false
  #crowded = false
  #stopped = false

  constructor(ports: Ports, init: CoreInit) {
    const { dir, params, settings } = init
    const balanceMs = settings.balanceAfterMs || DEFAULT_SETTINGS.balanceAfterMs
    this.#ports = ports
    this.#init = init
    this.#background = new Background(ports)
    this.membership = new Membership(ports, {
      dir,
      clusterId: params.clusterId,
      settings: { ...settings, loadIntervalMs: balanceMs / 2 },
      addresses: init.addresses,
      seeds: init.seeds,
      onConflict: init.onFatal,
      onOvertaken: remembered => this.#facts.overtaken(remembered.claims)
    })
    this.#shareholders = new Shareholders(this.membership)
    this.#zones = new Zones(ports, { dir })
    this.topology = new Topology(ports, {
      dir,
      params,
      zoneOf: peerId => this.#zones.of(peerId)
    })
    this.#storage = new RangeStore(ports, {
      dir: `${dir}/ranges`,
      q: params.q,
      durability: settings.durability,
      cacheBytes: settings.cacheBytes,
      compactBytes: settings.compactBytes,
      hintBytes: settings.hintBytes
    })
    this.#copies = new CopyTable(ports, { dir })
    const clocks = new RangeClocks(ports, { store: this.#storage }, { path: `${dir}/clocks.json` })
    this.#replicas = new Replicas(ports, { store: this.#storage, copies: this.#copies, clocks }, { q: params.q })
    this.#rangeLoads = new RangeLoads(ports.clock, { q: params.q, overMs: balanceMs / 2 })
    this.#standIns = new StandIns(ports, {
      dir: `${dir}/stand-ins`,
      q: params.q,
      durability: settings.durability,
      maxBytes: settings.standInBytes,
      compactBytes: settings.compactBytes,
      hintBytes: settings.hintBytes
    })
    const peers = new Peers(
      { network: ports.network, clock: ports.clock, health: this.membership },
      {
        local: (request, options) => this.#dispatch.step(request, this.#self, options),
        hedgeDelayMs: settings.hedgeDelayMs
      }
    )
    const transfers = new Transfers()
    const copyFiles = new CopyFiles(
      { store: this.#storage, replicas: this.#replicas },
      { leastBytes: settings.fileTransferBytes }
    )
    const parts = {
      ...ports,
      background: this.#background,
      peers,
      topology: this.topology,
      membership: this.membership,
      replicas: this.#replicas,
      store: this.#storage,
      copies: this.#copies,
      standIns: this.#standIns,
      transfers,
      copyFiles,
      rangeLoads: this.#rangeLoads
    }
    const reconciler = new Reconciler(
      { ...parts, shareholders: this.#shareholders },
      {
        settings,
        leaver: { dir, requests: () => this.#dispatch, publish: () => this.#publish(), onLeft: init.onLeft }
      }
    )
    this.#reconciler = reconciler
    const { prepared, leaver, losses, majority } = reconciler
    this.#facts = new RingFacts(
      { ...parts, prepared },
      { timeoutMs: settings.requestTimeoutMs, strangersAfterMs: settings.leaseMs }
    )
    const coordinator = new Coordinator(
      { ...parts, members: () => this.#shareholders.staying(), isCurrent: () => majority.isCurrent },
      { settings }
    )
    const info = new Info({
      ...parts,
      zones: this.#zones,
      reconciler,
      coordinator,
      inFlight: () => this.#dispatch.inFlight
    })
    const manager = new Manager({ ...parts, leaver, losses }, { onChange: () => this.#soon() })
    this.#lag = new LoopLag(ports)
    this.#dispatch = new Dispatch(
      { ...parts, reconciler, coordinator, info, manager, lag: this.#lag, self: ports.signer.peerId },
      settings
    )
    this.store = new StoreRequests({
      clock: ports.clock,
      timers: ports.timers,
      random: ports.random,
      q: () => params.q,
      timeoutMs: settings.requestTimeoutMs,
      send: (request, options) => this.#serveSelf(request, options)
    })
  }

  /** Opens what is on disk, then serves and gossips. Throws what the disk throws; `refused` for a removed node. */
  async start(): Promise<void> {
    const { network, log } = this.#ports
    const report = await this.#storage.open()
    log.info('opened the range files', {
      ranges: report.ranges.length,
      keys: report.keys,
      bytes: report.bytes,
      tornBytes: report.tornBytes,
      damages: report.damages.length
    })
    await this.#copies.open(report.ranges, this.#init.params.q)
    const kept = await this.#standIns.open()
    if (kept.keys > 0) log.info('keeps writes for other members', { ranges: kept.ranges.length, keys: kept.keys })
    const damaged = new Set(report.damages.map(({ range }) => range))
    const synced = this.#copies.withStatus('synced')
    const doubtful = await this.#replicas.clocks.open(synced.filter(range => !damaged.has(range)))
    await this.#copies.set([...synced.filter(range => damaged.has(range)), ...doubtful], 'syncing')
    for (const range of this.#copies.ranges()) this.#storage.create(range)
    await this.#reconciler.leaver.open()
    await this.#zones.open()
    this.#zones.learn(this.#ports.signer.peerId, this.#init.settings.zone)
    await this.topology.open()
    const isHeld = (range: number) => this.topology.view.isMember(range, this.#ports.signer.peerId)
    this.#reconciler.reopened(
      this.#copies.withStatus('synced').filter(range => !isHeld(range)),
      report.unfinished
    )
    // Once only: a founder that has lost its owner map learns it from the others, and must not vouch for empty copies.
    const lived = this.topology.damaged || report.ranges.length + report.damages.length > 0
    if (this.#init.founder && !this.topology.complete && !lived) await this.#found()
    this.#subscribe()
    this.#publish()
    this.#lag.start()
    network.handleRequests((request, from, options) => this.#dispatch.handle(request, from, options))
    network.handleStreams('sync', stream => this.#reconciler.answer(stream))
    await this.membership.start()
    // Unless there is nobody to learn from: a founder that has always been alone.
    const alone = this.membership.addressBook.peers().length + network.connected().length === 0
    if (this.#init.founder && !this.topology.complete && alone) await this.#found()
    this.#schedule()
  }

  /** Takes no more requests, finishes those in flight, syncs. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#lag.stop()
    for (const unsubscribe of this.#unsubscribes) unsubscribe()
    await this.#dispatch.close()
    await this.#background.stop(STOP_MS)
    await this.membership.stop()
    await this.#replicas.saveClocks()
    await Promise.all([this.#storage.close(), this.#standIns.close()])
  }

  /** True when requests can be routed. */
  get ready(): boolean {
    return this.topology.complete
  }

  /** As an operator's word. Throws `refused`. */
  async leave(force: boolean): Promise<void> {
    await this.#serveSelf({ type: 'manage', action: 'leave', peerId: '', ranges: [], force }, this.#patience)
  }

  async info(what: Extract<Request, { type: 'info' }>['what'], key?: Uint8Array): Promise<unknown> {
    const answer = await this.#serveSelf({ type: 'info', what, key }, this.#patience)
    return answer.type === 'info' ? JSON.parse(answer.json) : undefined
  }

  #serveSelf(request: Request, options: RequestOptions): Promise<Answer> {
    return this.#dispatch.handle(request, this.#self, options)
  }

  get #patience(): RequestOptions {
    return { timeoutMs: this.#init.settings.requestTimeoutMs }
  }

  get #self(): Caller {
    return { peerId: this.#ports.signer.peerId, role: 'node' }
  }

  /** The founder owns everything at epoch 1, and its empty copies are synced by definition (design §6). */
  async #found(): Promise<void> {
    const all = Array.from({ length: this.#init.params.q }, (_, range) => range)
    const empty = all.filter(range => this.#copies.status(range) === 'none')
    await this.#replicas.create(all)
    await this.#copies.set(empty, 'synced')
    await this.topology.apply(all.map(range => ({ range, epoch: 1, owner: this.#ports.signer.peerId })))
  }

  #subscribe(): void {
    this.#unsubscribes.push(
      this.topology.onChange(() => this.#soon()),
      this.membership.onRecord(record => this.#onRecord(record)),
      this.membership.onLiveness((peerId, verdict) => {
        this.#ports.log.info(`a member seems ${verdict}`, { peer: peerId })
        if (verdict === 'up') this.#reconciler.peerReturned(peerId)
      }),
      this.#ports.network.onConnection((peerId, connected) => {
        if (connected) this.#reconciler.peerReturned(peerId)
      })
    )
    this.#storage.onFault((range, error) => {
      this.#ports.log.error('a range file failed; the copy is rebuilt from the others', { range, error: error.message })
      this.#soon()
    })
  }

  #onRecord(record: MemberRecord): void {
    this.#facts.takeIn(record)
    if (this.#zones.learn(record.peerId, record.zone)) this.topology.invalidate()
  }

  #schedule(): void {
    const { timers } = this.#ports
    this.#timer = timers.after(this.#init.settings.reconcileIntervalMs, () => {
      this.#tick()
      if (!this.#stopped) this.#schedule()
    })
  }

  /** Looks at everything again once the current turn is over; many changes, one look. */
  #soon(): void {
    if (this.#tickSoon) return
    this.#tickSoon = true
    this.#ports.timers.soon(() => {
      this.#tickSoon = false
      this.#tick()
    })
  }

  #tick(): void {
    if (this.#stopped) return
    this.#publish()
    this.#warnWhenCrowded()
    this.#facts.tick()
    this.#reconciler.tick()
  }

  /** What the member record says of ownership and load. */
  #publish(): void {
    const claims = this.#facts.toTell()
    const owns = claims.some(({ owner }) => owner === this.#ports.signer.peerId)
    const { keys, liveBytes } = this.#storage.totalStats()
    this.#rangeLoads.look()
    this.membership.update({
      claims,
      status: this.#reconciler.leaver.status ?? (owns ? 'up' : 'joining'),
      load: { keys, bytes: liveBytes, opsPerSecond: this.#dispatch.opsPerSecond(), ...this.#heat() }
    })
  }

  #heat(): { heat?: Heat } {
    if (!this.topology.complete || this.#rangeLoads.total < LEAST_TOLD) return {}
    const { view } = this.topology
    const heat = heatOf(view, this.#ports.signer.peerId, range => this.#rangeLoads.work(range))
    return heat === undefined ? {} : { heat: roundHeat(heat) }
  }

  /** Below eight ranges a node, shares are uneven and every join moves much (design §12). */
  #warnWhenCrowded(): void {
    const nodes = this.#shareholders.staying().length
    const { q } = this.#init.params
    if (nodes <= q / ADVISED_RANGES || this.#crowded) return
    this.#crowded = true
    this.#ports.log.warn(
      `${nodes} nodes share ${q} ranges; ${ADVISED_RANGES} ranges a node are advised, and the number of ranges is fixed when a cluster is made`
    )
  }
}
