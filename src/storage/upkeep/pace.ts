/**
 * How fast background work may go: at full speed while nobody else uses the store, a quarter of the time while somebody
 * does, a tenth while writes take longer than they usually do; and the more pressing it is, the less it waits. Work is
 * cut into slices; after each it breathes.
 */
import { CoterieError } from '../../errors.ts'
import type { Clock, Timers } from '../../ports.ts'

/** Pause after a slice, in lengths of the slice. */
const SHARE_PAUSE = 3
const YIELD_PAUSE = 9
/** A write is slow that takes twice its usual time, and this long at least. */
const SLOW_FACTOR = 2
const SLOW_MS = 2
/** A slice that took long took it on the disk: waiting on as long again as that helps nobody. */
const MAX_PAUSE_MS = 200

/** What writes take, from being put to being acknowledged: of late and usually (moving averages over batches). */
export class WriteLatency {
  #lateMs = 0
  #usualMs = 0
  /** Batches so far. */
  batches = 0

  note(ms: number): void {
    this.batches++
    this.#lateMs += (ms - this.#lateMs) / Math.min(this.batches, 32)
    this.#usualMs += (ms - this.#usualMs) / Math.min(this.batches, 4096)
  }

  get isSlow(): boolean {
    return this.#lateMs > SLOW_MS && this.#lateMs > SLOW_FACTOR * this.#usualMs
  }
}

export class Pace {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #latency: WriteLatency
  /** Operations of others so far. */
  readonly #others: () => number
  readonly #stopping = new AbortController()
  #sliceStartMs = 0
  #othersBefore = 0

  constructor(ports: { clock: Clock; timers: Timers }, latency: WriteLatency, others: () => number) {
    this.#clock = ports.clock
    this.#timers = ports.timers
    this.#latency = latency
    this.#others = others
  }

  /** A slice begins now. Throws `closed` once stopped. */
  begin(): void {
    this.#stopping.signal.throwIfAborted()
    this.#sliceStartMs = this.#clock.monotonicMs()
    this.#othersBefore = this.#others()
  }

  /** Between two slices. `urgency`, 0 to 1: how much of the pause is left out. Throws `closed` once stopped. */
  async breathe(urgency = 0): Promise<void> {
    const sliceMs = this.#clock.monotonicMs() - this.#sliceStartMs
    const isAlone = this.#others() === this.#othersBefore
    const pauses = isAlone ? 0 : (this.#latency.isSlow ? YIELD_PAUSE : SHARE_PAUSE) * (1 - Math.min(1, urgency))
    // Even alone: what has come meanwhile goes first.
    if (pauses === 0) await new Promise<void>(resolve => this.#timers.afterIo(resolve))
    else await this.#timers.sleep(Math.min(MAX_PAUSE_MS, sliceMs * pauses), this.#stopping.signal)
    this.begin()
  }

  stop(): void {
    this.#stopping.abort(new CoterieError('closed', 'the store is closing: background work ends here'))
  }
}
