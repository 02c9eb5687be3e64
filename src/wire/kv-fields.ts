/** The pieces that kv messages share: field writers that leave out proto3 defaults, and field readers that check. */
import type protobuf from 'protobufjs/minimal.js'
import type { Claim } from '../claim.ts'
import { LIMITS, MAX_RANGES } from '../config.ts'
import { CoterieError } from '../errors.ts'
import type { Level } from '../messages.ts'

export type Writer = protobuf.Writer
export type Reader = protobuf.Reader

/**
 * What a message may hold. Replication is exempt from the limits on siblings and state (design §7), and the sides of a
 * partition may each have filled a key: what a range file holds of one key travels.
 */
export const WIRE_LIMITS = {
  maxStateBytes: LIMITS.maxMergedBytes,
  maxContextBytes: LIMITS.maxValueBytes,
  maxSiblings: 100 * LIMITS.maxSiblings,
  maxKeys: 65_536,
  maxNameBytes: 128,
  maxSources: 1024,
  maxTombstones: 1024,
  maxSignatureBytes: 128,
  maxErrorBytes: 4096
} as const

const VARINT = 0
const DELIMITED = 2
const FIXED32 = 5
const LEVEL_NAMES = ['default', 'quorum', 'all'] as const

export const EMPTY: Uint8Array = new Uint8Array(0)

export const malformed = (what: string) => new CoterieError('protocol', `malformed message: ${what}`)

// ---- writing

export function putNumber(w: Writer, field: number, value: number): void {
  if (value !== 0) w.uint32((field << 3) | VARINT).uint64(value)
}

export function putFlag(w: Writer, field: number, value: boolean): void {
  if (value) w.uint32((field << 3) | VARINT).bool(true)
}

export function putBytes(w: Writer, field: number, value: Uint8Array): void {
  if (value.length > 0) w.uint32((field << 3) | DELIMITED).bytes(value)
}

export function putFixed32(w: Writer, field: number, value: number): void {
  if (value !== 0) w.uint32((field << 3) | FIXED32).fixed32(value)
}

/** A field with presence: written even when empty. */
export function putOptional(w: Writer, field: number, value: Uint8Array | undefined): void {
  if (value !== undefined) w.uint32((field << 3) | DELIMITED).bytes(value)
}

export function putText(w: Writer, field: number, value: string): void {
  if (value !== '') w.uint32((field << 3) | DELIMITED).string(value)
}

export function putMessage<T>(w: Writer, field: number, value: T, write: (w: Writer, value: T) => void): void {
  w.uint32((field << 3) | DELIMITED).fork()
  write(w, value)
  w.ldelim()
}

/** Packed, as proto3 does by default. */
export function putRanges(w: Writer, field: number, ranges: readonly number[]): void {
  if (ranges.length === 0) return
  w.uint32((field << 3) | DELIMITED).fork()
  for (const range of ranges) w.uint32(range)
  w.ldelim()
}

export function putLevel(w: Writer, field: number, level: Level): void {
  if (typeof level === 'number' && !(Number.isInteger(level) && level > 0)) {
    throw new CoterieError('bad-usage', `a level of ${level}; it takes a number above 0, "quorum", "all" or "default"`)
  }
  const value = typeof level === 'number' ? level : -LEVEL_NAMES.indexOf(level)
  if (value !== 0) w.uint32((field << 3) | VARINT).int32(value)
}

export function putClaims(w: Writer, field: number, claims: readonly Claim[]): void {
  for (const claim of claims) putMessage(w, field, claim, writeClaim)
}

function writeClaim(w: Writer, claim: Claim): void {
  putNumber(w, 1, claim.range)
  putNumber(w, 2, claim.epoch)
  putText(w, 3, claim.owner)
  if (claim.grant) {
    putMessage(w, 4, claim.grant, (w, grant) => {
      putText(w, 1, grant.by)
      putBytes(w, 2, grant.signature)
    })
  }
}

// ---- reading

/** Hands every field of the message that ends at `end` to `take`; one that `take` does not know (false) is skipped. */
export function eachField(r: Reader, end: number, take: (field: number) => boolean): void {
  while (r.pos < end) {
    const tag = r.tag()
    if (!take(tag >>> 3)) r.skipType(tag & 7, 0, tag >>> 3)
  }
  if (r.pos !== end) throw malformed('a field reaches past the end of its message')
}

/** Reads a length and gives the position where the nested message ends. */
export function nestedEnd(r: Reader): number {
  const length = r.uint32()
  const end = r.pos + length
  if (end > r.len) throw malformed('a nested message is cut short')
  return end
}

export function readNumber(r: Reader): number {
  const value = r.uint64() as unknown as number | { toNumber(): number }
  const number = typeof value === 'number' ? value : value.toNumber()
  if (!Number.isSafeInteger(number)) throw malformed('a number over 2^53')
  return number
}

export function readBytes(r: Reader, most: number, what: string): Uint8Array {
  const bytes = r.bytes()
  if (bytes.length > most) throw malformed(`${what} of ${bytes.length} bytes; at most ${most} are taken`)
  return bytes
}

export function readText(r: Reader, most: number, what: string): string {
  const start = r.pos
  const text = r.string()
  if (r.pos - start > most + 5) throw malformed(`${what} of over ${most} bytes`)
  return text
}

export const readKey = (r: Reader) => readBytes(r, LIMITS.maxKeyBytes, 'a key')
export const readName = (r: Reader) => readText(r, WIRE_LIMITS.maxNameBytes, 'a peer id')
export const readState = (r: Reader) => readBytes(r, WIRE_LIMITS.maxStateBytes, 'a key state')
export const readContext = (r: Reader) => readBytes(r, WIRE_LIMITS.maxContextBytes, 'a context')

export function needKey(key: Uint8Array): void {
  if (key.length === 0) throw malformed('an empty key')
}

export function readRange(r: Reader): number {
  const range = r.uint32()
  if (range >= MAX_RANGES) throw malformed(`range ${range}; there are at most ${MAX_RANGES}`)
  return range
}

/** One packed block of a repeated range field, or none of it when it is longer than there can be ranges. */
export function readRanges(r: Reader, into: number[]): void {
  const end = nestedEnd(r)
  while (r.pos < end) append(into, readRange(r), MAX_RANGES, 'ranges')
  if (r.pos !== end) throw malformed('a list of ranges is cut short')
}

export function readLevel(r: Reader): Level {
  const value = r.int32()
  if (value > 0) return value
  const name = LEVEL_NAMES[-value]
  if (name === undefined) throw malformed(`level ${value}`)
  return name
}

export function readClaim(r: Reader): Claim {
  const claim: Claim = { range: 0, epoch: 0, owner: '' }
  eachField(r, nestedEnd(r), field => {
    if (field === 1) claim.range = readRange(r)
    else if (field === 2) claim.epoch = readNumber(r)
    else if (field === 3) claim.owner = readName(r)
    else if (field === 4) claim.grant = readGrant(r)
    else return false
    return true
  })
  return claim
}

function readGrant(r: Reader): NonNullable<Claim['grant']> {
  const grant: NonNullable<Claim['grant']> = { by: '', signature: EMPTY }
  eachField(r, nestedEnd(r), field => {
    if (field === 1) grant.by = readName(r)
    else if (field === 2) grant.signature = readBytes(r, WIRE_LIMITS.maxSignatureBytes, 'a signature')
    else return false
    return true
  })
  return grant
}

/** Appends to a repeated field, which holds at most `most`. */
export function append<T>(list: T[], item: T, most: number, what: string): void {
  if (list.length >= most) throw malformed(`more than ${most} ${what}`)
  list.push(item)
}
