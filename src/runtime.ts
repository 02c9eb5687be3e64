/** The real clock, timers, random and log: the only file of `src` (besides `cli/`) that touches them. */
import { randomBytes } from 'node:crypto'
import type { Clock, Log, Random, Timer, Timers } from './ports.ts'
import { sleepOn } from './sleep.ts'

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now()
}

/** Never keeps a process alive by itself. */
function after(delayMs: number, fn: () => void): Timer {
  const timer = setTimeout(fn, delayMs)
  timer.unref()
  return { cancel: () => clearTimeout(timer) }
}

export const systemTimers: Timers = {
  after,
  soon(fn) {
    process.nextTick(fn)
  },
  afterIo(fn) {
    setImmediate(fn)
  },
  sleep: sleepOn(after)
}

/** Keeps the process from ending while it only waits for timers, until the returned function is called. */
export function keepAlive(): () => void {
  const timer = setInterval(() => {}, 2 ** 30)
  return () => clearInterval(timer)
}

export const systemRandom: Random = {
  bytes: length => new Uint8Array(randomBytes(length)),
  float: () => Math.random()
}

const LEVELS = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof LEVELS)[number] | 'silent'

/** Lines `time LEVEL message key=value …`, for standard error or wherever `write` puts them. */
export function lineLog(level: LogLevel, write: (line: string) => void, clock: Clock = systemClock): Log {
  const most = level === 'silent' ? -1 : LEVELS.indexOf(level)
  const at = (name: (typeof LEVELS)[number], rank: number) => (message: string, fields?: Record<string, unknown>) => {
    if (rank > most) return
    const tail = Object.entries(fields ?? {}).map(
      ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`
    )
    write(`${new Date(clock.wallMs()).toISOString()} ${name.toUpperCase().padEnd(5)} ${message}${tail.join('')}`)
  }
  return { error: at('error', 0), warn: at('warn', 1), info: at('info', 2), debug: at('debug', 3) }
}

export const silentLog: Log = lineLog('silent', () => {})
