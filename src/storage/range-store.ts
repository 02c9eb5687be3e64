/**
 * All range copies of one directory: the surface of storage. It knows bytes and positions, no ring and no network.
 *
 * @example
 *   const store = new RangeStore(ports, { dir: 'data/ranges', q: 256, durability: 'interval', cacheBytes: 1 << 25 })
 *   await store.open()
 *   store.create(7)
 *   await store.put(7, key, value, tag)      // acknowledged as `durability` says
 */
import type { Durability } from '../config.ts'
import { CoterieError } from '../errors.ts'
import type { Ports } from '../ports.ts'
import { RecordCache } from './cache.ts'
import { DirSync } from './disk/dir-sync.ts'
import { codeOf, isShortOfResources, shortOfResources } from './disk/faults.ts'
import { HandlePool } from './disk/handle-pool.ts'
import { Syncer } from './disk/syncer.ts'
import { FILE_ID_BYTES, fileName, parseFileName } from './format/record.ts'
import { KeyIndex } from './index/key-index.ts'
import { forEachLimit } from './limit.ts'
import { type LogShared, RangeLog, type RangeLogInit, type StoredKey } from './log/range-log.ts'
import { recoverLog } from './log/recovery.ts'

export type { StoredKey } from './log/range-log.ts'

export interface RangeStoreInit {
  /** Holds the log files themselves; made when it is not there. */
  dir: string
  /** Number of ranges of the cluster. */
  q: number
  durability: Durability
  /** Bytes of recently used records kept in memory, over all ranges. */
  cacheBytes: number
}

/** Bytes that did not check: acknowledged records may be among them. */
export interface Damage {
  range: number
  file: string
  offset: number
  length: number
  detail: string
}

export interface OpenReport {
  ranges: number[]
  keys: number
  /** Of all files. */
  bytes: number
  damages: Damage[]
  /** Cut off at the ends of files: writes that the last run did not finish. */
  tornBytes: number
}

export interface RangeStats {
  keys: number
  /** Bytes of the latest record of each key. */
  liveBytes: number
  fileBytes: number
}

type Position = { hi: number; lo: number }

