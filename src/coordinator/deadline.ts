/** How long an operation still has; every step of it draws on the same budget. */
import { CoterieError } from '../errors.ts'
import type { Clock, RequestOptions, Timers } from '../ports.ts'

export class Deadline {
  readonly #clock: Clock
  readonly #endMs: number
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined

  constructor(clock: Clock, { timeoutMs, signal }: RequestOptions) {
    this.#clock = clock
    this.#endMs = clock.monotonicMs() + timeoutMs
    this.timeoutMs = timeoutMs
    this.signal = signal
  }

  get remainingMs(): number {
    return Math.max(0, this.#endMs - this.#clock.monotonicMs())
  }

  /** Its time is up: in less than a millisecond nothing is done, and timers are no more exact. */
  get isPast(): boolean {
    return this.remainingMs < 1
  }

  /** What is still to be done is to be done for nobody: its time is up, or the caller has given up. */
  get isOver(): boolean {
    return this.isPast || this.signal?.aborted === true
  }

  /** Throws when there is no time left or the caller has given up. `what` completes "… was not done in time". */
  check(what: string): void {
    this.signal?.throwIfAborted()
    if (this.remainingMs <= 0)
      throw new CoterieError('not-available', `${what} was not done within ${this.timeoutMs} ms`)
  }

  options(): RequestOptions {
    return { timeoutMs: Math.max(1, Math.ceil(this.remainingMs)), signal: this.signal }
  }
}

/** Settles like `work`, or rejects with `late()` once the deadline passes, or with the signal's reason. */
export function withinDeadline<T>(
  work: Promise<T>,
  deadline: Deadline,
  timers: Timers,
  late: () => CoterieError
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = timers.after(deadline.remainingMs, () => finish(() => reject(late())))
    const onAbort = () => finish(() => reject(deadline.signal?.reason))
    const finish = (settle: () => void) => {
      timer.cancel()
      deadline.signal?.removeEventListener('abort', onAbort)
      settle()
    }
    deadline.signal?.addEventListener('abort', onAbort, { once: true })
    work.then(
      value => finish(() => resolve(value)),
      error => finish(() => reject(error))
    )
  })
}
