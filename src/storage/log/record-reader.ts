/**
 * Reads single records of one log: from the puts on their way, from the cache, or with one read of known place and
 * length; checks everything; sets aside what does not check. A read races with puts: what it went for may be replaced
 * before it comes back (`StaleEntry`), and then the asker looks again.
 */
import { CoterieError, isCoterieError } from '../../errors.ts'
import { codeOf } from '../../system-error.ts'
import type { CachedRecord, RecordCache } from '../cache.ts'
import { damaged, isShortOfResources, shortOfResources } from '../disk/faults.ts'
import type { HandlePool } from '../disk/handle-pool.ts'
import { decodeHead, decodeRecord, MAX_HEAD_BYTES, RECORD_HEADER_BYTES } from '../format/record.ts'
import type { IndexEntry, Position } from '../index/key-index.ts'
import type { LogFile } from './log-file.ts'

export interface RecordReaderInit {
  fileOf(slot: number): LogFile | undefined
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
  inMemory(entry: IndexEntry): CachedRecord | undefined {
    const file = this.#init.fileOf(entry.file)
    if (!file) return undefined
    const cached = this.#cache.get(file.id, entry.offset)
    if (cached) return cached
    const bytes = file.writer.unwritten(entry.offset, entry.length)
    if (!bytes) return undefined
    const record = decodeRecord(bytes, entry.offset, file.fileId32)
    return typeof record === 'string' ? undefined : record
  }

  /** The record behind an entry. Throws `damaged`, `overloaded`, `closed`, StaleEntry. `entry` is kept. */
  record(position: Position, entry: IndexEntry): Promise<CachedRecord> {
    const known = this.inMemory(entry)
    if (known) return Promise.resolve(known)
    const file = this.#init.fileOf(entry.file)
    if (!file) return Promise.reject(new StaleEntry())
    return this.#read(file, position, entry, entry.length, bytes => {
      const record = decodeRecord(bytes, entry.offset, file.fileId32)
      if (typeof record === 'string') throw this.#bad(file, position, entry, record)
      this.#cache.set(file.id, entry.offset, record)
      return record
    })
  }

  /** The key alone: a short read even when the value is long; the value is not checked. */
  async key(position: Position, entry: IndexEntry): Promise<Uint8Array> {
    const known = this.inMemory(entry)
    if (known) return known.key
    const file = this.#init.fileOf(entry.file)
    if (!file) throw new StaleEntry()
    return this.#read(file, position, entry, Math.min(entry.length, MAX_HEAD_BYTES), bytes => {
      const head = decodeHead(bytes, entry.offset, file.fileId32)
      if (typeof head === 'string') throw this.#bad(file, position, entry, head)
      return bytes.slice(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + head.keyLength)
    })
  }

  #read<T>(
    file: LogFile,
    position: Position,
    entry: IndexEntry,
    length: number,
    decode: (bytes: Uint8Array) => T
  ): Promise<T> {
    const bytes = Buffer.allocUnsafe(length)
    const failed = (error: unknown): never => {
      if (isCoterieError(error, 'closed') && this.#init.fileOf(entry.file) !== file) throw new StaleEntry()
      if (error instanceof CoterieError) throw error
      if (isShortOfResources(error)) throw shortOfResources(file.path, error)
      throw this.#bad(file, position, entry, `it cannot be read (${codeOf(error)})`, error)
    }
    const handle = this.#pool.hold(file.pooled)
    if (!handle) {
      const reading = this.#pool.use(file.pooled, opened => opened.read(bytes, entry.offset))
      return reading.then(read => decode(bytes.subarray(0, read)), failed)
    }
    return handle.read(bytes, entry.offset).then(
      read => {
        this.#pool.release(file.pooled)
        return decode(read === length ? bytes : bytes.subarray(0, read))
      },
      error => {
        this.#pool.release(file.pooled)
        return failed(error)
      }
    )
  }

  #bad(file: LogFile, position: Position, entry: IndexEntry, detail: string, cause?: unknown): Error {
    // A put replaced the record, or another reader found the same, while we read.
    if (!this.#init.quarantine(position, entry, detail)) return new StaleEntry()
    return damaged(file.path, entry.offset, detail, cause)
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
