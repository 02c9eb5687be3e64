/**
 * The bytes of a hint file: a snapshot of the index over one range file, so that a start need not read the file. Pure;
 * the picture is in `docs/storage-format.md`. Always optional, always checked: one that does not check is ignored.
 */
import { crc32 } from 'node:zlib'
import { crcOf } from './crc.ts'
import { FILE_HEADER_BYTES, FILE_ID_BYTES } from './file-header.ts'
import { RECORD_ALIGN, RECORD_HEADER_BYTES, viewOf } from './record.ts'

const HINT_VERSION = 1
const MAGIC = new Uint8Array([0x89, 0x63, 0x6f, 0x74, 0x68, 0x69, 0x6e, 0x0a])
export const HINT_HEADER_BYTES = 56
const CRC_AT = 52
/** Position, offset / 8, length with the file's slot in its upper five bits, tag: each 32 bits, a position two of them. */
export const HINT_ENTRY_BYTES = 20
const SLOT_SHIFT = 27
const LENGTH_MASK = 2 ** SLOT_SHIFT - 1

export interface HintHeader {
  range: number
  q: number
  generation: number
  /** Of the newest file of the log that it describes; the offsets below are in that one. */
  fileId: Uint8Array
  /** Every record before this offset is accounted for; reading goes on here. */
  from: number
  /** Some entries may point at records up to here: the file must reach as far, and be whole between the two. */
  to: number
  entries: number
  /** A `settled` record stands before `from`. */
  settled: boolean
  /** CRC of all entries. */
  entriesCrc: number
  /** CRC over id and end of each older file of the log, oldest first. */
  olderCrc: number
}

export interface HintEntry {
  /** Slot of the file that the record lies in. */
  file: number
  hi: number
  lo: number
  offset: number
  length: number
  tag: number
}

export function encodeHintHeader(header: HintHeader): Uint8Array {
  const bytes = new Uint8Array(HINT_HEADER_BYTES)
  const view = viewOf(bytes)
  bytes.set(MAGIC, 0)
  view.setUint16(8, HINT_VERSION, true)
  view.setUint16(10, header.settled ? 1 : 0, true)
  view.setUint32(12, header.range, true)
  view.setUint32(16, header.q, true)
  view.setUint32(20, header.generation, true)
  bytes.set(header.fileId, 24)
  view.setUint32(32, header.from / RECORD_ALIGN, true)
  view.setUint32(36, header.to / RECORD_ALIGN, true)
  view.setUint32(40, header.entries, true)
  view.setUint32(44, header.entriesCrc, true)
  view.setUint32(48, header.olderCrc, true)
  view.setUint32(CRC_AT, crcOf(bytes, 0, CRC_AT), true)
  return bytes
}

/** Undefined: these bytes are no header of a hint that this program reads. */
export function decodeHintHeader(bytes: Uint8Array): HintHeader | undefined {
  if (bytes.length < HINT_HEADER_BYTES || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined
  const view = viewOf(bytes)
  if (view.getUint32(CRC_AT, true) !== crcOf(bytes, 0, CRC_AT)) return undefined
  if (view.getUint16(8, true) !== HINT_VERSION) return undefined
  return {
    settled: (view.getUint16(10, true) & 1) === 1,
    range: view.getUint32(12, true),
    q: view.getUint32(16, true),
    generation: view.getUint32(20, true),
    fileId: bytes.slice(24, 24 + FILE_ID_BYTES),
    from: view.getUint32(32, true) * RECORD_ALIGN,
    to: view.getUint32(36, true) * RECORD_ALIGN,
    entries: view.getUint32(40, true),
    entriesCrc: view.getUint32(44, true),
    olderCrc: view.getUint32(48, true)
  }
}

export function writeHintEntry(view: DataView, at: number, entry: HintEntry): void {
  view.setUint32(at, entry.hi, true)
  view.setUint32(at + 4, entry.lo, true)
  view.setUint32(at + 8, entry.offset / RECORD_ALIGN, true)
  view.setUint32(at + 12, entry.length + entry.file * 2 ** SLOT_SHIFT, true)
  view.setUint32(at + 16, entry.tag, true)
}

export function readHintEntry(view: DataView, at: number, into: HintEntry): void {
  into.hi = view.getUint32(at, true)
  into.lo = view.getUint32(at + 4, true)
  into.offset = view.getUint32(at + 8, true) * RECORD_ALIGN
  const slotAndLength = view.getUint32(at + 12, true)
  into.file = slotAndLength >>> SLOT_SHIFT
  into.length = slotAndLength & LENGTH_MASK
  into.tag = view.getUint32(at + 16, true)
}

/** Fit to be an entry of a hint for a file that is whole up to `end`. */
export function isPlausible(entry: HintEntry, end: number): boolean {
  return entry.offset >= FILE_HEADER_BYTES && entry.length >= RECORD_HEADER_BYTES && entry.offset + entry.length <= end
}

/** What `olderCrc` has to be. */
export function crcOfFiles(files: { fileId: Uint8Array; end: number }[]): number {
  const bytes = new Uint8Array(FILE_ID_BYTES + 4)
  let crc = 0
  for (const { fileId, end } of files) {
    bytes.set(fileId)
    viewOf(bytes).setUint32(FILE_ID_BYTES, end / RECORD_ALIGN, true)
    crc = crc32(bytes, crc)
  }
  return crc
}
