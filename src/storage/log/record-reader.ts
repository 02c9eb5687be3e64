/**
 * Reads single records of one log: from the puts on their way, from the cache, or with one read of known place and
 * length; checks everything; sets aside what does not check. A read races with puts: what it went for may be replaced
 * before it comes back (`StaleEntry`), and then the asker looks again.
 */
import { CoterieError, isCoterieError } from '../../errors.ts'
import type { CachedRecord, RecordCache } from '../cache.ts'
import { codeOf, damaged, isShortOfResources, shortOfResources } from '../disk/faults.ts'
import type { HandlePool, PooledFile } from '../disk/handle-pool.ts'
import { decodeHead, decodeRecord, MAX_HEAD_BYTES, RECORD_HEADER_BYTES } from '../format/record.ts'
import type { IndexEntry } from '../index/key-index.ts'

export interface Position {
  hi: number
  lo: number
}

export interface RecordReaderInit {
  /** Of the log, in the cache. */
  id: number
  file: PooledFile
  fileId32: number
  /** Records that are not written yet, by their future offset. */
  pending: ReadonlyMap<number, CachedRecord>
  /** Takes a bad record out of the index and reports it. False: the index does not point at it (any more). */
  quarantine(position: Position, entry: IndexEntry, detail: string): boolean
}

export class RecordReader {
  readonly #pool: HandlePool
  readonly #cache: RecordCache
  readonly #init: RecordReaderInit

  constructor(shared: { pool: HandlePool; cache: RecordCache }, init: RecordReaderInit) {
    this.#pool = shared.pool
    this.#cache = shared.cache
    this.#init = init
  }

  /** Without the disk; undefined: not in memory. */
  inMemory(offset: number): CachedRecord | undefined {
    return this.#init.pending.get(offset) ?? this.#cache.get(this.#init.id, offset)
  }

  /** The record behind an entry. Throws `damaged`, `overloaded`, `closed`, StaleEntry. */
  async record(position: Position, entry: IndexEntry): Promise<CachedRecord> {
    const known = this.inMemory(entry.offset)
    if (known) return known
    const bytes = await this.#read(position, entry, entry.length)
    const record = decodeRecord(bytes, entry.offset, this.#init.fileId32)
    if (typeof record === 'string') throw this.#bad(position, entry, record)
    this.#cache.set(this.#init.id, entry.offset, record)
    return record
  }

  /** The key alone: a short read even when the value is long; the value is not checked. */
  async key(position: Position, entry: IndexEntry): Promise<Uint8Array> {
    const known = this.inMemory(entry.offset)
    if (known) return known.key
    const bytes = await this.#read(position, entry, Math.min(entry.length, MAX_HEAD_BYTES))
    const head = decodeHead(bytes, entry.offset, this.#init.fileId32)
    if (typeof head === 'string') throw this.#bad(position, entry, head)
    return bytes.slice(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + head.keyLength)
  }

  async #read(position: Position, entry: IndexEntry, length: number): Promise<Uint8Array> {
    const { file } = this.#init
    const bytes = new Uint8Array(length)
    try {
      const read = await this.#pool.use(file, handle => handle.read(bytes, entry.offset))
      return bytes.subarray(0, read)
    } catch (error) {
      if (error instanceof CoterieError) throw error
      if (isShortOfResources(error)) throw shortOfResources(file.path, error)
      throw this.#bad(position, entry, `it cannot be read (${codeOf(error)})`, error)
    }
  }

  #bad(position: Position, entry: IndexEntry, detail: string, cause?: unknown): Error {
    // A put replaced the record, or another reader found the same, while we read.
    if (!this.#init.quarantine(position, entry, detail)) return new StaleEntry()
    return damaged(this.#init.file.path, entry.offset, detail, cause)
  }
}

/** What was read is not what the index points at any more: look again. Never leaves the log. */
export class StaleEntry extends Error {}

/** Runs `work` again as long as it stumbles over records that were replaced while it read them. */
export async function untilFresh<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof StaleEntry)) throw error
    }
  }
}

export async function unlessDamaged<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result
  } catch (error) {
    if (isCoterieError(error, 'damaged')) return undefined
    throw error
  }
}
