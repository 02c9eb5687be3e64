/**
 * A peer that holds the cluster's secret and means ill: it listens in on gossip, and passes on records that their owners
 * never signed, or signed long ago (failures 35, 41, 51). It is no member and keeps no ranges.
 */
import { decodeGossip, encodeGossip, LAST_PREFIX } from '../membership/gossip-messages.ts'
import { openRecord, type SignedRecord, signRecord } from '../membership/member-record.ts'
import type { Cluster } from './cluster.ts'
import type { SimPort } from './network/network.ts'
import { simSigner } from './signer.ts'
import { SimProcess } from './world/process.ts'

const NAME = 'm0'
const OPTIONS = { timeoutMs: 2000 }
/** Far above anything honest in a run. */
const FORGED_SEQ = 1_000_000

export class Adversary {
  readonly #cluster: Cluster
  #port: SimPort | undefined
  /** The first record that it heard of each member, and the newest. */
  readonly #oldest = new Map<string, SignedRecord>()
  readonly #newest = new Map<string, SignedRecord>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Listens in, so that there is something to replay. */
  listen(): void {
    this.#tellAll([])
  }

  /** Gossips a newer record of `victim`, with all its ranges given to `from`, signed by `from`. */
  forge(from: string, victim: string): void {
    const { params } = this.#cluster
    const known = this.#newest.get(victim)
    if (known === undefined) {
      this.listen()
      return
    }
    const opened = openRecord(known, params.clusterId, simSigner(NAME))
    if (!opened.ok) throw new Error(`the adversary heard a record that does not open: ${opened.reason}`)
    const { record } = opened
    const claims = Array.from({ length: params.q }, (_, range) => ({ range, epoch: FORGED_SEQ, owner: from }))
    const forged = signRecord({ ...record, seq: record.seq + FORGED_SEQ, claims }, params.clusterId, simSigner(from))
    this.#tellAll([forged])
  }

  /** Gossips the first record that `victim` was heard with. */
  replay(victim: string): void {
    const old = this.#oldest.get(victim)
    this.#tellAll(old === undefined ? [] : [old])
  }

  #tellAll(records: SignedRecord[]): void {
    for (const { name } of this.#cluster.joined) {
      this.#exchange(name, records).catch(error => {
        const { world } = this.#cluster
        world.log.add(world.nowMs, NAME, 'exchange-failed', `${name} ${String(error)}`)
      })
    }
  }

  /** One exchange as `membership/exchange.ts` begins it: a digest that knows nothing, their records, ours. */
  async #exchange(peer: string, records: SignedRecord[]): Promise<void> {
    const stream = await this.#attached().open(peer, 'gossip', OPTIONS)
    const incoming = stream.source[Symbol.asyncIterator]()
    const answered = Promise.withResolvers<void>()
    answered.promise.catch(() => undefined)
    async function* say(): AsyncGenerator<Uint8Array> {
      yield encodeGossip({ type: 'digest', from: 0n, to: LAST_PREFIX, entries: [] })
      await answered.promise
      if (records.length > 0) yield encodeGossip({ type: 'records', records })
    }
    const said = stream.sink(say())
    said.catch(error => answered.reject(error))
    try {
      for (let first = true; ; first = false) {
        const next = await incoming.next()
        if (first) answered.resolve()
        if (next.done) break
        const message = decodeGossip(next.value)
        if (message.type !== 'digest') this.#hear(message.records)
      }
    } finally {
      answered.resolve()
    }
    await said
  }

  #hear(records: SignedRecord[]): void {
    for (const signed of records) {
      const opened = openRecord(signed, this.#cluster.params.clusterId, simSigner(NAME))
      if (!opened.ok) continue
      const { peerId } = opened.record
      if (!this.#oldest.has(peerId)) this.#oldest.set(peerId, signed)
      this.#newest.set(peerId, signed)
    }
  }

  #attached(): SimPort {
    const { world, network } = this.#cluster
    this.#port ??= network.attach(new SimProcess(world, NAME), {
      peerId: NAME,
      role: 'node',
      wanted: () => []
    })
    return this.#port
  }
}
