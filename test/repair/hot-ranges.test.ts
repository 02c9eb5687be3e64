/** Whole nodes on virtual time, with traffic on the ranges of one of them only. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeSettings } from '../../src/config.ts'
import { storedKey } from '../../src/replica/stored-key.ts'
import { rangeOf } from '../../src/ring/position.ts'
import { Cluster } from '../../src/sim/cluster.ts'
import { History } from '../../src/sim/history.ts'
import type { Machine } from '../../src/sim/machine.ts'
import { EventLog } from '../../src/sim/world/event-log.ts'
import { SimRandom } from '../../src/sim/world/random.ts'
import { World } from '../../src/sim/world/world.ts'
import { bytesOf } from '../support/memory-replica.ts'

const test = suite('hot ranges')
const Q = 32
const NODES = 5
const BALANCE_AFTER_MS = 2000
/** Ranges that have moved, as all have when nodes join, stay for so long. */
const REST_MS = 10 * BALANCE_AFTER_MS
const STEP_MS = 10

interface Stats {
  work: number
  hotRanges: { given: number; givenUp: number; nothingToGain: number }
}

/** Five nodes that each have their share, in which no range has moved for long. */
class Site {
  readonly world = new World(new SimRandom('hot ranges'), new EventLog())
  readonly failures: string[] = []
  #cluster!: Cluster
  #stopped = false
  #traffic: Promise<void> = Promise.resolve()

  async start(settings: Partial<NodeSettings>): Promise<void> {
    const nodes = Array.from({ length: NODES }, (_, i) => `n${i}`)
    this.#cluster = new Cluster(
      this.world,
      {
        seed: 'hot ranges',
        scenario: 'none',
        params: { q: Q, n: 3, r: 2, w: 2 },
        settings: { balanceAfterMs: BALANCE_AFTER_MS, ...settings },
        nodes: nodes.map(name => ({ name, joinAtMs: 0, zone: '', capacity: 1, skewMs: 0, drift: 0 })),
        links: { minMs: 0.5, meanMs: 0.5, slowChance: 0, slowMs: 0, loss: 0, replay: 0 },
        disks: { readMs: 0.1, writeMs: 0.1, syncMs: 1 },
        operations: [],
        faults: [],
        healAtMs: 0,
        settleMs: 0
      },
      new History()
    )
    this.#cluster.schedule()
    const isEven = () => this.nodes.length === NODES && this.counts().every(count => count >= 6)
    assert.ok(await this.world.until(isEven, 60_000), 'all have their share')
    await this.world.sleep(REST_MS)
  }

  get nodes(): Machine[] {
    return this.#cluster.machines.filter(({ core }) => core?.ready)
  }

  claims() {
    return this.nodes[0].core!.topology.claims()
  }

  counts(): number[] {
    return this.nodes.map(({ name }) => this.claims().filter(({ owner }) => owner === name).length)
  }

  ownedBy(name: string): number[] {
    return this.claims().flatMap(({ owner, range }) => (owner === name ? [range] : []))
  }

  /** Reads and writes of these ranges through all nodes in turn, a hundred a second. */
  load(ranges: number[]): void {
    const keys = ranges.map(keyIn)
    this.#traffic = (async () => {
      for (let i = 0; !this.#stopped; i++) {
        this.#operation(i, keys[(i * 7) % keys.length]).catch(error => void this.failures.push(String(error)))
        await this.world.sleep(STEP_MS)
      }
    })()
  }

  async unload(): Promise<void> {
    this.#stopped = true
    await this.#traffic
    await this.world.sleep(5000)
  }

  async #operation(i: number, key: string): Promise<void> {
    const { store } = this.nodes[i % NODES].core!
    const { context } = await store.get(key)
    await store.put(key, `value ${i}`, { context })
  }

  async stats(): Promise<Stats[]> {
    return Promise.all(this.nodes.map(({ core }) => core!.info('stats') as Promise<Stats>))
  }

  async given(): Promise<number> {
    return (await this.stats()).reduce((sum, { hotRanges }) => sum + hotRanges.given, 0)
  }

  /** Times the mean: what the busiest node does. */
  async most(): Promise<number> {
    const works = (await this.stats()).map(({ work }) => work)
    return Math.max(...works) / (works.reduce((sum, work) => sum + work, 0) / works.length)
  }
}

function keyIn(range: number): string {
  for (let i = 0; ; i++) if (rangeOf(storedKey(bytesOf(`key-${i}`)), Q) === range) return `key-${i}`
}

test('skewed traffic has hot ranges swapped for cool ones, one after another, and then nothing moves', async () => {
  const site = new Site()
  await site.world.run(async () => {
    await site.start({})
    const before = site.claims()
    site.load(site.ownedBy('n1'))
    await site.world.sleep(BALANCE_AFTER_MS)
    const skew = await site.most()
    assert.ok(skew > 1.4, `the busiest does ${skew} times the mean`)
    const heat = () => site.nodes[0].core!.membership.member('n1')!.record.load.heat
    assert.ok(await site.world.until(() => (heat()?.work ?? 0) > 200, 5 * BALANCE_AFTER_MS), 'the others hear of it')
    assert.ok(heat()!.cool.length > 0)
    assert.ok(await site.world.until(async () => (await site.given()) > 0, 5 * BALANCE_AFTER_MS), 'a hot range moves')
    let ring = ''
    let sinceMs = 0
    const isQuiet = () => {
      const now = site
        .claims()
        .map(({ owner }) => owner)
        .join()
      if (now !== ring) sinceMs = site.world.nowMs
      ring = now
      // Longer than ranges rest: those that have moved might move back by now.
      return site.world.nowMs - sinceMs > REST_MS + 5 * BALANCE_AFTER_MS
    }
    assert.ok(await site.world.until(isQuiet, 6 * REST_MS), 'nothing moves any more')
    const moves = site.claims().map(({ epoch }, range) => epoch - before[range].epoch)
    assert.ok(Math.max(...moves) === 1, `ranges moved ${moves.join(' ')} times`)
    const swaps = await site.given()
    assert.ok(swaps <= 6, `${swaps} swaps`)
    const after = await site.most()
    assert.ok(after < skew - 0.1, `the busiest did ${skew} times the mean, and does ${after} times`)
    assert.ok(
      site.counts().every(count => count === 6 || count === 7),
      `${site.counts()} ranges`
    )
    await site.unload()
    assert.equal(site.failures, [])
  })
})

test('where it is turned off, nothing moves', async () => {
  const site = new Site()
  await site.world.run(async () => {
    await site.start({ balanceAfterMs: 0 })
    const before = site.claims()
    site.load(site.ownedBy('n1'))
    await site.world.sleep(6 * BALANCE_AFTER_MS)
    assert.equal(site.claims(), before)
    assert.is(await site.given(), 0)
    await site.unload()
    assert.equal(site.failures, [])
  })
})

test.run()
