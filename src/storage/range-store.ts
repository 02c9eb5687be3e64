/**
 * All range copies of one directory: the surface of storage. It knows bytes and positions, no ring and no network.
 *
 * @example
 *   const store = new RangeStore(ports, { dir: 'data/ranges', q: 256, durability: 'interval', cacheBytes: 1 << 25 })
 *   await store.open()
 *   store.create(7)
 *   await store.put(7, key, value, tag)      // acknowledged as `durability` says
 */
import { DEFAULT_SETTINGS, type Durability } from '../config.ts'
import { CoterieError } from '../errors.ts'
import type { Ports } from '../ports.ts'
import { RecordCache } from './cache.ts'
import { DirSync } from './disk/dir-sync.ts'
import { Gate } from './disk/gate.ts'
import { HandlePool } from './disk/handle-pool.ts'
import { Syncer } from './disk/syncer.ts'
import { FILE_HEADER_BYTES, FILE_ID_BYTES, NO_FILE } from './format/file-header.ts'
import { KeyIndex, type Position, rangeOf } from './index/key-index.ts'
import { forEachLimit } from './limit.ts'
import type { StoredKey } from './log/key-resolver.ts'
import { type Extent, extentOf } from './log/log-file.ts'
import { type LogShared, RangeLog, type RangeLogInit } from './log/range-log.ts'
import { BatchBuffers } from './log/write-batch.ts'
import { type Damage, DirectoryOpening, type FoundLog, type OpenReport } from './opening.ts'
import { RangeExport } from './transfer/range-export.ts'
import type { RangeReceiver } from './transfer/range-receiver.ts'
import { Receivers } from './transfer/receivers.ts'
import { Housekeeper } from './upkeep/housekeeper.ts'
import { WriteLatency } from './upkeep/pace.ts'

export type { StoredKey } from './log/key-resolver.ts'
export type { Damage, OpenReport } from './opening.ts'

export interface RangeStoreInit {
  /** Holds the log files themselves; made when it is not there. */
  dir: string
  /** Number of ranges of the cluster. */
  q: number
  durability: Durability
  /** Bytes of recently used records kept in memory, over all ranges. */
  cacheBytes: number
  /** A file is rewritten when this much of it is dead, and half of it. Default: as a node's settings. */
  compactBytes?: number
  /** A hint is written when this much of a file is not in one yet. Default: as a node's settings. */
  hintBytes?: number
}

/** Zeros when the range is absent. */
export interface RangeStats {
  keys: number
  /** Bytes of the latest record of each key. */
  liveBytes: number
  fileBytes: number
}

/** Files synced at once: as many as `disk/libuv.ts` gives turns. The disk gains little by more. */
const SYNC_CONCURRENCY = 2
/** Logs closed at once. */
const CLOSE_CONCURRENCY = 8

export class RangeStore {
  readonly #ports: Pick<Ports, 'clock' | 'timers' | 'random' | 'files' | 'log'>
  readonly #init: RangeStoreInit
  readonly #shared: LogShared
  readonly #syncer: Syncer
  readonly #logs = new Map<number, RangeLog>()
  /** Highest generation of each range that was ever seen: a name is never used twice. */
  readonly #generations = new Map<number, number>()
  readonly #faultListeners: ((range: number, error: CoterieError) => void)[] = []
  readonly #damageListeners: ((damage: Damage) => void)[] = []
  readonly #housekeeper: Housekeeper
  readonly receivers: Receivers
  #nextFileId = 1
  #operations = 0
  #open = false

