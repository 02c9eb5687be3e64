/**
 * Asks one after another until one succeeds: the next as soon as one has failed, or once it has taken longer than usual
 * and there is a hedge to spend (Dean and Barroso, The Tail at Scale, 2013).
 */
import type { Timers } from './ports.ts'

export interface StaggerOptions<T> {
  timers: Timers
  /** Milliseconds after which the candidate that was asked last counts as slow. */
  delayMs: (candidate: T) => number
  /** It is slow; true: the next one may be asked as well. */
  onSlow: (candidate: T) => boolean
  /** How long it is waited for whether that was true or not; again, until the next one may be asked. Default: for ever. */
  patience?: { ms: number; mayEnd: () => boolean }
  /** Nobody else would do better: this error ends it all. */
  isFinal: (error: unknown) => boolean
  /** False: after this failure nobody else is asked who has not been. */
  mayGoOn?: (error: unknown) => boolean
}

/** Rejects with what was final, or with the last error once all have failed. `candidates`: at least one, best first. */
export function staggered<T, R>(
  candidates: readonly T[],
  ask: (candidate: T) => Promise<R>,
  { timers, delayMs, onSlow, isFinal, patience, mayGoOn = () => true }: StaggerOptions<T>
): Promise<R> {
  return new Promise((resolve, reject) => {
    let asked = 0
    let failed = 0
    let timer = { cancel: () => {} }
    const settle = (end: () => void) => {
      timer.cancel()
      asked = candidates.length
      end()
    }
    const waitOn = (forMs: number) => {
      if (patience === undefined) return
      timer = timers.after(forMs, () => (patience.mayEnd() ? next() : waitOn(patience.ms)))
    }
    const next = () => {
      timer.cancel()
      if (asked >= candidates.length) return
      const candidate = candidates[asked++]!
      const slowMs = delayMs(candidate)
      timer = timers.after(slowMs, () => {
        if (asked >= candidates.length) return
        if (onSlow(candidate)) next()
        else waitOn((patience?.ms ?? 0) - slowMs)
      })
      ask(candidate).then(
        result => settle(() => resolve(result)),
        error => {
          failed++
          if (isFinal(error) || failed === candidates.length) settle(() => reject(error))
          else if (failed === asked) {
            if (mayGoOn(error)) next()
            else settle(() => reject(error))
          }
        }
      )
    }
    next()
  })
}
