/** Five whole nodes on virtual time, networks and disks of the simulator, that a test or a benchmark drives itself. */
import * as assert from 'uvu/assert'
import type { Claim } from '../../src/claim.ts'
import type { NodeSettings } from '../../src/config.ts'
import { Cluster } from '../../src/sim/cluster.ts'
import { History } from '../../src/sim/history.ts'
import type { Machine } from '../../src/sim/machine.ts'
import { EventLog } from '../../src/sim/world/event-log.ts'
import { SimRandom } from '../../src/sim/world/random.ts'
import { World } from '../../src/sim/world/world.ts'

const NODES = 5

interface Stats {
  work: number
  hotRanges: { given: number; givenUp: number; nothingToGain: number }
}

/** Whatever uses it has to run inside of `world.run`. */
export class VirtualCluster {
  readonly world: World
  readonly q: number
  readonly failures: string[] = []
  operations = 0
  readonly #cluster: Cluster
  #stopped = false
  #traffic: Promise<void> = Promise.resolve()

  constructor({ q, seed, settings }: { q: number; seed: string; settings: Partial<NodeSettings> }) {
    this.q = q
    this.world = new World(new SimRandom(seed), new EventLog())
    const names = Array.from({ length: NODES }, (_, i) => `n${i}`)
    this.#cluster = new Cluster(
      this.world,
      {
        seed,
        scenario: 'none',
        params: { q, n: 3, r: 2, w: 2 },
        settings,
        nodes: names.map(name => ({ name, joinAtMs: 0, zone: '', capacity: 1, skewMs: 0, drift: 0 })),
        links: { minMs: 0.5, meanMs: 0.5, slowChance: 0, slowMs: 0, loss: 0, replay: 0 },
        disks: { readMs: 0.1, writeMs: 0.1, syncMs: 1 },
        operations: [],
        faults: [],
        healAtMs: 0,
        settleMs: 0
      },
      new History()
    )
  }

  /** Resolves when each has its share. */
  async start(): Promise<void> {
    this.#cluster.schedule()
    const least = Math.floor(this.q / NODES)
    const isEven = () => this.nodes.length === NODES && this.counts().every(count => count >= least)
    assert.ok(await this.world.until(isEven, 60_000), 'all have their share')
  }

  get nodes(): Machine[] {
    return this.#cluster.machines.filter(({ core }) => core?.ready)
  }

  claims(): Claim[] {
    return this.nodes[0].core!.topology.claims()
  }

  counts(): number[] {
    return this.nodes.map(({ name }) => this.ownedBy(name).length)
  }

  ownedBy(name: string): number[] {
    return this.claims().flatMap(({ owner, range }) => (owner === name ? [range] : []))
  }

  /** Reads, through all nodes in turn, and after every `getsAPut` of them a write of the same key, one each `everyMs`. */
  load(keyOf: (i: number) => string, { everyMs, getsAPut }: { everyMs: number; getsAPut: number }): void {
    const operation = async (i: number) => {
      const { store } = this.nodes[i % NODES].core!
      const { context } = await store.get(keyOf(i))
      if (i % getsAPut === 0) await store.put(keyOf(i), `value ${i}`, { context })
    }
    this.#traffic = (async () => {
      for (let i = 0; !this.#stopped; i++) {
        operation(i).catch(error => void this.failures.push(String(error)))
        this.operations++
        await this.world.sleep(everyMs)
      }
    })()
  }

  /** Ends the load, once what is under way has been answered. */
  async unload(): Promise<void> {
    this.#stopped = true
    await this.#traffic
    await this.world.sleep(5000)
  }

  stats(): Promise<Stats[]> {
    return Promise.all(this.nodes.map(({ core }) => core!.info('stats') as Promise<Stats>))
  }

  async given(): Promise<number> {
    return (await this.stats()).reduce((sum, { hotRanges }) => sum + hotRanges.given, 0)
  }

  /** Work a second, of each node. */
  async works(): Promise<number[]> {
    return (await this.stats()).map(({ work }) => work)
  }

  /** Times the mean: what the busiest node does. */
  async most(): Promise<number> {
    return mostOf(await this.works())
  }
}

/** The most, times the mean. */
export const mostOf = (values: number[]): number =>
  Math.max(...values) / (values.reduce((sum, value) => sum + value, 0) / values.length)
