/**
 * Operations that a simulated disk was given and that are not done: each takes effect at its time, whether its process
 * is paused or not, and only then does the process hear of it. The dead hear nothing.
 */
import type { SimProcess } from '../world/process.ts'
import type { SimRandom } from '../world/random.ts'
import type { Cancellable, World } from '../world/world.ts'

export interface DiskOperation<T> {
  what: string
  /** How long it takes, stalls apart. */
  workMs: number
  /** Runs at most once; what it throws is the operation's failure. */
  effect: () => T
  /**
   * In place of `effect`, for one that was under way when its process died and that was drawn to happen in part or
   * whole. Default: `effect`.
   */
  partly?: () => void
}

interface Pending {
  dueMs: number
  process: SimProcess
  what: string
  /** Takes effect, if it has not yet. */
  perform: () => void
  abandon: () => void
  settle: () => void
  performed: boolean
  event: Cancellable | undefined
}

export class InFlight {
  readonly #world: World
  readonly #random: SimRandom
  readonly #pending = new Set<Pending>()
  #stalledUntilMs = 0

  constructor(world: World, random: SimRandom) {
    this.#world = world
    this.#random = random
  }

  get size(): number {
    return this.#pending.size
  }

  submit<T>(process: SimProcess, { what, workMs, effect, partly }: DiskOperation<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let finish = () => {}
      const pending: Pending = {
        dueMs: Math.max(this.#world.nowMs, this.#stalledUntilMs) + workMs,
        process,
        what,
        performed: false,
        event: undefined,
        perform: () => {
          try {
            const result = effect()
            finish = () => resolve(result)
          } catch (error) {
            finish = () => reject(error)
          }
        },
        abandon: partly ?? (() => void effect()),
        settle: () => finish()
      }
      this.#pending.add(pending)
      this.#schedule(pending)
    })
  }

  /** Nothing takes effect before then. */
  stall(untilMs: number): void {
    if (untilMs > this.#stalledUntilMs) this.#move(untilMs)
  }

  endStall(): void {
    this.#move(0)
  }

  /** What was due while a process was paused happens: before anything changes for those that come after. */
  settleDue(): void {
    const nowMs = this.#world.nowMs
    const due = [...this.#pending].filter(({ performed, dueMs }) => !performed && dueMs <= nowMs)
    // Of equal times the first submitted goes first: `sort` keeps their order.
    for (const pending of due.sort((a, b) => a.dueMs - b.dueMs)) this.#perform(pending)
  }

  /** The process is dead. What was due has happened; of the rest, some. */
  abandon(): void {
    this.settleDue()
    for (const { performed, abandon, event } of this.#pending) {
      event?.cancel()
      if (performed || this.#random.chance(0.5)) continue
      try {
        abandon()
      } catch {
        // Nobody is there to be told.
      }
    }
    this.#pending.clear()
  }

  #move(stalledUntilMs: number): void {
    this.settleDue()
    const { nowMs } = this.#world
    const before = Math.max(nowMs, this.#stalledUntilMs)
    this.#stalledUntilMs = stalledUntilMs
    const after = Math.max(nowMs, stalledUntilMs)
    if (before === after) return
    const waiting = [...this.#pending].filter(({ performed }) => !performed).sort((a, b) => a.dueMs - b.dueMs)
    for (const pending of waiting) {
      pending.event?.cancel()
      pending.dueMs = after + Math.max(0, pending.dueMs - before)
      this.#schedule(pending)
    }
  }

  #schedule(pending: Pending): void {
    const { process, what, dueMs } = pending
    pending.event = this.#world.after(dueMs - this.#world.nowMs, process, what, () => {
      if (!this.#pending.delete(pending)) return
      this.#perform(pending)
      pending.settle()
    })
  }

  #perform(pending: Pending): void {
    if (pending.performed) return
    pending.performed = true
    pending.perform()
  }
}
