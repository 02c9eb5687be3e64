/**
 * A store on journalled files, for a workload to live through: opened, killed, closed and opened again, its time moved on
 * until what is asked of it is done. The same seed gives the same journal.
 */
import type { Durability } from '../../../src/config.ts'
import type { FileHandle, FileIo } from '../../../src/ports.ts'
import { silentLog } from '../../../src/runtime.ts'
import type { SimRandom } from '../../../src/sim/world/random.ts'
import { type OpenReport, RangeStore, type StoredKey } from '../../../src/storage/range-store.ts'
import { bytesOf, DIR, ManualTime, Q } from '../helpers.ts'
import { History } from './history.ts'
import { type Image, JournalFiles } from './journal-files.ts'

export interface LifeSettings {
  durability: Durability
  compactBytes: number
  hintBytes: number
  /** Default: none, so that every get reads. */
  cacheBytes?: number
  /** Between the store and its files: what a broken store would do. */
  lie?: (files: FileIo) => FileIo
}

/** Turns of the event loop after which something that should be done hangs. */
const MAX_TURNS = 20_000
const TURN_MS = 100

export class Life {
  readonly files: JournalFiles
  readonly history: History
  readonly random: SimRandom
  readonly time = new ManualTime()
  store!: RangeStore
  readonly #settings: LifeSettings
  #kill = () => {}

  constructor(
    random: SimRandom,
    settings: LifeSettings,
    base?: Image,
    before?: (name: string) => (string | undefined)[]
  ) {
    this.random = random
    this.#settings = settings
    this.files = new JournalFiles(random.fork('files'), base)
    this.history = new History(this.files, settings.durability, before)
  }

  async open(): Promise<OpenReport> {
    const { io, kill } = killable(this.#settings.lie?.(this.files) ?? this.files)
    this.#kill = kill
    this.store = storeOn(io, this.time, this.random, this.#settings)
    return this.store.open()
  }

  /** Kill −9: what was under way may be done or not; nothing of it is heard of any more. */
  async kill(): Promise<void> {
    this.#kill()
    await this.time.sleep(10 * TURN_MS)
  }

  /** With `interval`: when nothing is said to be unsynced, all that was acknowledged is promised. */
  async rest(ms: number): Promise<void> {
    await this.time.sleep(ms)
    if (this.history.durability !== 'interval') return
    const from = this.files.tick()
    if (this.store.syncLagMs() === 0) this.history.synced(from)
  }

  /** Between 20 and 300. */
  size(): number {
    return this.random.between(20, 300)
  }
}

/** A store that the tests of this folder open: time that stands, chance from a seed. */
export function storeOn(files: FileIo, time: ManualTime, random: SimRandom, settings: LifeSettings): RangeStore {
  const ports = { clock: time, timers: time, random, files, log: silentLog }
  const { durability, compactBytes, hintBytes, cacheBytes = 0 } = settings
  return new RangeStore(ports, { dir: DIR, q: Q, durability, cacheBytes, compactBytes, hintBytes })
}

/** Moves time on until `work` is done. Throws what it throws, or says that it hangs. */
export async function drive<T>(time: ManualTime, work: Promise<T>): Promise<T> {
  let over = false
  const end = () => {
    over = true
  }
  work.then(end, end)
  for (let turns = 0; !over; turns++) {
    if (turns > MAX_TURNS) throw new Error(`nothing came of it in ${MAX_TURNS} turns: it hangs`)
    await time.advance(TURN_MS)
  }
  return work
}

/** A key of any range, at a position of its own. */
export function keyIn(range: number, text: string, position: number): StoredKey {
  return { bytes: bytesOf(text), hi: (range * 2 ** 29 + position) >>> 0, lo: position }
}

/** Files that, after `kill`, answer nobody. */
function killable(files: FileIo): { io: FileIo; kill(): void } {
  let dead = false
  const never = new Promise<never>(() => {})
  const alive = async <T>(work: () => Promise<T>): Promise<T> => {
    if (dead) return never
    try {
      const result = await work()
      return dead ? never : result
    } catch (error) {
      if (dead) return never
      throw error
    }
  }
  const handleOf = (handle: FileHandle): FileHandle => ({
    read: (into, position) => alive(() => handle.read(into, position)),
    write: (buffers, position) => alive(() => handle.write(buffers, position)),
    sync: () => alive(() => handle.sync()),
    truncate: length => alive(() => handle.truncate(length)),
    size: () => alive(() => handle.size()),
    close: () => alive(() => handle.close())
  })
  const io: FileIo = {
    open: (path, mode) => alive(async () => handleOf(await files.open(path, mode))),
    list: dir => alive(() => files.list(dir)),
    makeDir: dir => alive(() => files.makeDir(dir)),
    rename: (from, to) => alive(() => files.rename(from, to)),
    unlink: path => alive(() => files.unlink(path)),
    syncDir: dir => alive(() => files.syncDir(dir)),
    readFile: path => alive(() => files.readFile(path)),
    replaceFile: (path, content) => alive(() => files.replaceFile(path, content))
  }
  return {
    io,
    kill() {
      dead = true
    }
  }
}
