/** One seed is one history: twice in a process, in other processes, and whatever ran before it. */
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runSeed } from '../../src/sim/run.ts'
import { type Case, type Fingerprint, fingerprint } from '../support/sim-digest.ts'

const test = suite('sim determinism')

const SCRIPT = join(import.meta.dirname, '..', 'support', 'sim-digest.ts')
const MOST_OUTPUT_BYTES = 2 ** 28

const CASES: Case[] = [
  { seed: 'same-1', scenario: 'swarm' },
  { seed: 'same-2', scenario: 'swarm', nodes: 5 },
  { seed: 'same-3', scenario: 'join', nodes: 4 },
  { seed: 'same-4', scenario: 'power', nodes: 4 },
  { seed: 'same-5', scenario: 'hot-key', nodes: 5 },
  { seed: 'same-6', scenario: 'partition', nodes: 4 }
]

/** Another place, language and time zone, other hashing in V8, and a garbage collector with other habits. */
const ELSEWHERE = {
  cwd: tmpdir(),
  env: { PATH: process.env.PATH, TZ: 'Pacific/Auckland', LC_ALL: 'tr_TR.UTF-8' },
  flags: ['--random-seed=7', '--hash-seed=7', '--max-semi-space-size=1']
}

interface Process {
  name: string
  cwd?: string
  env?: NodeJS.ProcessEnv
  flags: string[]
}

async function fingerprintsIn({ cwd, env, flags }: Process, cases: Case[]): Promise<Fingerprint[]> {
  const args = [...flags, SCRIPT, JSON.stringify(cases), '--lines']
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd, env, maxBuffer: MOST_OUTPUT_BYTES })
  return stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

/** Undefined for equal lists; otherwise the first line that differs, with those before it. */
function firstDifference(left: readonly string[], right: readonly string[]): string | undefined {
  const at = left.findIndex((line, i) => line !== right[i])
  const line = at >= 0 ? at : left.length
  if (line === left.length && line === right.length) return undefined
  const before = left.slice(Math.max(0, line - 3), line).map(text => `\n    ${text}`)
  const shown = (lines: readonly string[]) => lines[line] ?? '(it has ended)'
  return `line ${line + 1} is the first to differ\n  after:${before.join('')}\n  one:   ${shown(left)}\n  other: ${shown(right)}`
}

function assertSame(one: Case, left: Fingerprint, right: Fingerprint): void {
  const name = JSON.stringify(one)
  const difference = firstDifference(left.lines, right.lines)
  if (difference !== undefined) assert.unreachable(`${name} had two histories: ${difference}`)
  // A trace rounds times; the digest does not.
  for (const part of ['digest', 'outcome', 'virtualMs', 'events'] as const)
    assert.is(left[part], right[part], `${name}: the traces are the same, but not the ${part}`)
}

const here = new Map<Case, Fingerprint>()
const processes: (Process & { cases: Case[] })[] = [
  { name: 'another process', flags: [], cases: CASES },
  { name: 'a process elsewhere that runs them in the opposite order', ...ELSEWHERE, cases: CASES.toReversed() }
]
/** Begun before any run: a strict guard takes a process that is made during a run for the run's own. */
const elsewhere = Promise.all(processes.map(place => fingerprintsIn(place, place.cases)))
elsewhere.catch(() => {})

for (const one of CASES) {
  test(`${one.scenario} ${one.seed}: twice in a process, the second time under strict guard`, async () => {
    const first = await fingerprint(one)
    here.set(one, first)
    assert.ok(first.events > 100, `only ${first.events} events`)
    const second = await fingerprint(one, true)
    assert.equal([...first.breaches, ...second.breaches], [])
    assertSame(one, first, second)
  })
}

for (const [i, place] of processes.entries()) {
  test(`the same in ${place.name}`, async () => {
    const found = (await elsewhere)[i]!
    for (const [j, one] of place.cases.entries()) assertSame(one, here.get(one) ?? (await fingerprint(one)), found[j]!)
  })
}

test('another seed is another history', () => {
  assert.is(new Set([...here.values()].map(({ digest }) => digest)).size, here.size)
})

test('the comparison names the first line that differs', () => {
  assert.is(firstDifference(['a', 'b'], ['a', 'b']), undefined)
  assert.match(
    firstDifference(['a', 'b', 'c'], ['a', 'x', 'c'])!,
    /line 2 .*\n {2}after:\n {4}a\n {2}one: {3}b\n {2}other: x$/s
  )
  assert.match(firstDifference(['a'], ['a', 'b'])!, /line 2 .*one: {3}\(it has ended\)\n {2}other: b$/s)
  assert.match(firstDifference(['a', 'b'], ['a'])!, /line 2 .*other: \(it has ended\)$/s)
})

test('a run that reaches for chance or time says so by name', async () => {
  let draws = 0
  const trace = () => {
    if (draws++ < 2) Math.random()
    if (draws === 3) Date.now()
  }
  const { violations } = await runSeed('same-1', { scenario: 'calm', nodes: 1, trace })
  const named = violations.filter(({ rule }) => rule === 'nondeterminism').map(({ message }) => message)
  assert.is(named.length, 2)
  assert.match(named[0]!, /^Math\.random at .*test\/sim\/determinism\.test\.ts:\d+/)
  assert.match(named[1]!, /^Date\.now at .*test\/sim\/determinism\.test\.ts:\d+/)
})

test.run()
