/** `coterie sim`: the real node code on simulated clocks, networks and disks, seed after seed, until a rule is broken. */
import { readFile } from 'node:fs/promises'
import { CoterieError } from '../../errors.ts'
import { systemRandom } from '../../runtime.ts'
import type { Plan } from '../../sim/plan/plan.ts'
import { SCENARIOS } from '../../sim/plan/scenarios.ts'
import { type Arguments, usage } from '../args.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import type { Simulator } from '../parts.ts'
import { replayCommand, replayFile } from '../render/sim.ts'
import { pad } from '../render/text.ts'
import { type Run, Simulation } from '../simulation.ts'
import { hint } from '../suggest.ts'
import * as values from '../values.ts'

const DEFAULT_SCENARIO = 'swarm'
const DEFAULT_SEEDS = 100
const MOST_SEEDS = 10_000_000
const MOST_NODES = 20
/** Of a random first seed: short enough to be told on the phone. */
const RANDOM_SEEDS = 1e9

const widest = Math.max(...SCENARIOS.map(({ name }) => name.length))

export const sim: Command = {
  name: 'sim',
  summary: 'run the node code in a simulated world full of faults, and check what it promises',
  args: [],
  flags: {
    seed: { type: 'string', value: 'S', help: 'the first seed; default: a random one' },
    seeds: { type: 'string', value: 'COUNT', help: `how many; default ${DEFAULT_SEEDS}, with --seed 1` },
    scenario: { type: 'string', value: 'NAME', help: `one of those above; default ${DEFAULT_SCENARIO}` },
    nodes: { type: 'string', value: 'n', help: `how many nodes, 1 to ${MOST_NODES}; default: the seed decides` },
    plan: { type: 'string', value: 'FILE', help: 'run what an earlier failure was shrunk to' },
    'no-shrink': { type: 'boolean', help: 'on a failure: do not look for a smaller one' },
    'keep-going': { type: 'boolean', help: 'on a failure: tell it, and go on with the next seed' },
    trace: { type: 'boolean', help: 'print every event' },
    digest: { type: 'boolean', help: 'print SEED DIGEST for every seed: the same on every machine' },
    json: { type: 'boolean', help: 'print one JSON document a seed, a line each' }
  },
  notes: [
    'A seed decides everything: the cluster, the work, the faults. The same seed and version give the same run anywhere.',
    'Stops at the first failure: tells what happened, looks for a smaller plan that fails alike, and writes that to',
    'coterie-sim-SEED.json. Exit code 1 when a rule was broken. Ctrl-C ends it after the seed that runs.',
    '',
    'scenarios:',
    ...SCENARIOS.map(({ name, what }) => `  ${pad(name, widest)}  ${what}`)
  ].join('\n'),
  async run(call) {
    const { given, parts } = call
    const wanted = wantedOf(given)
    const simulator = await parts.simulator()
    const runs = wanted.file === undefined ? seedRuns(simulator, wanted) : [await planRun(simulator, wanted.file)]
    const total = wanted.file === undefined ? wanted.seeds : 1
    const simulation = new Simulation(call, simulator, { ...wanted, total })
    if (wanted.file === undefined && !given.typed('seed')) simulation.say(`the first seed, at random: ${wanted.seed}`)
    return (await simulation.all(runs)) ? EXIT.done : EXIT.unexpected
  }
}

function wantedOf(given: Arguments) {
  const file = given.text('plan')
  const exclusive = ['seed', 'seeds', 'scenario', 'nodes'].find(name => given.text(name) !== undefined)
  if (file !== undefined && exclusive !== undefined) throw usage(`give --plan or --${exclusive}, not both`)
  const outputs = (['json', 'trace', 'digest'] as const).filter(name => given.on(name))
  if (outputs.length > 1) throw usage(`give --${outputs[0]} or --${outputs[1]}, not both`)
  const seed = given.text('seed') ?? String(Math.floor(systemRandom.float() * RANDOM_SEEDS))
  if (seed === '') throw usage('--seed is empty; it takes any text, mostly a number')
  const nodes = values.optional(given, 'nodes', (name, text) => values.wholeNumber(name, text, 1, MOST_NODES))
  return {
    file,
    seed,
    seeds:
      values.optional(given, 'seeds', (name, text) => values.wholeNumber(name, text, 1, MOST_SEEDS)) ??
      (given.typed('seed') ? 1 : DEFAULT_SEEDS),
    options: { scenario: values.optional(given, 'scenario', scenarioName) ?? DEFAULT_SCENARIO, nodes },
    output: outputs[0] ?? ('words' as const),
    // A plan from a file is what an earlier failure was shrunk to.
    shrink: !given.on('no-shrink') && !given.on('keep-going') && file === undefined,
    keepGoing: given.on('keep-going')
  }
}

function scenarioName(flag: string, text: string): string {
  const names = SCENARIOS.map(({ name }) => name)
  if (names.includes(text)) return text
  throw usage(`${flag} is "${text}"${hint(text, names)}; the scenarios are ${names.join(', ')}`)
}

/** `7`, `8`, `9`, … after a number; `red`, `red/1`, `red/2`, … after any other text. */
export function seedName(first: string, index: number): string {
  if (index === 0) return first
  return /^(0|[1-9]\d*)$/.test(first) ? String(BigInt(first) + BigInt(index)) : `${first}/${index}`
}

function* seedRuns(simulator: Simulator, wanted: ReturnType<typeof wantedOf>): Iterable<Run> {
  const { scenario, nodes } = wanted.options
  for (let i = 0; i < wanted.seeds; i++) {
    const seed = seedName(wanted.seed, i)
    yield {
      seed,
      replay: replayCommand(seed, scenario, nodes),
      run: options => simulator.runSeed(seed, { ...options, ...wanted.options })
    }
  }
}

/** Throws `bad-usage` for a file that cannot be read or holds no plan. */
async function planRun(simulator: Simulator, file: string): Promise<Run> {
  let plan: Plan
  try {
    plan = simulator.checkPlan(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    const why = (error as Error).message
    throw new CoterieError('bad-usage', `${file} is no plan of coterie sim: ${why}`, { cause: error })
  }
  return { seed: plan.seed, replay: replayFile(file), run: options => simulator.runPlan(plan, options) }
}
