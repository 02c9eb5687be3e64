/**
 * Copies that this node keeps for list members that could not be reached: hinted handoff (Dynamo §4.6; design §10). Each
 * is a range copy like any other, in a directory of its own, and survives a restart. It votes for nothing: it may hold
 * one key of thousands. `repair/hint-delivery.ts` hands them over and drops them.
 *
 * @example
 *   await standIns.hold(range, key, state)          // an ack that counts toward W
 *   const changes = standIns.changes(range)         // … every list member proves that it holds all of it …
 *   await standIns.drop(range, changes)             // false: something came meanwhile
 */
import type { Durability } from '../config.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { CopyStatus } from '../messages.ts'
import type { Clock, FileIo, Log, Random, Timers } from '../ports.ts'
import { type OpenReport, RangeStore } from '../storage/range-store.ts'
import type { KeyState } from '../version/key-state.ts'
import { RangeClocks } from './range-clocks.ts'
import { type CopyMarks, Replicas, type WriteIntent, type Written } from './replicas.ts'

/** Few are hot at once, and those of the list members' copies come first. */
const CACHE_BYTES = 1024 * 1024

export interface StandInsInit {
  dir: string
  q: number
  durability: Durability
  /** Bytes of files at which this node stands in for nobody any more. */
  maxBytes: number
  compactBytes: number
  hintBytes: number
}

interface Changes {
  /** Begun and ended writes so far: equal at two times, and nothing was under way at either or came in between. */
  count: number
  underWay: number
}

export class StandIns {
  /** The same code as for list members' copies, over files of their own. */
  readonly replicas: Replicas
  readonly #store: RangeStore
  readonly #marks = new StandInMarks()
  readonly #maxBytes: number
  readonly #changes = new Map<number, Changes>()
  readonly #counts = { held: 0, declined: 0 }

  constructor(
    ports: { clock: Clock; timers: Timers; random: Random; files: FileIo; log: Log },
    { maxBytes, q, ...init }: StandInsInit
  ) {
    this.#store = new RangeStore(ports, { ...init, q, cacheBytes: CACHE_BYTES })
    const clocks = new RangeClocks(ports, { store: this.#store }, { path: `${init.dir}-clocks.json` })
    this.replicas = new Replicas(ports, { store: this.#store, copies: this.#marks, clocks }, { q })
    this.#maxBytes = maxBytes
  }

  async open(): Promise<OpenReport> {
    const report = await this.#store.open()
    await this.#marks.set(report.ranges, 'syncing')
    const damaged = new Set(report.damages.map(({ range }) => range))
    await this.replicas.clocks.open(report.ranges.filter(range => !damaged.has(range)))
    return report
  }

  async close(): Promise<void> {
    await this.replicas.saveClocks()
    await this.#store.close()
  }

  /** Ranges that something is kept of, rising. */
  ranges(): number[] {
    return this.#marks.ranges()
  }

  stats(): { ranges: number; keys: number; bytes: number; held: number; declined: number } {
    const { keys, fileBytes } = this.#store.totalStats()
    return { ranges: this.ranges().length, keys, bytes: fileBytes, ...this.#counts }
  }

  /** Keeps a key state; resolves when it is as durable as this node's own copies. Throws `overloaded` at the bound. */
  hold(range: number, key: Uint8Array, state: Uint8Array): Promise<void> {
    return this.#changing(range, key.length + state.length, async () => {
      await this.replicas.merge(range, key, state)
    })
  }

  /** Mints a dot for a write that no list member can be asked to coordinate. */
  async write(range: number, key: Uint8Array, intent: WriteIntent): Promise<Written> {
    const written = await this.#changing(range, key.length + (intent.value?.length ?? 0), () =>
      this.replicas.write(range, key, intent)
    )
    const end = this.#begin(range)
    written.stored.then(end, end)
    return written
  }

  /** What is kept of a key; undefined: nothing. */
  async read(range: number, key: Uint8Array): Promise<KeyState | undefined> {
    return this.replicas.status(range) === 'none' ? undefined : this.replicas.read(range, key)
  }

  /** For `drop`; undefined while a write is under way. */
  changes(range: number): number | undefined {
    const { count, underWay } = this.#changesOf(range)
    return underWay === 0 ? count : undefined
  }

  /**
   * Unlinks what is kept of a range. The caller has proof that every list member holds, synced to disk, all that was kept
   * when `changes` was read. False: it has changed since.
   */
  async drop(range: number, changes: number): Promise<boolean> {
    if (this.changes(range) !== changes || this.replicas.status(range) === 'none') return false
    await this.replicas.drop(range)
    return true
  }

  async #changing<T>(range: number, bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#store.totalStats().fileBytes + bytes > this.#maxBytes) {
      this.#counts.declined++
      throw new CoterieError(
        'overloaded',
        `this node keeps ${this.#maxBytes} bytes for others already, and takes no more`
      )
    }
    const end = this.#begin(range)
    try {
      for (let tries = 0; ; tries++) {
        await this.replicas.create([range])
        try {
          const result = await work()
          this.#counts.held++
          return result
        } catch (error) {
          // Dropped between the two: it begins anew.
          if (tries > 0 || !isCoterieError(error, 'wrong-node')) throw error
        }
      }
    } finally {
      end()
    }
  }

  #begin(range: number): () => void {
    const changes = this.#changesOf(range)
    changes.count++
    changes.underWay++
    return () => {
      changes.count++
      changes.underWay--
    }
  }

  #changesOf(range: number): Changes {
    let changes = this.#changes.get(range)
    if (changes === undefined) this.#changes.set(range, (changes = { count: 0, underWay: 0 }))
    return changes
  }
}

/** All of them are syncing. There is nothing to write down: what has a file is here. */
class StandInMarks implements CopyMarks {
  readonly #held = new Set<number>()

  status(range: number): CopyStatus {
    return this.#held.has(range) ? 'syncing' : 'none'
  }

  async set(ranges: number[], status: CopyStatus): Promise<void> {
    for (const range of ranges) {
      if (status === 'none') this.#held.delete(range)
      else this.#held.add(range)
    }
  }

  ranges(): number[] {
    return [...this.#held].sort((a, b) => a - b)
  }
}
