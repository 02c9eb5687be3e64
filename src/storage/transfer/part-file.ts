/**
 * A range file that is being received: bytes come in order, in pieces of any size; each record is checked before it is
 * written, so all of the file is good, and a transfer that was cut goes on where it ends.
 */
import { CoterieError } from '../../errors.ts'
import type { FileHandle } from '../../ports.ts'
import { crcOf } from '../format/crc.ts'
import { decodeFileHeader, FILE_HEADER_BYTES, type FileHeader, hexOf, shortFileId } from '../format/file-header.ts'
import { decodeHead, KEY_CUT_SHORT, MAX_HEAD_BYTES, RECORD_HEADER_BYTES, recordBytes } from '../format/record.ts'
import { scanRecords } from '../format/scan.ts'

const NOTHING = new Uint8Array(0)

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

  /** Throws `damaged` for bytes that do not check: what is verified stays, and the rest is to be sent again from there. */
  async append(bytes: Uint8Array): Promise<void> {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let good = 0
    let known = this.#header
    if (!known) {
      if (rest.length < FILE_HEADER_BYTES) {
        this.#rest = rest.slice()
        return
      }
      const header = decodeFileHeader(rest)
      if (typeof header === 'string') throw this.#bad(0, header)
      const { fileId = hexOf(header.fileId) } = this.#expected
      if (this.#isForeign(header) || hexOf(header.fileId) !== fileId)
        throw this.#bad(0, `it is file ${hexOf(header.fileId)} of range ${header.range} of ${header.q}`)
      known = header
      good = FILE_HEADER_BYTES
    }
    const fileId32 = shortFileId(known.fileId)
    for (;;) {
      const length = this.#wholeRecord(rest.subarray(good), this.#verified + good, fileId32)
      if (length === 0) break
      good += length
    }
    // A write that fails leaves all as it was: what it left of itself is written over.
    if (good > 0) await this.#handle.write([rest.subarray(0, good)], this.#verified)
    this.#header = known
    this.#verified += good
    rest = rest.subarray(good)
    this.#rest = rest.length === 0 ? NOTHING : rest.slice()
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  /** Length of the good record that these bytes begin with; 0: it is not all there yet. */
  #wholeRecord(bytes: Uint8Array, offset: number, fileId32: number): number {
    if (bytes.length < RECORD_HEADER_BYTES) return 0
    const head = decodeHead(bytes.subarray(0, MAX_HEAD_BYTES), offset, fileId32)
    if (typeof head === 'string') {
      // A key that is not all there looks cut short.
      if (bytes.length < MAX_HEAD_BYTES && head === KEY_CUT_SHORT) return 0
      throw this.#bad(offset, head)
    }
    const length = recordBytes(head.keyLength, head.valueLength)
    if (bytes.length < length) return 0
    const valueAt = RECORD_HEADER_BYTES + head.keyLength
    if (crcOf(bytes, valueAt, valueAt + head.valueLength) !== head.valueCrc)
      throw this.#bad(offset, 'the checksum of the value does not match')
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
