/**
 * The bytes of a range log: every width, mark and limit in one place, with the picture in `docs/storage-format.md`.
 * Pure: bytes in, values out. All numbers are little-endian. A file is one header, then records on an 8-byte grid, so
 * that offsets fit 32 bits (32 GiB a file). File id and own offset under the checksum expose misdirected writes.
 */
import { crc32 } from 'node:zlib'
import { LIMITS } from '../../config.ts'

export const FORMAT_VERSION = 1
/** 0x89 first: no text file starts so; the line feed last: a transfer in text mode breaks it. */
const MAGIC = new Uint8Array([0x89, 0x63, 0x6f, 0x74, 0x65, 0x72, 0x69, 0x0a])
export const FILE_ID_BYTES = 8
export const FILE_HEADER_BYTES = 40
const FILE_HEADER_CRC_AT = 36

const RECORD_MARK = 0xc07e
/** The fixed part of a record; key, value and padding follow. */
export const RECORD_HEADER_BYTES = 44
const RECORD_CRC_AT = 40
export const RECORD_ALIGN = 8
export const MAX_KEY_BYTES = LIMITS.maxKeyBytes
/**
 * A value is an encoded key state. Replication may merge states past `maxStateBytes` (design §7: it is never refused),
 * so there is room for four full ones; more is a defect or damage.
 */
export const MAX_VALUE_BYTES = 4 * LIMITS.maxStateBytes
/** Offsets are kept in units of `RECORD_ALIGN`, in 32 bits. */
export const MAX_FILE_BYTES = 2 ** 32 * RECORD_ALIGN
/** Whole key always included: a head is what is read to learn a record's key. */
export const MAX_HEAD_BYTES = RECORD_HEADER_BYTES + MAX_KEY_BYTES

/** `remove` is reserved for reaping: nothing writes it yet. */
export const RECORD_TYPES = { put: 1, remove: 2 } as const

export interface FileHeader {
  version: number
  range: number
  q: number
  generation: number
  /** 8 random bytes, drawn when the file is made. */
  fileId: Uint8Array
}

export interface RecordHead {
  type: number
  keyLength: number
  valueLength: number
  /** Where the record starts, in bytes. */
  offset: number
  /** Offset in this file of the record that this one replaces, in bytes; 0: none. */
  previous: number
  tag: number
  hi: number
  lo: number
  valueCrc: number
}

/** The part of the file id that every record carries. */
export function shortFileId(fileId: Uint8Array): number {
  return viewOf(fileId).getUint32(0, true)
}

export function align(bytes: number): number {
  return Math.ceil(bytes / RECORD_ALIGN) * RECORD_ALIGN
}

/** Bytes in the file of a record with this key and value, padding included. */
export function recordBytes(keyLength: number, valueLength: number): number {
  return align(RECORD_HEADER_BYTES + keyLength + valueLength)
}

export function encodeFileHeader(header: Omit<FileHeader, 'version'>): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER_BYTES)
  const view = viewOf(bytes)
  bytes.set(MAGIC, 0)
  view.setUint16(8, FORMAT_VERSION, true)
  view.setUint16(10, FILE_HEADER_BYTES, true)
  view.setUint32(12, header.range, true)
  view.setUint32(16, header.q, true)
  view.setUint32(20, header.generation, true)
  bytes.set(header.fileId, 24)
  view.setUint32(FILE_HEADER_CRC_AT, crc32(bytes.subarray(0, FILE_HEADER_CRC_AT)), true)
  return bytes
}

/** The header, or in words why these bytes are none. */
export function decodeFileHeader(bytes: Uint8Array): FileHeader | string {
  if (bytes.length < FILE_HEADER_BYTES) return `the file has ${bytes.length} bytes, a header has ${FILE_HEADER_BYTES}`
  const view = viewOf(bytes)
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) return 'the file does not start with the mark of a range log'
  const version = view.getUint16(8, true)
  if (view.getUint32(FILE_HEADER_CRC_AT, true) !== crc32(bytes.subarray(0, FILE_HEADER_CRC_AT))) {
    return 'the checksum of the file header does not match'
  }
  if (version !== FORMAT_VERSION || view.getUint16(10, true) !== FILE_HEADER_BYTES) {
    return `the file has format version ${version}; this program reads version ${FORMAT_VERSION}`
  }
  return {
    version,
    range: view.getUint32(12, true),
    q: view.getUint32(16, true),
    generation: view.getUint32(20, true),
    fileId: bytes.slice(24, 24 + FILE_ID_BYTES)
  }
}

