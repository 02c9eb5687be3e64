/**
 * A member of a cluster, made of docs/protocol.md alone (see `peer.ts`): it gossips, is given a range, fills its copies,
 * takes part in writes. It coordinates nothing and keeps everything in memory; nothing here imports from `src`.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface'
import { dial, type Frame, foreignHost, introduce, Kv, Messages, type Params, serveKv } from './peer.ts'
import {
  type Claim,
  codec,
  decodeState,
  type Entry,
  encodeState,
  grantText,
  isSignedBy,
  merge,
  packed,
  positionOf,
  prefixOf,
  rangeOf,
  recordMessage,
  sumsOf,
  tagOf,
  totalOf,
  unpacked
} from './rules.ts'

interface SignedRecord {
  body: Uint8Array
  signature: Uint8Array
  removal: boolean
}
export interface MemberRecord {
  peerId: string
  incarnation: number
  seq: number
  status: number
  addresses: string[]
  claims: { owner: string; granter: string; ranges: number[]; epochs: number[]; signatures: Uint8Array[] }[]
}
interface Delta {
  records: SignedRecord[]
  wants: Uint8Array
}
interface GossipMessage {
  kind: string
  digest?: { entries: Uint8Array }
  delta?: Delta
  records?: { records: SignedRecord[] }
}
interface SyncMessage {
  body: string
  status?: { range: number; status: number; keys: number; buckets: Uint8Array }
  states?: { range: number; items: { key: Uint8Array; state: Uint8Array; more: boolean }[] }
  want?: { range: number; positions: Uint8Array }
}
export interface Session {
  /** Per range what the other side said of its copy. */
  statuses: Map<number, { status: number; keys: number; differs: boolean }>
  received: number
  sent: number
}

const JOINING = 0
export const SYNCED = 2
const recordCodec = codec<MemberRecord>('gossip.MemberRecord')
const gossipCodec = codec<GossipMessage>('gossip.GossipMessage')
const syncCodec = codec<SyncMessage>('sync.SyncMessage')
const ALL = { from: '0', to: '18446744073709551615' }
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

export class ForeignMember {
  readonly #host: Libp2p
  readonly #clusterId: string
  readonly #connection: Connection
  readonly kv: Kv
  readonly params: Params
  /** Newest genuine record of each peer, by the hex of its prefix. */
  readonly records = new Map<string, MemberRecord>()
  /** The owner map. */
  readonly claims = new Map<number, Claim>()
  /** Range → key in hex → encoded state. */
  readonly copies = new Map<number, Map<string, Uint8Array>>()
  /** What was refused, for the test to look at. */
  readonly forged: string[] = []
  readonly #synced = new Set<number>()
  #signed: SignedRecord = { body: new Uint8Array(0), signature: new Uint8Array(0), removal: false }
  #pulse = 0

  private constructor(host: Libp2p, clusterId: string, connection: Connection, kv: Kv, params: Params) {
    this.#host = host
    this.#clusterId = clusterId
    this.#connection = connection
    this.kv = kv
    this.params = params
  }

