/**
 * The names on a simulated disk: which file each stands for now, and which changes a power cut may take back. A change
 * is one creation, rename or unlink, whole or not at all; it survives for certain once its directory is synced.
 */

import type { SimRandom } from '../world/random.ts'
import { Inode, WRITE_BACK_MS } from './inode.ts'

class Directory {}

type Entry = Inode | Directory

interface Change {
  number: number
  atMs: number
  /** Path → what it stands for from then on. */
  names: [string, Entry | undefined][]
  /** What was created, renamed or unlinked. */
  entry: Entry
}

export class DirectoryTree {
  #entries = new Map<string, Entry>()
  /** What a power cut leaves in any case. */
  #durable = new Map<string, Entry>()
  #changes: Change[] = []
  #made = 0

  /** Changes ever made: what a directory sync that is issued now will cover. */
  get made(): number {
    return this.#made
  }

  file(path: string): Inode | undefined {
    const entry = this.#entries.get(path)
    return entry instanceof Inode ? entry : undefined
  }

  hasDir(path: string): boolean {
    return path === '' || this.#entries.get(path) instanceof Directory
  }

  has(path: string): boolean {
    return this.#entries.has(path)
  }

  /** All files, in an order that is the same in every run. */
  *files(): Generator<[path: string, file: Inode]> {
    for (const [path, entry] of this.#entries) if (entry instanceof Inode) yield [path, entry]
  }

  list(dir: string): string[] {
    const start = dir === '' ? '' : `${dir}/`
    const paths = [...this.#entries.keys()].filter(path => path.startsWith(start))
    return paths.map(path => path.slice(start.length)).filter(name => name !== '' && !name.includes('/'))
  }

  /** Makes it and its parents. */
  makeDir(dir: string, nowMs: number): void {
    if (this.hasDir(dir)) return
    const parent = parentOf(dir)
    this.makeDir(parent, nowMs)
    const entry = new Directory()
    const change = this.#change(nowMs, entry, [[dir, entry]])
    // A data directory: whoever set the machine up has made sure of it.
    if (parent === '') this.#commit(other => other === change)
  }

  link(path: string, file: Inode, nowMs: number): void {
    this.#change(nowMs, file, [[path, file]])
  }

  /** The file must exist. */
  unlink(path: string, nowMs: number): void {
    this.#change(nowMs, this.#entries.get(path)!, [[path, undefined]])
  }

  /** `from` must exist; `to` is replaced. */
  rename(from: string, to: string, nowMs: number): void {
    const entry = this.#entries.get(from)!
    const names: Change['names'] = [[to, entry]]
    if (from !== to) names.unshift([from, undefined])
    this.#change(nowMs, entry, names)
  }

  /** What was done in `dir` among the first `covered` changes survives. */
  sync(dir: string, covered: number): void {
    this.#commit(({ number, names }) => number <= covered && names.some(([path]) => parentOf(path) === dir))
  }

  /** The same for the directory of `path`, and for the latest change of all. */
  syncWith(path: string, covered: number): void {
    const dir = parentOf(path)
    this.#commit(({ number, names }) => {
      return number === this.#made || (number <= covered && names.some(([name]) => parentOf(name) === dir))
    })
  }

  /** Of the changes that are not synced, some survive: any, as far as those on the same name or file go in order. */
  powerCut(nowMs: number, random: SimRandom): void {
    const keep = random.pick([0, 1, 0.5, 0.5])
    this.#commit(({ atMs }) => atMs < nowMs - WRITE_BACK_MS || random.chance(keep))
    this.#changes = []
    for (const path of [...this.#durable.keys()]) {
      for (let dir = parentOf(path); dir !== ''; dir = parentOf(dir)) {
        if (!this.#durable.has(dir)) this.#durable.delete(path)
      }
    }
    this.#entries = new Map(this.#durable)
  }

  /** Everything is gone but the directories that hold the data directories. */
  clear(): void {
    const kept = [...this.#durable].filter(([path, entry]) => entry instanceof Directory && parentOf(path) === '')
    this.#entries = new Map(kept)
    this.#durable = new Map(kept)
    this.#changes = []
  }

  #change(nowMs: number, entry: Entry, names: Change['names']): Change {
    const change = { number: ++this.#made, atMs: nowMs, names, entry }
    for (const [path, now] of names) assign(this.#entries, path, now)
    this.#changes.push(change)
    return change
  }

  /** Makes the chosen changes durable, with those before them that they build on. */
  #commit(chosen: (change: Change) => boolean): void {
    if (this.#changes.length === 0) return
    const needed = new Set<string | Entry>()
    const committed = new Set<Change>()
    for (const change of this.#changes.toReversed()) {
      const isNeeded = needed.has(change.entry) || change.names.some(([path]) => needed.has(path))
      if (!chosen(change) && !isNeeded) continue
      committed.add(change)
      needed.add(change.entry)
      for (const [path] of change.names) needed.add(path)
    }
    for (const change of this.#changes) {
      if (committed.has(change)) for (const [path, entry] of change.names) assign(this.#durable, path, entry)
    }
    this.#changes = this.#changes.filter(change => !committed.has(change))
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function assign(entries: Map<string, Entry>, path: string, entry: Entry | undefined): void {
  if (entry === undefined) entries.delete(path)
  else entries.set(path, entry)
}
