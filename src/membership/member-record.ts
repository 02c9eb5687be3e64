/**
 * A member record: what one node says about itself, signed by its own key and gossiped (design §5). The bytes are proto3
 * (`wire/gossip.proto`); signed bytes travel as they are, so that fields of a later version survive nodes of this one.
 *
 * @example
 *   const signed = signRecord(record, clusterId, signer)
 *   const opened = openRecord(signed, clusterId, signer)
 *   if (opened.ok) opened.record.addresses
 */
import type { Claim } from '../claim.ts'
import { MAX_RANGES } from '../config.ts'
import { CoterieError } from '../errors.ts'
import type { Heat } from '../heat.ts'
import type { Signer } from '../ports.ts'
import { faultOfHeat, readHeat, writeHeat } from './heat-codec.ts'
import {
  finish,
  garbled,
  newWriter,
  type Reader,
  readMessage,
  readPacked,
  readSafe,
  tagOf,
  type Writer
} from './proto.ts'

export const STATUSES = ['joining', 'up', 'leaving', 'left'] as const
export type MemberStatus = (typeof STATUSES)[number]

export interface MemberLoad {
  keys: number
  bytes: number
  opsPerSecond: number
  /** Absent: little work, or a node of an earlier version. */
  heat?: Heat
}

export interface MemberRecord {
  peerId: string
  incarnation: number
  seq: number
  /** 16 hex digits, random, new with every start of the process. */
  instanceId: string
  status: MemberStatus
  /** Multiaddrs as text. */
  addresses: string[]
  zone: string
  capacity: number
  load: MemberLoad
  /** Own ranges with epoch and grant, and grants that this node issued and nobody has claimed yet; by range and epoch. */
  claims: Claim[]
  protocol: number
}

export interface SignedRecord {
  /** An encoded MemberRecord, or an encoded Removal when `removal` is set. */
  body: Uint8Array
  signature: Uint8Array
  removal?: boolean
}

export type RefusalReason = 'size' | 'garbled' | 'peer-id' | 'signature'

/** Version of these protocols that this code speaks. */
export const PROTOCOL_VERSION = 1
/** An owner of all 4,096 ranges, each with a grant (69 bytes), takes 283 KiB. */
export const MAX_RECORD_BYTES = 512 * 1024
export const MAX_ADDRESSES = 16
export const MAX_ADDRESS_BYTES = 256
export const MAX_ZONE_BYTES = 64
/** All ranges of the largest cluster, and half as many grants on their way. */
export const MAX_CLAIMS = MAX_RANGES * 1.5
export const MAX_SIGNATURE_BYTES = 128
/** The greatest safe integer is the incarnation of removals. */
export const MAX_INCARNATION = Number.MAX_SAFE_INTEGER - 1

/** Real ids are base58; any short printable text will do here, because the signature decides. */
const PEER_ID = /^[\x21-\x7e]{1,128}$/
const encoder = new TextEncoder()

export const isPeerId = (text: string): boolean => PEER_ID.test(text)

/** The bytes that a signature covers. `domain`: `coterie-member-1` or `coterie-removal-1`. */
export function signedBytes(domain: string, clusterId: string, body: Uint8Array): Uint8Array {
  const prefix = encoder.encode(`${domain}|${clusterId}|`)
  const bytes = new Uint8Array(prefix.length + body.length)
  bytes.set(prefix)
  bytes.set(body, prefix.length)
  return bytes
}

const MEMBER_DOMAIN = 'coterie-member-1'

/** Throws `too-large` for a record over MAX_RECORD_BYTES, `bad-config` for one out of its bounds (`checkRecord`). */
export function signRecord(record: MemberRecord, clusterId: string, signer: Signer): SignedRecord {
  const body = encodeRecord(checkRecord(record))
  if (body.length > MAX_RECORD_BYTES) {
    throw new CoterieError('too-large', `the member record is ${body.length} bytes; at most ${MAX_RECORD_BYTES} travel`)
  }
  return { body, signature: signer.sign(signedBytes(MEMBER_DOMAIN, clusterId, body)) }
}

export type Opened = { ok: true; record: MemberRecord } | { ok: false; reason: RefusalReason }

/** The record, if size, shape, peer id and signature are right. Never throws. */
export function openRecord(signed: SignedRecord, clusterId: string, signer: Pick<Signer, 'verify'>): Opened {
  const read = readRecord(signed)
  return read.ok && !verifyRecord(read.record, signed, clusterId, signer) ? { ok: false, reason: 'signature' } : read
}

/** As `openRecord`, but without looking at the signature: to learn cheaply that a record is old news. */
export function readRecord(signed: SignedRecord): Opened {
  if (signed.body.length > MAX_RECORD_BYTES || signed.signature.length > MAX_SIGNATURE_BYTES) {
    return { ok: false, reason: 'size' }
  }
  try {
    const record = decodeRecord(signed.body)
    return isPeerId(record.peerId) ? { ok: true, record } : { ok: false, reason: 'peer-id' }
  } catch {
    // Whatever is wrong with foreign bytes, the answer is the same, and the caller counts it.
    return { ok: false, reason: 'garbled' }
  }
}

