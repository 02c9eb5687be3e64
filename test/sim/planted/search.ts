/**
 * Looks for a seed that catches each planted bug: `node test/sim/planted/search.ts [BUG …] [--seeds 2000] [--at-once 1]`.
 * Prints a table in markdown; the catching seeds go to `catches.json`, from where `*-bugs.test.ts` replay them. Seeds are
 * tried in order. After the first that is caught come a few more: a rule that names the harm and a short run are worth it.
 */
import { parseArgs } from 'node:util'
import type { Bug } from './bug.ts'
import { BUGS } from './bugs.ts'
import { type Catch, readCatches, writeCatches } from './catches.ts'
import { brokenByBug, inParallel, nameOf, type Run, runAll } from './children.ts'
import { bugNamed } from './planting.ts'
import type { RunLine } from './run-one.ts'

const MAX_SEEDS = 2000
/** Few enough that the command line stays short. */
const RUNS_A_PROCESS = 40
/** Most runs take less than a second; one with a bug may go on for ever. */
const RUN_LIMIT_MS = 30_000
/** So many runs more, if the first that is caught is a long one, or only says that something is wrong. */
const MORE_RUNS = 12
const SHORT_MS = 700
const VAGUE = ['not-settled', 'broke', 'process-died', 'never-answered']

interface Found {
  run: Run
  rule: string
  ms: number
}

interface Outcome {
  best?: Found
  /** Runs until the first was caught; all of them if none was. */
  tried: number
  /** Runs that were stopped because they did not end. */
  stuck: string[]
  /** Runs that break a rule without the bug, too: they prove nothing, and are worth a look. */
  foul: string[]
}

async function search(bug: Bug, maxSeeds: number): Promise<Outcome> {
  const outcome: Outcome = { tried: 0, stuck: [], foul: [] }
  const scenarios = bug.scenarios ?? ['swarm']
  const runs: Run[] = Array.from({ length: maxSeeds }, (_, index) => String(index + 1)).flatMap(seed =>
    scenarios.map(scenario => ({ scenario, seed }))
  )
  let left = Number.POSITIVE_INFINITY
  while (runs.length > 0 && left > 0) {
    const isEnough = (line: RunLine) => --left <= 0 || line.rules.length > 0
    const { lines, stuck } = await runAll(bug.name, runs.slice(0, RUNS_A_PROCESS), { limitMs: RUN_LIMIT_MS, isEnough })
    runs.splice(0, lines.length + (stuck === undefined ? 0 : 1))
    if (stuck !== undefined) outcome.stuck.push(nameOf(stuck))
    if (outcome.best === undefined) outcome.tried += lines.length + (stuck === undefined ? 0 : 1)
    const found = await judged(lines.at(-1), outcome)
    if (found === undefined) continue
    if (outcome.best === undefined) left = MORE_RUNS
    if (outcome.best === undefined || costOf(found) < costOf(outcome.best)) outcome.best = found
    if (costOf(outcome.best) <= SHORT_MS) break
  }
  return outcome
}

/** Undefined unless this run breaks a rule, and does not without the bug. */
async function judged(line: RunLine | undefined, outcome: Outcome): Promise<Found | undefined> {
  if (line === undefined || line.rules.length === 0) return undefined
  const [rule] = await brokenByBug(line, RUN_LIMIT_MS)
  if (rule !== undefined) return { run: { scenario: line.scenario, seed: line.seed }, rule, ms: line.ms }
  outcome.foul.push(nameOf(line))
  return undefined
}

/** A run that names the harm may take three seconds more. */
const costOf = ({ rule, ms }: Found): number => ms + (VAGUE.includes(rule) ? 3000 : 0)

function row({ name, what, seenIn = '' }: Bug, found: Catch | undefined, tried: number): string {
  const cells = found ? [found.rule, found.scenario, found.seed, found.tried] : ['**not caught**', '', '', tried]
  return `| ${[name, what, seenIn, ...cells].join(' | ')} |`
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: 'string' }, 'at-once': { type: 'string' } }
})
const maxSeeds = Number(values.seeds ?? MAX_SEEDS)
const bugs = positionals.length > 0 ? positionals.map(bugNamed) : BUGS
const rows = new Map<Bug, string>()
await inParallel(bugs, Number(values['at-once'] ?? 1), async bug => {
  const { best, tried, stuck, foul } = await search(bug, maxSeeds)
  const found = best && { ...best.run, rule: best.rule, tried }
  // Read anew each time: what else is searched meanwhile is written, too.
  const { [bug.name]: _, ...others } = readCatches()
  writeCatches(found === undefined ? others : { ...others, [bug.name]: found })
  rows.set(bug, row(bug, found, tried))
  if (foul.length > 0) console.error(`${bug.name}: these break a rule without it: ${foul.join(', ')}`)
  if (stuck.length > 0) console.error(`${bug.name}: these did not end: ${stuck.join(', ')}`)
  console.error(
    `${bug.name}: ${best ? `${best.rule} in ${nameOf(best.run)}, ${best.ms} ms` : 'not caught'}; ${tried} runs`
  )
})
console.log('| bug | what it does | seen in | rule | scenario | seed | runs |')
console.log('| --- | --- | --- | --- | --- | ---: | ---: |')
for (const bug of bugs) console.log(rows.get(bug))
process.exitCode = bugs.every(({ name }) => readCatches()[name] !== undefined) ? 0 : 1
