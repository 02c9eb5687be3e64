/** Three node processes, the third with its directory on a disk of its own that can fill, stall and fail; and load on them. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { kill } from 'node:process'
import { pathToFileURL } from 'node:url'
import * as assert from 'uvu/assert'
import type { CoterieClient } from '../../../src/client/client.ts'
import { nodeFiles } from '../../../src/storage/disk/node-files.ts'
import { inspectFile } from '../../../src/storage/inspect.ts'
import { type NodeProcess, ProcessCluster } from '../../support/processes.ts'
import { type DiskInit, RealDisk } from '../../support/real-disks.ts'
import { until } from '../../support/until.ts'
import { type Member, settled } from '../settled.ts'

const IN_NODE = join(import.meta.dirname, 'in-node.ts')

export class ClusterOnDisk {
  readonly cluster = new ProcessCluster(['--ranges', '32'])
  readonly disk: RealDisk
  readonly clients: CoterieClient[] = []
  #routed: CoterieClient | undefined
  #load: ClusterLoad | undefined

  constructor(disk: DiskInit) {
    this.disk = new RealDisk(join(this.cluster.root, 'n2'), disk)
  }

  /** Makes it, lets `body` use it, and removes it, whatever happens; the logs are shown if something does. */
  static async run(disk: DiskInit, args: string[], body: (it: ClusterOnDisk) => Promise<void>): Promise<void> {
    const it = new ClusterOnDisk(disk)
    try {
      await it.#start(args)
      await body(it)
    } catch (error) {
      for (const { dir, log } of it.cluster.nodes) console.error(`--- ${dir}\n${log.slice(-3000)}`)
      throw error
    } finally {
      await it.#close()
    }
  }

  /** The one on the disk. */
  get node(): NodeProcess {
    return this.cluster.nodes[2]!
  }

  /** Of the one on the disk. */
  get client(): CoterieClient {
    return this.clients[2]!
  }

  async #start(args: string[]): Promise<void> {
    const before = process.env.NODE_OPTIONS
    process.env.NODE_OPTIONS = `${before ?? ''} --import=${pathToFileURL(IN_NODE)}`
    try {
      // In turn: the third one is the one whose directory the disk is.
      for (let i = 0; i < 3; i++) await this.cluster.add(args)
    } finally {
      if (before === undefined) delete process.env.NODE_OPTIONS
      else process.env.NODE_OPTIONS = before
    }
    for (const node of this.cluster.nodes) this.clients.push(await this.cluster.client(node, { route: false }))
    await settled(this.clients)
    this.#routed = await this.cluster.client(this.node)
  }

  async #close(): Promise<void> {
    await this.disk.thaw()
    await this.#load?.stop()
    await Promise.all(this.cluster.nodes.map(node => node.stop()))
    this.disk.remove()
    await this.cluster.close()
  }

  startLoad(): ClusterLoad {
    this.#load = new ClusterLoad([...this.clients, this.#routed!]).start()
    return this.#load
  }

  async stats(client = this.client): Promise<Record<string, number>> {
    return (await client.info('stats')) as Record<string, number>
  }

  /** Neither of the first two takes the third for down. Returns what they say, which may be `suspect` on a busy machine. */
  async mustBeMember(): Promise<string[]> {
    const verdicts = await this.#verdicts()
    assert.ok(!verdicts.includes('down') && !verdicts.includes('unknown'), `the others say ${verdicts}`)
    return verdicts
  }

  async #verdicts(): Promise<string[]> {
    const others = this.clients.slice(0, 2)
    const all = await Promise.all(others.map(async client => (await client.info('members')) as Seen[]))
    return all.map(members => members.find(({ peerId }) => peerId === this.node.peerId)?.verdict ?? 'unknown')
  }

  /** How late the event loop of the third has been since the last call, in milliseconds. */
  async loopDelayMs(): Promise<number> {
    const from = this.node.log.length
    kill(this.node.pid!, 'SIGUSR2')
    const said = await until('the node says how late its event loop was', () =>
      /event loop delay ([\d.]+) ms/.exec(this.node.log.slice(from))
    )
    return Number(said[1])
  }

  /** Every key as it was last put: in the node's own copies, by and by, and through every client. */
  async mustHaveAll(load: ClusterLoad): Promise<void> {
    await until(
      'its own copies have everything',
      async () => (await load.wrong(this.client, 1)).length === 0,
      20_000,
      200
    )
    for (const client of this.clients) assert.equal(await load.wrong(client), [])
  }

  /** Stops all and holds their files against each other: every key in the same state on all three. Returns how many. */
  async mustBeIdentical(): Promise<number> {
    await Promise.all(this.cluster.nodes.map(node => node.stop()))
    const all = await Promise.all(this.cluster.nodes.map(({ dir }) => statesIn(join(dir, 'ranges'))))
    for (const states of all) assert.equal(states, all[0])
    return all[0]!.length
  }
}

