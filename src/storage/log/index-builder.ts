/** Builds the index of a log from its records, file by file, oldest first: the latest of a key wins. */
import type { FileHandle } from '../../ports.ts'
import {
  align,
  decodeHead,
  isOptionalType,
  MAX_HEAD_BYTES,
  RECORD_FLAGS,
  RECORD_HEADER_BYTES,
  RECORD_TYPES,
  type RecordHead,
  recordBytes,
  sameBytes
} from '../format/record.ts'
import type { ScanVisitor, Span } from '../format/scan.ts'
import { type IndexEntry, KeyIndex } from '../index/key-index.ts'

interface Source {
  slot: number
  handle: FileHandle
  fileId32: number
}

export class IndexBuilder implements ScanVisitor {
  index: KeyIndex
  liveBytes = 0
  /** Good records of the present file, of every type. */
  records = 0
  removed = 0
  /** The present file says that nothing in older ones is missing in it. */
  settled = false
  /** Good records that mean nothing to this program, and records that a hint told of and that are bad. */
  readonly strange: (Span & { slot: number })[] = []
  readonly #sources: Source[] = []
  readonly #found: IndexEntry = { file: 0, offset: 0, length: 0, tag: 0 }

  constructor(q: number) {
    this.index = new KeyIndex(q)
  }

  /** What comes from now on lies in this file, whose slot no other one has. `handle` stays open until the log is built. */
  begin(source: Source): void {
    this.#sources.push(source)
    this.records = 0
    this.removed = 0
    this.settled = false
  }

  /** In place of the records that a hint accounts for; only before any other record. */
  adopt(hint: { index: KeyIndex; liveBytes: number }): void {
    this.index = hint.index
    this.liveBytes = hint.liveBytes
  }

  record(head: RecordHead, key: Uint8Array): void | Promise<void> {
    if (!this.take(head)) return this.#takeByKey(head, key.slice())
  }

  /**
   * Each record names the one that it replaces, so no keys need comparing, except where that one is missing (damaged,
   * or gone with an older file) and another stands at its position: then it is counted only, and this is false.
   */
  take(head: RecordHead): boolean {
    this.records++
    if (head.type === RECORD_TYPES.put || head.type === RECORD_TYPES.remove) {
      const same = this.index.lookup(head.hi, head.lo, this.#found)
      const isReplaced = same === 1 && this.#isReplaced(head, this.#found)
      if (same > 0 && !isReplaced) return false
      this.#take(head, isReplaced ? this.#found : undefined)
    } else if (head.type === RECORD_TYPES.settled) this.settled = true
    else if (!isOptionalType(head.type)) {
      const length = recordBytes(head.keyLength, head.valueLength)
      const detail = `a record of unknown type ${head.type}`
      this.strange.push({ offset: head.offset, length, detail, slot: this.#source.slot })
    }
    return true
  }

  get #source(): Source {
    return this.#sources[this.#sources.length - 1]!
  }

  #isReplaced(head: RecordHead, entry: IndexEntry): boolean {
    if (head.previous === 0 || head.previous !== entry.offset) return false
    const isOlder = (head.flags & RECORD_FLAGS.previousInOlderFile) !== 0
    return isOlder ? entry.file !== this.#source.slot : entry.file === this.#source.slot
  }

  #take(head: RecordHead, replaced: IndexEntry | undefined): void {
    const { hi, lo } = head
    const replacedBytes = replaced?.length ?? 0
    if (head.type === RECORD_TYPES.remove) {
      this.removed++
      if (replaced) this.index.remove(hi, lo, replaced.file, replaced.offset)
      this.liveBytes -= replacedBytes
      return
    }
    const length = RECORD_HEADER_BYTES + head.keyLength + head.valueLength
    const entry = { file: this.#source.slot, offset: head.offset, length, tag: head.tag }
    if (replaced) this.index.replace(hi, lo, replaced.file, replaced.offset, entry)
    else this.index.insert(hi, lo, entry)
    this.liveBytes += length - replacedBytes
  }

  /** It has rotted since its hint was written. */
  #drop({ hi, lo }: RecordHead, { file, offset, length }: IndexEntry, detail: string): void {
    this.index.remove(hi, lo, file, offset)
    this.liveBytes -= length
    this.strange.push({ offset, length: align(length), detail, slot: file })
  }

  async #takeByKey(head: RecordHead, key: Uint8Array): Promise<void> {
    const bytes = new Uint8Array(MAX_HEAD_BYTES)
    for (const entry of this.index.find(head.hi, head.lo)) {
      const source = this.#sources.find(({ slot }) => slot === entry.file)!
      const read = await source.handle.read(bytes, entry.offset)
      const other = decodeHead(bytes.subarray(0, read), entry.offset, source.fileId32)
      if (typeof other === 'string') {
        this.#drop(head, entry, other)
        continue
      }
      const otherKey = bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + other.keyLength)
      if (sameBytes(otherKey, key)) return this.#take(head, entry)
    }
    this.#take(head, undefined)
  }
}
