/**
 * A range file that is being received: bytes come in order, in pieces of any size; each record is checked before it is
 * written, so all of the file is good, and a transfer that was cut goes on where it ends.
 */
import { CoterieError } from '../../errors.ts'
import type { FileHandle } from '../../ports.ts'
import { crcOf } from '../format/crc.ts'
import { decodeFileHeader, FILE_HEADER_BYTES, type FileHeader, hexOf, shortFileId } from '../format/file-header.ts'
import {
  claimedBytes,
  decodeHeadAt,
  KEY_CUT_SHORT,
  RECORD_HEADER_BYTES,
  type RecordHead,
  recordBytes,
  viewOf
} from '../format/record.ts'
import { scanRecords } from '../format/scan.ts'

const NOTHING = new Uint8Array(0)

/** What is good of the bytes that have come, and is to be written. */
interface Taken {
  pieces: Uint8Array[]
  bytes: number
  onRecord: (head: RecordHead) => void
}

export type OnRecord = (head: RecordHead, file: FileHeader) => void

export class PartFile {
  readonly path: string
  readonly generation: number
  readonly #expected: { range: number; q: number; fileId?: string }
  readonly #handle: FileHandle
  #header: FileHeader | undefined
  #verified = 0
  /** Received and not a whole record yet. */
  #rest: Uint8Array = NOTHING

  constructor(
    handle: FileHandle,
    path: string,
    generation: number,
    expected: { range: number; q: number; fileId?: string }
  ) {
    this.#handle = handle
    this.path = path
    this.generation = generation
    this.#expected = expected
  }

  /** Open until `close`. */
  get handle(): FileHandle {
    return this.#handle
  }

  get header(): FileHeader | undefined {
    return this.#header
  }

  /** Up to here the file is good, and written. */
  get verified(): number {
    return this.#verified
  }

  /** Where the next bytes belong. */
  get end(): number {
    return this.#verified + this.#rest.length
  }

  /** What an earlier process left: kept as far as it is good. */
  async resume(): Promise<void> {
    const bytes = new Uint8Array(FILE_HEADER_BYTES)
    const header = decodeFileHeader(bytes.subarray(0, await this.#handle.read(bytes, 0)))
    if (typeof header === 'string' || this.#isForeign(header)) return this.#handle.truncate(0)
    const scan = await scanRecords(this.#handle, shortFileId(header.fileId), { record: () => {} })
    this.#header = header
    this.#verified = scan.damages[0]?.offset ?? scan.end
    await this.#handle.truncate(this.#verified)
  }

  /**
   * `onRecord` is called for each good record, in order, before they are written. Throws `damaged` for bytes that do not
   * check: what is verified stays, and the rest is to be sent again from there.
   */
  async append(bytes: Uint8Array | readonly Uint8Array[], onRecord: OnRecord): Promise<void> {
    let header = this.#header
    const taken: Taken = { pieces: [], bytes: 0, onRecord: head => onRecord(head, header!) }
    let rest = this.#rest
    for (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
      let more = piece
      if (!header) {
        const joined = joinUpTo(rest, piece, Number.POSITIVE_INFINITY)
        rest = joined.slice(0, FILE_HEADER_BYTES)
        if (joined.length < FILE_HEADER_BYTES) continue
        header = this.#headerOf(rest)
        take(taken, rest)
        rest = NOTHING
        more = joined.subarray(FILE_HEADER_BYTES)
      }
      rest = this.#takeRecords(rest, more, shortFileId(header.fileId), taken)
    }
    // A write that fails leaves all as it was: what it left of itself is written over.
    if (taken.bytes > 0) await this.#handle.write(taken.pieces, this.#verified)
    this.#header = header
    this.#verified += taken.bytes
    this.#rest = rest
  }

  /** All that is verified survives a power cut, and nothing stands behind it. */
  async sync(): Promise<void> {
    if ((await this.#handle.size()) > this.#verified) await this.#handle.truncate(this.#verified)
    await this.#handle.sync()
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  #headerOf(bytes: Uint8Array): FileHeader {
    const header = decodeFileHeader(bytes)
    if (typeof header === 'string') throw this.#bad(0, header)
    const { fileId = hexOf(header.fileId) } = this.#expected
    if (this.#isForeign(header) || hexOf(header.fileId) !== fileId)
      throw this.#bad(0, `it is file ${hexOf(header.fileId)} of range ${header.range} of ${header.q}`)
    return header
  }

  /** All whole records of a record that was begun and the bytes that follow; what is left of them. */
  #takeRecords(begun: Uint8Array, bytes: Uint8Array, fileId32: number, taken: Taken): Uint8Array {
    let at = 0
    if (begun.length > 0) {
      // As long as it says, right or wrong, and not a byte longer: the records behind it are not copied.
      const start = joinUpTo(begun, bytes, RECORD_HEADER_BYTES)
      const record = start.length < RECORD_HEADER_BYTES ? start : joinUpTo(begun, bytes, claimedBytes(start))
      if (this.#checkRecord(viewOf(record), record, 0, this.#verified + taken.bytes, fileId32, taken) === 0)
        return record
      take(taken, record)
      at = record.length - begun.length
    }
    const from = at
    const offset = this.#verified + taken.bytes - from
    const view = viewOf(bytes)
    for (let length = -1; length !== 0; at += length)
      length = this.#checkRecord(view, bytes, at, offset + at, fileId32, taken)
    if (at > from) take(taken, bytes.subarray(from, at))
    return at === bytes.length ? NOTHING : bytes.slice(at)
  }

  /** Length of the good record that stands here; 0: it is not all there yet. */
  #checkRecord(
    view: DataView,
    bytes: Uint8Array,
    at: number,
    offset: number,
    fileId32: number,
    { onRecord }: Taken
  ): number {
    if (bytes.length - at < RECORD_HEADER_BYTES) return 0
    const head = decodeHeadAt(view, bytes, at, offset, fileId32)
    if (typeof head === 'string') {
      // A key that is not all there looks cut short.
      if (head === KEY_CUT_SHORT) return 0
      throw this.#bad(offset, head)
    }
    const length = recordBytes(head.keyLength, head.valueLength)
    if (bytes.length - at < length) return 0
    const valueAt = at + RECORD_HEADER_BYTES + head.keyLength
    if (crcOf(bytes, valueAt, valueAt + head.valueLength) !== head.valueCrc)
      throw this.#bad(offset, 'the checksum of the value does not match')
    onRecord(head)
    return length
  }

  #isForeign({ range, q }: FileHeader): boolean {
    return range !== this.#expected.range || q !== this.#expected.q
  }

  #bad(offset: number, detail: string): CoterieError {
    this.#rest = NOTHING
    return new CoterieError(
      'damaged',
      `what was received for offset ${offset} of ${this.path} does not check: ${detail}`
    )
  }
}

function take(taken: Taken, piece: Uint8Array): void {
  taken.pieces.push(piece)
  taken.bytes += piece.length
}

/** The two, one after the other, as far as `length`. */
function joinUpTo(first: Uint8Array, second: Uint8Array, length: number): Uint8Array {
  if (first.length === 0) return second.subarray(0, length)
  return Buffer.concat([first, second.subarray(0, Math.max(0, length - first.length))])
}
