/** When to try again: after 0.5 s, 1 s, 2 s, … up to 30 s, each ± 25 % so that a restarted cluster does not dial in step. */
import type { Clock, Random } from '../ports.ts'

export const FIRST_DELAY_MS = 500
/** What a peer that comes back may have to wait for, unless it dials us first. */
export const LONGEST_DELAY_MS = 30_000
const JITTER = 0.25

export class Backoff {
  readonly #clock: Clock
  readonly #random: Random
  readonly #longestMs: number
  #failures = 0
  #nextMs = Number.NEGATIVE_INFINITY

  constructor({ clock, random }: { clock: Clock; random: Random }, longestMs = LONGEST_DELAY_MS) {
    this.#clock = clock
    this.#random = random
    this.#longestMs = longestMs
  }

  get failures(): number {
    return this.#failures
  }

  /** Milliseconds until the next try is due; 0: now. */
  get waitMs(): number {
    return Math.max(0, this.#nextMs - this.#clock.monotonicMs())
  }

  failed(): void {
    const delayMs = Math.min(this.#longestMs, FIRST_DELAY_MS * 2 ** Math.min(this.#failures, 16))
    this.#failures++
    this.#nextMs = this.#clock.monotonicMs() + delayMs * (1 - JITTER + 2 * JITTER * this.#random.float())
  }

  reset(): void {
    this.#failures = 0
    this.#nextMs = Number.NEGATIVE_INFINITY
  }
}
