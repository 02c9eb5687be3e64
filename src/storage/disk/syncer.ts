/**
 * The one syncer of a node with `durability: interval`: every acknowledged write is synced within 100 ms, or as fast as
 * the disk can. The lag is a metric.
 */
import { isCoterieError } from '../../errors.ts'
import type { Clock, Timer, Timers } from '../../ports.ts'
import { forEachLimit } from '../limit.ts'

/** Half of the promised 100 ms; the other half is for the disk. */
const SYNC_DELAY_MS = 50

export interface Syncable {
  /** Rejects with `overloaded` when it is worth another try; any other failure is its own affair. */
  sync(): Promise<void>
}

export class Syncer {
  readonly #clock: Clock
  readonly #timers: Timers
  /** When the oldest unsynced write of each log was made, monotonic ms. */
  readonly #dirty = new Map<Syncable, number>()
  readonly #syncing = new Map<Syncable, number>()
  readonly #concurrency: number
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #stopped = false

  /** `concurrency`: syncs asked for at once; more would only wait before the gate. */
  constructor(ports: { clock: Clock; timers: Timers }, concurrency: number) {
    this.#clock = ports.clock
    this.#timers = ports.timers
    this.#concurrency = concurrency
  }

  /** A write of this log was acknowledged and is not synced yet. */
  dirty(log: Syncable): void {
    if (this.#stopped || this.#dirty.has(log)) return
    this.#dirty.set(log, this.#clock.monotonicMs())
    this.#schedule()
  }

  /** The log is gone: nothing of it needs syncing. */
  forget(log: Syncable): void {
    this.#dirty.delete(log)
    this.#syncing.delete(log)
  }

  /** Age of the oldest acknowledged write that is not synced, in milliseconds; 0: there is none. */
  lagMs(): number {
    const oldest = Math.min(this.#oldest(this.#dirty), this.#oldest(this.#syncing))
    return Number.isFinite(oldest) ? this.#clock.monotonicMs() - oldest : 0
  }

  /** A round without waiting for its time; resolves when it is over. */
  flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    return (this.#running ??= this.#round().finally(() => {
      this.#running = undefined
      this.#schedule()
    }))
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#dirty.clear()
  }

  #oldest(times: Map<Syncable, number>): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const since of times.values()) oldest = Math.min(oldest, since)
    return oldest
  }

  #schedule(): void {
    if (this.#timer || this.#running || this.#dirty.size === 0 || this.#stopped) return
    const due = this.#oldest(this.#dirty) + SYNC_DELAY_MS
    this.#timer = this.#timers.after(Math.max(0, due - this.#clock.monotonicMs()), () => {
      this.#timer = undefined
      void this.flush()
    })
  }

  async #round(): Promise<void> {
    const logs = [...this.#dirty.keys()]
    for (const [log, since] of this.#dirty) this.#syncing.set(log, since)
    this.#dirty.clear()
    await forEachLimit(logs, this.#concurrency, async log => {
      const since = this.#syncing.get(log)
      if (since === undefined) return
      try {
        await log.sync()
      } catch (error) {
        // Anything else has fenced or closed the log, and it has said so itself.
        if (isCoterieError(error, 'overloaded') && this.#syncing.has(log)) {
          // Not at once: a file handle has to become free.
          this.#dirty.set(log, this.#clock.monotonicMs())
        }
      }
      this.#syncing.delete(log)
    })
  }
}
