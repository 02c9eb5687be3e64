/** Members on a manual clock, an in-memory network and in-memory files; rounds are driven by hand. */
import { type MemberRecord, signRecord } from '../../src/membership/member-record.ts'
import { MemberTable } from '../../src/membership/member-table.ts'
import { Membership, type MembershipInit } from '../../src/membership/membership.ts'
import type { Clock, Random, Signer, Timer, Timers } from '../../src/ports.ts'
import { silentLog } from '../../src/runtime.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { fakeSigner } from '../support/fake-signer.ts'
import type { MemoryHub, MemoryNetwork } from '../support/memory-network.ts'

export const CLUSTER = '0123456789abcdef0123456789abcdef'

/** A clock that stands still until it is told to move; timers fire in order, on time or late. */
export class ManualTime implements Clock, Timers {
  now = 0
  #timers: { at: number; fn: () => void }[] = []

  wallMs(): number {
    return 1_700_000_000_000 + this.now
  }
  monotonicMs(): number {
    return this.now
  }
  after(delayMs: number, fn: () => void): Timer {
    const timer = { at: this.now + delayMs, fn }
    this.#timers.push(timer)
    return { cancel: () => (this.#timers = this.#timers.filter(each => each !== timer)) }
  }
  soon(fn: () => void): void {
    queueMicrotask(fn)
  }
  afterIo(fn: () => void): void {
    queueMicrotask(fn)
  }
  sleep(delayMs: number): Promise<void> {
    return new Promise(resolve => this.after(delayMs, resolve))
  }
  /** Moves on, firing every timer at its time. */
  advance(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.at - b.at)[0]
      if (!next || next.at > end) break
      this.now = Math.max(this.now, next.at)
      this.#fire(next)
    }
    this.now = end
  }
  /** The process stands still: time passes, timers fire late. */
  pause(ms: number): void {
    this.now += ms
    for (const due of this.#timers.filter(timer => timer.at <= this.now)) this.#fire(due)
  }
  #fire(timer: { at: number; fn: () => void }): void {
    this.#timers = this.#timers.filter(each => each !== timer)
    timer.fn()
  }
}

/** A small seeded generator (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const float = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return { float, bytes: length => Uint8Array.from({ length }, () => Math.floor(float() * 256)) }
}

export interface TestNode {
  membership: Membership
  network: MemoryNetwork
  files: FakeFiles
  conflicts: Error[]
  overtaken: number[]
}

export interface NodeOptions extends Partial<Omit<MembershipInit, 'settings'>> {
  files?: FakeFiles
  signer?: Signer
  seed?: number
  /** Name on the hub, when it is not the peer id (twins). */
  network?: MemoryNetwork
  gossipIntervalMs?: number
}

export function makeNode(hub: MemoryHub, time: ManualTime, peerId: string, options: NodeOptions = {}): TestNode {
  const { files = new FakeFiles(), signer = fakeSigner(peerId), gossipIntervalMs = 1000 } = options
  const { seed = [...peerId].reduce((sum, char) => sum * 31 + char.charCodeAt(0), 7), network } = options
  const own = network ?? hub.network(peerId)
  const conflicts: Error[] = []
  const overtaken: number[] = []
  const random = seededRandom(seed)
  const ports = { clock: time, timers: time, random, signer, files, network: own, log: silentLog }
  const membership = new Membership(ports, {
    dir: options.dir ?? 'dir',
    clusterId: options.clusterId ?? CLUSTER,
    settings: { zone: '', capacity: 1, gossipIntervalMs, phiThreshold: 8 },
    addresses: options.addresses ?? (() => [`/memory/${peerId}`]),
    seeds: options.seeds,
    onConflict: error => conflicts.push(error),
    onOvertaken: remembered => overtaken.push(remembered.incarnation)
  })
  return { membership, network: own, files, conflicts, overtaken }
}

/** One round of every node, one after another in a second of manual time. */
export async function roundOfAll(nodes: TestNode[], time: ManualTime): Promise<void> {
  for (const { membership } of nodes) {
    time.now += 1000 / nodes.length
    await membership.roundNow()
  }
}

/** Rounds until `done`, or throws after `limit`. Returns how many it took. */
export async function roundsUntil(
  nodes: TestNode[],
  time: ManualTime,
  done: () => boolean,
  limit = 60
): Promise<number> {
  for (let rounds = 0; rounds <= limit; rounds++) {
    if (done()) return rounds
    await roundOfAll(nodes, time)
  }
  throw new Error(`not there after ${limit} rounds`)
}

export function recordOf(peerId: string, incarnation = 1, seq = 1, change: Partial<MemberRecord> = {}): MemberRecord {
  return {
    peerId,
    incarnation,
    seq,
    instanceId: '00000000000000aa',
    status: 'up',
    addresses: [`/memory/${peerId}`],
    zone: '',
    capacity: 1,
    load: { keys: 0, bytes: 0, opsPerSecond: 0 },
    claims: [],
    protocol: 1,
    ...change
  }
}

export const signedOf = (record: MemberRecord, cluster = CLUSTER) =>
  signRecord(record, cluster, fakeSigner(record.peerId))

export function tableOf(self: string, records: MemberRecord[] = []): MemberTable {
  const table = new MemberTable(CLUSTER, fakeSigner(self))
  table.publish(recordOf(self), signedOf(recordOf(self)))
  for (const record of records) table.apply(signedOf(record))
  return table
}
