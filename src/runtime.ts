/** The real clock, timers, random and log: the only file of `src` (besides `cli/`) that touches them. */
import { randomBytes } from 'node:crypto'
import type { Clock, Log, Random, Timers } from './ports.ts'

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now()
}

export const systemTimers: Timers = {
  after(delayMs, fn) {
    const timer = setTimeout(fn, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
  soon(fn) {
    process.nextTick(fn)
  },
  afterIo(fn) {
    setImmediate(fn)
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, delayMs)
      timer.unref()
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
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
