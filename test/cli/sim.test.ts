import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { seedName } from '../../src/cli/commands/sim.ts'
import { RULES } from '../../src/sim/checker/check.ts'
import type { Violation } from '../../src/sim/history.ts'
import { SCENARIOS } from '../../src/sim/plan/scenarios.ts'
import { FakeSimulator, MINUTE_MS, planOf } from './fake-simulator.ts'
import { cli, fakeIo, fakeParts } from './fakes.ts'

const test = suite('cli: sim')

const LOST: Violation = { rule: 'lost-write', message: 'w3 was acknowledged and is gone', key: 'k1' }
const SLOW: Violation = { rule: 'unsettled', message: 'n1 has not caught up' }
/** A run that an error ended; its stack differs from run to run. */
const broke = (message: string): Violation => ({ rule: 'broke', message: `Error: ${message}\n  at ${Math.random()}` })

let dir = ''
const home = process.cwd()
test.before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'coterie-sim-'))
  process.chdir(dir)
})
test.after(async () => {
  process.chdir(home)
  await rm(dir, { recursive: true, force: true })
})

const sim = (argv: string[], simulator: FakeSimulator, io = fakeIo()) =>
  cli(['sim', ...argv], io, { ...fakeParts(), simulator: async () => simulator })

test('seeds count on from a number, and hang on to any other text', () => {
  assert.equal(
    [0, 1, 11].map(i => seedName('7', i)),
    ['7', '8', '18']
  )
  assert.equal(
    [0, 1].map(i => seedName('99999999999999999999', i)),
    ['99999999999999999999', '100000000000000000000']
  )
  assert.equal(
    [0, 1, 2].map(i => seedName('red', i)),
    ['red', 'red/1', 'red/2']
  )
  assert.equal(
    [0, 1].map(i => seedName('007', i)),
    ['007', '007/1']
  )
})

test('no rule broken: exit code 0, and what was done', async () => {
  const simulator = new FakeSimulator()
  const { code, out, err } = await sim(
    ['--seed', '41', '--seeds', '200', '--nodes', '3', '--scenario', 'calm'],
    simulator
  )
  assert.is(code, 0)
  assert.is(err, '')
  assert.is(
    out,
    '200 seeds: no violation\n' + '120 h simulated in 90.0 s: 4,800 × real time, 133 seeds a minute, 200,000 events\n'
  )
  assert.equal(
    simulator.ran.map(({ seed }) => seed),
    Array.from({ length: 200 }, (_, i) => String(41 + i))
  )
  assert.is(simulator.ran[0]!.options.scenario, 'calm')
  assert.is(simulator.ran[0]!.options.nodes, 3)
  assert.type(simulator.ran[0]!.options.realMs?.(), 'number')
})

test('one seed that is given, a hundred from a random one', async () => {
  const one = new FakeSimulator()
  await sim(['--seed', 'red'], one)
  assert.equal(
    one.ran.map(({ seed, options }) => [seed, options.scenario, options.nodes]),
    [['red', 'swarm', undefined]]
  )
  const many = new FakeSimulator()
  const { out, err } = await sim([], many)
  assert.is(many.ran.length, 100)
  assert.is(new Set(many.ran.map(({ seed }) => seed)).size, 100)
  assert.match(many.ran[0]!.seed, /^\d{1,9}$/)
  assert.is(err, `the first seed, at random: ${many.ran[0]!.seed}\n`)
  assert.match(out, /^100 seeds: no violation\n/)
})

test('a failure: told, shrunk, written, and the next seeds left out', async () => {
  const simulator = new FakeSimulator(seed => (seed === '12' ? [LOST, SLOW] : []))
  const { code, out, err } = await sim(['--seed', '10', '--seeds', '9', '--nodes', '4'], simulator)
  assert.is(code, 1)
  assert.is(err, '')
  assert.equal(out.split('\n'), [
    'seed 12 breaks a rule (scenario swarm)',
    '  lost-write: w3 was acknowledged and is gone',
    '  unsettled: n1 has not caught up',
    'what was run:',
    '  4 nodes of 12',
    'how it came about (lost-write of k1):',
    '  the story of lost-write',
    'how it came about (unsettled):',
    '  the story of unsettled',
    'replay: coterie sim --seed 12 --scenario swarm --nodes 4',
    'shrunk from 4 nodes, 0 faults, 0 operations to 2 nodes, 0 faults, 0 operations',
    '  lost-write: w3 was acknowledged and is gone',
    '  unsettled: n1 has not caught up',
    'what was run:',
    '  2 nodes of 12',
    'how it came about (lost-write of k1):',
    '  the story of lost-write',
    'how it came about (unsettled):',
    '  the story of unsettled',
    'written to coterie-sim-12.json; replay: coterie sim --plan coterie-sim-12.json',
    '3 of 9 seeds: 1 seed with a violation',
    '1.8 h simulated in 1.4 s: 4,800 × real time, 133 seeds a minute, 3,000 events',
    'with a violation: 12',
    ''
  ])
  assert.is(simulator.ran.length, 3)
})

