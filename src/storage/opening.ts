/**
 * From a directory to logs: which files are whose, which are set aside, which were cut short. Torn tails are cut, bad
 * records left out and reported, files with a bad header moved aside as `*.damaged`: nothing in them keeps a node from
 * starting.
 */
import type { Durability } from '../config.ts'
import type { FileIo, Log } from '../ports.ts'
import { codeOf } from '../system-error.ts'
import type { DirSync } from './disk/dir-sync.ts'
import { isShortOfResources, shortOfResources, unlinkIfThere } from './disk/faults.ts'
import { continuesNone, type FileHeader, fileName, hintPathOf, NO_FILE, parseFileName } from './format/file-header.ts'
import { KeyIndex } from './index/key-index.ts'
import { forEachLimit } from './limit.ts'
import { readSyncedTo } from './log/hint-reader.ts'
import { chainFrom, emptyLog, type FoundFile, findFile, type RecoveredLog, recoverLog } from './log/recovery.ts'

/** Files read at once while opening: enough to overlap reading and checking, each with a window of 1 MiB. */
const OPEN_CONCURRENCY = 4

/** Bytes that did not check: acknowledged records may be among them. */
export interface Damage {
  range: number
  file: string
  offset: number
  length: number
  detail: string
}

export interface OpenReport extends Opening {
  ranges: number[]
  keys: number
  /** Of all files. */
  bytes: number
}

export interface OpeningInit {
  dir: string
  q: number
  durability: Durability
}

export interface Opening {
  damages: Damage[]
  /** Cut off at the ends of files: writes that the last run did not finish. */
  tornBytes: number
  /** Of range files that hints have spared reading. */
  hintedBytes: number
  /** Ranges of which a part was received that has not become their log. */
  unfinished: number[]
}

/** A log that was found, for the store to take. `empty`: a file whose creation was cut short, and nothing else. */
export type FoundLog = RecoveredLog & { range: number; empty: boolean }

type GoodFile = FoundFile & { header: FileHeader }

/** Generations of the files of a range, ascending. */
interface Generations {
  logs: number[]
  /** Received, not in place: unless a log continues them, for which they were about to be. */
  parts: number[]
}

export class DirectoryOpening {
  readonly #files: FileIo
  readonly #log: Log
  readonly #dirSync: DirSync
  readonly #init: OpeningInit
  /** Highest generation of each range that was ever seen: a name is never used twice. */
  readonly #generations: Map<number, number>
  #removed = false
  readonly result: Opening = { damages: [], tornBytes: 0, hintedBytes: 0, unfinished: [] }

  constructor(
    ports: { files: FileIo; log: Log },
    dirSync: DirSync,
    generations: Map<number, number>,
    init: OpeningInit
  ) {
    this.#files = ports.files
    this.#log = ports.log
    this.#dirSync = dirSync
    this.#generations = generations
    this.#init = init
  }

