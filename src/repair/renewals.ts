/**
 * Copies whose range file failed, and which no other replica can fill again: they go on in a new file, with the records of
 * the old one that still verify (design §9). One that was synced is synced again once all of them have turned out to be
 * whole, and stand synced in the new file.
 */
import type { Clock, Log } from '../ports.ts'
import type { CopyMarks, Replicas } from '../replica/replicas.ts'

/** Until a file that fails again is given up for another; twice as long each time. */
const PAUSE_MS = 1000
const MAX_PAUSE_MS = 5 * 60_000

interface Renewal {
  dueMs: number
  pauseMs: number
  /** It was synced, with so many damages, when its file failed. */
  synced: boolean
  damages: number
}

export interface RenewalsParts {
  clock: Clock
  log: Log
  replicas: Replicas
  copies: CopyMarks
}

export class Renewals {
  readonly #parts: RenewalsParts
  readonly #byRange = new Map<number, Renewal>()

  constructor(parts: RenewalsParts) {
    this.#parts = parts
  }

  /** Before anything is done about a copy that is fenced: what it is, until then. */
  note(ranges: readonly number[]): void {
    const { clock, replicas, copies } = this.#parts
    for (const range of ranges) {
      if (this.#byRange.has(range)) continue
      const synced = copies.status(range) === 'synced'
      const damages = replicas.damages(range)
      this.#byRange.set(range, { dueMs: clock.monotonicMs(), pauseMs: PAUSE_MS, synced, damages })
    }
  }

  /** A fenced copy, noted before, that nobody else can fill. */
  renew(range: number): void {
    const { clock, log, replicas } = this.#parts
    const renewal = this.#byRange.get(range)
    const nowMs = clock.monotonicMs()
    if (renewal === undefined || renewal.dueMs > nowMs) return
    renewal.dueMs = nowMs + renewal.pauseMs
    renewal.pauseMs = Math.min(MAX_PAUSE_MS, 2 * renewal.pauseMs)
    if (replicas.renew(range)) log.info('goes on in a new file, with what verifies of the failed one', { range })
    else log.warn('too many files of a range have failed; it stays closed until the node is restarted', { range })
  }

  /** Marks those that are whole again. */
  async finish(): Promise<void> {
    const { replicas, copies } = this.#parts
    const whole: number[] = []
    for (const [range, { synced, damages }] of this.#byRange) {
      if (replicas.isFenced(range) || replicas.isRenewing(range)) continue
      this.#byRange.delete(range)
      if (synced && copies.status(range) === 'syncing' && replicas.damages(range) === damages) whole.push(range)
    }
    await copies.set(whole, 'synced')
  }

  /** The copy was made anew: what it held before counts no more. */
  forget(range: number): void {
    this.#byRange.delete(range)
  }
}