export function verifyRecord(
  record: MemberRecord,
  signed: SignedRecord,
  clusterId: string,
  signer: Pick<Signer, 'verify'>
): boolean {
  return signer.verify(record.peerId, signedBytes(MEMBER_DOMAIN, clusterId, signed.body), signed.signature)
}

/** Throws `bad-config`, naming the field, for a record that others would refuse. */
export function checkRecord(record: MemberRecord): MemberRecord {
  const must = (holds: boolean, what: string) => {
    if (!holds) throw new CoterieError('bad-config', `member record of ${record.peerId}: ${what}`)
  }
  const whole = (value: number, most = MAX_INCARNATION) => Number.isSafeInteger(value) && value >= 0 && value <= most
  must(isPeerId(record.peerId), 'the peer id is no short printable text')
  must(whole(record.incarnation) && whole(record.seq), 'incarnation and seq take whole numbers')
  must(/^[0-9a-f]{16}$/.test(record.instanceId), 'the instance id is not 16 hex digits')
  must(STATUSES.includes(record.status), `status is "${record.status}"`)
  must(record.addresses.length <= MAX_ADDRESSES, `more than ${MAX_ADDRESSES} addresses`)
  must(
    record.addresses.every(text => encoder.encode(text).length <= MAX_ADDRESS_BYTES),
    `an address is over ${MAX_ADDRESS_BYTES} bytes`
  )
  must(encoder.encode(record.zone).length <= MAX_ZONE_BYTES, `the zone is over ${MAX_ZONE_BYTES} bytes`)
  must(Number.isFinite(record.capacity) && record.capacity > 0, 'the capacity is not above 0')
  const { keys, bytes, opsPerSecond, heat } = record.load
  must(whole(keys) && whole(bytes) && Number.isFinite(opsPerSecond) && opsPerSecond >= 0, 'the load is no count')
  const fault = heat && faultOfHeat(heat)
  must(fault === undefined, `the load: ${fault}`)
  must(record.claims.length <= MAX_CLAIMS, `more than ${MAX_CLAIMS} claims`)
  must(whole(record.protocol, 0xffff_ffff), 'the protocol version is no whole number')
  for (const claim of record.claims) {
    must(claim.range >= 0 && claim.range < MAX_RANGES && Number.isInteger(claim.range), `range ${claim.range}`)
    must(whole(claim.epoch) && isPeerId(claim.owner), `the claim of range ${claim.range}`)
    must(!claim.grant || isPeerId(claim.grant.by), `the grant of range ${claim.range}`)
    must(
      !claim.grant || (claim.grant.signature.length > 0 && claim.grant.signature.length <= MAX_SIGNATURE_BYTES),
      `the grant signature of range ${claim.range}`
    )
  }
  return record
}

/** Stands for the record's own peer as granter; no peer id is that short and bare. */
const SELF = '.'

export function encodeRecord(record: MemberRecord): Uint8Array {
  const w = newWriter()
  w.uint32(tagOf.bytes(1)).string(record.peerId)
  if (record.incarnation) w.uint32(tagOf.varint(2)).uint64(record.incarnation)
  if (record.seq) w.uint32(tagOf.varint(3)).uint64(record.seq)
  w.uint32(tagOf.bytes(4)).bytes(Uint8Array.from(record.instanceId.match(/../g)!, byte => Number.parseInt(byte, 16)))
  const status = STATUSES.indexOf(record.status)
  if (status) w.uint32(tagOf.varint(5)).uint32(status)
  for (const address of record.addresses) w.uint32(tagOf.bytes(6)).string(address)
  if (record.zone) w.uint32(tagOf.bytes(7)).string(record.zone)
  w.uint32(tagOf.fixed64(8)).double(record.capacity)
  const { keys, bytes, opsPerSecond, heat } = record.load
  w.uint32(tagOf.bytes(9)).fork()
  if (keys) w.uint32(tagOf.varint(1)).uint64(keys)
  if (bytes) w.uint32(tagOf.varint(2)).uint64(bytes)
  if (opsPerSecond) w.uint32(tagOf.fixed64(3)).double(opsPerSecond)
  if (heat) {
    w.uint32(tagOf.bytes(4)).fork()
    writeHeat(w, heat)
    w.ldelim()
  }
  w.ldelim()
  const sorted = record.claims.toSorted(byRangeAndEpoch)
  const groups = Map.groupBy(sorted, claim => `${claim.owner} ${claim.grant?.by ?? ''}`)
  for (const group of groups.values()) writeGroup(w, record.peerId, group)
  if (record.protocol) w.uint32(tagOf.varint(11)).uint32(record.protocol)
  return finish(w)
}

const byRangeAndEpoch = (a: Claim, b: Claim) => a.range - b.range || a.epoch - b.epoch

