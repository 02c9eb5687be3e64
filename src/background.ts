/** Work that goes on behind an answer (late replicas, read repair, transfers): kept track of, so that `close` can wait for it. */
import type { Log } from './ports.ts'

export class Background {
  readonly #log: Log
  readonly #running = new Set<Promise<void>>()

  constructor({ log }: { log: Log }) {
    this.#log = log
  }

  get size(): number {
    return this.#running.size
  }

  /** Failures are logged, not thrown: the operation that started this has been answered already. */
  run(what: string, work: Promise<unknown>): void {
    const done: Promise<void> = work
      .then(
        () => undefined,
        error => this.#log.debug(`${what} failed`, { error: String(error) })
      )
      .finally(() => this.#running.delete(done))
    this.#running.add(done)
  }

  /** Resolves when all that runs now, and all that it starts, has ended. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
