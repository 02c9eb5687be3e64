/**
 * Gets and puts a second through three node processes (N = 3, R = W = 2) and one client process, beside the floor of a
 * corked echo over one libp2p stream in the same run. A table; no pass or fail. Environment: RUNS (3), SECONDS (2).
 */

import { settled } from '../process/settled.ts'
import { ProcessCluster } from '../support/processes.ts'
import { EchoFloor } from './echo-floor.ts'
import { type Figures, load, machine, medianOf, randomValue, table } from './measure.ts'

const RUNS = Number(process.env.RUNS ?? 3)
const SECONDS = Number(process.env.SECONDS ?? 2)
const SIZES = [100, 1024]
const IN_FLIGHT = [1, 16, 64]
const KEYS = 20_000

/** The floor is an argument in tests of the bench itself; here it is the echo. */
export async function benchKv(): Promise<string> {
  const cluster = new ProcessCluster()
  const floor = await EchoFloor.start()
  try {
    await cluster.addMany(3, ['--log-level', 'warn'])
    const client = await cluster.client()
    await settled([client])
    const pids = cluster.nodes.map(node => node.pid!)
    const runs = new Map<string, Figures[]>()
    const add = (name: string, figures: Figures) => runs.set(name, [...(runs.get(name) ?? []), figures])
    let next = 0
    for (const size of SIZES) {
      const prefix = `bench-${size}-`
      for (let i = 0; i < KEYS; i += 64)
        await Promise.all(Array.from({ length: 64 }, (_, j) => client.put(`${prefix}${i + j}`, randomValue(size))))
      for (let run = 0; run < RUNS; run++) {
        for (const inFlight of IN_FLIGHT) {
          const options = { inFlight, seconds: SECONDS }
          add(
            `echo ${size} ${inFlight}`,
            await load(() => floor.call(randomValue(size)), { ...options, pids: [floor.pid] })
          )
          add(
            `put ${size} ${inFlight}`,
            await load(() => client.put(`new-${size}-${next++}`, randomValue(size)), { ...options, pids })
          )
          add(
            `get ${size} ${inFlight}`,
            await load(() => client.get(`${prefix}${Math.floor(Math.random() * KEYS)}`), { ...options, pids })
          )
        }
      }
    }
    const rows = SIZES.flatMap(size =>
      IN_FLIGHT.flatMap(inFlight =>
        ['echo', 'put', 'get'].map(what => {
          const figures = medianOf(runs.get(`${what} ${size} ${inFlight}`)!)
          const base = medianOf(runs.get(`echo ${size} ${inFlight}`)!)
          return [
            what,
            `${size} B`,
            String(inFlight),
            figures.perSecond,
            figures.p50,
            figures.p99,
            figures.p999,
            figures.cpuPer10k,
            figures.perSecond / base.perSecond,
            figures.cpuPer10k / base.cpuPer10k
          ]
        })
      )
    )
    const heads = [
      'operation',
      'value',
      'in flight',
      'per second',
      'p50 ms',
      'p99 ms',
      'p99.9 ms',
      'CPU s per 10 k',
      'rate ÷ echo',
      'CPU ÷ echo'
    ]
    return `${machine()}; ${RUNS} runs of ${SECONDS} s a cell, medians\n\n${table(heads, rows)}`
  } finally {
    await floor.close()
    await cluster.close()
  }
}
