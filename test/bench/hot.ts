/**
 * Five node processes, Zipf-distributed keys at a steady rate, and what becomes of the load of each node as hot ranges are swapped for
 * cool ones. A table; no pass or fail. Environment: ZIPF (1.2), KEYS (10000), VALUE (256 bytes), RATE (200 gets a second, every fifth followed by a put of the same key),
 * UNLUCKY (8: as many of the hottest keys lie in ranges that one node owns; 0: all lie where they happen to), BALANCE_AFTER (10 s),
 * AFTER (180: seconds of load until the second look). `-- hot virtual`: the same on virtual time, whatever else the machine does.
 */
import type { CoterieClient } from '../../src/client/client.ts'
import { storedKey } from '../../src/replica/stored-key.ts'
import { rangeOf } from '../../src/ring/position.ts'
import { settled } from '../process/settled.ts'
import { ProcessCluster } from '../support/processes.ts'
import { mostOf, VirtualCluster } from '../support/virtual-cluster.ts'
import { cpuSeconds, machine, quantiles, randomValue, table } from './measure.ts'

const number = (name: string, byDefault: number) => Number(process.env[name] ?? byDefault)
const ZIPF = number('ZIPF', 1.2)
const KEYS = number('KEYS', 10_000)
const RATE = number('RATE', 200)
const UNLUCKY = number('UNLUCKY', 8)
const BALANCE_AFTER_S = number('BALANCE_AFTER', 10)
const AFTER_S = number('AFTER', 180)
const NODES = 5
const N = 3
const Q = 64
const WINDOW_S = 30
/** What is told as after, on virtual time, is the mean of so many looks. */
const LAST_LOOKS = 4
const WARM_S = 20
const STEP_MS = 10
const FILLING = 16
/** A machine that others use as well may stand still for a while. */
const TIMEOUT_MS = 15_000
const VALUE_BYTES = number('VALUE', 256)
/** The hottest of them exist from the beginning. */
const FILLED = Math.min(KEYS, 1000)
const GETS_A_PUT = 5

interface Ring {
  owners: { range: number; owner: string; epoch: number }[]
}
interface Stats {
  work: number
  hotRanges: { given: number; givenUp: number }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** Keys by rank, the hottest first; `wanted`: ranges for the first UNLUCKY of them. */
function keysByRank(wanted: ReadonlySet<number>): { keys: string[]; ranges: number[] } {
  const keys: string[] = []
  const ranges: number[] = []
  for (let i = 0; keys.length < KEYS; i++) {
    const key = `key-${i}`
    const range = rangeOf(storedKey(new TextEncoder().encode(key)), Q)
    if (keys.length < UNLUCKY && !wanted.has(range)) continue
    keys.push(key)
    ranges.push(range)
  }
  return { keys, ranges }
}

/** Sums of the shares of the ranks so far. */
function zipf(): Float64Array {
  const sums = new Float64Array(KEYS)
  let sum = 0
  for (let rank = 0; rank < KEYS; rank++) sums[rank] = sum += (rank + 1) ** -ZIPF
  return sums.map(value => value / sum)
}

/** The rank at `at`, of 0 to 1. */
function drawn(sums: Float64Array, at: number): number {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sums[middle] < at) low = middle + 1
    else high = middle
  }
  return low
}

/** Operations begin at a steady rate, whether or not those before have ended. */
class SteadyLoad {
  readonly #client: CoterieClient
  readonly #keys: string[]
  readonly #sums = zipf()
  readonly failures: string[] = []
  latencies: number[] = []
  #count = 0
  #open = 0
  #stopped = false

  constructor(client: CoterieClient, keys: string[]) {
    this.#client = client
    this.#keys = keys
  }

