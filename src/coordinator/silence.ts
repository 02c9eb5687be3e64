/**
 * Peers that have stopped answering, long before what was asked of them times out: of what replicas answer at once, nothing
 * has come back for a while, though others answer. All operations pass over such a peer at once, instead of each waiting for it
 * anew; writes are sent to it all the same, so whatever it answers brings it back. Where nobody answers, it is as likely this
 * node that is slow, and nobody counts as silent.
 */
import type { Clock } from '../ports.ts'

interface Open {
  count: number
  /** Since when nothing has come while something was open, monotonic ms. */
  sinceMs: number
}

export class Silence {
  readonly #clock: Clock
  readonly #afterMs: number
  readonly #open = new Map<string, Open>()
  /** When anybody answered last. */
  #heardMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, init: { afterMs: number }) {
    this.#clock = clock
    this.#afterMs = init.afterMs
  }

  /** It was asked what a replica answers at once. */
  asked(peerId: string): void {
    const open = this.#open.get(peerId)
    if (open === undefined) this.#open.set(peerId, { count: 1, sinceMs: this.#clock.monotonicMs() })
    else open.count++
  }

  /** What it was asked is answered, or given up. */
  ended(peerId: string): void {
    const open = this.#open.get(peerId)
    if (open !== undefined && --open.count === 0) this.#open.delete(peerId)
  }

  /** It has answered, whatever it was asked. */
  heard(peerId: string): void {
    this.#heardMs = this.#clock.monotonicMs()
    const open = this.#open.get(peerId)
    if (open !== undefined) open.sinceMs = this.#heardMs
  }

  has(peerId: string): boolean {
    const open = this.#open.get(peerId)
    if (open === undefined) return false
    const nowMs = this.#clock.monotonicMs()
    return nowMs - open.sinceMs >= this.#afterMs && nowMs - this.#heardMs < this.#afterMs
  }
}
