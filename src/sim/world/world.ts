/**
 * Virtual time: a queue of events, run one after another, each with all the promise callbacks that follow from it, before
 * the next. Nothing waits: the clock jumps to the next event.
 *
 * @example
 *   const world = new World(new SimRandom('42'), new EventLog())
 *   world.after(100, owner, 'timer', () => …)
 *   await world.run(async () => { await world.sleep(60_000); … })   // a virtual minute, in milliseconds
 */
import type { EventLog } from './event-log.ts'
import { EventQueue, type Scheduled } from './event-queue.ts'
import type { SimRandom } from './random.ts'

/** Whose event it is: a process that is dead runs nothing any more, one that is paused runs it when it resumes. */
export interface Owner {
  readonly name: string
  readonly alive: boolean
  readonly paused: boolean
}

export interface Cancellable {
  cancel(): void
}

/** The world itself: clients, faults and the network's own events. */
export const WORLD: Owner = { name: 'world', alive: true, paused: false }

/** Immediates queued at once: between two of them Node runs all promise callbacks, without a turn of the event loop. */
const BATCH = 256

export class World {
  readonly random: SimRandom
  readonly log: EventLog
  readonly #queue = new EventQueue<Owner>()
  readonly #deferred = new Map<Owner, Scheduled<Owner>[]>()
  #nowMs = 0
  #failure: Error | undefined

  constructor(random: SimRandom, log: EventLog) {
    this.random = random
    this.log = log
  }

  /** Virtual milliseconds since the run began. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Events that wait for their time. */
  get pending(): number {
    return this.#queue.size
  }

  /** Events that wait and belong to this owner: timers, deliveries and disk operations that have not happened. */
  pendingOf(owner: Owner): number {
    const missed = this.#deferred.get(owner)?.filter(event => !event.cancelled) ?? []
    return this.#queue.count(event => event.owner === owner) + missed.length
  }

  /** Runs `fn` after `delayMs` of virtual time; of equal times, the first scheduled runs first. `what` goes to the log. */
  after(delayMs: number, owner: Owner, what: string, fn: () => void): Cancellable {
    return this.at(this.#nowMs + delayMs, owner, what, fn)
  }

  /**
   * Runs `fn` at this time, now if it is past. For what has to keep its order: a difference added to another `nowMs` is not
   * always the same sum. Throws a RangeError for a time that never comes.
   */
  at(atMs: number, owner: Owner, what: string, fn: () => void): Cancellable {
    if (!Number.isFinite(atMs)) throw new RangeError(`${owner.name} schedules ${what} at ${atMs} ms`)
    const event = this.#queue.push(Math.max(this.#nowMs, atMs), owner, what, fn)
    return { cancel: () => this.#queue.cancel(event) }
  }

  sleep(delayMs: number, owner: Owner = WORLD): Promise<void> {
    return new Promise(resolve => void this.after(delayMs, owner, 'sleep', resolve))
  }

  /** Resolves once `holds` is true, looking every `everyMs`; false when it does not come true within `limitMs`. */
  async until(holds: () => boolean | Promise<boolean>, limitMs: number, everyMs = 250): Promise<boolean> {
    for (const endMs = this.#nowMs + limitMs; ; await this.sleep(everyMs)) {
      if (await holds()) return true
      if (this.#nowMs >= endMs) return false
    }
  }

  /** What a paused owner missed happens now, in its order. */
  resumed(owner: Owner): void {
    const missed = this.#deferred.get(owner) ?? []
    this.#deferred.delete(owner)
    // The events themselves: whoever scheduled one may cancel it still.
    for (const event of missed) if (!event.cancelled) this.#queue.put(event, this.#nowMs)
  }

  /** Ends the run with this error at the next event: something happened that no operation reports. */
  fail(error: Error): void {
    this.#failure ??= error
  }

  /**
   * Runs events until `main` settles. Rejects with what `main` throws, with what `fail` was told, or when no event is left
   * and `main` still waits: then something waits for real time or real I/O, or for what will never come.
   */
  async run<T>(main: () => Promise<T>): Promise<T> {
    let outcome: { value: T } | { error: unknown } | undefined
    const running = (async () => main())()
    running.then(
      value => (outcome = { value }),
      error => (outcome = { error })
    )
    await new Promise<void>(resolve => {
      let left = 0
      let over = false
      const step = () => {
        left--
        if (over) return
        if (outcome !== undefined || this.#failure !== undefined) {
          over = true
          return resolve()
        }
        if (!this.#next()) {
          over = true
          outcome ??= { error: new Error('the world stands still: nothing is due, and the run still waits') }
          return resolve()
        }
        if (left === 0) refill()
      }
      const refill = () => {
        left = BATCH
        for (let i = 0; i < BATCH; i++) realSetImmediate(step)
      }
      refill()
    })
    if (this.#failure !== undefined) throw this.#failure
    if (outcome !== undefined && 'value' in outcome) return outcome.value
    throw outcome?.error
  }

  /** Runs the next event; false when there is none. */
  #next(): boolean {
    for (;;) {
      const event = this.#queue.pop()
      if (event === undefined) return false
      this.#nowMs = event.atMs
      const { owner, what, fn } = event
      if (!owner.alive) continue
      if (owner.paused) {
        const missed = this.#deferred.get(owner)
        if (missed === undefined) this.#deferred.set(owner, [event])
        else missed.push(event)
        continue
      }
      this.log.add(this.#nowMs, owner.name, what)
      try {
        fn()
      } catch (error) {
        this.fail(error as Error)
      }
      return true
    }
  }
}

/** Taken before a run forbids it to everybody else. */
const realSetImmediate = globalThis.setImmediate
