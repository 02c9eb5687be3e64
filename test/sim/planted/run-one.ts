/**
 * Runs seeds with one bug planted, in this process: `node test/sim/planted/run-one.ts BUG --runs SCENARIO:SEED,…` prints a
 * line of JSON for each run. `none` for BUG: the code as it is.
 */
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { Violation } from '../../../src/sim/history.ts'
import { plant, ROOT } from './planting.ts'

export interface RunLine {
  scenario: string
  seed: string
  /** Every rule that was violated, each once. */
  rules: string[]
  /** Real milliseconds. */
  ms: number
}

type RunSeed = (seed: string, options: { scenario: string }) => Promise<{ violations: Violation[] }>

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: 'swarm:1' } }
})
const [bug = 'none'] = positionals
const planted = bug === 'none' ? undefined : plant(bug)
// Only now: what is loaded before a bug is planted is loaded without it. By a name that is not written out here, because
// a static import, even of the types, would be loaded first.
const { runSeed } = (await import(pathToFileURL(join(ROOT, 'src/sim/run.ts')).href)) as { runSeed: RunSeed }
planted?.mustBeLoaded()

for (const run of values.runs.split(',')) {
  const [scenario = '', seed = ''] = run.split(':')
  const startMs = performance.now()
  const { violations } = await runSeed(seed, { scenario })
  const rules = [...new Set(violations.map(({ rule }) => rule))]
  const line: RunLine = { scenario, seed, rules, ms: Math.round(performance.now() - startMs) }
  console.log(JSON.stringify(line))
}