interface Seen extends Member {
  verdict: string
}

/** `position tag`, the tag being a hash of the state. Only for ranges of one file each. */
async function statesIn(dir: string): Promise<string[]> {
  const states: string[] = []
  for (const name of readdirSync(dir).filter(file => file.endsWith('.log'))) {
    const { keyList, damages, tornBytes } = await inspectFile(nodeFiles, join(dir, name), { keys: true })
    assert.equal([damages, tornBytes], [[], 0], name)
    for (const { position, tag } of keyList!) states.push(`${position} ${tag}`)
  }
  return states.sort()
}

/** Reads and writes through all nodes, each key by one worker through one node, and the account of them. */
export class ClusterLoad {
  /** Through each of the three nodes, and through a client that picks nodes itself. */
  readonly failures = [0, 0, 0, 0]
  readonly writesThrough = [0, 0, 0, 0]
  readonly messages = new Map<string, number>()
  /** Each key's last acknowledged value; a write that failed after it may have taken effect all the same. */
  readonly acked = new Map<string, { value: string; maybe: string[] }>()
  reads = 0
  writes = 0
  slowestMs = 0
  readonly #clients: CoterieClient[]
  #stopped = false
  #working: Promise<unknown> = Promise.resolve()

  constructor(clients: CoterieClient[]) {
    this.#clients = clients
  }

  start({ workers = 8, valueBytes = 1000, keys = 40 } = {}): this {
    this.#working = Promise.all(Array.from({ length: workers }, (_, i) => this.#work(i, keys, 'x'.repeat(valueBytes))))
    return this
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#working
  }

  get failed(): number {
    return this.failures.reduce((sum, count) => sum + count)
  }

  get summary(): string {
    const why = [...this.messages].map(([message, count]) => `; ${count} × ${message}`).join('')
    const by = ['n0', 'n1', 'n2', 'any'].map((name, i) => `${name} ${this.failures[i]} of ${this.writesThrough[i]}`)
    return `${this.writes} writes, ${this.reads} reads, the slowest ${this.slowestMs.toFixed(0)} ms; failed through ${by.join(', ')}${why}`
  }

  async #work(worker: number, keys: number, filler: string): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const through = worker % this.#clients.length
      const key = `load-${worker}-${i % keys}`
      const startMs = performance.now()
      try {
        await this.#operation(through, key, `${i} ${filler}`)
      } catch (error) {
        this.failures[through]!++
        const said = `n${through} ${error}`.replace(/\d{3,}|12D3\w+|\/\S+/g, '…').slice(0, 240)
        this.messages.set(said, (this.messages.get(said) ?? 0) + 1)
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs)
    }
  }

  async #operation(through: number, key: string, value: string): Promise<void> {
    const client = this.#clients[through]!
    const { values, context } = await client.get(key)
    this.reads++
    const before = this.acked.get(key)
    const found = values.map(bytes => Buffer.from(bytes).toString())
    if (before && !found.some(text => text === before.value || before.maybe.includes(text)))
      throw new Error(`LOST: ${key} was ${before.value.slice(0, 10)}, is ${found.map(text => text.slice(0, 10))}`)
    before?.maybe.push(value)
    await client.put(key, value, { context })
    this.writes++
    this.writesThrough[through]!++
    this.acked.set(key, { value, maybe: [] })
  }

  /** Keys that do not read through this client as what was acknowledged (or, after it, tried). */
  async wrong(client: CoterieClient, r?: number): Promise<string[]> {
    const wrong: string[] = []
    for (const [key, { value, maybe }] of this.acked) {
      const { values } = await client.get(key, { r })
      const found = values.map(bytes => Buffer.from(bytes).toString())
      if (!found.some(text => text === value || maybe.includes(text))) wrong.push(key)
    }
    return wrong
  }
}
