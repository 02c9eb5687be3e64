/**
 * One range's log: an append-only file, the index of it, and what is on its way to it. A put is in the index (and
 * visible to `get`) at once, with its future offset; until it is written its bytes are kept in `#pending`. If it is
 * refused, the index goes back to what it said before.
 */
import type { Durability } from '../../config.ts'
import { CoterieError } from '../../errors.ts'
import type { FileIo, Log, Timers } from '../../ports.ts'
import type { CachedRecord, RecordCache } from '../cache.ts'
import type { DirSync } from '../disk/dir-sync.ts'
import { codeOf } from '../disk/faults.ts'
import { type HandlePool, PooledFile } from '../disk/handle-pool.ts'
import {
  align,
  encodeFileHeader,
  encodeRecord,
  fileName,
  MAX_FILE_BYTES,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  RECORD_HEADER_BYTES,
  recordBytes,
  sameBytes,
  shortFileId
} from '../format/record.ts'
import type { IndexEntry, KeyIndex } from '../index/key-index.ts'
import { forEachLimit } from '../limit.ts'
import { LogWriter } from './log-writer.ts'
import { type Position, RecordReader, StaleEntry, unlessDamaged, untilFresh } from './record-reader.ts'

/** A key and its position, the first 64 bits of its SHA-256. */
export interface StoredKey {
  bytes: Uint8Array
  hi: number
  lo: number
}

/** What the logs of one store share. */
export interface LogShared {
  timers: Timers
  files: FileIo
  log: Log
  dirSync: DirSync
  pool: HandlePool
  cache: RecordCache
  /** Bytes that wait to be written, over all logs. */
  queued: { bytes: number }
  durability: Durability
  onUnsynced(log: RangeLog): void
  onFence(log: RangeLog, error: CoterieError): void
  onDamage(log: RangeLog, offset: number, length: number, detail: string): void
}

export interface RangeLogInit {
  /** Unique among the logs that share a cache, ever. */
  id: number
  dir: string
  range: number
  q: number
  generation: number
  fileId: Uint8Array
  index: KeyIndex
  liveBytes: number
  /** Bytes of the file, 0 for a new one: then nothing is on disk before the first put. */
  end: number
  exists: boolean
  /** All of it survives a power cut, its name included. */
  synced: boolean
}

/**
 * What may wait to be written over all ranges; more is answered `overloaded` (failures 24: a stalled disk sheds load).
 * Room for a few of the largest key states, and for tens of thousands of ordinary ones.
 */
const MAX_QUEUED_BYTES = 256 * 1024 * 1024

/** Short reads under way at once for one page of keys. */
const PAGE_READS = 8

interface PendingRecord extends CachedRecord {
  superseded: boolean
}

export class RangeLog {
  readonly range: number
  readonly generation: number
  readonly path: string
  readonly #shared: LogShared
  readonly #id: number
  readonly #fileId32: number
  readonly #index: KeyIndex
  readonly #file: PooledFile
  readonly #reader: RecordReader
  readonly #writer: LogWriter
  #liveBytes: number
  /** Records with their future offset, until they are written. */
  readonly #pending = new Map<number, PendingRecord>()
  /** Puts that first have to learn which key a position in the index stands for, by position. */
  readonly #resolving = new Map<string, Promise<void>>()

