/** `Timers.sleep` over `after`: the same for every kind of time. */
import type { Timer, Timers } from './ports.ts'

/** `after` runs its function once, no earlier than the delay, as `Timers.after` does. */
export function sleepOn(after: (delayMs: number, fn: () => void) => Timer): Timers['sleep'] {
  return (delayMs, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        timer.cancel()
        reject(signal?.reason)
      }
      const timer = after(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
}
