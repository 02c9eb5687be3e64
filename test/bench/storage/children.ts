/**
 * Cells in processes of their own, so that no cell inherits another's heap, caches or threads; and the order they run in:
 * round after round over all cells, since a noisy machine must not be noisy for one system only.
 */
import { fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { median } from '../measure.ts'
import { RUNS } from './settings.ts'

/** Named figures; NaN: could not be measured. */
export type Result = Record<string, number>
export type CellFunction<Params> = (params: Params) => Promise<Result>

/** A cell that takes longer hangs. */
const TIMEOUT_MS = 15 * 60_000

/** Runs one cell of `cells.ts`. Undefined, with a line on standard error, when it failed. */
export function runCell(name: string, params: object): Promise<Result | undefined> {
  return new Promise(resolve => {
    const args = [name, JSON.stringify(params)]
    const child = fork(join(import.meta.dirname, 'cells.ts'), args, {
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc']
    })
    const limit = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
    let result: Result | undefined
    // JSON has no NaN.
    child.on('message', (message: Record<string, number | null>) => {
      result = Object.fromEntries(Object.entries(message).map(([key, value]) => [key, value ?? Number.NaN]))
    })
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      if (result === undefined) console.error(`cell ${name} failed (${signal ?? `exit code ${code}`}): ${args[1]}`)
      resolve(result)
    })
  })
}

export interface Cell {
  /** Under this its result is found. */
  id: string
  name: string
  params: object
  /** Removed after each run. */
  dir?: string
  /** Before each run. */
  before?: () => void
}

/** All cells, RUNS times over; medians figure by figure. A cell that failed every time has no entry. */
export async function interleaved(cells: Cell[]): Promise<Map<string, Result>> {
  const results = new Map<string, Result[]>()
  for (let run = 0; run < RUNS; run++) {
    for (const { id, name, params, dir, before } of cells) {
      before?.()
      const result = await runCell(name, params)
      if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
      if (result === undefined) continue
      results.set(id, [...(results.get(id) ?? []), result])
      console.error(`  ${id}: ${inShort(result)}`)
    }
  }
  return new Map([...results].map(([id, runs]) => [id, medians(runs)]))
}

/** For who watches. */
function inShort(result: Result): string {
  const figures = Object.entries(result).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
  return [...figures.slice(0, 8), ...(figures.length > 8 ? ['…'] : [])].join(', ')
}

function medians(runs: Result[]): Result {
  return Object.fromEntries(Object.keys(runs[0]!).map(name => [name, median(runs.map(run => run[name]!))]))
}
