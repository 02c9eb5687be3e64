/**
 * How much faster than real time the simulator runs, and how many seeds a minute, with five nodes: without faults (calm) and
 * with everything (swarm). One process, one core. A table; no pass or fail. Environment: RUNS (3), SEEDS (10).
 */
import { runSeed } from '../../src/sim/run.ts'
import { machine, median, table } from './measure.ts'

const RUNS = Number(process.env.RUNS ?? 3)
const SEEDS = Number(process.env.SEEDS ?? 10)
const NODES = 5
const SCENARIOS = ['calm', 'swarm']

interface Sweep {
  virtualMs: number
  realMs: number
  events: number
  failed: number
}

/** The same seeds in every run: only the time differs. */
async function sweep(scenario: string): Promise<Sweep> {
  const sum: Sweep = { virtualMs: 0, realMs: 0, events: 0, failed: 0 }
  const startMs = performance.now()
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { virtualMs, events, violations } = await runSeed(String(seed), { scenario, nodes: NODES })
    sum.virtualMs += virtualMs
    sum.events += events
    if (violations.length > 0) sum.failed++
  }
  return { ...sum, realMs: performance.now() - startMs }
}

export async function benchSim(): Promise<string> {
  // The first run compiles.
  for (const scenario of SCENARIOS) await runSeed('warm', { scenario, nodes: NODES })
  const rows: (string | number)[][] = []
  for (const scenario of SCENARIOS) {
    const sweeps: Sweep[] = []
    for (let run = 0; run < RUNS; run++) sweeps.push(await sweep(scenario))
    const of = (figure: (sweep: Sweep) => number) => median(sweeps.map(figure))
    rows.push([
      scenario,
      of(({ virtualMs }) => virtualMs / SEEDS / 60_000),
      of(({ events }) => events / SEEDS),
      of(({ realMs }) => realMs / SEEDS / 1000),
      of(({ virtualMs, realMs }) => virtualMs / realMs),
      of(({ realMs }) => (SEEDS * 60_000) / realMs),
      of(({ events, realMs }) => (events * 1000) / realMs),
      of(({ failed }) => failed).toFixed(0)
    ])
  }
  const heads = [
    'scenario',
    'simulated minutes a seed',
    'events a seed',
    'seconds a seed',
    'virtual ÷ real',
    'seeds a minute',
    'events a second',
    'seeds that fail'
  ]
  return `${machine()}; ${NODES} nodes, one process; ${RUNS} runs of seeds 1–${SEEDS}, medians\n\n${table(heads, rows)}`
}
