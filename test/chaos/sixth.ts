/** A sixth node joins five that hold much, with nothing else to do: how fast it gets its share. */
import process from 'node:process'
import * as assert from 'uvu/assert'
import type { CoterieClient } from '../../src/client/client.ts'
import { table } from '../bench/measure.ts'
import { Ballast } from './ballast.ts'
import type { HostInit } from './chaos-node.ts'
import { moved, shapeOf } from './shape.ts'
import { Site, stats } from './site.ts'

/** Stored by all nodes together, in three copies. */
const BYTES = Number(process.env.BYTES ?? 2e9)
const COPIES = 3
const VALUES = { minBytes: 16 * 1024, maxBytes: 64 * 1024 }
const IDENTICAL_MS = 300_000
const SETTLE_MS = 550_000
/** Keys looked for in the end. */
const SAMPLE = 1000
const LOOK_EVERY_MS = 100
const MB = 1e6

const HEADS = [
  'MB stored',
  'its ranges',
  'its copies',
  'share after s',
  'of these receiving s',
  'MB received',
  'MB least',
  'MB over its network',
  'MB/s while receiving',
  'MB/s over all'
]

export async function sixth(hosts: HostInit[]): Promise<string> {
  const site = new Site(hosts, { nodes: 5 })
  try {
    await site.start()
    const ballast = new Ballast({ bytes: BYTES / COPIES, ...VALUES })
    const startMs = performance.now()
    await ballast.fill(site)
    await site.identical(IDENTICAL_MS)
    console.error(`  ${ballast.keys} keys written in ${((performance.now() - startMs) / 1000).toFixed(0)} s`)
    const row = await measure(site)
    assert.equal(await ballast.missing(site, SAMPLE), [])
    return table(HEADS, [row])
  } catch (error) {
    for (const { name, log } of site.nodes) console.error(`--- ${name}\n${log.slice(-4000)}`)
    throw error
  } finally {
    await site.close()
  }
}

async function measure(site: Site): Promise<(string | number)[]> {
  const before = await shapeOf(site)
  const [node] = await site.add(1)
  const readyMs = performance.now()
  const pace = new Pace(site.watchers.at(-1)!)
  await site.settled(SETTLE_MS, 1).finally(() => pace.stop())
  const settledS = (performance.now() - readyMs) / 1000
  const after = await shapeOf(site)
  const { copies, leastBytes, bytes } = moved(before, after, [node!.peerId])
  return [
    (after.keys.reduce((sum, keys) => sum + keys, 0) * COPIES * after.bytesPerKey) / MB,
    `${after.counts.at(-1)}`,
    `${copies}`,
    settledS,
    pace.seconds,
    bytes / MB,
    leastBytes / MB,
    Number(node!.run('cat', '/sys/class/net/eth0/statistics/rx_bytes')) / MB,
    bytes / MB / pace.seconds,
    bytes / MB / settledS
  ]
}

/** From when the first bytes came to a node until the last ones had, to a tenth of a second. */
class Pace {
  readonly #watcher: CoterieClient
  readonly #looking: Promise<void>
  #over = false
  #seen = { bytes: 0, ms: performance.now() }
  #firstMs: number | undefined

  constructor(watcher: CoterieClient) {
    this.#watcher = watcher
    this.#looking = this.#look()
  }

  get seconds(): number {
    return (this.#seen.ms - (this.#firstMs ?? this.#seen.ms)) / 1000
  }

  async stop(): Promise<void> {
    this.#over = true
    await this.#looking
  }

  async #look(): Promise<void> {
    let lookedMs = performance.now()
    while (!this.#over) {
      const bytes = (await stats(this.#watcher)).bytesReceived!
      const nowMs = performance.now()
      if (bytes > this.#seen.bytes) {
        this.#firstMs ??= lookedMs
        this.#seen = { bytes, ms: nowMs }
      }
      lookedMs = nowMs
      await new Promise(resolve => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }
}
