/**
 * What a store does for its files when nobody asks: one thing at a time, the most useful first. The log with the most dead
 * bytes is rewritten; a hint is written where a start would have much to read.
 *
 * A log is rewritten when its dead bytes are at least `compactBytes` and half of it, which is also true of one whose
 * rewriting was cut short. So the files take at most twice the live bytes plus `compactBytes` a range, and while one is
 * rewritten, its live bytes more. One that goes on after a file of it has failed comes first. A hint is due when at least
 * `hintBytes` and half of what it covers have been written since.
 */
import { isCoterieError } from '../../errors.ts'
import type { Clock, FileIo, Log, Timer, Timers } from '../../ports.ts'
import type { RangeLog } from '../log/range-log.ts'
import { compact } from './compaction.ts'
import { mayHaveHint, writeHint } from './hint-writer.ts'
import { Pace, type WriteLatency } from './pace.ts'

/** How often it looks around; a look costs a few numbers a range. */
const LOOK_MS = 1000
/** A log whose job failed is left alone for this long. */
const RETRY_MS = 10_000
const DEAD_SHARE = 0.5
const HINT_SHARE = 0.5
/** Of `hintBytes`: when a log is closed, nothing else has to wait for its hint. */
const CLOSE_HINT_SHARE = 1 / 16
/** A record is padded to 8 bytes: this much on average, which is neither live nor dead. */
const PADDING_BYTES = 4

export interface HousekeeperParts {
  clock: Clock
  timers: Timers
  files: FileIo
  log: Log
  latency: WriteLatency
  logs: () => Iterable<RangeLog>
  /** Puts and gets so far. */
  operations: () => number
}

export interface HousekeeperInit {
  q: number
  compactBytes: number
  hintBytes: number
}

type Job = { log: RangeLog; what: 'compact' | 'hint' }

export class Housekeeper {
  readonly #parts: HousekeeperParts
  readonly #init: HousekeeperInit
  readonly #pace: Pace
  /** Up to where the file of each log is hinted. */
  readonly #hintedTo = new Map<RangeLog, number>()
  readonly #restsUntilMs = new Map<RangeLog, number>()
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #job: Job | undefined
  #stopped = false
  #compactions = 0

  constructor(parts: HousekeeperParts, init: HousekeeperInit) {
    this.#parts = parts
    this.#init = init
    this.#pace = this.newPace()
  }

  /** The range that is being rewritten now. */
  get compacting(): number | undefined {
    return this.#job?.what === 'compact' ? this.#job.log.range : undefined
  }

  /** Finished ones. */
  get compactions(): number {
    return this.#compactions
  }

  /** For work that shares the disk as this does: range files on their way to or from others. */
  newPace(): Pace {
    const { latency, operations } = this.#parts
    return new Pace(this.#parts, latency, operations)
  }

  start(): void {
    if (this.#stopped) return
    this.#timer = this.#parts.timers.after(LOOK_MS, () => {
      this.#running = this.#work().finally(() => {
        this.#running = undefined
        this.start()
      })
    })
  }

  /** How far a hint that was found reaches. */
  foundHint(log: RangeLog, to: number): void {
    this.#hintedTo.set(log, to)
  }

  forget(log: RangeLog): void {
    this.#hintedTo.delete(log)
    this.#restsUntilMs.delete(log)
  }

  /** Ends what is under way, at the next slice. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#pace.stop()
    await this.#running
  }

  /** For the last time, of a log that takes nothing any more: if a start would gain by it. */
  async hintForGood(log: RangeLog): Promise<void> {
    const unhinted = log.newest.writer.written - (this.#hintedTo.get(log) ?? 0)
    if (unhinted < this.#init.hintBytes * CLOSE_HINT_SHARE || !mayHaveHint(log)) return
    try {
      await writeHint(log, this.#parts.files, this.#init.q, async () => {})
    } catch (error) {
      this.#parts.log.warn('a hint could not be written; the next start reads the range file', {
        range: log.range,
        error: String(error)
      })
    }
  }

  async #work(): Promise<void> {
    for (let job = this.#next(); job && !this.#stopped; job = this.#next()) {
      this.#job = job
      try {
        await this.#do(job)
      } catch (error) {
        this.#restsUntilMs.set(job.log, this.#parts.clock.monotonicMs() + RETRY_MS)
        if (isCoterieError(error, 'closed') || job.log.refusal) continue
        const { range } = job.log
        const what = job.what === 'hint' ? 'writing a hint' : 'rewriting a range file'
        this.#parts.log.warn(`${what} stopped; it goes on later`, { range, error: String(error) })
      } finally {
        this.#job = undefined
      }
    }
  }

  async #do({ log, what }: Job): Promise<void> {
    const { files } = this.#parts
    if (what === 'compact') {
      const before = log.stats().fileBytes
      await compact(log, files, this.#pace)
      this.#compactions++
      this.#hintedTo.delete(log)
      const { fileBytes } = log.stats()
      this.#parts.log.debug('rewrote a range file', { range: log.range, before, after: fileBytes })
      return
    }
    this.#pace.begin()
    const to = await writeHint(log, files, this.#init.q, () => this.#pace.breathe())
    if (to === undefined) this.#restsUntilMs.set(log, this.#parts.clock.monotonicMs() + RETRY_MS)
    else this.#hintedTo.set(log, to)
  }

  #next(): Job | undefined {
    const nowMs = this.#parts.clock.monotonicMs()
    let best: { job: Job; worth: number } | undefined
    for (const log of this.#parts.logs()) {
      if (log.refusal || (this.#restsUntilMs.get(log) ?? 0) > nowMs) continue
      const job = this.#jobFor(log)
      if (job && (!best || job.worth > best.worth)) best = job
    }
    return best?.job
  }

  #jobFor(log: RangeLog): { job: Job; worth: number } | undefined {
    const { keys, liveBytes, fileBytes } = log.stats()
    // What is left in a file that has failed is nowhere else.
    if (log.renewing) return { job: { log, what: 'compact' }, worth: Number.POSITIVE_INFINITY }
    const deadBytes = fileBytes - liveBytes - keys * PADDING_BYTES
    if (deadBytes >= this.#init.compactBytes && deadBytes >= fileBytes * DEAD_SHARE)
      return { job: { log, what: 'compact' }, worth: deadBytes }
    const hintedTo = this.#hintedTo.get(log) ?? 0
    const unhinted = log.newest.writer.written - hintedTo
    if (unhinted >= this.#init.hintBytes && unhinted >= hintedTo * HINT_SHARE && mayHaveHint(log))
      return { job: { log, what: 'hint' }, worth: 0 }
    return undefined
  }
}
