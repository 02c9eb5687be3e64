/**
 * Membership: who is in the cluster, what each says about itself, and who seems alive (design §5). Ties the pure table to
 * gossip, the failure detector, the address book and the files that outlive the process.
 *
 * @example
 *   const membership = new Membership(ports, { dir, clusterId, settings, addresses: () => host.addresses() })
 *   membership.update({ claims })            // before start: what the first record says
 *   await membership.start()
 *   membership.onRecord(record => ring.learn(record.claims))
 *   membership.update({ status: 'up' })
 */
import type { NodeSettings } from '../config.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Ports } from '../ports.ts'
import { AddressBook } from './address-book.ts'
import { FailureDetector, OUTAGE_INTERVALS, type Verdict } from './failure-detector.ts'
import { Gossip } from './gossip.ts'
import type { Pulse } from './gossip-messages.ts'
import type { Candidates } from './gossip-targets.ts'
import { IdentityGuard } from './identity-guard.ts'
import { MAX_ADDRESS_BYTES, MAX_ADDRESSES, type MemberRecord, type SignedRecord } from './member-record.ts'
import { MemberTable, type TableEntry } from './member-table.ts'
import { type OwnChange, OwnRecord } from './own-record.ts'
import { type Removal, signRemoval } from './removal.ts'
import { RemovalList } from './removal-list.ts'

export interface Member {
  peerId: string
  record: MemberRecord
  verdict: Verdict
  self: boolean
  pulse: number
}

export type MembershipPorts = Pick<Ports, 'clock' | 'timers' | 'random' | 'signer' | 'files' | 'network' | 'log'>

export interface MembershipInit {
  /** The node's data directory; holds `incarnation.json`, `peers.json`, `removals.json`. */
  dir: string
  clusterId: string
  settings: Pick<NodeSettings, 'zone' | 'capacity' | 'gossipIntervalMs' | 'phiThreshold'> & {
    /** A change of load alone is told no more often. */
    loadIntervalMs?: number
  }
  /** Multiaddrs to announce; asked once a round, so that changes spread by themselves. */
  addresses: () => string[]
  /** Peer ids of seeds, as far as known. */
  seeds?: () => string[]
  /** This node must stop: another process runs with its identity, or it was removed. Gossip has ended already. */
  onConflict?: (error: CoterieError) => void
  /**
   * The cluster remembers a later life of this identity than this directory does (disk lost, restored or copied): the
   * incarnation went above it, and every copy that this node holds must count as syncing (failures 6, 40).
   */
  onOvertaken?: (remembered: MemberRecord) => void
}

export interface MembershipStats {
  rounds: number
  sentBytes: number
  receivedBytes: number
  /** Records refused: signature, size, peer id, garbled, or no room. */
  rejected: number
  stale: number
}

export class Membership {
  readonly self: string
  readonly addressBook: AddressBook
  readonly #ports: MembershipPorts
  readonly #init: MembershipInit
  readonly #table: MemberTable
  readonly #own: OwnRecord
  readonly #detector: FailureDetector
  readonly #gossip: Gossip
  /** When each peer was last certain to be alive: met, or known by a pulse above one that was heard before. */
  readonly #aliveMs = new Map<string, number>()
  /** When its pulse was last seen to rise. */
  readonly #risenMs = new Map<string, number>()
  readonly #traffic = { sentBytes: 0, receivedBytes: 0 }
  readonly #recordListeners = new Set<(record: MemberRecord, previous?: MemberRecord) => void>()
  readonly #livenessListeners = new Set<(peerId: string, verdict: Verdict) => void>()
  readonly #removalListeners = new Set<(removal: Removal) => void>()
  readonly #guard: IdentityGuard
  readonly #removals: RemovalList
  #started = false
  #publishing = false
  #unsubscribe: () => void = () => {}

