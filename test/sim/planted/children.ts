/** Runs with planted bugs, each bug in a process of its own: it cannot be taken out of a process again. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { RunLine } from './run-one.ts'

const RUN_ONE = join(import.meta.dirname, 'run-one.ts')

export interface Run {
  scenario: string
  seed: string
}

export const nameOf = ({ scenario, seed }: Run): string => `${scenario}:${seed}`

export interface Ran {
  lines: RunLine[]
  /** The run that did not end in time; those after it were not tried. */
  stuck: Run | undefined
}

/**
 * One after another, in one process, until `isEnough`; a run may take `limitMs`. `bug`: a name, or `none`. Throws what the
 * process wrote when it failed.
 */
export function runAll(
  bug: string,
  runs: readonly Run[],
  { limitMs, isEnough = () => false }: { limitMs: number; isEnough?: (line: RunLine) => boolean }
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const args = [RUN_ONE, bug, '--runs', runs.map(nameOf).join()]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const lines: RunLine[] = []
    let errors = ''
    let end: 'enough' | 'stuck' | undefined
    const stop = (why: 'enough' | 'stuck') => {
      end ??= why
      child.kill('SIGKILL')
    }
    let limit = setTimeout(stop, limitMs, 'stuck')
    createInterface({ input: child.stdout }).on('line', text => {
      if (end !== undefined || !text.startsWith('{')) return
      clearTimeout(limit)
      const line = JSON.parse(text) as RunLine
      lines.push(line)
      if (isEnough(line)) stop('enough')
      else limit = setTimeout(stop, limitMs, 'stuck')
    })
    child.stderr.on('data', chunk => (errors += chunk))
    child.on('error', reject)
    child.on('close', code => {
      clearTimeout(limit)
      if (end === undefined && code !== 0) reject(new Error(`${args.join(' ')} ended with ${code}: ${errors}`))
      else resolve({ lines, stuck: end === 'stuck' ? runs[lines.length] : undefined })
    })
  })
}

/** Rules that a run breaks with a bug and not without it. The run without it is made only where it says something. */
export async function brokenByBug(line: RunLine, limitMs: number): Promise<string[]> {
  if (line.rules.length === 0) return []
  const clean = await cleanRun(line, limitMs)
  return clean === undefined ? [] : line.rules.filter(rule => !clean.rules.includes(rule))
}

const cleanRuns = new Map<string, Promise<RunLine | undefined>>()

/** The same run without a bug, made once; undefined if it does not end. */
function cleanRun(run: Run, limitMs: number): Promise<RunLine | undefined> {
  const name = nameOf(run)
  const known = cleanRuns.get(name) ?? runAll('none', [run], { limitMs }).then(({ lines }) => lines[0])
  cleanRuns.set(name, known)
  return known
}

/** All of these in one process, for `brokenByBug` to find. */
export function runClean(runs: readonly Run[], limitMs: number): void {
  const all = runAll('none', runs, { limitMs })
  for (const run of runs) {
    const name = nameOf(run)
    const line = all.then(({ lines }) => lines.find(line => nameOf(line) === name))
    line.catch(() => undefined)
    cleanRuns.set(name, line)
  }
}

/** Work on all items, `atOnce` at a time. */
export async function inParallel<Item>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<void>
): Promise<void> {
  const queue = [...items]
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
