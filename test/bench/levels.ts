/**
 * What waiting for more answers costs: gets and puts at r, w = 1, 2 and all through five node processes (N = 3), a few at a time,
 * with each durability; and with one of the nodes hung. Tables; no pass or fail. Environment: RUNS (3), SECONDS (2).
 */
import type { Level } from '../../src/messages.ts'
import { settled } from '../process/settled.ts'
import { ProcessCluster } from '../support/processes.ts'
import { type Figures, load, machine, medianOf, randomValue, table } from './measure.ts'

const RUNS = Number(process.env.RUNS ?? 3)
const SECONDS = Number(process.env.SECONDS ?? 2)
const NODES = 5
const KEYS = 2000
const VALUE_BYTES = 256
/** Few: the machine is to have time for all nodes at once. */
const IN_FLIGHT = 4
const LEVELS: Level[] = [1, 2, 'all']
const DURABILITIES = ['interval', 'disk']

interface Cell {
  durability: string
  state: string
  call: string
  figures: Figures[]
}

async function benchOf(durability: string): Promise<Cell[]> {
  const cluster = new ProcessCluster()
  const cells = new Map<string, Cell>()
  try {
    await cluster.addMany(NODES, ['--log-level', 'warn', '--durability', durability])
    const client = await cluster.client(cluster.nodes[0], { timeoutMs: 15_000 })
    await settled([client])
    for (let i = 0; i < KEYS; i++) await client.put(`key ${i}`, randomValue(VALUE_BYTES))
    const options = { inFlight: IN_FLIGHT, seconds: SECONDS, pids: cluster.nodes.map(node => node.pid!) }
    let next = 0
    const measure = async (state: string, levels: Level[]) => {
      for (const level of levels) {
        const calls = {
          r: () => client.get(`key ${Math.floor(Math.random() * KEYS)}`, { r: level }),
          w: () => client.put(`new ${next++}`, randomValue(VALUE_BYTES), { w: level })
        }
        for (const [name, op] of Object.entries(calls)) {
          const call = `${name} = ${level}`
          const cell = cells.get(`${state} ${call}`) ?? { durability, state, call, figures: [] }
          cells.set(`${state} ${call}`, cell)
          cell.figures.push(await load(op, options))
        }
      }
    }
    for (let run = 0; run < RUNS; run++) await measure('all up', LEVELS)
    // Not the one that the client was told of.
    const hung = cluster.nodes[NODES - 1]!
    process.kill(hung.pid!, 'SIGSTOP')
    try {
      await measure('one hung', LEVELS)
    } finally {
      process.kill(hung.pid!, 'SIGCONT')
    }
    return [...cells.values()]
  } finally {
    await cluster.close()
  }
}

export async function benchLevels(): Promise<string> {
  const cells: Cell[] = []
  for (const durability of DURABILITIES) cells.push(...(await benchOf(durability)))
  const rows = cells.map(({ durability, state, call, figures }) => {
    const { perSecond, p50, p99, p999 } = medianOf(figures)
    return [durability, state, call, perSecond, p50, p99, p999]
  })
  const heads = ['durability', 'nodes', 'call', 'per second', 'p50 ms', 'p99 ms', 'p99.9 ms']
  return `${machine()}; ${NODES} nodes, ${IN_FLIGHT} at a time, ${RUNS} runs of ${SECONDS} s a cell (one where a node hangs), medians\n\n${table(heads, rows)}`
}