  constructor(ports: MembershipPorts, init: MembershipInit) {
    const { settings } = init
    this.#ports = ports
    this.#init = init
    this.self = ports.signer.peerId
    this.addressBook = new AddressBook(ports, init.dir)
    this.#table = new MemberTable(init.clusterId, ports.signer)
    this.#own = new OwnRecord(ports, init.clusterId, settings)
    this.#detector = new FailureDetector(ports.clock, {
      gossipIntervalMs: settings.gossipIntervalMs,
      phiThreshold: settings.phiThreshold,
      onVerdict: (peerId, verdict) => this.#tell(this.#livenessListeners, listener => listener(peerId, verdict))
    })
    this.#removals = new RemovalList(ports, init.dir, () =>
      [...this.#table.entries()].flatMap(each => (each.removal ? each.signed : []))
    )
    this.#guard = new IdentityGuard(ports, {
      dir: init.dir,
      own: this.#own,
      publish: () => this.#publish(),
      onOvertaken: remembered => init.onOvertaken?.(remembered),
      onConflict: error => this.#conflict(error)
    })
    this.#gossip = new Gossip(ports, {
      intervalMs: settings.gossipIntervalMs,
      context: {
        table: this.#table,
        receive: records => this.#receive(records),
        hear: pulses => this.#hear(pulses),
        traffic: this.#traffic
      },
      candidates: () => this.#candidates(),
      beforeRound: () => this.#beforeRound(),
      beforeExchange: () => this.#publish(),
      scheduled: delayMs => this.#detector.expectTick(delayMs),
      outcome: (peerId, error) => this.#outcome(peerId, error)
    })
  }

  /**
   * Raises the incarnation, publishes the own record (status `joining` unless `update` said other) and starts to gossip.
   * Throws `refused` when this node was removed from the cluster, and Node's errors for the files.
   */
  async start(): Promise<void> {
    await this.#ports.files.makeDir(this.#init.dir)
    for (const signed of await this.#removals.load()) this.#table.apply(signed)
    if (this.#table.get(this.self)?.removal) throw this.#removedError()
    await this.addressBook.load()
    await this.#guard.begin()
    this.#own.update({ addresses: this.#addresses() })
    this.#started = true
    this.#publish()
    this.#unsubscribe = this.#ports.network.onConnection((peerId, connected) => this.#connection(peerId, connected))
    this.#gossip.start()
  }

  /** Gives up exchanges under way and writes the address book. */
  async stop(): Promise<void> {
    this.#started = false
    this.#unsubscribe()
    await this.#gossip.stop()
    await this.#guard.settled()
    await this.#removals.settled()
    await this.addressBook.flush()
  }

  /** All members known, this node and those that left included; removed ones are not. */
  members(): Member[] {
    const members: Member[] = []
    for (const entry of this.#table.entries()) {
      const member = this.#toMember(entry)
      if (member) members.push(member)
    }
    return members
  }

  member(peerId: string): Member | undefined {
    const entry = this.#table.get(peerId)
    return entry && this.#toMember(entry)
  }

  /** Whether requests may be sent there: neither silent nor under suspicion. This node itself is always alive. */
  isAlive(peerId: string): boolean {
    return peerId === this.self || this.#detector.verdict(peerId) === 'up'
  }

  /**
   * Monotonic time at which a peer was last certain to be alive, since this process started. What others remember of it
   * does not count: they may repeat what they heard long ago.
   */
  aliveMs(peerId: string): number {
    if (peerId === this.self) return this.#ports.clock.monotonicMs()
    return this.#aliveMs.get(peerId) ?? Number.NEGATIVE_INFINITY
  }

  /**
   * Changes the own record; it is signed and raised by one version at the end of this turn, or at the next exchange if
   * that is sooner. Load alone waits until it has moved by a quarter, and for half a minute since its last publication.
   * Throws `bad-config` for values that others would refuse.
   */
  update(change: OwnChange): void {
    if (!this.#own.update(change) || !this.#started || this.#publishing) return
    this.#publishing = true
    this.#ports.timers.soon(() => {
      this.#publishing = false
      this.#publish()
    })
  }

  /** A request to the peer was answered in time. */
  reportSuccess(peerId: string): void {
    this.#detector.reportSuccess(peerId)
  }

  /** A request to the peer met silence or no connection: it is suspect at once, for a while that grows. */
  reportFailure(peerId: string): void {
    this.#detector.reportFailure(peerId)
  }

  /** Calls back with every newer record of another member, and with the one that it replaces. */
  onRecord(listener: (record: MemberRecord, previous?: MemberRecord) => void): () => void {
    this.#recordListeners.add(listener)
    return () => this.#recordListeners.delete(listener)
  }

  onLiveness(listener: (peerId: string, verdict: Verdict) => void): () => void {
    this.#livenessListeners.add(listener)
    return () => this.#livenessListeners.delete(listener)
  }

  /** Calls back when a peer is removed, by this node or another. */
  onRemoved(listener: (removal: Removal) => void): () => void {
    this.#removalListeners.add(listener)
    return () => this.#removalListeners.delete(listener)
  }

  /**
   * Bars a peer id for good, in the name of this node. Resolves when that is on disk; for one that is barred already, too.
   * Throws `bad-usage` for itself; `disk-full`, or `internal`, where it counts and the others are told, but this disk failed.
   */
  async remove(peerId: string): Promise<void> {
    if (peerId === this.self) throw new CoterieError('bad-usage', 'a node does not remove itself; let it leave instead')
    if (!this.isRemoved(peerId)) {
      const removal: Removal = { peerId, by: this.self, atMs: this.#ports.clock.wallMs() }
      this.#receive([signRemoval(removal, this.#init.clusterId, this.#ports.signer)])
    }
    await this.#removals.kept()
  }

  removals(): Removal[] {
    return [...this.#table.entries()].flatMap(entry => entry.removal ?? [])
  }

  isRemoved(peerId: string): boolean {
    return this.#table.get(peerId)?.removal !== undefined
  }

  /** One gossip round now; resolves when its exchanges have ended, well or not. */
  roundNow(): Promise<void> {
    return this.#gossip.roundNow()
  }

  stats(): MembershipStats {
    const { rejected, stale } = this.#table.counters
    return { rounds: this.#gossip.rounds, ...this.#traffic, rejected, stale }
  }

  #toMember(entry: TableEntry): Member | undefined {
    const self = entry.peerId === this.self
    const record = self ? this.#own.record : entry.record
    if (!record || entry.removal) return undefined
    const verdict = self ? 'up' : this.#detector.verdict(entry.peerId)
    return { peerId: entry.peerId, record, verdict, self, pulse: entry.pulse }
  }

  #publish(): void {
    if (!this.#started) return
    const published = this.#own.publish()
    if (published) this.#table.publish(published.record, published.signed)
  }

  #addresses(): string[] {
    return this.#init
      .addresses()
      .filter(text => text.length <= MAX_ADDRESS_BYTES)
      .slice(0, MAX_ADDRESSES)
  }

  #beforeRound(): void {
    const pausedMs = this.#detector.tick()
    if (pausedMs > 0) this.#ports.log.warn('this process stood still; no new verdicts for a while', { pausedMs })
    const addresses = this.#addresses()
    const known = this.#own.record.addresses
    if (addresses.length !== known.length || addresses.some((text, i) => text !== known[i])) this.update({ addresses })
    this.#table.beat()
  }

  #candidates(): Candidates {
    const candidates: Candidates = { live: [], doubtful: [], newcomers: [], remembered: [] }
    for (const entry of this.#table.entries()) {
      if (entry.peerId === this.self || entry.removal || entry.record?.status === 'left') continue
      const live = this.#detector.verdict(entry.peerId) === 'up'
      ;(live ? candidates.live : candidates.doubtful).push(entry.peerId)
    }
    const stranger = (peerId: string) => peerId !== this.self && !this.#table.get(peerId)
    candidates.newcomers = this.#ports.network.connected().filter(stranger)
    candidates.remembered = [...(this.#init.seeds?.() ?? []), ...this.addressBook.peers()].filter(stranger)
    return candidates
  }

  #connection(peerId: string, connected: boolean): void {
    if (!connected) {
      this.#detector.lost(peerId)
      return
    }
    this.#detector.met(peerId)
    // News both ways at once, for a newcomer and for one that comes back: nobody waits for the next round.
    if (!this.#table.get(peerId)?.removal) void this.#gossip.exchangeWith(peerId)
  }

  #outcome(peerId: string, error?: unknown): void {
    if (error === undefined) {
      // Not before: by now what it knows has been taken in.
      this.#aliveMs.set(peerId, this.#ports.clock.monotonicMs())
      this.#detector.met(peerId)
    } else if (isCoterieError(error, 'timeout', 'unreachable')) this.#detector.lost(peerId)
  }

  #hear(pulses: Pulse[]): void {
    const nowMs = this.#ports.clock.monotonicMs()
    for (const peerId of this.#table.hear(pulses)) {
      if (this.#table.get(peerId)?.removal) continue
      // The first rise, or the first after a long time, may be old: somebody remembers more of it than this node does.
      const gapMs = nowMs - (this.#risenMs.get(peerId) ?? Number.NEGATIVE_INFINITY)
      if (gapMs < OUTAGE_INTERVALS * this.#init.settings.gossipIntervalMs) this.#aliveMs.set(peerId, nowMs)
      this.#risenMs.set(peerId, nowMs)
      this.#detector.heard(peerId)
    }
  }

  #receive(records: SignedRecord[]): void {
    for (const signed of records) {
      const applied = this.#table.apply(signed)
      if (applied.outcome === 'newer') {
        const record = applied.entry.record!
        const { previous } = applied
        this.addressBook.learn(record.peerId, record.addresses)
        // A first record and a new life count as a heartbeat; other records ride along with real ones.
        if (previous?.incarnation !== record.incarnation) this.#detector.heard(record.peerId)
        this.#tell(this.#recordListeners, listener => listener(record, previous))
      } else if (applied.outcome === 'removed') this.#removed(applied.entry)
      else if (applied.outcome === 'own') this.#guard.meet(applied.record)
      else if (applied.outcome === 'rejected') {
        this.#ports.log.warn('a member record was refused', { reason: applied.reason, bytes: signed.body.length })
      }
    }
  }

  #removed(entry: TableEntry): void {
    const removal = entry.removal!
    this.#detector.forget(entry.peerId)
    this.#aliveMs.delete(entry.peerId)
    this.#risenMs.delete(entry.peerId)
    this.addressBook.forget(entry.peerId)
    // `save` reports its own failures; `remove` and `stop` wait for it.
    this.#removals.save()
    this.#ports.log.info('a member was removed', { peerId: removal.peerId, by: removal.by })
    this.#tell(this.#removalListeners, listener => listener(removal))
    if (removal.peerId === this.self) this.#conflict(this.#removedError())
  }

  #removedError(): CoterieError {
    const by = this.#table.get(this.self)?.removal?.by ?? 'another member'
    return new CoterieError(
      'refused',
      `this node (${this.self}) was removed from the cluster by ${by} and cannot return; join with a new directory`
    )
  }

  #conflict(error: CoterieError): void {
    this.#ports.log.error(error.message)
    this.#started = false
    // Ends our part of the quarrel at once; what `stop` still has to do is the node's to call.
    void this.#gossip.stop()
    this.#init.onConflict?.(error)
  }

  #tell<Listener>(listeners: Set<Listener>, call: (listener: Listener) => void): void {
    for (const listener of [...listeners]) {
      try {
        call(listener)
      } catch (error) {
        // A listener's fault must not cost the others their news, nor break the exchange that brought it.
        this.#ports.log.error('a membership listener failed', { error: String(error) })
      }
    }
  }
}