test('a plan that was written runs again, and is not shrunk again', async () => {
  await sim(['--seed', 'odd seed/../1'], new FakeSimulator(() => [LOST]))
  assert.ok((await readdir(dir)).includes('coterie-sim-odd-seed-..-1.json'))
  const simulator = new FakeSimulator(() => [LOST])
  const { code, out } = await sim(['--plan', 'coterie-sim-odd-seed-..-1.json'], simulator)
  assert.is(code, 1)
  assert.equal(
    simulator.plans.map(({ seed, nodes }) => [seed, nodes.length]),
    [['odd seed/../1', 2]]
  )
  assert.match(out, /replay: coterie sim --plan coterie-sim-odd-seed-..-1.json\n1 seed: /)
  assert.not.match(out, /shrunk/)
})

test('a smaller plan counts only when it fails alike', async () => {
  const simulator = new FakeSimulator(() => [LOST])
  const runPlan = simulator.runPlan.bind(simulator)
  simulator.runPlan = async plan => {
    const result = await runPlan(plan)
    return plan.nodes.length < 3 ? { ...result, violations: [SLOW] } : result
  }
  const { code, out } = await sim(['--seed', '1', '--nodes', '5'], simulator)
  assert.is(code, 1)
  assert.match(out, /shrunk from 5 nodes, .* to 3 nodes, /)
  const broken = new FakeSimulator()
  broken.runSeed = async seed => ({ ...(await runPlan(planOf(seed, 5))), violations: [broke('one')] })
  broken.runPlan = async plan => ({
    ...(await runPlan(plan)),
    violations: [broke(plan.nodes.length > 3 ? 'one' : 'two')]
  })
  assert.match((await sim(['--seed', '1'], broken)).out, /shrunk from 5 nodes, .* to 4 nodes, /)
})

test('--no-shrink and --keep-going', async () => {
  const simulator = new FakeSimulator(seed => (seed === '2' || seed === '4' ? [LOST] : []))
  const short = await sim(['--seed', '1', '--seeds', '5', '--no-shrink'], simulator)
  assert.is(short.code, 1)
  assert.is(simulator.plans.length, 0)
  assert.is(simulator.ran.length, 2)
  const all = await sim(['--seed', '1', '--seeds', '5', '--keep-going'], simulator)
  assert.is(all.code, 1)
  assert.is(simulator.plans.length, 0)
  assert.is(simulator.ran.length, 7)
  assert.match(all.out, /replay: coterie sim --seed 4 --scenario swarm\n5 seeds: 2 seeds with a violation\n/)
  assert.match(all.out, /with a violation: 2 4\n$/)
})

test('a quoted seed in the command that replays it', async () => {
  const { out } = await sim(['--seed', "it's $(rm)", '--no-shrink'], new FakeSimulator(() => [LOST]))
  assert.match(out, `replay: coterie sim --seed 'it'\\''s $(rm)' --scenario swarm\n`)
})

test('many violations: the first ones, and how many more', async () => {
  const violations = Array.from({ length: 25 }, (_, i) => ({ ...LOST, message: `message ${i}` }))
  const { out } = await sim(['--seed', '1', '--no-shrink'], new FakeSimulator(() => violations))
  assert.is(out.match(/message \d+/g)!.length, 10)
  assert.match(out, '  and 15 violations more\n')
  assert.is(out.match(/how it came about/g)!.length, 3)
})

test('--json, --digest, --trace: nothing else on standard output', async () => {
  const broken = (seed: string) => (seed === '2' ? [LOST] : [])
  const json = await sim(['--seed', '1', '--seeds', '3', '--json', '--keep-going'], new FakeSimulator(broken))
  assert.is(json.code, 1)
  const documents = json.out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  assert.is(documents.length, 3)
  assert.equal(documents[1], {
    seed: '2',
    scenario: 'swarm',
    events: 1000,
    virtualMs: 36 * MINUTE_MS,
    realMs: 450,
    digest: 'digest-of-2',
    violations: [LOST]
  })
  assert.match(json.err, /seed 2 breaks a rule/)
  assert.match(json.err, /3 seeds: 1 seed with a violation/)
  const digest = await sim(['--seed', '1', '--seeds', '2', '--digest'], new FakeSimulator())
  assert.is(digest.out, '1 digest-of-1\n2 digest-of-2\n')
  assert.match(digest.err, /^2 seeds: no violation/)
  const trace = await sim(['--seed', 'a', '--seeds', '2', '--trace'], new FakeSimulator())
  assert.is(trace.out, 'an event of a\nan event of a/1\n')
  assert.is(trace.code, 0)
})

test('progress on a terminal, and none between the lines of a machine', async () => {
  const { err } = await sim(['--seed', '1', '--seeds', '2'], new FakeSimulator(), fakeIo({ tty: true }))
  assert.match(err, '0 of 2 seeds, no violation')
  assert.match(err, '1 of 2 seeds, 133 a minute, 4,800 × real time, no violation')
  assert.ok(err.endsWith('\r\x1b[K'))
  const digest = await sim(['--seed', '1', '--digest'], new FakeSimulator(), fakeIo({ tty: true }))
  assert.not.match(digest.err, '\r')
})

