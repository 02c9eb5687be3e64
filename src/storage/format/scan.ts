/**
 * Reads a range file from start to end, in large pieces and bounded memory: finds every record that checks, every span
 * that does not, and where the good part ends. Recovery and `inspect` both stand on it; it changes nothing.
 */
import { crc32 } from 'node:zlib'
import type { FileHandle } from '../../ports.ts'
import { codeOf } from '../../system-error.ts'
import { crcOf } from './crc.ts'
import { FILE_HEADER_BYTES } from './file-header.ts'
import {
  align,
  decodeHead,
  MAX_HEAD_BYTES,
  mayStartRecord,
  RECORD_ALIGN,
  RECORD_HEADER_BYTES,
  type RecordHead,
  recordBytes
} from './record.ts'

/** One read of this size costs little more than one of a page. */
const PIECE_BYTES = 1024 * 1024
/** What a disk fails to read is found out in units of this. */
const PAGE_BYTES = 4096

export interface Span {
  offset: number
  length: number
  /** In words. */
  detail: string
  /** Of the record that does not check, if that much of it does. */
  key?: Uint8Array
}

export interface Scan {
  /** Every span in the middle that does not check. */
  damages: Span[]
  /** Where the next record belongs: all before it is records and damages. */
  end: number
  /** Bytes after `end`: a write that was cut short. */
  tornBytes: number
}

export interface ScanVisitor {
  /**
   * Each good record in order of offset. `key` and `value` are valid during the call only; there is no `value` where it
   * was too long to be in memory at once. A promise is awaited.
   */
  record(head: RecordHead, key: Uint8Array, value: Uint8Array | undefined): void | Promise<void>
}

export interface ScanOptions {
  /** Where a record starts; default: the first one. */
  from?: number
  to?: number
  /** What is read at once, at least a few KiB. */
  pieceBytes?: number
}

/**
 * From the record at `from` on, to the end of the file or, if that is before it, to `to`. A bad span with a good record
 * after it is damage. One that reaches the end is a torn tail, unless the disk could not read it: then nobody knows, and it
 * is damage.
 */
export async function scanRecords(
  handle: FileHandle,
  fileId32: number,
  visitor: ScanVisitor,
  { from = FILE_HEADER_BYTES, to = Number.POSITIVE_INFINITY, pieceBytes = PIECE_BYTES }: ScanOptions = {}
): Promise<Scan> {
  const size = Math.min(to, await handle.size())
  const pieces = new Pieces(handle, size, pieceBytes)
  const damages: Span[] = []
  /** Bad spans, next to one another, after the last good record. */
  let bad: Span[] = []
  let at = from
  while (at < size) {
    if (!pieces.has(at, MAX_HEAD_BYTES)) await pieces.need(at, MAX_HEAD_BYTES)
    const head = decodeHead(pieces.bytes(at, MAX_HEAD_BYTES), at, fileId32)
    if (typeof head === 'string') {
      const next = await nextCandidate(pieces, at + RECORD_ALIGN)
      const last = bad.at(-1)
      // What starts like a record and is none does not end the span that it stands in.
      if (last && last.key === undefined) last.length = next - last.offset
      else bad.push({ offset: at, length: next - at, detail: head })
      at = next
      continue
    }
    const end = at + recordBytes(head.keyLength, head.valueLength)
    const valueAt = at + RECORD_HEADER_BYTES + head.keyLength
    const keyBytes = pieces.bytes(valueAt - head.keyLength, head.keyLength)
    const value = pieces.has(valueAt, head.valueLength) ? pieces.bytes(valueAt, head.valueLength) : undefined
    // Checking a value that is not in the window moves the window on.
    const key = value ? keyBytes : keyBytes.slice()
    const problem =
      end > size
        ? 'the record is cut short'
        : (value ? crcOf(value) : await crcOfPieces(pieces, valueAt, valueAt + head.valueLength)) !== head.valueCrc
          ? 'the checksum of the value does not match'
          : undefined
    if (problem === undefined) {
      if (bad.length > 0) damages.push(...bad)
      bad = []
      // Awaiting each of millions of records would cost more than reading them.
      const visited = visitor.record(head, key, value)
      if (visited) await visited
    } else {
      bad.push({ offset: at, length: Math.min(end, size) - at, detail: problem, key: key.slice() })
    }
    // A header that checks tells where its record ends, even if the value is bad.
    at = end
  }
  const [first] = bad
  if (!first) return { damages, end: at, tornBytes: 0 }
  if (pieces.unreadableTo > first.offset) return { damages: [...damages, ...bad], end: align(size), tornBytes: 0 }
  return { damages, end: first.offset, tornBytes: size - first.offset }
}

/** Piece by piece, so that no length in a file makes us allocate it. */
async function crcOfPieces(pieces: Pieces, from: number, end: number): Promise<number> {
  let crc = 0
  for (let at = from; at < end; ) {
    if (!pieces.has(at, 1)) await pieces.need(at, 1)
    const piece = pieces.bytes(at, end - at)
    crc = crc32(piece, crc)
    at += piece.length
  }
  return crc
}

/** The next place on the grid where a record may start, or the end of the file. */
async function nextCandidate(pieces: Pieces, from: number): Promise<number> {
  let at = from
  while (at < pieces.size) {
    await pieces.need(at, RECORD_ALIGN)
    const piece = pieces.bytes(at, pieces.size)
    for (let i = 0; i < piece.length; i += RECORD_ALIGN) if (mayStartRecord(piece, i)) return at + i
    at += align(piece.length)
  }
  return pieces.size
}

/** A window that moves over a file. */
class Pieces {
  readonly size: number
  readonly #pieceBytes: number
  /** End of the last bytes that the disk failed to read; they stand as zeros, which never check. */
  unreadableTo = 0
  readonly #handle: FileHandle
  readonly #buffer: Uint8Array
  #start = 0
  #length = 0

  constructor(handle: FileHandle, size: number, pieceBytes: number) {
    this.#handle = handle
    this.size = size
    this.#pieceBytes = pieceBytes
    this.#buffer = new Uint8Array(Math.min(align(size), pieceBytes))
  }

  /** True when the bytes, as far as the file has them, are in the window. */
  has(offset: number, length: number): boolean {
    return offset >= this.#start && Math.min(offset + length, this.size) <= this.#start + this.#length
  }

  /** Brings them, and what follows, into the window; `length` is at most that of a piece. */
  async need(offset: number, length: number): Promise<void> {
    if (this.has(offset, length)) return
    const wanted = this.#buffer.subarray(0, Math.max(0, Math.min(this.#pieceBytes, this.size - offset)))
    this.#start = offset
    try {
      const read = await this.#handle.read(wanted, offset)
      // Only a file that somebody shortens meanwhile ends early; zeros never check.
      wanted.fill(0, read)
    } catch (error) {
      if (codeOf(error) !== 'EIO') throw error
      await this.#readPages(wanted, offset)
    }
    this.#length = wanted.length
  }

  bytes(offset: number, length: number): Uint8Array {
    const from = offset - this.#start
    return this.#buffer.subarray(from, Math.min(from + length, this.#length))
  }

  async #readPages(into: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < into.length; at += PAGE_BYTES) {
      const page = into.subarray(at, at + PAGE_BYTES)
      try {
        await this.#handle.read(page, offset + at)
      } catch (error) {
        if (codeOf(error) !== 'EIO') throw error
        page.fill(0)
        this.unreadableTo = offset + at + page.length
      }
    }
  }
}
