/**
 * The messages of one gossip exchange and their bytes (`wire/gossip.proto`): a digest of versions, the delta that answers
 * it, and records. Sizes are known before anything is encoded, so that a message can be filled up to its cap.
 */
import type { SignedRecord } from './member-record.ts'
import {
  finish,
  garbled,
  newWriter,
  type Reader,
  readMessage,
  readSafe,
  readSequence,
  readWord,
  tagOf,
  type Writer,
  writeWord
} from './proto.ts'

/** First 8 bytes of SHA-256(peer id), little-endian. */
export type Prefix = bigint
export const LAST_PREFIX: Prefix = 2n ** 64n - 1n

export interface DigestEntry {
  prefix: Prefix
  incarnation: number
  seq: number
  pulse: number
}
export interface Digest {
  /** All that the sender knows from `from` to `to`, both included, is among the entries. */
  from: Prefix
  to: Prefix
  entries: DigestEntry[]
}
export type Pulse = Omit<DigestEntry, 'seq'>

export type GossipMessage =
  | ({ type: 'digest' } & Digest)
  | { type: 'delta'; records: SignedRecord[]; pulses: Pulse[]; wants: Prefix[] }
  | { type: 'records'; records: SignedRecord[] }

/** A message is at most this long, unless one record alone is longer: what a round costs stays small (design §5). */
export const MAX_GOSSIP_BYTES = 64 * 1024
export const PREFIX_BYTES = 8
/** Around the entries of a digest: the kind, `from`, `to` and the length of the entries. */
export const DIGEST_OVERHEAD = 32
/** Around a record in a message: tags and lengths of the record, its body and its signature, and the removal mark. */
const RECORD_OVERHEAD = 16
/** A smallest entry is 11 bytes, a smallest record 4: no honest message holds more of either. */
const MAX_ENTRIES = MAX_GOSSIP_BYTES / (PREFIX_BYTES + 2)
const MAX_RECORDS = 4096

export function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest /= 128) bytes++
  return bytes
}

export const entryBytes = (entry: DigestEntry): number =>
  PREFIX_BYTES + varintBytes(entry.incarnation) + varintBytes(entry.seq) + varintBytes(entry.pulse)

export const pulseBytes = (pulse: Pulse): number =>
  PREFIX_BYTES + varintBytes(pulse.incarnation) + varintBytes(pulse.pulse)

export const recordBytes = (signed: SignedRecord): number =>
  RECORD_OVERHEAD + signed.body.length + signed.signature.length

/** Cuts records into messages of at most `cap` bytes, each with at least one; the first has `firstCap` bytes of room. */
export function packRecords(records: SignedRecord[], firstCap: number, cap: number): SignedRecord[][] {
  const packs: SignedRecord[][] = [[]]
  let room = firstCap
  for (const signed of records) {
    const bytes = recordBytes(signed)
    // The first pack shares its message with other things and may stay empty; later ones are made for their record.
    if (bytes > room) {
      packs.push([])
      room = cap
    }
    packs.at(-1)!.push(signed)
    room -= bytes
  }
  return packs
}

export function encodeGossip(message: GossipMessage): Uint8Array {
  const w = newWriter()
  if (message.type === 'digest') {
    w.uint32(tagOf.bytes(1)).fork().uint32(tagOf.fixed64(1))
    writeWord(w, message.from)
    w.uint32(tagOf.fixed64(2))
    writeWord(w, message.to)
    w.uint32(tagOf.bytes(3)).fork()
    for (const { prefix, incarnation, seq, pulse } of message.entries) {
      writeWord(w, prefix)
      w.uint64(incarnation).uint64(seq).uint64(pulse)
    }
    w.ldelim().ldelim()
  } else if (message.type === 'delta') {
    w.uint32(tagOf.bytes(2)).fork()
    writeRecords(w, message.records)
    w.uint32(tagOf.bytes(2)).fork()
    for (const { prefix, incarnation, pulse } of message.pulses) {
      writeWord(w, prefix)
      w.uint64(incarnation).uint64(pulse)
    }
    w.ldelim().uint32(tagOf.bytes(3)).fork()
    for (const prefix of message.wants) writeWord(w, prefix)
    w.ldelim().ldelim()
  } else {
    w.uint32(tagOf.bytes(3)).fork()
    writeRecords(w, message.records)
    w.ldelim()
  }
  return finish(w)
}