  constructor(ports: Pick<Ports, 'clock' | 'timers' | 'random' | 'files' | 'log'>, init: RangeStoreInit) {
    this.#ports = ports
    this.#init = init
    this.#syncer = new Syncer(ports, SYNC_CONCURRENCY)
    const latency = new WriteLatency()
    this.#housekeeper = new Housekeeper(
      { ...ports, latency, logs: () => this.#logs.values(), operations: () => this.#operations },
      { compactBytes: DEFAULT_SETTINGS.compactBytes, hintBytes: DEFAULT_SETTINGS.hintBytes, ...init }
    )
    this.#shared = {
      ...ports,
      dirSync: new DirSync(ports.files, init.dir),
      pool: new HandlePool(ports),
      gate: new Gate(SYNC_CONCURRENCY),
      buffers: new BatchBuffers(),
      cache: new RecordCache(init.cacheBytes),
      latency,
      queued: { bytes: 0 },
      durability: init.durability,
      nextFileId: () => this.#nextFileId++,
      newFileId: () => ports.random.bytes(FILE_ID_BYTES),
      newGeneration: range => this.#newGeneration(range),
      onUnsynced: log => this.#syncer.dirty(log),
      onFence: (log, error) => this.#fence(log, error),
      onDamage: (log, file, offset, length, detail) => this.#damage({ range: log.range, file, offset, length, detail })
    }
    this.receivers = new Receivers(this.#shared, init, {
      mustBeEmpty: range => this.#mustBeEmpty(range),
      adopt: found => this.#adopt(found)
    })
    this.#shared.dirSync.withRoom = work => this.#shared.pool.withRoom(work)
  }

  /**
   * Recovers every file (`opening.ts`). Throws when the directory cannot be made or read, and `overloaded` when there is
   * not one file handle to be had.
   */
  async open(): Promise<OpenReport> {
    const { dir, durability } = this.#init
    await this.#ports.files.makeDir(dir)
    const parent = dir.slice(0, dir.lastIndexOf('/'))
    if (parent !== '') await this.#ports.files.syncDir(parent)
    const opening = new DirectoryOpening(this.#ports, this.#shared.dirSync, this.#generations, this.#init)
    const unsynced: RangeLog[] = []
    const opened = await opening.run(found => {
      const log = this.#take(found, durability === 'disk')
      if (durability === 'interval' && !found.empty) unsynced.push(log)
    })
    for (const damage of opened.damages) this.#damage(damage)
    const { keys, fileBytes } = this.totalStats()
    this.#open = true
    // Not before: their syncs would take the file handles that the rest of the opening needs.
    for (const log of unsynced) this.#syncer.dirty(log)
    this.#housekeeper.start()
    return { ...opened, ranges: this.ranges(), keys, bytes: fileBytes }
  }

  /** Ranges that hold a file or a created empty log, ascending. */
  ranges(): number[] {
    return [...this.#logs.keys()].sort((a, b) => a - b)
  }

  /** `renewing`: open, but what was acknowledged before its file failed may not be safe yet. */
  state(range: number): 'open' | 'renewing' | 'fenced' | 'absent' {
    const log = this.#logs.get(range)
    if (!log) return 'absent'
    return log.fenced ? 'fenced' : log.renewing ? 'renewing' : 'open'
  }

  /** A fenced range goes on in a new file; what verifies of the old one is moved there in the background. False: not now. */
  renew(range: number): boolean {
    return this.#log(range).renew()
  }

  /** Makes an empty log, if the range has none. There is no file before its first put. Throws `internal`, `closed`. */
  create(range: number): void {
    if (!this.#open) throw new CoterieError('closed', `cannot create range ${range}: the store is not open`)
    if (!Number.isInteger(range) || range < 0 || range >= this.#init.q) {
      throw new CoterieError('internal', `range ${range} is not a whole number from 0 to ${this.#init.q - 1}`)
    }
    if (this.#logs.has(range)) return
    const file = {
      generation: this.#newGeneration(range),
      fileId: this.#shared.newFileId(),
      continues: NO_FILE,
      end: 0,
      exists: false,
      synced: false
    }
    const index = new KeyIndex(this.#init.q)
    this.#addLog({ range, index, liveBytes: 0, damaged: [], settled: false, files: [file] })
  }

  /** The value of a key if memory holds it, without a promise and without the disk; undefined: ask `get`. */
  peek(range: number, key: StoredKey): Uint8Array | undefined {
    this.#operations++
    return this.#log(range).peek(key)
  }

  /**
   * The value of a key; undefined: there is none. Throws `damaged`, `range-fenced`, `overloaded`, `wrong-node`,
   * `closed`.
   */
  get(range: number, key: StoredKey): Promise<Uint8Array | undefined> {
    try {
      this.#operations++
      return this.#log(range).get(key)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Replaces the value of a key: visible to `get` at once, resolved when it is as durable as `durability` says. `key`
   * and `value` must not be changed afterwards. `tag` is the caller's, 32 bits. After a rejection the old value stands
   * (`disk-full`, `overloaded`: worth a retry; `range-fenced`, `too-large`, `wrong-node`, `closed`: not).
   */
  put(range: number, key: StoredKey, value: Uint8Array, tag: number): Promise<void> {
    return this.#change(range, key, value, tag)
  }

  /** Forgets a key, as `put` replaces one. No error when there is none. */
  remove(range: number, key: StoredKey): Promise<void> {
    return this.#change(range, key, undefined, 0)
  }

  /** Every key's position and tag, in order of position, from the index alone (see `tagOf`). */
  forEach(range: number, visit: (hi: number, lo: number, tag: number) => void): void {
    this.#log(range).index.forEach(visit)
  }

  /**
   * The tag of a key, from the index alone. A put counts from its call on, unless it first has to read which key holds
   * the position (no memory knows it): then a moment later. Two keys whose positions agree in all 64 bits are not told
   * apart: it is the tag of either.
   */
  tagOf(range: number, key: StoredKey): number | undefined {
    return this.#log(range).tagOf(key)
  }

  /** All records at a position, normally one. Works on a fenced range too, to save what still verifies. */
  async lookup(range: number, hi: number, lo: number): Promise<{ key: Uint8Array; value: Uint8Array }[]> {
    return this.#log(range).lookup(hi, lo)
  }

  /**
   * Keys in order of position, about `limit` at a time (keys of one position stay together); `next` is absent at the
   * end. Keys put meanwhile are seen if they come after the cursor; none is seen twice, none that stays is left out.
   */
  async page(
    range: number,
    after: Position | undefined,
    limit: number
  ): Promise<{ keys: Uint8Array[]; next?: Position }> {
    return this.#log(range).page(after, limit)
  }

  /** Everything acknowledged so far survives a power cut. Throws `range-fenced`, or `overloaded`: worth a retry. */
  async sync(range: number): Promise<void> {
    await this.#log(range).sync()
  }

  /** Forgets the range and unlinks its file, durably. Puts under way are refused. No error when there is none. */
  async drop(range: number): Promise<void> {
    const log = this.#logs.get(range)
    if (!log) return
    this.#logs.delete(range)
    this.#syncer.forget(log)
    this.#housekeeper.forget(log)
    await log.drop()
  }

  stats(range: number): RangeStats {
    return this.#logs.get(range)?.stats() ?? { keys: 0, liveBytes: 0, fileBytes: 0 }
  }

  /** True when the range's file, whatever is in it, would still be there after a power cut. */
  fileLasts(range: number): boolean {
    return this.#logs.get(range)?.lasts === true
  }

  /** How far the range's files reach; zeros: there are none. */
  extent(range: number): Extent {
    return extentOf(this.#logs.get(range)?.files ?? [])
  }

  totalStats(): RangeStats {
    const total: RangeStats = { keys: 0, liveBytes: 0, fileBytes: 0 }
    for (const log of this.#logs.values()) {
      const { keys, liveBytes, fileBytes } = log.stats()
      total.keys += keys
      total.liveBytes += liveBytes
      total.fileBytes += fileBytes
    }
    return total
  }

  /** Called when a range's file failed: it takes no reads or writes until it is dropped and made anew. */
  onFault(listener: (range: number, error: CoterieError) => void): void {
    this.#faultListeners.push(listener)
  }

  /** Called for every damage found: at open, and by reads. */
  onDamage(listener: (damage: Damage) => void): void {
    this.#damageListeners.push(listener)
  }

  /** Age in milliseconds of the oldest acknowledged write that is not synced (`interval`; else 0). */
  syncLagMs(): number {
    return this.#syncer.lagMs()
  }

  /**
   * The files of a range, for another node to receive, while puts and rewriting go on. The caller closes it. Throws
   * `wrong-node`, `range-fenced`, `closed`.
   */
  exportRange(range: number): RangeExport {
    const log = this.#log(range)
    if (log.refusal) throw log.refusal
    return new RangeExport(log, this.#ports.files, this.#housekeeper.newPace())
  }

  /**
   * Takes a range in from another node; goes on with what an earlier process left. The range must be absent here, or
   * empty. One at a time a range. Throws `internal`, `overloaded`, `disk-full`, `closed`.
   */
  receive(range: number): Promise<RangeReceiver> {
    return this.receivers.begin(range)
  }

  /** The range whose file is being rewritten now. */
  get compacting(): number | undefined {
    return this.#housekeeper.compacting
  }

  get compactions(): number {
    return this.#housekeeper.compactions
  }

  /** Writes and syncs everything, leaves hints for the next start, and closes all files. Puts and gets throw `closed` from now on. */
  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    this.#syncer.stop()
    await this.#housekeeper.stop()
    const failures: unknown[] = []
    await forEachLimit(this.#logs.values(), CLOSE_CONCURRENCY, async log => {
      try {
        await log.finish()
        await this.#housekeeper.hintForGood(log)
      } catch (error) {
        failures.push(error)
      }
      await log.release().catch(error => failures.push(error))
    })
    if (failures.length > 0) throw failures[0]
  }

  #log(range: number): RangeLog {
    if (!this.#open) throw new CoterieError('closed', 'the store is not open')
    const log = this.#logs.get(range)
    if (!log) throw new CoterieError('wrong-node', `range ${range} is not held here`)
    return log
  }

  #change(range: number, key: StoredKey, value: Uint8Array | undefined, tag: number): Promise<void> {
    try {
      this.#operations++
      const log = this.#log(range)
      this.receivers.mustNotAdopt(range)
      if (rangeOf(key, this.#init.q) === range) return log.put(key, value, tag)
      throw new CoterieError('internal', `a key at position ${key.hi}:${key.lo} was put into range ${range}`)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #take({ range, empty, ...found }: FoundLog, isSynced: boolean): RangeLog {
    const files = found.files.map(file => ({ ...file, exists: true, synced: isSynced && file.end > 0 }))
    if (empty) files[0]!.fileId = this.#shared.newFileId()
    const log = this.#addLog({ ...found, range, damaged: found.damages.map(({ slot }) => slot), files })
    if (found.hintedTo > 0) this.#housekeeper.foundHint(log, found.hintedTo)
    return log
  }

  /** In place of a log that has no records. */
  async #adopt(found: FoundLog): Promise<void> {
    const empty = this.#logs.get(found.range)
    this.#take(found, true)
    await empty?.drop()
  }

  #addLog(init: Omit<RangeLogInit, 'dir' | 'q'>): RangeLog {
    const log = new RangeLog(this.#shared, { ...init, dir: this.#init.dir, q: this.#init.q })
    this.#logs.set(init.range, log)
    return log
  }

  /** Throws `internal`: the range is not empty here. */
  #mustBeEmpty(range: number): void {
    const log = this.#open ? this.#logs.get(range) : this.#log(range)
    if (!log || (log.newest.writer.tail <= FILE_HEADER_BYTES && log.files.length === 1)) return
    throw new CoterieError('internal', `range ${range} has records here; it cannot become what is received`)
  }

  #newGeneration(range: number): number {
    const generation = (this.#generations.get(range) ?? 0) + 1
    this.#generations.set(range, generation)
    return generation
  }

  #fence(log: RangeLog, error: CoterieError): void {
    this.#syncer.forget(log)
    this.#ports.log.error(error.message, { range: log.range })
    for (const listener of this.#faultListeners) listener(log.range, error)
  }

  #damage(damage: Damage): void {
    this.#ports.log.error('damage in a range file', { ...damage })
    for (const listener of this.#damageListeners) listener(damage)
  }
}
