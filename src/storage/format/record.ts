/**
 * The bytes of a record of a range file: every width, mark and limit in one place, with the picture in
 * `docs/storage-format.md`. Pure: bytes in, values out. All numbers are little-endian. Records lie on an 8-byte grid, so
 * that offsets fit 32 bits (32 GiB a file). File id and own offset under the checksum expose misdirected writes.
 */
import { LIMITS } from '../../config.ts'
import { crcOf } from './crc.ts'

const RECORD_MARK = 0xc07e
/** The fixed part of a record; key, value and padding follow. */
export const RECORD_HEADER_BYTES = 44
/** The checksum stands first and covers all that follows, to the end of the key: one call over one piece. */
const CRC_FROM = 4
export const RECORD_ALIGN = 8
export const MAX_KEY_BYTES = LIMITS.maxKeyBytes
/** A value is an encoded key state; more is a defect or damage. */
export const MAX_VALUE_BYTES = LIMITS.maxMergedBytes
/** Offsets are kept in units of `RECORD_ALIGN`, in 32 bits. */
export const MAX_FILE_BYTES = 2 ** 32 * RECORD_ALIGN
/** Whole key always included: a head is what is read to learn a record's key. */
export const MAX_HEAD_BYTES = RECORD_HEADER_BYTES + MAX_KEY_BYTES

export const RECORD_TYPES = {
  /** The key's value from now on. */
  put: 1,
  /** The key has none from now on; no value follows. */
  remove: 2,
  /** No key, no value: all that was live in the file which this one continues stands in this one by now. */
  settled: 3
} as const
/** From here on a reader that does not know a type passes over it; one below that it does not know is damage to it. */
const FIRST_OPTIONAL_TYPE = 128

export const RECORD_FLAGS = {
  /** `previous` is an offset in an older file of the range. */
  previousInOlderFile: 1
} as const

export interface NewRecord {
  type: number
  flags: number
  key: Uint8Array
  value: Uint8Array
  hi: number
  lo: number
  /** The caller's, 32 bits. */
  tag: number
  /** Where it will lie, in bytes from the start of the file. */
  offset: number
  /** Offset of the record that this one replaces, in bytes; 0: none. */
  previous: number
}

export interface RecordHead {
  type: number
  flags: number
  keyLength: number
  valueLength: number
  offset: number
  previous: number
  tag: number
  hi: number
  lo: number
  valueCrc: number
}

export function align(bytes: number): number {
  return Math.ceil(bytes / RECORD_ALIGN) * RECORD_ALIGN
}

/** Bytes in the file of a record with this key and value, padding included. */
export function recordBytes(keyLength: number, valueLength: number): number {
  return align(RECORD_HEADER_BYTES + keyLength + valueLength)
}

/** True for a type that a reader may pass over without knowing it. */
export function isOptionalType(type: number): boolean {
  return type >= FIRST_OPTIONAL_TYPE
}

/** Writes header and key at `at`; returns where the value belongs. */
export function writeHead(bytes: Uint8Array, view: DataView, at: number, record: NewRecord, fileId32: number): number {
  const { key, value } = record
  const keyAt = at + RECORD_HEADER_BYTES
  const valueAt = keyAt + key.length
  view.setUint32(at + 4, RECORD_MARK | (record.type << 16) | (record.flags << 24), true)
  view.setUint32(at + 8, value.length, true)
  view.setUint32(at + 12, key.length, true)
  view.setUint32(at + 16, fileId32, true)
  view.setUint32(at + 20, record.offset / RECORD_ALIGN, true)
  view.setUint32(at + 24, record.previous / RECORD_ALIGN, true)
  view.setUint32(at + 28, record.tag, true)
  view.setUint32(at + 32, record.hi, true)
  view.setUint32(at + 36, record.lo, true)
  view.setUint32(at + 40, crcOf(value), true)
  bytes.set(key, keyAt)
  view.setUint32(at, crcOf(bytes, at + CRC_FROM, valueAt), true)
  return valueAt
}

/** Writes the whole record at `at`, padding included; returns where the next one belongs. */
export function writeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  record: NewRecord,
  fileId32: number
): number {
  const valueAt = writeHead(bytes, view, at, record, fileId32)
  bytes.set(record.value, valueAt)
  const end = valueAt + record.value.length
  const next = at + recordBytes(record.key.length, record.value.length)
  for (let i = end; i < next; i++) bytes[i] = 0
  return next
}

/** Of a head of which not all bytes are there; there may be more to come. */
export const KEY_CUT_SHORT = 'the key is cut short'

/** The head alone, of a record that must lie at file offset `offset`; or in words why these bytes are none. */
export function decodeHead(bytes: Uint8Array, offset: number, fileId32: number): RecordHead | string {
  return decodeHeadAt(viewOf(bytes), bytes, 0, offset, fileId32)
}

/** The same, of the bytes from `at` on: `view` is of all of them, made once for many records. */
export function decodeHeadAt(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  offset: number,
  fileId32: number
): RecordHead | string {
  if (bytes.length - at < RECORD_HEADER_BYTES) return 'the record header is cut short'
  if (view.getUint16(at + 4, true) !== RECORD_MARK) return 'no record starts here'
  const keyLength = view.getUint16(at + 12, true)
  const valueLength = view.getUint32(at + 8, true)
  if (keyLength > MAX_KEY_BYTES || valueLength > MAX_VALUE_BYTES) {
    return `absurd lengths (key ${keyLength}, value ${valueLength} bytes)`
  }
  const end = at + RECORD_HEADER_BYTES + keyLength
  if (bytes.length < end) return KEY_CUT_SHORT
  if (view.getUint32(at, true) !== crcOf(bytes, at + CRC_FROM, end)) {
    return 'the checksum of the record header and key does not match'
  }
  if (view.getUint32(at + 16, true) !== fileId32) return 'the record belongs to another file'
  if (view.getUint32(at + 20, true) * RECORD_ALIGN !== offset) return 'the record belongs to another offset'
  return {
    type: view.getUint8(at + 6),
    flags: view.getUint8(at + 7),
    keyLength,
    valueLength,
    offset,
    previous: view.getUint32(at + 24, true) * RECORD_ALIGN,
    tag: view.getUint32(at + 28, true),
    hi: view.getUint32(at + 32, true),
    lo: view.getUint32(at + 36, true),
    valueCrc: view.getUint32(at + 40, true)
  }
}

/** How long the record says that it is which begins with these bytes, a header at least. Nothing is checked. */
export function claimedBytes(bytes: Uint8Array): number {
  const view = viewOf(bytes)
  return recordBytes(view.getUint16(12, true), view.getUint32(8, true))
}

/** Cheap test before `decodeHead` when looking for the next record. */
export function mayStartRecord(bytes: Uint8Array, at: number): boolean {
  return bytes[at + 4] === (RECORD_MARK & 0xff) && bytes[at + 5] === RECORD_MARK >>> 8
}

/** Key and value of a whole record, checked, as views of `bytes`; or in words what does not check. */
export function decodeRecord(
  bytes: Uint8Array,
  offset: number,
  fileId32: number
): { key: Uint8Array; value: Uint8Array } | string {
  const head = decodeHead(bytes, offset, fileId32)
  if (typeof head === 'string') return head
  const valueAt = RECORD_HEADER_BYTES + head.keyLength
  if (bytes.length < valueAt + head.valueLength) return 'the value is cut short'
  const value = bytes.subarray(valueAt, valueAt + head.valueLength)
  if (crcOf(value) !== head.valueCrc) return 'the checksum of the value does not match'
  return { key: bytes.subarray(RECORD_HEADER_BYTES, valueAt), value }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
