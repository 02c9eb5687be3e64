/**
 * The rules of docs/protocol.md as somebody else would write them down: nothing here imports from `src`. What the page
 * leaves open cannot be written here, which is the point.
 */
import { createHash, createHmac, createPublicKey, verify } from 'node:crypto'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import protobuf from 'protobufjs'

const WIRE = join(import.meta.dirname, '..', '..', '..', 'src', 'wire')
const root = protobuf.loadSync(['hello', 'gossip', 'kv', 'state', 'sync'].map(name => join(WIRE, `${name}.proto`)))

/** One message type of the schemas, to and from plain objects: numbers for u64, all fields present but absent optionals. */
export function codec<T>(name: string): { encode: (message: object) => Uint8Array; decode: (bytes: Uint8Array) => T } {
  const type = root.lookupType(`coterie.${name}`)
  return {
    encode: message => type.encode(type.fromObject(message)).finish(),
    decode: bytes => type.toObject(type.decode(bytes), { longs: Number, defaults: true, oneofs: true }) as T
  }
}

const text = (value: string) => new TextEncoder().encode(value)
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest()

// ---- 2. framing

export function framed(message: Uint8Array): Uint8Array {
  const prefix: number[] = []
  let rest = message.length
  for (; rest > 127; rest >>>= 7) prefix.push((rest & 127) | 128)
  return Buffer.concat([Uint8Array.of(...prefix, rest), message])
}

/** The first message in `bytes` and what follows it; undefined when it is not complete. */
export function unframed(bytes: Uint8Array): { message: Uint8Array; rest: Uint8Array } | undefined {
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    length += (bytes[at]! & 127) * 2 ** (7 * at)
    if (bytes[at]! > 127) continue
    const end = at + 1 + length
    return end > bytes.length ? undefined : { message: bytes.slice(at + 1, end), rest: bytes.subarray(end) }
  }
  return undefined
}

// ---- 3. hello

export interface HelloExchange {
  initiator: string
  acceptor: string
  initiatorHello: Uint8Array
  acceptorHello: Uint8Array
}

export function proofOf(secret: Uint8Array, side: 'initiator' | 'acceptor', exchange: HelloExchange): Uint8Array {
  const { initiator, acceptor, initiatorHello, acceptorHello } = exchange
  const hmac = createHmac('sha256', secret)
  for (const part of [
    text('coterie-hello-1'),
    text(side),
    text(initiator),
    text(acceptor),
    initiatorHello,
    acceptorHello
  ]) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(part.length)
    hmac.update(length).update(part)
  }
  return hmac.digest()
}

// ---- signatures

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const ED25519_SPKI = '302a300506032b6570032100'

export function isSignedBy(peerId: string, message: Uint8Array | string, signature: Uint8Array): boolean {
  let number = 0n
  for (const letter of peerId) number = number * 58n + BigInt(ALPHABET.indexOf(letter))
  // The leading zero byte of the identity multihash is a leading 1 of base58, and no digit of the number.
  const hex = number.toString(16).padStart(74, '0')
  if (!hex.startsWith('2408011220', hex.length - 74)) return false
  const key = createPublicKey({ key: Buffer.from(ED25519_SPKI + hex.slice(-64), 'hex'), format: 'der', type: 'spki' })
  return verify(null, typeof message === 'string' ? text(message) : message, key, signature)
}

export const recordMessage = (clusterId: string, body: Uint8Array) =>
  Buffer.concat([text(`coterie-member-1|${clusterId}|`), body])
export const prefixOf = (peerId: string) => sha256(peerId).subarray(0, 8)

// ---- 6. the ring

export interface Claim {
  range: number
  epoch: number
  owner: string
  grant?: { by: string; signature: Uint8Array }
}

export const positionOf = (key: Uint8Array) => ({ hi: sha256(key).readUInt32BE(0), lo: sha256(key).readUInt32BE(4) })
export const rangeOf = (key: Uint8Array, q: number) =>
  Number(sha256(key).readBigUInt64BE(0) >> BigInt(64 - Math.log2(q)))
export const grantText = (clusterId: string, { range, epoch, owner }: Claim) =>
  `coterie-grant-1|${clusterId}|${range}|${epoch}|${owner}`

export function preferenceList(
  owners: string[],
  range: number,
  n: number,
  zoneOf: (owner: string) => string
): string[] {
  const size = Math.min(n, new Set(owners).size)
  const zones = Math.min(n, new Set(owners.map(zoneOf)).size)
  const near: string[] = []
  const picked: string[] = []
  for (let step = 0; near.length < size || picked.length < zones; step++) {
    const owner = owners[(range + step) % owners.length]!
    if (near.length < size && !near.includes(owner)) near.push(owner)
    if (picked.length < zones && !picked.some(other => zoneOf(other) === zoneOf(owner))) picked.push(owner)
  }
  for (const owner of near) if (picked.length < size && !picked.includes(owner)) picked.push(owner)
  return picked
}

// ---- 7. key states

export interface Dot {
  actor: Uint8Array
  counter: number
}
export interface State {
  context: { vector: Dot[]; cloud: Dot[] }
  siblings: { dot: Dot; value?: Uint8Array; writeId: Uint8Array; expiresAtMs: number; writtenAtMs?: number }[]
  replaced: { writeId: Uint8Array; dot: Dot; atMs: number }[]
}

const stateCodec = codec<State>('state.KeyState')
export const decodeState = stateCodec.decode