  static async join(
    address: string,
    { clusterId, secret }: { clusterId: string; secret: Uint8Array }
  ): Promise<ForeignMember> {
    const privateKey = await generateKeyPair('Ed25519')
    const host = await foreignHost(privateKey)
    const connection = await dial(host, address)
    const ready = Promise.withResolvers<ForeignMember>()
    // Both may come in before our own part of the hello is over.
    await host.handle('/coterie/gossip/1', async stream => (await ready.promise).#respond(new Messages(stream)))
    await host.handle('/coterie/kv/1', async stream =>
      serveKv(stream, async frame => (await ready.promise).#answer(frame))
    )
    const params = await introduce(connection, host.peerId.toString(), { clusterId, secret, role: 'NODE' })
    const member = new ForeignMember(host, clusterId, connection, await Kv.open(connection), params)
    await member.#publish(privateKey)
    ready.resolve(member)
    return member
  }

  get peerId(): string {
    return this.#host.peerId.toString()
  }

  async close(): Promise<void> {
    await this.#host.stop()
  }

  // ---- gossip

  async #publish(privateKey: PrivateKey): Promise<void> {
    const body = recordCodec.encode({
      peerId: this.peerId,
      incarnation: 1,
      seq: 1,
      instanceId: crypto.getRandomValues(new Uint8Array(8)),
      status: JOINING,
      capacity: 1,
      load: {},
      protocol: 1
    })
    this.#signed = { body, signature: await privateKey.sign(recordMessage(this.#clusterId, body)), removal: false }
  }

  /** Begins an exchange, telling of ourselves only: everything else comes back. */
  async gossip(): Promise<void> {
    const stream = new Messages(await this.#connection.newStream('/coterie/gossip/1'))
    stream.send(gossipCodec.encode({ digest: { ...ALL, entries: this.#ownEntry() } }))
    for (let bytes = await stream.receive(); bytes; bytes = await stream.receive()) {
      const { kind, delta, records } = gossipCodec.decode(bytes)
      for (const record of (delta ?? records)!.records) this.#take(record)
      if (kind !== 'delta') continue
      if (delta!.wants.length > 0) stream.send(gossipCodec.encode({ records: { records: [this.#signed] } }))
      await stream.end()
    }
  }

  #ownEntry(): Uint8Array {
    return Buffer.concat([prefixOf(this.peerId), Uint8Array.of(1, 1, this.#pulse & 127)])
  }

  async #respond(stream: Messages): Promise<void> {
    const first = await stream.receive()
    const { digest } = gossipCodec.decode(first!)
    this.#pulse = Math.min(this.#pulse + 1, 127)
    const wants = prefixesIn(digest!.entries).filter(prefix => hexOf(prefix) !== hexOf(prefixOf(this.peerId)))
    const pulses = Buffer.concat([prefixOf(this.peerId), Uint8Array.of(1, this.#pulse)])
    stream.send(gossipCodec.encode({ delta: { records: [this.#signed], pulses, wants: Buffer.concat(wants) } }))
    for (let bytes = await stream.receive(); bytes; bytes = await stream.receive()) {
      for (const record of gossipCodec.decode(bytes).records!.records) this.#take(record)
    }
    await stream.end()
  }

  #take({ body, signature, removal }: SignedRecord): void {
    const record = recordCodec.decode(body)
    if (removal) return
    if (!isSignedBy(record.peerId, recordMessage(this.#clusterId, body), signature)) {
      this.forged.push(record.peerId)
      return
    }
    this.records.set(hexOf(prefixOf(record.peerId)), record)
    for (const { owner, granter, ranges, epochs, signatures } of record.claims) {
      const by = granter === '.' ? record.peerId : granter
      this.#learn(
        ranges.map((range, i) => ({
          range,
          epoch: epochs[i]!,
          owner: owner || record.peerId,
          ...(by && { grant: { by, signature: signatures[i]! } })
        }))
      )
    }
  }

  #learn(claims: Claim[]): void {
    for (const claim of claims) {
      const known = this.claims.get(claim.range)
      if (known && (claim.epoch < known.epoch || (claim.epoch === known.epoch && claim.owner >= known.owner))) continue
      const { grant } = claim
      const isGranted =
        grant &&
        isSignedBy(grant.by, grantText(this.#clusterId, claim), grant.signature) &&
        (known?.epoch !== claim.epoch - 1 || known.owner === grant.by)
      if (claim.epoch > 1 && !isGranted) this.forged.push(`range ${claim.range}`)
      else this.claims.set(claim.range, claim)
    }
  }

  // ---- what others ask

  async #answer(frame: Frame): Promise<[string, object]> {
    const content = frame[frame.body!] as {
      ranges: number[]
      sources: string[]
      claims: Claim[]
      range: number
      key: Uint8Array
      state: Uint8Array
    }
    switch (frame.body) {
      case 'claims':
        this.#learn(content.claims)
        return ['ok', {}]
      case 'copies':
        return [
          'copyList',
          {
            copies: content.ranges.map(range => ({
              range,
              status: this.#synced.has(range) ? SYNCED : this.copies.has(range) ? 1 : 0
            }))
          }
        ]
      case 'pull':
        return ['pulled', { synced: await this.#pull(content.ranges) }]
      case 'read': {
        const state = this.copies.get(content.range)?.get(hexOf(content.key))
        return ['state', { ...(state && { state }), synced: this.#synced.has(content.range) }]
      }
      case 'merge':
        this.#merge(content.range, content.key, content.state)
        return ['merged', { synced: this.#synced.has(content.range) }]
      case 'reap':
        // It keeps no clocks.
        return ['reapable', {}]
      default:
        throw new Error(`${frame.body} is not served here`)
    }
  }

  /** There is one other node in our small world: the source. */
  async #pull(ranges: number[]): Promise<number[]> {
    for (const range of ranges) if (!this.copies.has(range)) this.copies.set(range, new Map())
    const { started, absent } = await this.kv.request<{ started: number[]; absent: number[] }>(
      'mirror',
      { ranges },
      'mirrored'
    )
    for (const range of [...started, ...absent]) this.#synced.delete(range)
    const { statuses } = await this.compare(ranges.filter(range => !this.#synced.has(range)))
    for (const [range, { status }] of statuses) if (status === SYNCED) this.#synced.add(range)
    return ranges.filter(range => this.#synced.has(range))
  }

  #merge(range: number, key: Uint8Array, state: Uint8Array): void {
    if (rangeOf(key, this.params.q) !== range) throw new Error('a key of another range')
    const copy = this.copies.get(range) ?? new Map<string, Uint8Array>()
    this.copies.set(range, copy)
    const known = copy.get(hexOf(key))
    copy.set(hexOf(key), known ? encodeState(merge(decodeState(known), decodeState(state), Date.now())) : state)
  }

  // ---- the compare session

  entriesOf(range: number): Entry[] {
    return [...(this.copies.get(range) ?? [])].map(([key, state]) => ({
      ...positionOf(Buffer.from(key, 'hex')),
      tag: tagOf(decodeState(state))
    }))
  }

  async compare(ranges: number[]): Promise<Session> {
    const stream = new Messages(await this.#connection.newStream('/coterie/sync/1'))
    const session: Session = { statuses: new Map(), received: 0, sent: 0 }
    const send = (message: object) => stream.send(syncCodec.encode(message))
    send({ open: { ranges: ranges.map(range => ({ range, ...totalOf(this.entriesOf(range)) })) } })
    let piece: Uint8Array[] = []
    for (let bytes = await stream.receive(); bytes; bytes = await stream.receive()) {
      const { body, status, states, want } = syncCodec.decode(bytes)
      if (status) this.#onStatus(status, session, send)
      else if (body === 'endOfStatus') send({ endOfEntries: {} })
      else if (states) {
        for (const { key, state, more } of states.items) {
          piece.push(state)
          if (more) continue
          this.#merge(states.range, key, Buffer.concat(piece))
          piece = []
          session.received++
        }
      } else if (want) session.sent += this.#sendStates(want, send)
      else if (body === 'endOfStates') send({ finish: {} })
      else if (body === 'done') await stream.end()
    }
    return session
  }

  #onStatus(
    { range, status, keys, buckets }: NonNullable<SyncMessage['status']>,
    session: Session,
    send: (message: object) => void
  ): void {
    session.statuses.set(range, { status, keys, differs: buckets.length > 0 })
    if (buckets.length === 0) return
    const entries = this.entriesOf(range)
    const [ours, theirs] = [sumsOf(entries), unpacked(buckets)]
    const differing = [...new Set([...ours.keys()].filter(word => ours[word] !== theirs[word]).map(word => word >> 1))]
    const named = entries.filter(({ lo }) => differing.includes(lo & 1023))
    send({ entries: { range, buckets: differing, entries: packed(named.flatMap(({ hi, lo, tag }) => [hi, lo, tag])) } })
  }

  #sendStates({ range, positions }: { range: number; positions: Uint8Array }, send: (message: object) => void): number {
    const words = unpacked(positions)
    const wanted = new Set(words.flatMap((hi, i) => (i % 2 === 0 ? `${hi}:${words[i + 1]}` : [])))
    const items = [...this.copies.get(range)!].filter(([key]) => {
      const { hi, lo } = positionOf(Buffer.from(key, 'hex'))
      return wanted.has(`${hi}:${lo}`)
    })
    send({ states: { range, items: items.map(([key, state]) => ({ key: Buffer.from(key, 'hex'), state })) } })
    return items.length
  }
}

/** Each entry is a prefix and three varints. */
function prefixesIn(entries: Uint8Array): Uint8Array[] {
  const prefixes: Uint8Array[] = []
  let at = 0
  while (at < entries.length) {
    prefixes.push(entries.slice(at, at + 8))
    at += 8
    for (let varints = 0; varints < 3; at++) if (entries[at]! < 128) varints++
  }
  return prefixes
}
