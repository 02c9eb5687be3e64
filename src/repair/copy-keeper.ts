/**
 * Keeps this node's copies in step with the ring: makes the ones it should hold, brings syncing ones level, and gives up
 * those it should not hold any more, once every member of the list has all that they held (design §6.4). It repeats
 * itself until there is nothing to do, so a crash or a lost message at any point costs time only.
 */
import type { Background } from '../background.ts'
import type { Peers } from '../coordinator/peers.ts'
import type { Clock, Log, Network, Timers } from '../ports.ts'
import type { CopyTable } from '../replica/copy-table.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { Topology } from '../topology.ts'
import { type CompareResult, compareRanges } from './compare.ts'
import { settleCopy, type Verdict } from './compare-clocks.ts'
import type { PreparedCopies } from './prepared-copies.ts'
import { Renewals } from './renewals.ts'
import type { Transfers } from './transfers.ts'

const STATUS_TIMEOUT_MS = 2000

export interface CopyKeeperParts {
  clock: Clock
  timers: Timers
  network: Network
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  replicas: Replicas
  copies: CopyTable
  prepared: PreparedCopies
  transfers: Transfers
}

export class CopyKeeper {
  readonly #parts: CopyKeeperParts
  readonly #renewals: Renewals
  #running = false
  #dropped = 0

  constructor(parts: CopyKeeperParts) {
    this.#parts = parts
    this.#renewals = new Renewals(parts)
  }

  get dropped(): number {
    return this.#dropped
  }