  constructor(shared: LogShared, init: RangeLogInit) {
    this.#shared = shared
    this.#id = init.id
    this.range = init.range
    this.generation = init.generation
    this.path = `${init.dir}/${fileName(init.range, init.generation)}`
    this.#fileId32 = shortFileId(init.fileId)
    this.#index = init.index
    this.#liveBytes = init.liveBytes
    this.#file = new PooledFile(this.path, init.exists)
    this.#reader = new RecordReader(shared, {
      id: init.id,
      file: this.#file,
      fileId32: this.#fileId32,
      pending: this.#pending,
      quarantine: (position, entry, detail) => this.#quarantine(position, entry, detail)
    })
    this.#writer = new LogWriter(shared, {
      range: init.range,
      file: this.#file,
      header: encodeFileHeader(init),
      end: init.end,
      synced: init.synced,
      durability: shared.durability,
      onUnsynced: () => shared.onUnsynced(this),
      onFence: error => shared.onFence(this, error)
    })
  }

  get fenced(): boolean {
    return this.#writer.refusal?.code === 'range-fenced'
  }

  stats(): { keys: number; liveBytes: number; fileBytes: number } {
    return { keys: this.#index.size, liveBytes: this.#liveBytes, fileBytes: this.#writer.written }
  }

  get lasts(): boolean {
    return this.#writer.lasts
  }

  tagOf(key: StoredKey): number | undefined {
    return this.#index.tagOf(key.hi, key.lo)
  }

  forEach(visit: (hi: number, lo: number, tag: number) => void): void {
    this.#index.forEach(visit)
  }

  /** The value of a key; undefined: there is none. Throws `damaged`, `range-fenced`, `overloaded`, `closed`. */
  async get(key: StoredKey): Promise<Uint8Array | undefined> {
    await this.#resolving.get(positionKey(key))
    if (this.#writer.refusal) throw this.#writer.refusal
    return untilFresh(() => this.#get(key))
  }

  /** Every record at a position. Works on a fenced log too, to save what still verifies. */
  async lookup(hi: number, lo: number): Promise<CachedRecord[]> {
    return untilFresh(() => Promise.all(this.#index.find(hi, lo).map(entry => this.#reader.record({ hi, lo }, entry))))
  }

  /** Keys after a position, in order; keys whose record is damaged are left out (and reported). */
  async page(after: Position | undefined, limit: number): Promise<{ keys: Uint8Array[]; next?: Position }> {
    return untilFresh(async () => {
      const entries = this.#index.after(after, limit)
      const keys: (Uint8Array | undefined)[] = new Array(entries.length)
      await forEachLimit(entries.entries(), PAGE_READS, async ([i, entry]) => {
        keys[i] = await unlessDamaged(this.#reader.key(entry, entry))
      })
      const last = entries.at(-1)
      const next = last && entries.length >= limit ? { next: { hi: last.hi, lo: last.lo } } : {}
      return { keys: keys.filter(key => key !== undefined), ...next }
    })
  }

  /**
   * Replaces the value of a key. Resolves when it is as durable as the store promises. `key` and `value` must not be
   * changed afterwards. Rejects with `too-large`, `overloaded`, `disk-full`, `range-fenced`, `damaged`, `closed`.
   */
  put(key: StoredKey, value: Uint8Array, tag: number): Promise<void> {
    const position = positionKey(key)
    const before = this.#resolving.get(position)
    const entries = before ? [] : this.#index.find(key.hi, key.lo)
    // The common cases decide at once, so that puts take effect in the order of their calls.
    const known = before ? undefined : this.#knownEntry(key, entries)
    if (!before && known !== undefined) return this.#append(key, value, tag, known ?? undefined)
    const resolved = (before ?? Promise.resolve()).then(() => untilFresh(() => this.#findEntry(key)))
    const appended = resolved.then(entry => ({ outcome: this.#append(key, value, tag, entry) }))
    const settled = appended.then(
      () => {},
      () => {}
    )
    this.#resolving.set(position, settled)
    void settled.then(() => {
      if (this.#resolving.get(position) === settled) this.#resolving.delete(position)
    })
    return appended.then(({ outcome }) => outcome)
  }

  sync(): Promise<void> {
    return this.#writer.sync()
  }

  /** Writes and syncs what was put, then lets go of the file. Throws what failed, after letting go. */
  async close(): Promise<void> {
    await this.#settle()
    await this.#writer.stop(closed(this.range), false)
    try {
      if (!this.fenced) await this.#writer.sync()
    } finally {
      await this.#shared.pool.close(this.#file)
    }
  }

  /** Refuses what is queued, lets go of the file and unlinks it. The caller syncs the directory. */
  async drop(): Promise<void> {
    await this.#writer.stop(new CoterieError('closed', `range ${this.range} was dropped from this node`), true)
    try {
      await this.#shared.pool.close(this.#file)
    } catch (error) {
      // It is going away; a failure to write its rest concerns nobody.
      this.#shared.log.warn('closing a dropped range file failed', { path: this.path, code: codeOf(error) })
    }
    if (this.#file.exists) await this.#shared.files.unlink(this.path)
  }

  async #settle(): Promise<void> {
    while (this.#resolving.size > 0) await Promise.all(this.#resolving.values())
  }

  /** Which of these entries is the key's, as far as memory tells: null for none of them, undefined for unknown. */
  #knownEntry(key: StoredKey, entries: IndexEntry[]): IndexEntry | null | undefined {
    let allKnown = true
    for (const entry of entries) {
      const record = this.#reader.inMemory(entry.offset)
      if (record && sameBytes(record.key, key.bytes)) return entry
      if (!record) allKnown = false
    }
    return allKnown ? null : undefined
  }

  /** The same, asking the disk. */
  async #findEntry(key: StoredKey): Promise<IndexEntry | undefined> {
    for (const entry of this.#index.find(key.hi, key.lo)) {
      // A damaged one is out of the index now, and the put does not need it.
      const other = await unlessDamaged(this.#reader.key(key, entry))
      if (other && sameBytes(other, key.bytes)) return entry
    }
    return undefined
  }

  async #get(key: StoredKey): Promise<Uint8Array | undefined> {
    const entries = this.#index.find(key.hi, key.lo)
    let failure: unknown
    for (const entry of entries) {
      try {
        const record = await this.#reader.record(key, entry)
        if (sameBytes(record.key, key.bytes)) return record.value
      } catch (error) {
        if (error instanceof StaleEntry) throw error
        // Another key may share the position; ours may still be found.
        failure = error
      }
    }
    if (failure) throw failure
    // Only with keys that share a position: while one was read, a put may have moved or restored another.
    if (entries.length > 1 && !sameEntries(entries, this.#index.find(key.hi, key.lo))) throw new StaleEntry()
    return undefined
  }

  /** Takes effect before it returns; `replaced` must be the key's entry as the index has it now. */
  #append(key: StoredKey, value: Uint8Array, tag: number, replaced: IndexEntry | undefined): Promise<void> {
    const offset = this.#writer.tail
    const bytes = recordBytes(key.bytes.length, value.length)
    const refusal = this.#writer.refusal ?? this.#overLimit(key.bytes, value, offset + bytes)
    if (refusal) return Promise.reject(refusal)
    const previous = replaced?.offset ?? 0
    const { hi, lo } = key
    const buffers = encodeRecord({ key: key.bytes, value, hi, lo, tag, offset, previous }, this.#fileId32)
    const entry = { offset, length: RECORD_HEADER_BYTES + key.bytes.length + value.length, tag }
    if (replaced) this.#index.replace(hi, lo, previous, entry)
    else this.#index.insert(hi, lo, entry)
    this.#liveBytes += entry.length - (replaced?.length ?? 0)
    this.#shared.queued.bytes += bytes
    const before = this.#pending.get(previous)
    if (before) before.superseded = true
    const record: PendingRecord = { key: key.bytes, value, superseded: false }
    this.#pending.set(offset, record)
    return new Promise((resolve, reject) => {
      this.#writer.append({
        buffers,
        bytes,
        done: () => {
          this.#shared.queued.bytes -= bytes
          this.#pending.delete(offset)
          if (!record.superseded) this.#shared.cache.set(this.#id, offset, record)
          this.#shared.cache.delete(this.#id, previous)
          resolve()
        },
        failed: error => {
          this.#shared.queued.bytes -= bytes
          this.#pending.delete(offset)
          if (replaced) this.#index.replace(hi, lo, offset, replaced)
          else this.#index.remove(hi, lo, offset)
          this.#liveBytes -= entry.length - (replaced?.length ?? 0)
          reject(error)
        }
      })
    })
  }

  #overLimit(key: Uint8Array, value: Uint8Array, end: number): CoterieError | undefined {
    if (key.length > MAX_KEY_BYTES || value.length > MAX_VALUE_BYTES) {
      const sizes = `a key of ${key.length} bytes with a state of ${value.length} bytes`
      return new CoterieError('too-large', `${sizes} fits no record; at most ${MAX_KEY_BYTES} and ${MAX_VALUE_BYTES}`)
    }
    if (end > MAX_FILE_BYTES) {
      return new CoterieError('disk-full', `${this.path} is at its limit of ${MAX_FILE_BYTES} bytes`)
    }
    if (this.#shared.queued.bytes > MAX_QUEUED_BYTES) {
      return new CoterieError('overloaded', `${MAX_QUEUED_BYTES} bytes wait for the disk already; try again later`)
    }
    return undefined
  }

  #quarantine(position: Position, entry: IndexEntry, detail: string): boolean {
    if (!this.#index.remove(position.hi, position.lo, entry.offset)) return false
    this.#liveBytes -= entry.length
    this.#shared.onDamage(this, entry.offset, align(entry.length), detail)
    return true
  }
}

function sameEntries(a: IndexEntry[], b: IndexEntry[]): boolean {
  return a.length === b.length && a.every((entry, i) => entry.offset === b[i]!.offset)
}

function positionKey(position: Position): string {
  return `${position.hi}:${position.lo}`
}

function closed(range: number): CoterieError {
  return new CoterieError('closed', `range ${range} is closed: this node is stopping`)
}