/** Files read at once while opening: enough to overlap reading and checking, each with a window of 1 MiB. */
const OPEN_CONCURRENCY = 4
/** Files synced at once while closing. */
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
  #nextLogId = 1
  #open = false

  constructor(ports: Pick<Ports, 'clock' | 'timers' | 'random' | 'files' | 'log'>, init: RangeStoreInit) {
    this.#ports = ports
    this.#init = init
    this.#syncer = new Syncer(ports)
    this.#shared = {
      timers: ports.timers,
      files: ports.files,
      log: ports.log,
      dirSync: new DirSync(ports.files, init.dir),
      pool: new HandlePool(ports),
      cache: new RecordCache(init.cacheBytes),
      queued: { bytes: 0 },
      durability: init.durability,
      onUnsynced: log => this.#syncer.dirty(log),
      onFence: (log, error) => this.#fence(log, error),
      onDamage: (log, offset, length, detail) =>
        this.#damage({ range: log.range, file: log.path, offset, length, detail })
    }
  }

  /**
   * Recovers every file. Torn tails are cut, bad records left out and reported, files with a bad header moved aside as
   * `*.damaged`: nothing in them keeps a node from starting. Throws when the directory cannot be made or read, and
   * `overloaded` when there is not one file handle to be had: to go on without the files would hide them behind new
   * ones.
   */
  async open(): Promise<OpenReport> {
    const { files } = this.#ports
    const { dir } = this.#init
    await files.makeDir(dir)
    const parent = dir.slice(0, dir.lastIndexOf('/'))
    if (parent !== '') await files.syncDir(parent)
    const report: OpenReport = { ranges: [], keys: 0, bytes: 0, damages: [], tornBytes: 0 }
    // Names that a killed process left unsynced: once for all of them.
    if (this.#init.durability === 'disk') await files.syncDir(dir)
    const newest = this.#newestFiles(await files.list(dir))
    const postponed: [number, number][] = []
    await forEachLimit(newest, OPEN_CONCURRENCY, async ([range, generation]) => {
      if (!(await this.#recover(range, generation, report, false))) postponed.push([range, generation])
    })
    for (const [range, generation] of postponed) await this.#recover(range, generation, report, true)
    for (const damage of report.damages) this.#damage(damage)
    const { keys, fileBytes } = this.totalStats()
    this.#open = true
    return { ...report, ranges: this.ranges(), keys, bytes: fileBytes }
  }

  /** Ranges that hold a file or a created empty log, ascending. */
  ranges(): number[] {
    return [...this.#logs.keys()].sort((a, b) => a - b)
  }

  state(range: number): 'open' | 'fenced' | 'absent' {
    const log = this.#logs.get(range)
    if (!log) return 'absent'
    return log.fenced ? 'fenced' : 'open'
  }

  /** Makes an empty log, if the range has none. There is no file before its first put. Throws `internal`, `closed`. */
  create(range: number): void {
    if (!this.#open) throw new CoterieError('closed', `cannot create range ${range}: the store is not open`)
    if (!Number.isInteger(range) || range < 0 || range >= this.#init.q) {
      throw new CoterieError('internal', `range ${range} is not a whole number from 0 to ${this.#init.q - 1}`)
    }
    if (this.#logs.has(range)) return
    const generation = (this.#generations.get(range) ?? 0) + 1
    this.#addLog({
      range,
      generation,
      index: new KeyIndex(this.#init.q),
      liveBytes: 0,
      end: 0,
      exists: false,
      synced: false
    })
  }

  /**
   * The value of a key; undefined: there is none. Throws `damaged`, `range-fenced`, `overloaded`, `wrong-node`,
   * `closed`.
   */
  async get(range: number, key: StoredKey): Promise<Uint8Array | undefined> {
    return this.#log(range).get(key)
  }

  /**
   * Replaces the value of a key: visible to `get` at once, resolved when it is as durable as `durability` says. `key`
   * and `value` must not be changed afterwards. `tag` is the caller's, 32 bits. After a rejection the old value stands
   * (`disk-full`, `overloaded`: worth a retry; `range-fenced`, `too-large`, `wrong-node`, `closed`: not).
   */
  async put(range: number, key: StoredKey, value: Uint8Array, tag: number): Promise<void> {
    const log = this.#log(range)
    if (rangeOf(key, this.#init.q) !== range) {
      throw new CoterieError('internal', `a key at position ${key.hi}:${key.lo} was put into range ${range}`)
    }
    return log.put(key, value, tag)
  }

  /** Every key's position and tag, in order of position, from the index alone (see `tagOf`). */
  forEach(range: number, visit: (hi: number, lo: number, tag: number) => void): void {
    this.#log(range).forEach(visit)
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
    await log.drop()
    await this.#shared.dirSync.sync(this.#shared.dirSync.changed())
  }

  /** Zeros when the range is absent. */
  stats(range: number): RangeStats {
    return this.#logs.get(range)?.stats() ?? { keys: 0, liveBytes: 0, fileBytes: 0 }
  }

  /** True when the range's file, whatever is in it, would still be there after a power cut. */
  fileLasts(range: number): boolean {
    return this.#logs.get(range)?.lasts === true
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

  /** Writes and syncs everything, and closes all files. Puts and gets afterwards throw `closed`. */
  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    this.#syncer.stop()
    const failures: unknown[] = []
    await forEachLimit(this.#logs.values(), CLOSE_CONCURRENCY, async log => {
      try {
        await log.close()
      } catch (error) {
        failures.push(error)
      }
    })
    if (failures.length > 0) throw failures[0]
  }

  #log(range: number): RangeLog {
    if (!this.#open) throw new CoterieError('closed', 'the store is not open')
    const log = this.#logs.get(range)
    if (!log) throw new CoterieError('wrong-node', `range ${range} is not held here`)
    return log
  }

  #addLog(init: Omit<RangeLogInit, 'id' | 'dir' | 'q' | 'fileId'> & { fileId?: Uint8Array }): RangeLog {
    const { dir, q } = this.#init
    const fileId = init.fileId ?? this.#ports.random.bytes(FILE_ID_BYTES)
    const log = new RangeLog(this.#shared, { ...init, fileId, id: this.#nextLogId++, dir, q })
    this.#logs.set(init.range, log)
    this.#generations.set(init.range, Math.max(init.generation, this.#generations.get(init.range) ?? 0))
    return log
  }

  /** Range → newest generation. Older ones and strangers are left where they are. */
  #newestFiles(names: string[]): Map<number, number> {
    const newest = new Map<number, number>()
    for (const name of names.sort()) {
      const parsed = parseFileName(name)
      if (!parsed || parsed.range >= this.#init.q) {
        this.#ports.log.warn('not a range file of this cluster; left alone', { file: `${this.#init.dir}/${name}` })
        continue
      }
      const { range, generation, damaged } = parsed
      this.#generations.set(range, Math.max(generation, this.#generations.get(range) ?? 0))
      if (damaged) continue
      const other = newest.get(range)
      if (other !== undefined) {
        const older = fileName(range, Math.min(other, generation))
        this.#ports.log.warn('a newer generation of this range file exists; left alone', { file: older })
      }
      newest.set(range, Math.max(generation, other ?? 0))
    }
    return newest
  }

  /** False: for want of a file handle; worth another try when fewer are in use. `last`: then it throws. */
  async #recover(range: number, generation: number, report: OpenReport, last: boolean): Promise<boolean> {
    const { files } = this.#ports
    const { dir, q, durability } = this.#init
    const file = `${dir}/${fileName(range, generation)}`
    let detail: string
    try {
      const found = await recoverLog(files, file, { range, q, generation, sync: durability === 'disk' })
      if (typeof found !== 'string') {
        const fileId = found.end > 0 ? found.fileId : undefined
        const log = this.#addLog({ ...found, range, generation, fileId, exists: true, synced: durability === 'disk' })
        if (durability === 'interval' && found.end > 0) this.#syncer.dirty(log)
        for (const span of found.damages) report.damages.push({ range, file, ...span })
        report.tornBytes += found.tornBytes
        return true
      }
      detail = `${found}; moved aside as ${await this.#moveAside(file)}`
    } catch (error) {
      if (isShortOfResources(error) && last) throw shortOfResources(file, error)
      if (isShortOfResources(error)) return false
      detail = `the file cannot be opened (${codeOf(error)}); left alone`
    }
    report.damages.push({ range, file, offset: 0, length: 0, detail })
    return true
  }

  async #moveAside(file: string): Promise<string> {
    const { files } = this.#ports
    const names = new Set(await files.list(this.#init.dir))
    let aside = `${file}.damaged`
    for (let i = 2; names.has(aside.slice(this.#init.dir.length + 1)); i++) aside = `${file}.damaged.${i}`
    await files.rename(file, aside)
    await this.#shared.dirSync.sync(this.#shared.dirSync.changed())
    return aside
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

function rangeOf(position: Position, q: number): number {
  const bits = Math.log2(q)
  return bits === 0 ? 0 : position.hi >>> (32 - bits)
}
