/**
 * From a directory to logs: which files are whose, which are set aside, which were cut short. Torn tails are cut, bad
 * records left out and reported, files with a bad header moved aside as `*.damaged`: nothing in them keeps a node from
 * starting.
 */
import type { Durability } from '../config.ts'
import type { FileIo, Log } from '../ports.ts'
import type { DirSync } from './disk/dir-sync.ts'
import { codeOf, isShortOfResources, shortOfResources } from './disk/faults.ts'
import { type FileHeader, fileName, NO_FILE, parseFileName } from './format/file-header.ts'
import { KeyIndex } from './index/key-index.ts'
import { forEachLimit } from './limit.ts'
import { chainOf, type FoundFile, findFile, type RecoveredLog, recoverLog } from './log/recovery.ts'

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

export interface OpenReport {
  ranges: number[]
  keys: number
  /** Of all files. */
  bytes: number
  damages: Damage[]
  /** Cut off at the ends of files: writes that the last run did not finish. */
  tornBytes: number
  /** Of the files, not read, since a hint told what is in it. */
  hintedBytes: number
}

export interface OpeningInit {
  dir: string
  q: number
  durability: Durability
}

export interface Opening {
  damages: Damage[]
  /** Cut off at the ends of files. */
  tornBytes: number
  /** Of range files that hints have spared reading. */
  hintedBytes: number
  /** Highest generation of each range that was ever seen: a name is never used twice. */
  generations: Map<number, number>
}

/**
 * A log that was found, for the store to take. `empty`: a file whose creation was cut short, and nothing else.
 * `received`: its newest file comes from another node.
 */
export type FoundLog = RecoveredLog & { range: number; empty: boolean; received: boolean }

export class DirectoryOpening {
  readonly #files: FileIo
  readonly #log: Log
  readonly #dirSync: DirSync
  readonly #init: OpeningInit
  readonly result: Opening = { damages: [], tornBytes: 0, hintedBytes: 0, generations: new Map() }

  constructor(ports: { files: FileIo; log: Log }, dirSync: DirSync, init: OpeningInit) {
    this.#files = ports.files
    this.#log = ports.log
    this.#dirSync = dirSync
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
    const postponed: [number, number[]][] = []
    await forEachLimit(byRange, OPEN_CONCURRENCY, async entry => {
      if (!(await this.#openRange(...entry, take, false))) postponed.push(entry)
    })
    for (const [range, generations] of postponed) await this.#openRange(range, generations, take, true)
    return this.result
  }

  /** Range → generations of its files, ascending. Strangers stay where they are; leftovers of hints and transfers go. */
  async #filesByRange(): Promise<Map<number, number[]>> {
    const { dir, q } = this.#init
    const byRange = new Map<number, number[]>()
    const names = (await this.#files.list(dir)).sort()
    const present = new Set(names)
    for (const name of names) {
      const parsed = parseFileName(name)
      if (!parsed || parsed.range >= q) {
        this.#log.warn('not a range file of this cluster; left alone', { file: `${dir}/${name}` })
        continue
      }
      const { range, generation, kind, state } = parsed
      this.result.generations.set(range, Math.max(generation, this.result.generations.get(range) ?? 0))
      if (kind === 'log' && state === 'whole') byRange.set(range, [...(byRange.get(range) ?? []), generation])
      const isLeftover = state === 'temporary' || (kind === 'hint' && !present.has(fileName(range, generation)))
      if (isLeftover) await this.#unlinkLeftover(`${dir}/${name}`)
    }
    return byRange
  }

  /** False: for want of a file handle; worth another try when fewer are in use. `last`: then it throws. */
  async #openRange(
    range: number,
    generations: number[],
    take: (found: FoundLog) => void,
    last: boolean
  ): Promise<boolean> {
    const { dir, q, durability } = this.#init
    const good: (FoundFile & { header: FileHeader })[] = []
    const cutShort: FoundFile[] = []
    let file = ''
    try {
      for (const generation of generations) {
        file = `${dir}/${fileName(range, generation)}`
        const found = await this.#find(range, generation)
        if (found === undefined) continue
        if (found.header === undefined) cutShort.push(found)
        else if (typeof found.header === 'string') await this.#setAside(range, found.path, found.header)
        else good.push(found as FoundFile & { header: FileHeader })
      }
      if (good.length === 0) return this.#takeEmpty(range, cutShort, take)
      for (const { path } of cutShort) await this.#unlinkLeftover(path)
      const chain = chainOf(good)
      for (const { path } of good.filter(other => !chain.includes(other))) {
        this.#log.warn('a newer file of this range does not continue this one; left alone', { file: path })
      }
      const log = await recoverLog(this.#files, chain, { range, q, sync: durability === 'disk' })
      for (const { path, offset, length, detail } of log.damages)
        this.result.damages.push({ range, file: path, offset, length, detail })
      for (const problem of log.badHints) this.#log.warn('a hint is of no use; its range file was read', { problem })
      this.result.tornBytes += log.tornBytes
      this.result.hintedBytes += log.hintedBytes
      const newest = chain.at(-1)!
      take({ ...log, range, empty: false, received: newest.header.generation !== newest.generation })
    } catch (error) {
      if (isShortOfResources(error) && last) throw shortOfResources(file, error)
      if (isShortOfResources(error)) return false
      this.#unopened(range, file, error)
    }
    return true
  }

  /** Undefined: it cannot be opened, which is reported. Throws want of file handles. */
  async #find(range: number, generation: number): Promise<FoundFile | undefined> {
    const { dir, q } = this.#init
    try {
      return await findFile(this.#files, dir, { range, q, generation })
    } catch (error) {
      if (isShortOfResources(error)) throw error
      this.#unopened(range, `${dir}/${fileName(range, generation)}`, error)
      return undefined
    }
  }

  #unopened(range: number, file: string, error: unknown): void {
    const detail = `the file cannot be opened (${codeOf(error)}); left alone`
    this.result.damages.push({ range, file, offset: 0, length: 0, detail })
  }

  /** Files that never held a record: the newest is begun anew, the others go. */
  async #takeEmpty(range: number, cutShort: FoundFile[], take: (found: FoundLog) => void): Promise<boolean> {
    const newest = cutShort.pop()
    for (const { path } of cutShort) await this.#unlinkLeftover(path)
    if (newest === undefined) return true
    const handle = await this.#files.open(newest.path, 'r+')
    try {
      await handle.truncate(0)
    } finally {
      await handle.close()
    }
    this.result.tornBytes += newest.bytes
    const file = { generation: newest.generation, fileId: NO_FILE, continues: NO_FILE, end: 0 }
    const nothing = {
      liveBytes: 0,
      settled: false,
      tornBytes: 0,
      damages: [],
      badHints: [],
      hintedTo: 0,
      hintedBytes: 0
    }
    take({ ...nothing, index: new KeyIndex(this.#init.q), files: [file], range, empty: true, received: false })
    return true
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

  /** It holds nothing that is not elsewhere; a failure costs a few bytes of disk. */
  async #unlinkLeftover(path: string): Promise<void> {
    try {
      await this.#files.unlink(path)
      this.#dirSync.changed()
    } catch (error) {
      this.#log.warn('a leftover file cannot be removed', { file: path, code: codeOf(error) })
    }
  }
}
