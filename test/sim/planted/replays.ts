/**
 * Every planted bug is caught, by a run that passes without it: by the run that `search.ts` found, or, where the code has
 * changed since and that run with it, by one of the next seeds.
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Bug } from './bug.ts'
import { type Catch, readCatches } from './catches.ts'
import { brokenByBug, nameOf, type Run, runAll, runClean } from './children.ts'

const RUN_LIMIT_MS = 60_000
/** Seeds that are tried where the first does not catch a bug any more. */
const MORE_SEEDS = 15

interface Replay {
  /** Runs, the one that caught it included. */
  tries: number
  /** The one that caught it; undefined if none did. */
  run: Run | undefined
}

/** The suite of a file of bugs. */
export function replays(what: string, bugs: readonly Bug[]): void {
  const test = suite(`sim: planted bugs, ${what}`)
  const caught = Object.entries(readCatches()).filter(([name]) => bugs.some(bug => bug.name === name))
  test.before(() =>
    runClean(
      caught.map(([, { scenario, seed }]) => ({ scenario, seed })),
      RUN_LIMIT_MS
    )
  )
  for (const [name, found] of caught) {
    test(`${name} is caught, as by ${found.rule} in ${nameOf(found)}`, async () => {
      const { tries, run } = await replay(name, found)
      assert.ok(
        run !== undefined,
        `${name} was not caught in ${tries} runs from ${nameOf(found)} on; run \`npm run planted\``
      )
      if (tries > 1) console.log(`\n| ${name}: caught in ${tries} tries (${nameOf(run)}); run \`npm run planted\``)
    })
  }
  test.run()
}

async function replay(bug: string, { scenario, seed }: Catch): Promise<Replay> {
  const seeds = Array.from({ length: 1 + MORE_SEEDS }, (_, more) => String(Number(seed) + more))
  const runs = seeds.map(seed => ({ scenario, seed }))
  let tries = 0
  while (tries < runs.length) {
    const isEnough = ({ rules }: { rules: string[] }) => rules.length > 0
    const { lines, stuck } = await runAll(bug, runs.slice(tries), { limitMs: RUN_LIMIT_MS, isEnough })
    tries += lines.length + (stuck === undefined ? 0 : 1)
    const last = lines.at(-1)
    const rules = stuck === undefined && last !== undefined ? await brokenByBug(last, RUN_LIMIT_MS) : []
    if (rules.length > 0) return { tries, run: last }
  }
  return { tries, run: undefined }
}
