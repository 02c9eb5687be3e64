/** One boot of a simulated machine: alive until it is killed, perhaps paused; its clocks and timers are ports on virtual time. */
import type { Clock, Timers } from '../../ports.ts'
import { sleepOn } from '../../sleep.ts'
import type { Owner, World } from './world.ts'

/** Virtual time 0 as wall time. */
export const EPOCH_MS = 1_700_000_000_000

/** A machine's wall clock is off by `skewMs` and gains `drift` milliseconds a millisecond. */
export interface WallClock {
  skewMs: number
  drift: number
}

export class SimProcess implements Owner {
  readonly name: string
  readonly clock: Clock
  readonly timers: Timers
  readonly #world: World
  #alive = true
  #paused = false

  /** Without a wall clock of its own it has the right time. */
  constructor(world: World, name: string, wall: WallClock = { skewMs: 0, drift: 0 }) {
    this.#world = world
    this.name = name
    const bootMs = world.nowMs
    this.clock = {
      wallMs: () => Math.floor(EPOCH_MS + wall.skewMs + world.nowMs * (1 + wall.drift)),
      monotonicMs: () => world.nowMs - bootMs
    }
    this.timers = simTimers(world, this)
  }

  get alive(): boolean {
    return this.#alive
  }

  get paused(): boolean {
    return this.#paused
  }

  /** From now on nothing of it runs: its timers never fire, what it waits for never comes. */
  kill(): void {
    this.#alive = false
  }

  /** SIGSTOP: its clocks go on, it does not. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#world.resumed(this)
  }
}

/** As `systemTimers`: Node takes any delay under a millisecond as one, and one over 2³¹ − 1 too, which here is an error. */
export function simTimers(world: World, owner: Owner): Timers {
  const after = (what: string) => (delayMs: number, fn: () => void) => world.after(nodeDelay(delayMs), owner, what, fn)
  return {
    after: after('timer'),
    soon: fn => void world.after(0, owner, 'soon', fn),
    afterIo: fn => void world.after(0, owner, 'after-io', fn),
    sleep: sleepOn(after('sleep'))
  }
}

const MOST_MS = 2 ** 31 - 1

function nodeDelay(delayMs: number): number {
  if (!(delayMs <= MOST_MS)) throw new RangeError(`Node's timers cannot wait for ${delayMs} ms`)
  return Math.max(1, delayMs)
}
