/**
 * Asks one after another until one succeeds: the next as soon as one has failed, or once it has taken longer than usual
 * and there is a hedge to spend (Dean and Barroso, The Tail at Scale, 2013).
 */
import type { Timers } from './ports.ts'

/** After so many milliseconds the next one is asked after all, if that may be; and so on. */
export interface Patience {
  ms: number
  mayEnd: () => boolean
}

export interface StaggerOptions<T> {
  timers: Timers
  /** Milliseconds after which the candidate that was asked last counts as slow. */
  delayMs: (candidate: T) => number
  /** It is slow; true: the next one may be asked as well. */
  onSlow: (candidate: T) => boolean
  /** Where it may not. Default: it is waited for for ever. */
  patience?: Patience
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
    const waitLong = ({ ms, mayEnd }: Patience, forMs = ms) => {
      timer = timers.after(forMs, () => (mayEnd() ? next() : waitLong({ ms, mayEnd })))
    }
    const next = () => {
      timer.cancel()
      if (asked >= candidates.length) return
      const candidate = candidates[asked++]!
      const slowMs = delayMs(candidate)
      timer = timers.after(slowMs, () => {
        if (asked >= candidates.length) return
        if (onSlow(candidate)) next()
        else if (patience !== undefined) waitLong(patience, patience.ms - slowMs)
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