  /**
   * Hands over each log that is found. Throws when the directory cannot be read, and `overloaded` when there is not one
   * file handle to be had: to go on without the files would hide them behind new ones.
   */
  async run(take: (found: FoundLog) => void): Promise<Opening> {
    const { dir, durability } = this.#init
    // Names that a killed process left unsynced: once for all of them.
    if (durability === 'disk') await this.#files.syncDir(dir)
    const byRange = await this.#filesByRange()
    const postponed: [number, Generations][] = []
    await forEachLimit(byRange, OPEN_CONCURRENCY, async entry => {
      if (!(await this.#openRange(...entry, take, false))) postponed.push(entry)
    })
    for (const [range, generations] of postponed) await this.#openRange(range, generations, take, true)
    if (this.#removed) await this.#makeRemovalsLast()
    for (const [range, { parts }] of byRange) if (parts.length > 0) this.result.unfinished.push(range)
    return this.result
  }

  /** Strangers stay where they are; leftovers of hints go. */
  async #filesByRange(): Promise<Map<number, Generations>> {
    const { dir, q } = this.#init
    const byRange = new Map<number, Generations>()
    const names = (await this.#files.list(dir)).sort()
    const present = new Set(names)
    for (const name of names) {
      const parsed = parseFileName(name)
      if (!parsed || parsed.range >= q) {
        this.#log.warn('not a range file of this cluster; left alone', { file: `${dir}/${name}` })
        continue
      }
      const { range, generation, kind, state } = parsed
      this.#generations.set(range, Math.max(generation, this.#generations.get(range) ?? 0))
      const found = byRange.get(range) ?? { logs: [], parts: [] }
      if (kind === 'log' && state === 'whole') found.logs.push(generation)
      if (kind === 'part') found.parts.push(generation)
      byRange.set(range, found)
      const isLeftover = state === 'temporary' || (kind === 'hint' && !present.has(fileName(range, generation)))
      if (isLeftover) await this.#unlinkLeftover(`${dir}/${name}`)
    }
    return byRange
  }

  /** False: for want of a file handle; worth another try when fewer are in use. `last`: then it throws. */
  async #openRange(
    range: number,
    { logs, parts }: Generations,
    take: (found: FoundLog) => void,
    last: boolean
  ): Promise<boolean> {
    const { dir, q, durability } = this.#init
    const good: GoodFile[] = []
    const cutShort: FoundFile[] = []
    let file = dir
    try {
      for (const generation of logs) {
        file = `${dir}/${fileName(range, generation)}`
        const found = await this.#find(range, generation)
        if (found === undefined) continue
        if (found.header === undefined) cutShort.push(found)
        else if (typeof found.header === 'string') await this.#setAside(range, found.path, found.header)
        else good.push(found as GoodFile)
      }
      if (good.length === 0) return await this.#takeEmpty(range, cutShort, parts.length > 0, take)
      for (const found of cutShort) {
        await this.#reportCutShort(range, found)
        await this.#unlinkLeftover(found.path)
      }
      const chain = await this.#putInPlace(range, good, parts)
      for (const { path } of good.filter(other => !chain.includes(other))) {
        this.#log.warn('a newer file of this range does not continue this one; left alone', { file: path })
      }
      const log = await recoverLog(this.#files, chain, { range, q, sync: durability === 'disk' })
      await this.#report(range, log)
      take({ ...log, range, empty: false })
    } catch (error) {
      if (isShortOfResources(error) && last) throw shortOfResources(file, error)
      if (isShortOfResources(error)) return false
      this.#unopened(range, file, error)
    }
    return true
  }

  /** The newest file and those that it continues; a commit of received files that was cut short is finished. */
  async #putInPlace(range: number, good: GoodFile[], parts: number[]): Promise<GoodFile[]> {
    const { dir } = this.#init
    const newest = good.at(-1)!
    const chain = chainFrom(newest, good)
    if (parts.length === 0 || continuesNone(chain[0]!.header)) return chain
    const received: GoodFile[] = []
    for (const generation of parts) {
      const found = await this.#find(range, generation, 'part')
      if (found && typeof found.header === 'object') received.push(found as GoodFile)
    }
    const whole = chainFrom(newest, [...good, ...received])
    for (const file of whole) {
      if (!received.includes(file)) continue
      const path = `${dir}/${fileName(range, file.generation)}`
      await this.#files.rename(file.path, path)
      file.path = path
      await this.#dirSync.sync(this.#dirSync.changed())
    }
    return whole
  }

  async #report(range: number, log: RecoveredLog): Promise<void> {
    for (const { path, offset, length, detail } of log.damages)
      this.result.damages.push({ range, file: path, offset, length, detail })
    for (const { path, problem } of log.badHints) {
      this.#log.warn('a hint is of no use; its range file was read', { hint: path, problem })
      await this.#unlinkLeftover(path)
    }
    this.result.tornBytes += log.tornBytes
    this.result.hintedBytes += log.hintedBytes
  }

  /** Undefined: it cannot be opened, which is reported. Throws want of file handles. */
  async #find(range: number, generation: number, kind: 'log' | 'part' = 'log'): Promise<FoundFile | undefined> {
    const { dir, q } = this.#init
    try {
      return await findFile(this.#files, dir, { range, q, generation, kind })
    } catch (error) {
      if (isShortOfResources(error)) throw error
      this.#unopened(range, `${dir}/${fileName(range, generation, kind)}`, error)
      return undefined
    }
  }

  #unopened(range: number, file: string, error: unknown): void {
    const detail = `the file cannot be opened (${codeOf(error)}); left alone`
    this.result.damages.push({ range, file, offset: 0, length: 0, detail })
  }

  /** Files that never held a record: the newest is begun anew, the others go; all of them where the range was being received. */
  async #takeEmpty(
    range: number,
    cutShort: FoundFile[],
    isReceiving: boolean,
    take: (found: FoundLog) => void
  ): Promise<boolean> {
    const newest = isReceiving ? undefined : cutShort.pop()
    for (const { path } of cutShort) await this.#unlinkLeftover(path)
    if (newest === undefined) return true
    const handle = await this.#files.open(newest.path, 'r+')
    try {
      await handle.truncate(0)
    } finally {
      await handle.close()
    }
    await this.#reportCutShort(range, newest)
    const file = { generation: newest.generation, fileId: NO_FILE, continues: NO_FILE, end: 0 }
    take({ ...emptyLog(new KeyIndex(this.#init.q)), files: [file], range, empty: true })
    return true
  }

  /** A file with no room for a record. There were some, though, if it has a hint. */
  async #reportCutShort(range: number, { path, bytes }: FoundFile): Promise<void> {
    this.result.tornBytes += bytes
    const hintPath = hintPathOf(path)
    const syncedTo = await readSyncedTo(this.#files, hintPath)
    if (syncedTo === 0) return
    const detail = 'it had been synced, and is gone'
    this.result.damages.push({ range, file: path, offset: 0, length: syncedTo, detail })
    await this.#unlinkLeftover(hintPath)
  }

  async #setAside(range: number, file: string, why: string): Promise<void> {
    const { dir } = this.#init
    const names = new Set(await this.#files.list(dir))
    let aside = `${file}.damaged`
    for (let i = 2; names.has(aside.slice(dir.length + 1)); i++) aside = `${file}.damaged.${i}`
    await this.#files.rename(file, aside)
    await this.#dirSync.sync(this.#dirSync.changed())
    this.result.damages.push({ range, file, offset: 0, length: 0, detail: `${why}; moved aside as ${aside}` })
  }

  /** Before anything is appended: a hint that is of no use now must not seem to be of use some day. */
  async #makeRemovalsLast(): Promise<void> {
    try {
      await this.#dirSync.sync(this.#dirSync.changed())
    } catch (error) {
      this.#log.warn('the directory of the range files cannot be synced', { dir: this.#init.dir, code: codeOf(error) })
    }
  }

  /** It holds nothing that is not elsewhere; a failure costs a few bytes of disk. */
  async #unlinkLeftover(path: string): Promise<void> {
    try {
      await unlinkIfThere(this.#files, path)
      this.#removed = true
    } catch (error) {
      this.#log.warn('a leftover file cannot be removed', { file: path, code: codeOf(error) })
    }
  }
}
