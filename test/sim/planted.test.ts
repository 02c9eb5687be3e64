/**
 * Every planted bug is caught, by a run that passes without it: by the run that `planted/search.ts` found, or, where the code
 * has changed since and that run with it, by one of the next seeds.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BUGS } from './planted/bugs.ts'
import { type Catch, readCatches } from './planted/catches.ts'
import { brokenByBug, inParallel, nameOf, type Run, runAll, runClean } from './planted/children.ts'
import { buggySource, bugNamed, plant, ROOT, withBug } from './planted/planting.ts'

const AT_ONCE = 2
const RUN_LIMIT_MS = 30_000
/** Seeds that are tried where the first does not catch a bug any more. */
const MORE_SEEDS = 15

const test = suite('sim: planted bugs')

const caught = Object.entries(readCatches()).filter(([name]) => BUGS.some(bug => bug.name === name))
const replays = new Map(caught.map(([name]) => [name, Promise.withResolvers<Replay>()]))

interface Replay {
  /** Runs, the one that caught it included. */
  tries: number
  /** The one that caught it; undefined if none did. */
  run: Run | undefined
  rules: string[]
}

/** The tests wait for theirs one after another. */
test.before(() => {
  for (const { promise } of replays.values()) promise.catch(() => undefined)
  runClean(
    caught.map(([, { scenario, seed }]) => ({ scenario, seed })),
    RUN_LIMIT_MS
  )
  void inParallel(caught, AT_ONCE, async ([name, found]) => {
    const { resolve, reject } = replays.get(name)!
    await replay(name, found).then(resolve, reject)
  })
})

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
    if (rules.length > 0) return { tries, run: last, rules }
  }
  return { tries, run: undefined, rules: [] }
}

test('every bug has its place in the source, once, and the source with it still compiles', () => {
  assert.is(new Set(BUGS.map(({ name }) => name)).size, BUGS.length)
  for (const bug of BUGS) {
    const source = readFileSync(join(ROOT, bug.file), 'utf8')
    const changed = buggySource(bug)
    assert.is.not(changed, source, bug.name)
    try {
      stripTypeScriptTypes(changed)
    } catch (error) {
      assert.unreachable(`${bug.name}: ${String(error)}`)
    }
  }
})

test('a bug whose line is not there, or there twice, is not planted in silence', () => {
  const bug = { ...BUGS[0]!, name: 'some-bug', find: 'a > b', replace: 'a >= b' }
  assert.is(withBug(bug, 'return a > b'), 'return a >= b')
  assert.throws(() => withBug(bug, 'return a < b'), /some-bug.*0 times/)
  assert.throws(() => withBug(bug, 'a > b || a > b'), /some-bug.*2 times/)
  assert.throws(() => bugNamed('no-such-bug'), /no-such-bug/)
  // This process has loaded nothing of it, and does not now.
  assert.throws(() => plant('epoch-compared-backwards').mustBeLoaded(), /src\/topology\.ts/)
})

test('a planted bug is in the code that a process runs, and in no other process', () => {
  const url = (path: string) => JSON.stringify(pathToFileURL(join(ROOT, path)).href)
  const code = (bug: string) => `
    const { plant } = await import(${url('test/sim/planted/planting.ts')})
    const planted = ${bug === '' ? 'undefined' : `plant('${bug}')`}
    const { WriteQuorum } = await import(${url('src/coordinator/quorum.ts')})
    planted?.mustBeLoaded()
    console.log(new WriteQuorum(2, ['a', 'b', 'c']).ack('a'))`
  const verdict = (bug: string) => {
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code(bug)], {
      encoding: 'utf8'
    })
    return `${stdout}${stderr}`.trim()
  }
  assert.is(verdict(''), 'waiting')
  assert.is(verdict('write-quorum-off-by-one'), 'stored')
})

test('every bug has a seed that catches it, but those whose seed has been lost', () => {
  const wanted = BUGS.filter(({ isLost }) => !isLost).map(({ name }) => name)
  const free = wanted.filter(name => !caught.some(([other]) => other === name))
  assert.equal(free, [], 'not caught yet; run `npm run planted`')
})

for (const [name, found] of caught) {
  test(`${name} is caught, as by ${found.rule} in ${nameOf(found)}`, async () => {
    const { tries, run, rules } = await replays.get(name)!.promise
    assert.ok(
      run !== undefined,
      `${name} was not caught in ${tries} runs from ${nameOf(found)} on; run \`npm run planted\``
    )
    if (tries > 1)
      console.log(`\n| ${name}: caught in ${tries} tries (${nameOf(run)}: ${rules.join()}); run \`npm run planted\``)
  })
}

test.run()
