/** Work that goes on behind an answer (late replicas, read repair, transfers): kept track of, so that `close` can wait for it. */
import { CoterieError } from './errors.ts'
import type { Log, Timers } from './ports.ts'

export class Background {
  readonly #log: Log
  readonly #timers: Timers
  readonly #running = new Map<Promise<void>, string>()
  readonly #stopping = new AbortController()

  constructor({ log, timers }: { log: Log; timers: Timers }) {
    this.#log = log
    this.#timers = timers
  }

  /** Aborts when the node stops: for work that may take long. */
  get signal(): AbortSignal {
    return this.#stopping.signal
  }

  /** What runs now, and how many of each. */
  list(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const what of this.#running.values()) counts[what] = (counts[what] ?? 0) + 1
    return counts
  }

  /** Failures are logged, not thrown: the operation that started this has been answered already. */
  run(what: string, work: Promise<unknown>): void {
    const done: Promise<void> = work
      .then(
        () => undefined,
        error => this.#log.debug(`${what} failed`, { error: String(error) })
      )
      .finally(() => this.#running.delete(done))
    this.#running.set(done, what)
  }

  /** Gives up what may take long, and resolves when all has ended, or after `limitMs`: what is cut then is done again by repair. */
  async stop(limitMs: number): Promise<void> {
    this.#stopping.abort(new CoterieError('closed', 'the node is stopping'))
    const all = async () => {
      while (this.#running.size > 0) await Promise.all(this.#running.keys())
    }
    const limit = new AbortController()
    await Promise.race([all(), this.#timers.sleep(limitMs, limit.signal).catch(() => undefined)])
    limit.abort()
  }
}
