/**
 * How far this process is behind: a tick that comes late has waited for everything before it, and so has whatever arrived
 * meanwhile. Nobody can say how old a request is that was read after a pause or in an overload; it counts as old as that.
 */
import type { Clock, Timer, Timers } from './ports.ts'

const TICK_MS = 50
/** Less is the ordinary unevenness of a busy process. */
const LATE_MS = 200
/** After a pause, what had piled up is read within this time. */
const BACKLOG_MS = 250

export class LoopLag {
  readonly #clock: Clock
  readonly #timers: Timers
  #timer: Timer | undefined
  #dueMs = Number.POSITIVE_INFINITY
  /** How late the last late tick was, and until when that counts. */
  #lateMs = 0
  #untilMs = 0

  constructor({ clock, timers }: { clock: Clock; timers: Timers }) {
    this.#clock = clock
    this.#timers = timers
  }

  start(): void {
    this.#dueMs = this.#clock.monotonicMs() + TICK_MS
    this.#timer = this.#timers.after(TICK_MS, () => {
      this.#look()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#dueMs = Number.POSITIVE_INFINITY
  }

  /** Milliseconds that what arrives now may have waited; 0: no more than usual. */
  get behindMs(): number {
    this.#look()
    return this.#clock.monotonicMs() < this.#untilMs ? this.#lateMs : 0
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs()
    const lateMs = nowMs - this.#dueMs
    if (lateMs < LATE_MS) return
    this.#lateMs = nowMs < this.#untilMs ? Math.max(lateMs, this.#lateMs) : lateMs
    this.#untilMs = nowMs + BACKLOG_MS
  }
}
