/**
 * From a range file on disk to an index: what a log knows when it opens. Nothing is guessed: a torn tail is cut, a bad
 * record in the middle is left out and reported, a file with a bad header is left for the caller to set aside.
 */
import type { FileHandle, FileIo } from '../../ports.ts'
import {
  decodeFileHeader,
  decodeHead,
  FILE_HEADER_BYTES,
  fileName,
  MAX_HEAD_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_TYPES,
  type RecordHead,
  recordBytes,
  sameBytes,
  shortFileId
} from '../format/record.ts'
import { type Span, scanRecords } from '../format/scan.ts'
import { KeyIndex } from '../index/key-index.ts'

export interface RecoveredLog {
  fileId: Uint8Array
  index: KeyIndex
  liveBytes: number
  /** Where the next record goes; 0: even the header has to be written. */
  end: number
  tornBytes: number
  damages: Span[]
}

/**
 * Opens, scans and, if the tail is torn, truncates a file; `sync`: and syncs it. A string: in words why it is no log of
 * this range. Throws what the file system throws.
 */
export async function recoverLog(
  files: FileIo,
  path: string,
  expected: { range: number; q: number; generation: number; sync: boolean }
): Promise<RecoveredLog | string> {
  const handle = await files.open(path, 'r+')
  try {
    const size = await handle.size()
    const headerBytes = new Uint8Array(FILE_HEADER_BYTES)
    const headerRead = await handle.read(headerBytes, 0)
    if (headerRead < FILE_HEADER_BYTES) {
      // Its creation was cut short: no record was ever in it.
      await handle.truncate(0)
      const index = new KeyIndex(expected.q)
      return { fileId: new Uint8Array(0), index, liveBytes: 0, end: 0, tornBytes: size, damages: [] }
    }
    const header = decodeFileHeader(headerBytes)
    if (typeof header === 'string') return header
    if (header.range !== expected.range || header.q !== expected.q || header.generation !== expected.generation) {
      const name = fileName(header.range, header.generation)
      return `the file says that it is ${name} of ${header.q} ranges; here it would have to be of ${expected.q}`
    }
    const builder = new IndexBuilder(handle, expected.q, shortFileId(header.fileId))
    const scan = await scanRecords(handle, shortFileId(header.fileId), builder)
    if (scan.tornBytes > 0) await handle.truncate(scan.end)
    // A killed process may have left unsynced records; what is read from now on has to stay.
    if (expected.sync) await handle.sync()
    const damages = [...scan.damages, ...builder.strange]
    return { ...scan, damages, fileId: header.fileId, index: builder.index, liveBytes: builder.liveBytes }
  } finally {
    await handle.close()
  }
}

/** Keeps the latest record of every key. */
export class IndexBuilder {
  readonly index: KeyIndex
  liveBytes = 0
  records = 0
  /** Good records that mean nothing to this program. */
  readonly strange: Span[] = []
  readonly #handle: FileHandle
  readonly #fileId32: number

  constructor(handle: FileHandle, q: number, fileId32: number) {
    this.#handle = handle
    this.#fileId32 = fileId32
    this.index = new KeyIndex(q)
  }

  /**
   * Each record names the one that it replaces, so no keys need comparing, except where that one is missing (damaged)
   * or two keys share a position.
   */
  record(head: RecordHead, key: Uint8Array): void | Promise<void> {
    if (head.type !== RECORD_TYPES.put) {
      const length = recordBytes(head.keyLength, head.valueLength)
      this.strange.push({ offset: head.offset, length, detail: `a record of unknown type ${head.type}` })
      return
    }
    this.records++
    const same = this.index.find(head.hi, head.lo)
    const replaced = same.find(entry => entry.offset === head.previous)
    if (same.length === 0 || replaced) return this.#put(head, replaced)
    return this.#putByKey(head, key.slice(), same)
  }

  #put(head: RecordHead, replaced: { offset: number; length: number } | undefined): void {
    const entry = { offset: head.offset, length: lengthOf(head), tag: head.tag }
    if (replaced) this.index.replace(head.hi, head.lo, replaced.offset, entry)
    else this.index.insert(head.hi, head.lo, entry)
    this.liveBytes += entry.length - (replaced?.length ?? 0)
  }

  async #putByKey(head: RecordHead, key: Uint8Array, same: { offset: number; length: number }[]): Promise<void> {
    const bytes = new Uint8Array(MAX_HEAD_BYTES)
    for (const entry of same) {
      const read = await this.#handle.read(bytes, entry.offset)
      const other = decodeHead(bytes.subarray(0, read), entry.offset, this.#fileId32)
      if (typeof other === 'string') continue
      const otherKey = bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + other.keyLength)
      if (sameBytes(otherKey, key)) return this.#put(head, entry)
    }
    this.#put(head, undefined)
  }
}

function lengthOf(head: RecordHead): number {
  return RECORD_HEADER_BYTES + head.keyLength + head.valueLength
}