/** Values up to this are copied beside their header: one buffer a record is cheaper to write than three. */
const INLINE_VALUE_BYTES = 16 * 1024

export interface NewRecord {
  key: Uint8Array
  value: Uint8Array
  hi: number
  lo: number
  tag: number
  offset: number
  previous: number
}

/** A `put` record as buffers to write one after another; a large value is not copied. */
export function encodeRecord(record: NewRecord, fileId32: number): Uint8Array[] {
  const { key, value, offset } = record
  const headBytes = RECORD_HEADER_BYTES + key.length
  const total = recordBytes(key.length, value.length)
  const inline = value.length <= INLINE_VALUE_BYTES
  const bytes = new Uint8Array(inline ? total : headBytes)
  const view = viewOf(bytes)
  view.setUint16(0, RECORD_MARK, true)
  view.setUint8(2, RECORD_TYPES.put)
  view.setUint32(4, value.length, true)
  view.setUint16(8, key.length, true)
  view.setUint32(12, fileId32, true)
  view.setUint32(16, offset / RECORD_ALIGN, true)
  view.setUint32(20, record.previous / RECORD_ALIGN, true)
  view.setUint32(24, record.tag, true)
  view.setUint32(28, record.hi, true)
  view.setUint32(32, record.lo, true)
  view.setUint32(36, crc32(value), true)
  bytes.set(key, RECORD_HEADER_BYTES)
  view.setUint32(RECORD_CRC_AT, headCrc(bytes, key.length), true)
  if (!inline) return [bytes, value, new Uint8Array(total - headBytes - value.length)]
  bytes.set(value, headBytes)
  return [bytes]
}

/** The head alone, of a record that must lie at file offset `offset`; or in words why these bytes are none. */
export function decodeHead(bytes: Uint8Array, offset: number, fileId32: number): RecordHead | string {
  if (bytes.length < RECORD_HEADER_BYTES) return 'the record header is cut short'
  const view = viewOf(bytes)
  if (view.getUint16(0, true) !== RECORD_MARK) return 'no record starts here'
  const keyLength = view.getUint16(8, true)
  const valueLength = view.getUint32(4, true)
  if (keyLength > MAX_KEY_BYTES || valueLength > MAX_VALUE_BYTES) {
    return `absurd lengths (key ${keyLength}, value ${valueLength} bytes)`
  }
  if (bytes.length < RECORD_HEADER_BYTES + keyLength) return 'the key is cut short'
  if (view.getUint32(RECORD_CRC_AT, true) !== headCrc(bytes, keyLength)) {
    return 'the checksum of the record header and key does not match'
  }
  if (view.getUint32(12, true) !== fileId32) return 'the record belongs to another file'
  if (view.getUint32(16, true) * RECORD_ALIGN !== offset) return 'the record belongs to another offset'
  return {
    type: view.getUint8(2),
    keyLength,
    valueLength,
    offset,
    previous: view.getUint32(20, true) * RECORD_ALIGN,
    tag: view.getUint32(24, true),
    hi: view.getUint32(28, true),
    lo: view.getUint32(32, true),
    valueCrc: view.getUint32(36, true)
  }
}

/** Cheap test before `decodeHead` when looking for the next record. */
export function mayStartRecord(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === (RECORD_MARK & 0xff) && bytes[at + 1] === RECORD_MARK >>> 8
}

/** Key and value of a whole record, checked; or in words what does not check. */
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
  if (crc32(value) !== head.valueCrc) return 'the checksum of the value does not match'
  return { key: bytes.subarray(RECORD_HEADER_BYTES, valueAt), value }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

const FILE_NAME = /^(\d{4,10})-(\d{10})\.log((?:\.damaged(?:\.\d+)?)?)$/

/** `0123-0000000001.log`: from integers alone, so no key can reach a path. */
export function fileName(range: number, generation: number): string {
  return `${String(range).padStart(4, '0')}-${String(generation).padStart(10, '0')}.log`
}

export function parseFileName(name: string): { range: number; generation: number; damaged: boolean } | undefined {
  const match = FILE_NAME.exec(name)
  if (!match) return undefined
  return { range: Number(match[1]), generation: Number(match[2]), damaged: match[3] !== '' }
}

/** Of the header up to its checksum, and the key. */
function headCrc(bytes: Uint8Array, keyLength: number): number {
  const header = crc32(bytes.subarray(0, RECORD_CRC_AT))
  return crc32(bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + keyLength), header)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