/** protobufjs writes zeros that are there, so they must not be. */
export function encodeState({ context, siblings, replaced }: State): Uint8Array {
  return stateCodec.encode({
    context,
    siblings: siblings.map(({ expiresAtMs, writtenAtMs, ...rest }) => ({
      ...rest,
      ...(expiresAtMs > 0 && { expiresAtMs }),
      ...(writtenAtMs && { writtenAtMs })
    })),
    replaced: replaced.map(({ atMs, ...rest }) => (atMs === 0 ? rest : { ...rest, atMs }))
  })
}

export const tagOf = (state: State) => {
  const lasts = state.siblings.some(({ value, expiresAtMs }) => value !== undefined && !expiresAtMs)
  const checksum = crc32(encodeState({ ...state, replaced: [] }))
  return (lasts ? checksum & ~1 : checksum | 1) >>> 0
}

const RETRY_WINDOW_MS = 60_000
const compareDots = (a: Dot, b: Dot) => Buffer.compare(a.actor, b.actor) || a.counter - b.counter
const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0

function holds({ vector, cloud }: State['context'], dot: Dot): boolean {
  return (
    vector.some(({ actor, counter }) => sameBytes(actor, dot.actor) && dot.counter <= counter) ||
    cloud.some(other => compareDots(other, dot) === 0)
  )
}

function union(a: State['context'], b: State['context']): State['context'] {
  const reach = new Map<string, number>()
  const hex = (dot: Dot) => Buffer.from(dot.actor).toString('hex')
  for (const dot of [...a.vector, ...b.vector]) reach.set(hex(dot), Math.max(dot.counter, reach.get(hex(dot)) ?? 0))
  const cloud: Dot[] = []
  for (const dot of [...a.cloud, ...b.cloud].sort(compareDots)) {
    const known = reach.get(hex(dot)) ?? 0
    if (dot.counter === known + 1) reach.set(hex(dot), dot.counter)
    else if (dot.counter > known && !cloud.some(other => compareDots(other, dot) === 0)) cloud.push(dot)
  }
  const vector = [...reach].map(([actor, counter]) => ({ actor: Buffer.from(actor, 'hex'), counter })).sort(compareDots)
  return { vector, cloud }
}

export function merge(a: State, b: State, nowMs: number): State {
  const replaced = new Map<string, State['replaced'][number]>()
  const note = (entry: State['replaced'][number]) => {
    const id = Buffer.from(entry.writeId).toString('hex')
    const { dot, atMs } = replaced.get(id) ?? entry
    replaced.set(id, {
      writeId: entry.writeId,
      dot: compareDots(entry.dot, dot) < 0 ? entry.dot : dot,
      atMs: Math.max(atMs, entry.atMs)
    })
  }
  for (const entry of [...a.replaced, ...b.replaced]) if (nowMs - entry.atMs <= RETRY_WINDOW_MS) note(entry)
  const drop = ({ writeId, dot }: State['siblings'][number]) => note({ writeId, dot, atMs: nowMs })
  const has = (state: State, dot: Dot) => state.siblings.some(other => compareDots(other.dot, dot) === 0)
  const kept = a.siblings.filter(({ dot }) => has(b, dot))
  for (const [mine, other] of [
    [a, b],
    [b, a]
  ] as const) {
    for (const sibling of mine.siblings.filter(({ dot }) => !has(other, dot))) {
      if (holds(other.context, sibling.dot)) drop(sibling)
      else kept.push(sibling)
    }
  }
  const retried = kept.filter(({ writeId }) => replaced.has(Buffer.from(writeId).toString('hex')))
  for (const sibling of retried) drop(sibling)
  const newest = [...replaced.values()]
    .sort((x, y) => y.atMs - x.atMs || Buffer.compare(x.writeId, y.writeId))
    .slice(0, 64)
  return {
    context: union(a.context, b.context),
    siblings: kept.filter(sibling => !retried.includes(sibling)).sort((x, y) => compareDots(x.dot, y.dot)),
    replaced: newest.sort((x, y) => Buffer.compare(x.writeId, y.writeId))
  }
}

// ---- 8. bucket sums

export interface Entry {
  hi: number
  lo: number
  tag: number
}

const BUCKETS = 1024

function mix(word: number): number {
  let h = word
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The sums of a whole copy: 2,048 words. */
export function sumsOf(entries: Entry[]): Uint32Array {
  const words = new Uint32Array(2 * BUCKETS)
  for (const { hi, lo, tag } of entries) {
    const at = 2 * (lo & (BUCKETS - 1))
    const first = mix(hi ^ mix(lo ^ mix(tag)))
    words[at]! += first
    words[at + 1]! += mix(first ^ lo ^ tag)
  }
  return words
}

export function totalOf(entries: Entry[]): { hi: number; lo: number } {
  const words = sumsOf(entries)
  let hi = entries.length
  let lo = 0
  for (let at = 0; at < words.length; at += 2) {
    hi = mix(hi ^ words[at]!)
    lo = mix(lo ^ words[at + 1]! ^ hi)
  }
  return { hi, lo }
}

/** Little-endian words, as they travel. */
export function packed(words: Iterable<number>): Uint8Array {
  const list = [...words]
  const bytes = Buffer.alloc(4 * list.length)
  for (const [i, word] of list.entries()) bytes.writeUInt32LE(word, 4 * i)
  return bytes
}

export function unpacked(bytes: Uint8Array): number[] {
  const buffer = Buffer.from(bytes)
  return Array.from({ length: buffer.length / 4 }, (_, i) => buffer.readUInt32LE(4 * i))
}