  async run(): Promise<void> {
    const startMs = performance.now()
    while (!this.#stopped) {
      while (this.#count < ((performance.now() - startMs) * RATE) / 1000) void this.#operation(this.#count++)
      await sleep(STEP_MS)
    }
    while (this.#open > 0) await sleep(STEP_MS)
  }

  stop(): void {
    this.#stopped = true
  }

  get operations(): number {
    return this.#count
  }

  async #operation(i: number): Promise<void> {
    const key = this.#keys[drawn(this.#sums, Math.random())]
    const startMs = performance.now()
    this.#open++
    try {
      const { context } = await this.#client.get(key)
      if (i % GETS_A_PUT === 0) await this.#client.put(key, randomValue(VALUE_BYTES), { context })
    } catch (error) {
      this.failures.push(String(error))
    }
    this.#open--
    this.latencies.push(performance.now() - startMs)
  }
}

interface Look {
  works: number[]
  cpus: number[]
  owned: number[]
  ring: Ring
  p99: number
}

/** What the most loaded node has at best, times the mean: the hottest range is shared by N nodes. */
function bestPossible(ranges: number[]): string {
  const sums = zipf()
  const shares = new Float64Array(Q)
  ranges.forEach((range, rank) => void (shares[range] += sums[rank] - (sums[rank - 1] ?? 0)))
  const hottest = Math.max(...shares)
  return `best possible ${Math.max(1, (hottest * NODES) / N).toFixed(2)} (the hottest range has ${(100 * hottest).toFixed(1)} % of the operations, ${N} nodes share it)`
}

export const benchHot = ([kind]: string[]): Promise<string> => (kind === 'virtual' ? benchVirtual() : benchProcesses())

/** The same nodes on virtual time: work as the nodes count it does not depend on what else the machine does. */
async function benchVirtual(): Promise<string> {
  const cluster = new VirtualCluster({ q: Q, seed: 'bench', settings: { balanceAfterMs: 1000 * BALANCE_AFTER_S } })
  return cluster.world.run(async () => {
    await cluster.start()
    // Ranges that have moved, as all have, rest for ten times as long.
    await cluster.world.sleep(10_000 * BALANCE_AFTER_S)
    const { keys, ranges } = keysByRank(new Set(cluster.ownedBy('n1')))
    const sums = zipf()
    const random = cluster.world.random.fork('keys')
    const counts = cluster.counts()
    const epochs = cluster.claims().map(({ epoch }) => epoch)
    const drawnKeys: string[] = []
    const keyOf = (i: number) => (drawnKeys[i] ??= keys[drawn(sums, random.float())])
    cluster.load(keyOf, { everyMs: 1000 / RATE, getsAPut: GETS_A_PUT })
    await cluster.world.sleep(1000 * BALANCE_AFTER_S)
    const before = await cluster.works()
    const looks: number[][] = []
    for (let second = BALANCE_AFTER_S; second < AFTER_S; second += BALANCE_AFTER_S) {
      await cluster.world.sleep(1000 * BALANCE_AFTER_S)
      looks.push(await cluster.works())
    }
    // One look is of a few seconds: which member coordinates and which is asked goes by latencies, and changes.
    const last = looks.slice(-LAST_LOOKS)
    const after = before.map((_, i) => Math.round(last.reduce((sum, works) => sum + works[i], 0) / last.length))
    const owned = cluster.counts()
    const moves = cluster.claims().map(({ epoch }, range) => epoch - epochs[range])
    const given = await cluster.given()
    await cluster.unload()
    const rows = before.map((work, i) => [`${i}`, `${work}`, `${after[i]}`, `${counts[i]}`, `${owned[i]}`])
    return [
      `Virtual time; ${NODES} nodes, Q = ${Q}, N = ${N}; ${KEYS} keys, Zipf ${ZIPF}; ${RATE} gets a second, every fifth followed by a put; balanceAfter ${BALANCE_AFTER_S} s`,
      '',
      table(['node', 'work/s before', 'after', 'ranges before', 'after'], rows),
      '',
      `busiest ÷ mean: ${mostOf(before).toFixed(2)} before, ${mostOf(after).toFixed(2)} after; every ${BALANCE_AFTER_S} s: ${looks.map(works => mostOf(works).toFixed(2)).join(' ')}`,
      bestPossible(ranges),
      `${given} swaps, ${moves.reduce((sum, count) => sum + count, 0)} moves, no range more than ${Math.max(...moves)} times, in ${AFTER_S} s`,
      `${cluster.operations} gets, ${cluster.failures.length} operations failed`
    ].join('\n')
  })
}

async function benchProcesses(): Promise<string> {
  const cluster = new ProcessCluster(['--ranges', `${Q}`])
  try {
    await cluster.addMany(NODES, ['--log-level', 'info', '--balance-after', `${BALANCE_AFTER_S}`])
    const clients: CoterieClient[] = []
    for (const node of cluster.nodes) clients.push(await cluster.client(node, { route: false, timeoutMs: TIMEOUT_MS }))
    const client = await cluster.client(cluster.nodes[0], { timeoutMs: TIMEOUT_MS })
    await settled(clients)
    const ringOf = async () => (await clients[0].info('ring')) as Ring
    const first = await ringOf()
    const mine = new Set(first.owners.flatMap(({ owner, range }) => (owner === cluster.nodes[0].peerId ? [range] : [])))
    const { keys, ranges } = keysByRank(mine)
    for (let i = 0; i < FILLED; i += FILLING)
      await Promise.all(
        keys.slice(i, Math.min(FILLED, i + FILLING)).map(key => client.put(key, randomValue(VALUE_BYTES)))
      )
    const load = new SteadyLoad(client, keys)
    const running = load.run()
    const statsOf = () => Promise.all(clients.map(async one => (await one.info('stats')) as Stats))
    const cpus = () => cluster.nodes.map(node => cpuSeconds(node.pid!))
    const look = async (): Promise<Look> => {
      load.latencies = []
      const before = cpus()
      await sleep(WINDOW_S * 1000)
      const after = cpus()
      const ring = await ringOf()
      return {
        works: (await statsOf()).map(({ work }) => work),
        cpus: after.map((seconds, i) => ((seconds - before[i]) / WINDOW_S) * 100),
        owned: cluster.nodes.map(({ peerId }) => ring.owners.filter(({ owner }) => owner === peerId).length),
        ring,
        p99: quantiles(load.latencies).p99
      }
    }
    await sleep(WARM_S * 1000)
    const before = await look()
    await sleep((AFTER_S - WARM_S - WINDOW_S) * 1000)
    const after = await look()
    load.stop()
    await running
    const given = (await statsOf()).reduce((sum, { hotRanges }) => sum + hotRanges.given, 0)
    const epochs = new Map(before.ring.owners.map(({ range, epoch }) => [range, epoch]))
    const moves = after.ring.owners.map(({ range, epoch }) => epoch - epochs.get(range)!)
    const rows = cluster.nodes.map((_, i) => [
      `${i + 1}`,
      `${before.works[i]}`,
      `${after.works[i]}`,
      before.cpus[i],
      after.cpus[i],
      `${before.owned[i]}`,
      `${after.owned[i]}`
    ])
    return [
      `${machine()}; ${NODES} nodes, Q = ${Q}, N = ${N}; ${KEYS} keys, Zipf ${ZIPF}; ${RATE} gets a second, every fifth followed by a put of ${VALUE_BYTES} bytes; --balance-after ${BALANCE_AFTER_S}`,
      '',
      table(['node', 'work/s before', 'after', 'CPU % before', 'after', 'ranges before', 'after'], rows),
      '',
      `busiest ÷ mean: work ${mostOf(before.works).toFixed(2)} before, ${mostOf(after.works).toFixed(2)} after; CPU ${mostOf(before.cpus).toFixed(2)} before, ${mostOf(after.cpus).toFixed(2)} after`,
      bestPossible(ranges),
      `${given} swaps, ${moves.reduce((sum, count) => sum + count, 0)} moves, no range more than ${Math.max(...moves)} times, in ${AFTER_S} s; p99 ${before.p99.toFixed(1)} ms before, ${after.p99.toFixed(1)} ms after`,
      `${load.operations} operations, ${load.failures.length} failed${load.failures.length > 0 ? `: ${load.failures[0]}` : ''}`
    ].join('\n')
  } finally {
    await cluster.close()
  }
}