  tick(): void {
    if (this.#running || !this.#parts.topology.complete) return
    this.#running = true
    const pass = this.#pass().finally(() => {
      this.#running = false
    })
    this.#parts.background.run('keeping copies in step with the ring', pass)
  }

  /** Makes copies of those of the ranges that this node should hold; for requests that arrive before the next tick. */
  async ensure(ranges: number[]): Promise<void> {
    const { topology, peers, replicas } = this.#parts
    if (!topology.complete) return
    await replicas.create(ranges.filter(range => topology.view.isMember(range, peers.self)))
  }

  async #pass(): Promise<void> {
    const { topology, peers, copies, prepared, replicas } = this.#parts
    const held = topology.view.rangesHeldBy(peers.self)
    await replicas.create(held)
    await this.#rebuildFenced(held)
    await this.#remakeFenced(copies.ranges().filter(range => prepared.has(range)))
    // By the ring of now: a prepared copy may have become a member's since this pass began, and is no longer prepared then.
    const isOurs = (range: number) => topology.view.isMember(range, peers.self)
    const extra = copies.ranges().filter(range => !isOurs(range) && !prepared.has(range))
    await copies.set(extra, 'frozen')
    await this.#catchUp(copies.withStatus('syncing').filter(isOurs))
    const frozen = copies.withStatus('frozen')
    const isFenced = (range: number) => replicas.isFenced(range)
    await this.#giveUp(frozen.filter(range => !isFenced(range)))
    await this.#giveUpFenced(frozen.filter(isFenced))
  }

  /**
   * A range file that failed is replaced by a new one, to be filled from the others. While no other synced copy can be
   * reached, the old file is all there is: the copy goes on with what verifies of it (design §9).
   */
  async #rebuildFenced(held: readonly number[]): Promise<void> {
    const { replicas, copies, peers, topology, log } = this.#parts
    await this.#renewals.finish()
    const fenced = held.filter(range => replicas.isFenced(range))
    if (fenced.length === 0) return
    this.#renewals.note(fenced)
    await copies.set(fenced, 'syncing')
    for (const range of fenced) {
      const others = topology.view
        .preferenceList(range)
        .filter(member => member !== peers.self && peers.isReachable(member))
      const statuses = await Promise.all(others.map(member => this.#statusAt(member, range)))
      if (!statuses.includes('synced')) {
        this.#renewals.renew(range)
        continue
      }
      this.#renewals.forget(range)
      await replicas.drop(range)
      await replicas.create([range])
      log.info('replaced a failed range file by a new one, to be filled from the other replicas', { range })
    }
  }

  /** A prepared copy is nobody's yet: it begins afresh. */
  async #remakeFenced(prepared: number[]): Promise<void> {
    const { replicas, copies } = this.#parts
    const fenced = prepared.filter(range => replicas.isFenced(range))
    await copies.set(fenced, 'syncing')
    for (const range of fenced) await replicas.drop(range)
    await replicas.create(fenced)
  }

  /** What cannot be read cannot be handed on: such a copy goes once every member of the list has a synced one. */
  async #giveUpFenced(ranges: number[]): Promise<void> {
    const { topology, replicas, copies } = this.#parts
    for (const range of ranges) {
      const list = topology.view.preferenceList(range)
      const statuses = await Promise.all(list.map(member => this.#statusAt(member, range)))
      const isOut =
        copies.status(range) === 'frozen' && list.length > 0 && statuses.every(status => status === 'synced')
      if (isOut) await replicas.drop(range)
    }
  }

  async #statusAt(member: string, range: number): Promise<string> {
    try {
      const answer = await this.#parts.peers.call(
        member,
        { type: 'copies', ranges: [range] },
        { timeoutMs: STATUS_TIMEOUT_MS }
      )
      return answer.type === 'copies' ? (answer.copies[0]?.status ?? 'none') : 'none'
    } catch (error) {
      this.#parts.log.debug('a list member did not say what it holds', { member, error: String(error) })
      return 'none'
    }
  }

  /**
   * A syncing copy is level once it was compared with a synced one, and with enough others to meet every write
   * acknowledged at the cluster's W: N − W + 1. Those others may be syncing themselves, or two copies of a range that
   * lost something would wait for each other for ever (failures 7). It takes writes all the while, so what comes later it
   * hears itself.
   */
  async #catchUp(ranges: number[]): Promise<void> {
    const { topology, peers, copies, replicas } = this.#parts
    const view = topology.view
    const damages = new Map(ranges.map(range => [range, replicas.damages(range)]))
    const met = new Map<number, string[]>(ranges.map(range => [range, []]))
    const verdicts = new Map<number, Verdict[]>(ranges.map(range => [range, []]))
    for (const [peer, shared] of this.#byMember(ranges, member => peers.isReachable(member))) {
      const compared = await this.#compare(peer, shared, { verdicts: true })
      for (const range of shared) {
        met.get(range)!.push(compared.statuses.get(range) ?? 'none')
        const verdict = compared.verdicts.get(range)
        if (verdict !== undefined) verdicts.get(range)!.push(verdict)
      }
    }
    const level = ranges.filter(range => {
      const n = view.preferenceList(range).length
      const w = Math.min(topology.params.w, n)
      const statuses = met.get(range)!.filter(status => status === 'synced' || status === 'syncing')
      return statuses.includes('synced') && statuses.length >= Math.min(n - 1, n - w + 1)
    })
    const isUnharmed = (range: number) =>
      copies.status(range) === 'syncing' && replicas.damages(range) === damages.get(range)
    const settled: number[] = []
    for (const range of level) {
      const isSettled = await settleCopy(this.#parts, range, verdicts.get(range)!, () => isUnharmed(range))
      if (isSettled) settled.push(range)
    }
    for (const { arrivals } of [...verdicts.values()].flat()) arrivals.close()
    await copies.set(settled.filter(isUnharmed), 'synced')
  }

  /** Frozen copies go once every member of the list has said that it holds, synced to disk, all that they hold. */
  async #giveUp(ranges: number[]): Promise<void> {
    const { topology, copies, replicas, log } = this.#parts
    const proven = new Map<number, Set<string>>(ranges.map(range => [range, new Set()]))
    for (const [peer, shared] of this.#byMember(ranges, () => true)) {
      const { statuses } = await this.#compare(peer, shared, { pushOnly: true, durable: true })
      for (const range of shared) {
        const status = statuses.get(range)
        if (status === 'synced' || status === 'syncing') proven.get(range)!.add(peer)
      }
    }
    for (const range of ranges) {
      const list = topology.view.preferenceList(range)
      if (
        copies.status(range) !== 'frozen' ||
        list.length === 0 ||
        !list.every(member => proven.get(range)!.has(member))
      )
        continue
      await replicas.drop(range)
      this.#dropped++
      log.debug('gave up a copy; every member of the preference list has it', { range })
    }
  }

  /** The other members of the lists of these ranges, each with the ranges it shares. */
  #byMember(ranges: number[], use: (member: string) => boolean): Map<string, number[]> {
    const { topology, peers } = this.#parts
    const byMember = new Map<string, number[]>()
    for (const range of ranges) {
      for (const member of topology.view.preferenceList(range)) {
        if (member !== peers.self && use(member)) byMember.set(member, [...(byMember.get(member) ?? []), range])
      }
    }
    return byMember
  }

  async #compare(
    peer: string,
    ranges: number[],
    options: { pushOnly?: boolean; durable?: boolean; verdicts?: boolean } = {}
  ): Promise<Pick<CompareResult, 'statuses' | 'verdicts'>> {
    const transfer = options.pushOnly ? undefined : this.#parts.transfers.begin(peer, ranges)
    try {
      return await compareRanges(this.#parts, peer, ranges, {
        ...options,
        onProgress: transfer?.keys,
        signal: this.#parts.background.signal
      })
    } catch (error) {
      this.#parts.log.debug('a comparison with a peer failed', { peer, ranges: ranges.length, error: String(error) })
      return { statuses: new Map(), verdicts: new Map() }
    } finally {
      transfer?.end()
    }
  }
}
