/**
 * One range's log: its files, the index over them, and what is on its way to them. A put is in the index (and visible
 * to `get`) at once, with its future offset; until it is written it is read from its batch. If it is refused, the index
 * goes back to what it said before.
 */
import { CoterieError } from '../../errors.ts'
import type { CachedRecord, RecordCache } from '../cache.ts'
import { align, type NewRecord, RECORD_FLAGS, RECORD_HEADER_BYTES, RECORD_TYPES, sameBytes } from '../format/record.ts'
import type { IndexEntry, KeyIndex, Position } from '../index/key-index.ts'
import { forEachLimit } from '../limit.ts'
import { KeyResolver, type StoredKey, sameEntry } from './key-resolver.ts'
import type { LogFile } from './log-file.ts'
import { type FilesShared, LogFiles, type LogFilesInit } from './log-files.ts'
import { QueueBound } from './queue-bound.ts'
import { RecordReader, StaleEntry, unlessDamaged, untilFresh } from './record-reader.ts'
import type { Undo } from './write-batch.ts'

/** What the logs of one store share. */
export interface LogShared extends FilesShared {
  cache: RecordCache
  onUnsynced(log: RangeLog): void
  onFence(log: RangeLog, error: CoterieError): void
  onDamage(log: RangeLog, file: string, offset: number, length: number, detail: string): void
}

export interface RangeLogInit extends LogFilesInit {
  index: KeyIndex
  liveBytes: number
  /** Slots of files in which something does not check. */
  damaged: number[]
  /** A `settled` record stands in the newest file. */
  settled: boolean
}

/** Short reads under way at once for one page of keys. */
const PAGE_READS = 8
const NOTHING = new Uint8Array(0)

