/**
 * Whether the disk takes writes, as the last one found. A disk at its limit takes one and refuses the next for hours: that
 * is said when it begins, then at most once in ten minutes, and when writes have gone through for a while.
 */
import type { Clock, Log } from '../ports.ts'

const REPEAT_MS = 600_000
/** Writes that go through for this long: there is room again. */
const CALM_MS = 10_000

export class DiskRoom {
  readonly #clock: Clock
  readonly #log: Log
  #isFull = false
  /** Monotonic ms of the latest refusal; undefined: none since room was found. */
  #refusedMs: number | undefined
  #saidMs = Number.NEGATIVE_INFINITY

  constructor(ports: { clock: Clock; log: Log }) {
    this.#clock = ports.clock
    this.#log = ports.log
  }

  /** The latest write found no room. */
  get isFull(): boolean {
    return this.#isFull
  }

  refused(error: Error): void {
    const now = this.#clock.monotonicMs()
    this.#isFull = true
    this.#refusedMs = now
    if (now - this.#saidMs < REPEAT_MS) return
    this.#saidMs = now
    this.#log.warn('the disk is full: it takes no writes here, reads go on; free some room', { error: error.message })
  }

  found(): void {
    this.#isFull = false
    if (this.#refusedMs === undefined || this.#clock.monotonicMs() - this.#refusedMs < CALM_MS) return
    this.#refusedMs = undefined
    this.#saidMs = Number.NEGATIVE_INFINITY
    this.#log.info('the disk takes writes again')
  }
}