test('Ctrl-C ends after the seed that runs; a second one at once', async () => {
  const io = fakeIo()
  const simulator = new FakeSimulator()
  simulator.onRun = () => {
    if (simulator.ran.length === 3) io.signal('SIGINT')
  }
  const { code, out, err } = await sim(['--seed', '1', '--seeds', '9'], simulator, io)
  assert.is(code, 0)
  assert.match(out, /^3 of 9 seeds: no violation\n/)
  assert.match(err, 'SIGINT: ending after this run')
  assert.equal(io.exits, [])
  io.signal('SIGINT')
  assert.equal(io.exits, [], 'nobody listens any more')
  const twice = fakeIo()
  const impatient = new FakeSimulator()
  impatient.onRun = () => {
    twice.signal('SIGINT')
    twice.signal('SIGINT')
  }
  await sim(['--seed', '1', '--trace'], impatient, twice)
  assert.equal(twice.exits, [1])
  assert.match(twice.out(), 'an event of 1')
})

test('Ctrl-C while shrinking: what was found so far', async () => {
  const io = fakeIo()
  const simulator = new FakeSimulator(() => [LOST])
  const runPlan = simulator.runPlan.bind(simulator)
  simulator.runPlan = async plan => {
    io.signal('SIGINT')
    return runPlan(plan)
  }
  const { code, out } = await sim(['--seed', '1', '--seeds', '3', '--keep-going'], simulator, io)
  assert.is(code, 1)
  assert.is(simulator.ran.length, 3, '--keep-going does not shrink')
  simulator.runPlan = async plan => {
    if (simulator.plans.length === 0) io.signal('SIGINT')
    return runPlan(plan)
  }
  const shrunk = await sim(['--seed', '1', '--seeds', '3'], simulator, io)
  assert.match(shrunk.out.slice(out.length), /to 4 nodes, /)
  assert.is(simulator.plans.length, 2)
})

test('a run that breaks down names its seed and how to see it again', async () => {
  const simulator = new FakeSimulator()
  simulator.onRun = () => {
    throw new Error('the world stands still')
  }
  const { code, err } = await sim(['--seed', '5', '--nodes', '2'], simulator)
  assert.is(code, 1)
  assert.match(
    err,
    /the run of seed 5 broke down: the world stands still; replay: coterie sim --seed 5 --scenario swarm --nodes 2\n/
  )
})

test('wrong usage', async () => {
  await writeFile('no.json', '{"nodes": []}')
  await writeFile('broken.json', '{')
  const cases: [string[], RegExp][] = [
    [['--scenario', 'clam'], /--scenario is "clam" \(did you mean calm\?\); the scenarios are .*swarm/],
    [['--nodes', '0'], /--nodes is "0"; it takes a whole number from 1 to 20/],
    [['--nodes', '21'], /--nodes is "21"/],
    [['--seeds', 'all'], /--seeds is "all"/],
    [['--seed', ''], /--seed is empty/],
    [['--json', '--trace'], /--json or --trace, not both/],
    [['--plan', 'x', '--seeds', '2'], /--plan or --seeds, not both/],
    [['--plan', 'nowhere.json'], /nowhere.json is no plan of coterie sim: ENOENT/],
    [['--plan', 'broken.json'], /broken.json is no plan/],
    [['--plan', 'no.json'], /no.json is no plan of coterie sim: it has no seed/],
    [['7'], /takes no arguments/]
  ]
  for (const [argv, pattern] of cases) {
    const simulator = new FakeSimulator()
    const { code, out, err } = await sim(argv, simulator)
    assert.is(code, 2, argv.join(' '))
    assert.match(err, pattern)
    assert.is(out, '')
    assert.is(simulator.ran.length, 0)
  }
})

test('a directory that takes no file: the failure is told all the same', async () => {
  const { mkdir } = await import('node:fs/promises')
  await mkdir('coterie-sim-blocked.json')
  const { code, out } = await sim(['--seed', 'blocked'], new FakeSimulator(() => [LOST]))
  assert.is(code, 1)
  assert.match(out, /the smaller plan could not be written to coterie-sim-blocked.json: EISDIR/)
})

test('help lists the scenarios and what they do', async () => {
  const { out } = await cli(['sim', '--help'])
  for (const { name, what } of SCENARIOS)
    assert.match(out, new RegExp(`${name} +${what.replace(/[.*+?^$()[\]|]/g, '\\$&')}`))
})

test('docs/testing.md lists every scenario and every rule', async () => {
  const text = await readFile(join(home, 'docs', 'testing.md'), 'utf8')
  for (const { name, what } of SCENARIOS) assert.ok(text.includes(`| \`${name}\` | ${what} |`), name)
  for (const { name } of RULES) assert.ok(text.includes(`| \`${name}\` |`), name)
})

test('the file holds the plan', async () => {
  await sim(['--seed', '77'], new FakeSimulator(() => [LOST]))
  assert.is(JSON.parse(await readFile('coterie-sim-77.json', 'utf8')).seed, '77')
})

test.run()