export class RangeLog {
  readonly range: number
  readonly #shared: LogShared
  readonly #index: KeyIndex
  readonly #files: LogFiles
  readonly #reader: RecordReader
  readonly #keys: KeyResolver
  readonly #bound: QueueBound
  readonly #damaged: Set<number>
  #liveBytes: number
  #settled: boolean
  #takenBack = 0
  /** For look-ups that settle before the next one. */
  readonly #found: IndexEntry = { file: 0, offset: 0, length: 0, tag: 0 }
  /** The one that is appended, for as long as that takes. */
  readonly #record: NewRecord = {
    type: 0,
    flags: 0,
    key: NOTHING,
    value: NOTHING,
    hi: 0,
    lo: 0,
    tag: 0,
    offset: 0,
    previous: 0
  }

  constructor(shared: LogShared, init: RangeLogInit) {
    this.#shared = shared
    this.range = init.range
    this.#index = init.index
    this.#liveBytes = init.liveBytes
    this.#bound = new QueueBound(shared.queued)
    this.#damaged = new Set(init.damaged)
    this.#settled = init.settled
    this.#files = new LogFiles(shared, init, {
      takeBack: undo => this.#takeBack(undo),
      onUnsynced: () => shared.onUnsynced(this),
      onFence: error => {
        this.#files.fail(error)
        shared.onFence(this, error)
      }
    })
    this.#reader = new RecordReader(shared, {
      fileOf: slot => this.#files.at(slot),
      quarantine: (position, entry, detail) => this.#quarantine(position, entry, detail)
    })
    this.#keys = new KeyResolver(init.index, this.#reader)
  }

  get fenced(): boolean {
    return this.refusal?.code === 'range-fenced'
  }

  /** Why nothing is taken any more: `range-fenced` or `closed`. */
  get refusal(): CoterieError | undefined {
    return this.newest.writer.refusal
  }

  /** A file of it has failed, and what verifies of that is on its way to a newer one. */
  get renewing(): boolean {
    return this.files.some(({ writer }) => writer.refusal?.code === 'range-fenced')
  }

  /** Something in the present files did not check. */
  get damaged(): boolean {
    return this.#damaged.size > 0
  }

  /** The newest file says that it holds all of the one it continues. */
  get settled(): boolean {
    return this.#settled
  }

  /** Records that were refused after the index had them, ever. */
  get takenBack(): number {
    return this.#takenBack
  }

  /** Oldest first. */
  get files(): readonly LogFile[] {
    return this.#files.all
  }

  /** The one that is written to. */
  get newest(): LogFile {
    return this.#files.newest
  }

  get index(): KeyIndex {
    return this.#index
  }

  /** True once the range, whatever is in it, has a file that survives a power cut. */
  get lasts(): boolean {
    return this.files.some(file => file.writer.lasts)
  }

  stats(): { keys: number; liveBytes: number; fileBytes: number } {
    const fileBytes = this.files.reduce((sum, file) => sum + file.writer.written, 0)
    return { keys: this.#index.size, liveBytes: this.#liveBytes, fileBytes }
  }

  tagOf(key: StoredKey): number | undefined {
    return this.#index.tagOf(key.hi, key.lo)
  }

  /** The value of a key if memory holds it, without a promise; undefined: ask `get`. */
  peek(key: StoredKey): Uint8Array | undefined {
    if (this.#keys.busy || this.refusal) return undefined
    if (this.#index.lookup(key.hi, key.lo, this.#found) !== 1) return undefined
    const record = this.#reader.inMemory(this.#found)
    return record && sameBytes(record.key, key.bytes) ? record.value : undefined
  }

  /** The value of a key; undefined: there is none. Throws `damaged`, `range-fenced`, `overloaded`, `closed`. */
  get(key: StoredKey): Promise<Uint8Array | undefined> {
    if (this.#keys.busy) return this.#getAfterPuts(key)
    if (this.refusal) return Promise.reject(this.refusal)
    const entries = this.#index.lookup(key.hi, key.lo, this.#found)
    if (entries === 0) return Promise.resolve(undefined)
    if (entries > 1) return untilFresh(() => this.#get(key))
    return this.#reader.record(key, { ...this.#found }).then(
      record => (sameBytes(record.key, key.bytes) ? record.value : undefined),
      error => {
        if (error instanceof StaleEntry) return untilFresh(() => this.#get(key))
        throw error
      }
    )
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
   * Replaces the value of a key; undefined removes the key. Resolves when it is as durable as the store promises. `key`
   * and `value` must not be changed afterwards. Rejects with `too-large`, `overloaded`, `disk-full`, `range-fenced`,
   * `damaged`, `closed`.
   */
  put(key: StoredKey, value: Uint8Array | undefined, tag: number): Promise<void> {
    // The common cases decide at once, so that puts take effect in the order of their calls.
    if (!this.#keys.busy) {
      const entries = this.#index.lookup(key.hi, key.lo, this.#found)
      if (entries === 0) return this.#append(key, value, tag, undefined)
      const record = entries === 1 ? this.#reader.inMemory(this.#found) : undefined
      if (record)
        return this.#append(key, value, tag, sameBytes(record.key, key.bytes) ? { ...this.#found } : undefined)
    }
    return this.#putUnknown(key, value, tag)
  }

  /** Of a key that may need the disk to find its place: until then it waits to be written, like others. */
  #putUnknown(key: StoredKey, value: Uint8Array | undefined, tag: number): Promise<void> {
    const refusal = this.#bound.refusal(key.bytes.length, value?.length ?? 0, this.newest)
    if (refusal) return Promise.reject(refusal)
    const found = this.#bound.seek(key.bytes.length + (value?.length ?? 0))
    const act = (entry: IndexEntry | undefined) => {
      found()
      return this.#append(key, value, tag, entry)
    }
    return this.#keys.resolve(key, act).finally(found)
  }

  // ---- what moving records to a newer file needs (compaction.ts)

  /** From now on records go to a new file. */
  roll(): void {
    this.#settled = false
    this.#files.roll()
  }

  /** After a file has failed; false: not now. */
  renew(): boolean {
    if (this.#files.renew()) this.#settled = false
    return !this.fenced
  }

  isLive(position: Position, file: LogFile, offset: number): boolean {
    const entries = this.#index.lookup(position.hi, position.lo, this.#found)
    if (entries <= 1) return entries === 1 && this.#found.file === file.slot && this.#found.offset === offset
    return this.#index.find(position.hi, position.lo).some(entry => entry.file === file.slot && entry.offset === offset)
  }

  /** The record behind an entry; undefined: the index does not point there any more. Throws what `get` throws. */
  async read(position: Position, entry: IndexEntry): Promise<CachedRecord | undefined> {
    try {
      return await this.#reader.record(position, entry)
    } catch (error) {
      if (error instanceof StaleEntry) return undefined
      throw error
    }
  }

  /** Appends a copy of a live record; the index points there from now on. In the same turn as `isLive`. */
  move(key: StoredKey, value: Uint8Array, entry: IndexEntry): Promise<void> {
    const cached = this.#shared.cache.get(this.#idOf(entry.file), entry.offset)
    return this.#write(key, value, entry.tag, RECORD_TYPES.put, entry, cached)
  }

  /** Says in the present file that all of the one it continues stands in it. Resolves as a put does. */
  async settle(): Promise<void> {
    await this.#write({ bytes: NOTHING, hi: 0, lo: 0 }, NOTHING, 0, RECORD_TYPES.settled)
    this.#settled = true
  }

  /** All that was put so far has settled, well or not. */
  quiet(): Promise<void> {
    return this.#files.quiet()
  }

  /** Lets go of an older file that no entry points into any more, and unlinks it with its hint, for good. */
  retire(file: LogFile): Promise<void> {
    this.#damaged.delete(file.slot)
    return this.#files.retire(file)
  }

  // ---- the end of a log

  sync(): Promise<void> {
    return this.#files.sync()
  }

  /** Writes and syncs what was put; nothing is taken any more. Throws what failed. `release` comes after it. */
  async finish(): Promise<void> {
    await this.#keys.idle()
    await this.#files.stop(new CoterieError('closed', `range ${this.range} is closed: this node is stopping`))
    if (!this.renewing) return this.sync()
    // Of a file that has failed nobody can say what lasts; a newer one may have been going on since.
    if (!this.fenced) await this.newest.writer.sync()
  }

  /** Lets go of the files. */
  release(): Promise<void> {
    return this.#files.close()
  }

  /** Refuses what is queued, lets go of the files and unlinks them for good. */
  drop(): Promise<void> {
    return this.#files.drop(new CoterieError('closed', `range ${this.range} was dropped from this node`))
  }

  async #getAfterPuts(key: StoredKey): Promise<Uint8Array | undefined> {
    await this.#keys.resolved(key)
    if (this.refusal) throw this.refusal
    return untilFresh(() => this.#get(key))
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

  #append(key: StoredKey, value: Uint8Array | undefined, tag: number, replaced: IndexEntry | undefined): Promise<void> {
    if (value) {
      // One that is changed once more is likely to be asked for; of new ones, few are.
      const isHot = replaced && this.#shared.cache.get(this.#idOf(replaced.file), replaced.offset)
      return this.#write(key, value, tag, RECORD_TYPES.put, replaced, isHot && { key: key.bytes, value })
    }
    // What is not there may be on its way out, or be brought back by a put that is refused.
    return replaced ? this.#write(key, NOTHING, tag, RECORD_TYPES.remove, replaced) : this.#files.pending()
  }

  /** Takes effect before it returns; `replaced` must be the key's entry as the index has it now, `cached` goes into the cache. */
  #write(
    key: StoredKey,
    value: Uint8Array,
    tag: number,
    type: number,
    replaced?: IndexEntry,
    cached?: CachedRecord
  ): Promise<void> {
    const file = this.newest
    const offset = file.writer.tail
    const { bytes, hi, lo } = key
    const refusal = file.writer.refusal ?? this.#bound.refusal(bytes.length, value.length, file)
    if (refusal) return Promise.reject(refusal)
    const length = RECORD_HEADER_BYTES + bytes.length + value.length
    const indexed = type === RECORD_TYPES.put
    const undo: Undo = { hi, lo, file: file.slot, offset, length, tag, indexed, replaced }
    const previous = replaced?.offset ?? 0
    if (replaced && indexed) this.#index.replace(hi, lo, replaced.file, previous, undo)
    else if (indexed) this.#index.insert(hi, lo, undo)
    else if (replaced) this.#index.remove(hi, lo, replaced.file, previous)
    this.#liveBytes += (indexed ? length : 0) - (replaced?.length ?? 0)
    if (replaced) this.#shared.cache.delete(this.#idOf(replaced.file), previous)
    if (cached) this.#shared.cache.set(file.id, offset, cached)
    const record = this.#record
    record.type = type
    record.flags = replaced && replaced.file !== file.slot ? RECORD_FLAGS.previousInOlderFile : 0
    record.key = bytes
    record.value = value
    record.hi = hi
    record.lo = lo
    record.tag = tag
    record.offset = offset
    record.previous = previous
    return file.writer.append(record, undo)
  }

  #takeBack(undo: Undo): void {
    const { hi, lo, file, offset, length, indexed, replaced } = undo
    this.#takenBack++
    this.#shared.cache.delete(this.#idOf(file), offset)
    if (replaced && indexed) this.#index.replace(hi, lo, file, offset, replaced)
    else if (indexed) this.#index.remove(hi, lo, file, offset)
    else if (replaced) this.#index.insert(hi, lo, replaced)
    this.#liveBytes -= (indexed ? length : 0) - (replaced?.length ?? 0)
  }

  #idOf(slot: number): number {
    return this.#files.at(slot)?.id ?? 0
  }

  #quarantine(position: Position, entry: IndexEntry, detail: string): boolean {
    if (!this.#index.remove(position.hi, position.lo, entry.file, entry.offset)) return false
    this.#liveBytes -= entry.length
    this.#damaged.add(entry.file)
    const path = this.#files.at(entry.file)?.path ?? ''
    this.#shared.onDamage(this, path, entry.offset, align(entry.length), detail)
    return true
  }
}

function sameEntries(a: IndexEntry[], b: IndexEntry[]): boolean {
  return a.length === b.length && a.every((entry, i) => sameEntry(entry, b[i]!))
}