function writeRecords(w: Writer, records: SignedRecord[]): void {
  for (const { body, signature, removal } of records) {
    w.uint32(tagOf.bytes(1)).fork().uint32(tagOf.bytes(1)).bytes(body).uint32(tagOf.bytes(2)).bytes(signature)
    if (removal) w.uint32(tagOf.varint(3)).bool(true)
    w.ldelim()
  }
}

/** Records are views into `bytes`. Throws `protocol` for anything but one message within the bounds. */
export function decodeGossip(bytes: Uint8Array): GossipMessage {
  let message: GossipMessage | undefined
  readMessage(bytes, (tag, reader) => {
    if (tag === tagOf.bytes(1)) message = readDigest(reader.bytes())
    else if (tag === tagOf.bytes(2)) message = readDelta(reader.bytes())
    else if (tag === tagOf.bytes(3)) message = readRecords(reader.bytes())
    else return false
    return true
  })
  return message ?? garbled('a message of no known kind')
}

function readDigest(bytes: Uint8Array): GossipMessage {
  const digest: GossipMessage & { type: 'digest' } = { type: 'digest', from: 0n, to: 0n, entries: [] }
  readMessage(bytes, (tag, reader) => {
    if (tag === tagOf.fixed64(1)) digest.from = readWord(reader)
    else if (tag === tagOf.fixed64(2)) digest.to = readWord(reader)
    else if (tag === tagOf.bytes(3)) {
      readSequence(reader.bytes(), items => {
        if (digest.entries.length >= MAX_ENTRIES) garbled('a digest with too many entries')
        const prefix = readWord(items)
        digest.entries.push({ prefix, incarnation: readSafe(items), seq: readSafe(items), pulse: readSafe(items) })
      })
    } else return false
    return true
  })
  return digest
}

function readDelta(bytes: Uint8Array): GossipMessage {
  const delta: GossipMessage & { type: 'delta' } = { type: 'delta', records: [], pulses: [], wants: [] }
  readMessage(bytes, (tag, reader) => {
    if (tag === tagOf.bytes(1)) addRecord(delta.records, reader)
    else if (tag === tagOf.bytes(2)) {
      readSequence(reader.bytes(), items => {
        if (delta.pulses.length >= MAX_ENTRIES) garbled('a delta with too many pulses')
        const prefix = readWord(items)
        delta.pulses.push({ prefix, incarnation: readSafe(items), pulse: readSafe(items) })
      })
    } else if (tag === tagOf.bytes(3)) {
      readSequence(reader.bytes(), items => {
        if (delta.wants.length >= MAX_ENTRIES) garbled('a delta with too many wants')
        delta.wants.push(readWord(items))
      })
    } else return false
    return true
  })
  return delta
}

function readRecords(bytes: Uint8Array): GossipMessage {
  const records: SignedRecord[] = []
  readMessage(bytes, (tag, reader) => {
    if (tag !== tagOf.bytes(1)) return false
    addRecord(records, reader)
    return true
  })
  return { type: 'records', records }
}

function addRecord(into: SignedRecord[], reader: Reader): void {
  if (into.length >= MAX_RECORDS) garbled('too many records')
  const signed: SignedRecord = { body: new Uint8Array(0), signature: new Uint8Array(0) }
  readMessage(reader.bytes(), (tag, fields) => {
    if (tag === tagOf.bytes(1)) signed.body = fields.bytes()
    else if (tag === tagOf.bytes(2)) signed.signature = fields.bytes()
    else if (tag === tagOf.varint(3)) signed.removal = fields.bool()
    else return false
    return true
  })
  into.push(signed)
}