function writeGroup(w: Writer, peerId: string, claims: Claim[]): void {
  const { owner, grant } = claims[0]!
  w.uint32(tagOf.bytes(10)).fork()
  if (owner !== peerId) w.uint32(tagOf.bytes(1)).string(owner)
  if (grant) w.uint32(tagOf.bytes(2)).string(grant.by === peerId ? SELF : grant.by)
  w.uint32(tagOf.bytes(3)).fork()
  for (const claim of claims) w.uint32(claim.range)
  w.ldelim().uint32(tagOf.bytes(4)).fork()
  for (const claim of claims) w.uint64(claim.epoch)
  w.ldelim()
  if (grant) for (const claim of claims) w.uint32(tagOf.bytes(5)).bytes(claim.grant!.signature)
  w.ldelim()
}

/** Throws `protocol` or `bad-config` for bytes that are no record within its bounds. */
export function decodeRecord(body: Uint8Array): MemberRecord {
  const record: MemberRecord = {
    peerId: '',
    incarnation: 0,
    seq: 0,
    instanceId: '',
    status: 'joining',
    addresses: [],
    zone: '',
    capacity: 0,
    load: { keys: 0, bytes: 0, opsPerSecond: 0 },
    claims: [],
    protocol: 0
  }
  const groups: Uint8Array[] = []
  readMessage(body, (tag, reader) => readField(record, groups, tag, reader))
  // The peer id may come after the groups that leave it out.
  for (const group of groups) readGroup(group, record)
  record.claims.sort(byRangeAndEpoch)
  // An odd peer id is reported by its own reason (readRecord), not as garbled.
  if (isPeerId(record.peerId)) checkRecord(record)
  return record
}

function readField(record: MemberRecord, groups: Uint8Array[], tag: number, reader: Reader): boolean {
  if (tag === tagOf.bytes(1)) record.peerId = reader.string()
  else if (tag === tagOf.varint(2)) record.incarnation = readSafe(reader)
  else if (tag === tagOf.varint(3)) record.seq = readSafe(reader)
  else if (tag === tagOf.bytes(4)) {
    record.instanceId = Array.from(reader.bytes(), byte => byte.toString(16).padStart(2, '0')).join('')
  } else if (tag === tagOf.varint(5)) {
    record.status = STATUSES[reader.uint32()] ?? garbled('a status that this version does not know')
  } else if (tag === tagOf.bytes(6)) {
    if (record.addresses.length >= MAX_ADDRESSES) garbled('too many addresses')
    record.addresses.push(reader.string())
  } else if (tag === tagOf.bytes(7)) record.zone = reader.string()
  else if (tag === tagOf.fixed64(8)) record.capacity = reader.double()
  else if (tag === tagOf.bytes(9)) record.load = readLoad(reader.bytes())
  else if (tag === tagOf.bytes(10)) groups.push(reader.bytes())
  else if (tag === tagOf.varint(11)) record.protocol = reader.uint32()
  else return false
  return true
}

function readLoad(bytes: Uint8Array): MemberLoad {
  const load: MemberLoad = { keys: 0, bytes: 0, opsPerSecond: 0 }
  readMessage(bytes, (tag, reader) => {
    if (tag === tagOf.varint(1)) load.keys = readSafe(reader)
    else if (tag === tagOf.varint(2)) load.bytes = readSafe(reader)
    else if (tag === tagOf.fixed64(3)) load.opsPerSecond = reader.double()
    else if (tag === tagOf.bytes(4)) load.heat = readHeat(reader.bytes())
    else return false
    return true
  })
  return load
}

function readGroup(bytes: Uint8Array, record: MemberRecord): void {
  let owner = record.peerId
  let granter = ''
  const ranges: number[] = []
  const epochs: number[] = []
  const signatures: Uint8Array[] = []
  const room = MAX_CLAIMS - record.claims.length
  readMessage(bytes, (tag, reader) => {
    if (tag === tagOf.bytes(1)) owner = reader.string()
    else if (tag === tagOf.bytes(2)) granter = reader.string()
    else if (tag >>> 3 === 3) readPacked(tag, reader, ranges, room)
    else if (tag >>> 3 === 4) readPacked(tag, reader, epochs, room)
    else if (tag === tagOf.bytes(5)) {
      if (signatures.length >= room) garbled('too many signatures')
      // A copy: the view would keep the whole message in memory.
      signatures.push(new Uint8Array(reader.bytes()))
    } else return false
    return true
  })
  if (granter === SELF) granter = record.peerId
  if (epochs.length !== ranges.length || signatures.length !== (granter ? ranges.length : 0)) {
    garbled('a claim group whose lists differ in length')
  }
  ranges.forEach((range, i) => {
    const claim: Claim = { range, epoch: epochs[i]!, owner }
    if (granter) claim.grant = { by: granter, signature: signatures[i]! }
    record.claims.push(claim)
  })
}
