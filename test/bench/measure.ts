/** Closed-loop load drivers, percentiles, CPU time from /proc, and tables: what the benchmarks share. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface Figures {
  perSecond: number
  /** Milliseconds. */
  p50: number
  p99: number
  p999: number
  /** CPU seconds of all processes per 10,000 operations; NaN where /proc is missing. */
  cpuPer10k: number
}

/** Clock ticks a second in /proc/<pid>/stat, the same on all Linux that Node runs on. */
const TICKS = 100
const WARM_MS = 300
/** Operations that resolve in microtasks alone would starve the timers: the loop turns at least this often. */
const TURN_MS = 20

/** User and system CPU seconds of a process so far. */
export function cpuSeconds(pid: number): number {
  const path = `/proc/${pid}/stat`
  if (!existsSync(path)) return Number.NaN
  const stat = readFileSync(path, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

/** Keeps `inFlight` operations going for `seconds` after a warm-up; measures those that end in the window. */
export async function load(
  op: () => Promise<unknown>,
  { inFlight, seconds, pids }: { inFlight: number; seconds: number; pids: number[] }
): Promise<Figures> {
  const latencies: number[] = []
  let measuring = false
  let over = false
  let turnedMs = performance.now()
  const worker = async () => {
    let startMs = performance.now()
    while (!over) {
      await op()
      const endMs = performance.now()
      if (measuring) latencies.push(endMs - startMs)
      startMs = endMs
      if (endMs - turnedMs < TURN_MS) continue
      turnedMs = endMs
      await new Promise(resolve => setImmediate(resolve))
      startMs = performance.now()
    }
  }
  const workers = Promise.all(Array.from({ length: inFlight }, worker))
  const pause = (ms: number) => Promise.race([workers, new Promise(resolve => setTimeout(resolve, ms))])
  await pause(WARM_MS)
  const cpu = () => [process.pid, ...pids].reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const cpuBefore = cpu()
  const startMs = performance.now()
  measuring = true
  await pause(seconds * 1000)
  measuring = false
  const elapsed = (performance.now() - startMs) / 1000
  const cpuUsed = cpu() - cpuBefore
  over = true
  await workers
  return {
    ...quantiles(latencies),
    perSecond: latencies.length / elapsed,
    cpuPer10k: (cpuUsed / latencies.length) * 1e4
  }
}

/** The same for operations that return at once: no event loop in between. One of 16 is timed. */
export function loadSync(op: () => unknown, { seconds }: { seconds: number }): Figures {
  const warmUntilMs = performance.now() + WARM_MS
  while (performance.now() < warmUntilMs) op()
  const latencies: number[] = []
  const cpuBefore = cpuSeconds(process.pid)
  const startMs = performance.now()
  let nowMs = startMs
  for (; nowMs < startMs + seconds * 1000; nowMs = performance.now()) {
    const opMs = performance.now()
    op()
    latencies.push(performance.now() - opMs)
    for (let i = 1; i < 16; i++) op()
  }
  const done = latencies.length * 16
  const perSecond = (done / (nowMs - startMs)) * 1000
  return { ...quantiles(latencies), perSecond, cpuPer10k: ((cpuSeconds(process.pid) - cpuBefore) / done) * 1e4 }
}

/** Of latencies in any order, which are sorted in place. */
export function quantiles(latencies: number[]): { p50: number; p99: number; p999: number } {
  latencies.sort((a, b) => a - b)
  const quantile = (q: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? Number.NaN
  return { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999) }
}

/** How late the event loop comes to its timers, in milliseconds; the loop's own millisecond is included. */
export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: 1 })

  constructor() {
    this.#histogram.enable()
  }

  get p99(): number {
    return this.#histogram.percentile(99) / 1e6
  }

  /** The longest so far; the count starts anew. */
  takeMax(): number {
    const max = this.#histogram.max / 1e6
    this.#histogram.reset()
    return max
  }
}

/** Incompressible bytes, different each time, cut from a pool. */
const pool = randomBytes(4 << 20)
export function randomValue(size: number): Uint8Array {
  const at = Math.floor(Math.random() * (pool.length - size))
  return pool.subarray(at, at + size)
}

export function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
}

/** Figure by figure. */
export function medianOf(runs: Figures[]): Figures {
  const of = (name: keyof Figures) => median(runs.map(run => run[name]))
  return { perSecond: of('perSecond'), p50: of('p50'), p99: of('p99'), p999: of('p999'), cpuPer10k: of('cpuPer10k') }
}

export const round = (value: number): string =>
  Number.isNaN(value) ? '–' : value >= 100 ? value.toFixed(0) : value.toFixed(2)

export function table(heads: string[], rows: (string | number)[][]): string {
  const line = (cells: (string | number)[]) =>
    `| ${cells.map(cell => (typeof cell === 'number' ? round(cell) : cell)).join(' | ')} |`
  return [line(heads), `|${heads.map(() => ' --- |').join('')}`, ...rows.map(line)].join('\n')
}

export const machine = (): string =>
  `Node ${process.version}, ${cpus().length} × ${cpus()[0].model}, Linux ${release()}`
