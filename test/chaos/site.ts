/** Node processes, each on a host of its own (network namespaces); the last may have its directory on a disk of its own. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { type CoterieClient, connect } from '../../src/client/client.ts'
import type { ClusterStatus } from '../../src/cluster-status.ts'
import { BIN } from '../support/processes.ts'
import { RealDisk } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { ChaosNode, type HostInit } from './chaos-node.ts'

export const RANGES = 64
const SETTLE_MS = 60_000

export interface SiteInit {
  nodes: number
  /** Of the last node's disk; without, its directory is where the others' are. */
  diskMib?: number
  /** What each is started with besides seed and secret. */
  options?: (index: number) => string[]
}

export class Site {
  readonly root = mkdtempSync(join(tmpdir(), 'coterie-chaos-'))
  readonly nodes: ChaosNode[]
  /** The last node's, where it has one. */
  readonly disk: RealDisk | undefined
  readonly #hosts: HostInit[]
  readonly #options: (index: number) => string[]
  readonly #watchers = new Map<ChaosNode, CoterieClient>()
  readonly #clients: CoterieClient[] = []
  secret = ''
  #secretFile = ''
  /** Nodes so far, those that are gone included: each had a host of its own. */
  #made = 0

  constructor(hosts: HostInit[], { nodes, diskMib, options = () => [] }: SiteInit) {
    this.#hosts = hosts
    this.#options = options
    this.nodes = Array.from({ length: nodes }, () => this.#make())
    if (diskMib !== undefined)
      this.disk = new RealDisk(this.nodes.at(-1)!.dir, { kind: 'ext4', mib: diskMib, journal: true })
  }

  /** Each asks its own node alone; in the order of the nodes. */
  get watchers(): CoterieClient[] {
    return this.nodes.map(node => this.#watchers.get(node)!)
  }

  async start(): Promise<void> {
    const [first, ...others] = this.nodes
    const init = ['init', '--dir', first!.dir, '--ranges', `${RANGES}`, '--json']
    const { stdout, stderr, status } = spawnSync(process.execPath, [BIN, ...init], { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    this.#secretFile = (JSON.parse(stdout) as { secretFile: string }).secretFile
    this.secret = readFileSync(this.#secretFile, 'utf8').trim()
    await first!.start(this.#options(0))
    await Promise.all(others.map((node, i) => this.#join(node, i + 1)))
    await this.#watch(this.nodes)
    await this.settled(SETTLE_MS, 2)
  }

  /** So many join at once; resolves when they are ready, not when they have their share. */
  async add(count: number): Promise<ChaosNode[]> {
    const from = this.#made
    const added = Array.from({ length: count }, () => this.#make())
    await Promise.all(added.map((node, i) => this.#join(node, from + i)))
    await this.#watch(added)
    this.nodes.push(...added)
    return added
  }

  /** It is gone for good: nobody asks it any more. */
  async forget(node: ChaosNode): Promise<void> {
    this.nodes.splice(this.nodes.indexOf(node), 1)
    await this.#watchers.get(node)?.close()
    this.#watchers.delete(node)
  }

  /** A client of the whole cluster, as a program would have one. */
  async client(): Promise<CoterieClient> {
    return this.#connect(
      this.nodes.map(({ address }) => address),
      true
    )
  }

  /** Waits until every copy of every range is the same on all that hold it, and nobody keeps anything for others. */
  async identical(timeoutMs: number): Promise<void> {
    await until('all replicas are identical', () => this.#isIdentical(), timeoutMs, 100)
  }

  /** Waits until everybody sees everybody up, nothing is kept for others, and no copy is syncing. */
  async recovered(timeoutMs: number): Promise<void> {
    await until('the cluster has recovered', () => this.#isRecovered(), timeoutMs, 250)
  }

  /**
   * Waits until every range has its N synced copies, in as many zones as there can be, every node owns its share and
   * `within` ranges more or less, nobody else owns anything, and nothing is under way.
   */
  async settled(timeoutMs: number, within: number): Promise<void> {
    await until(
      'every range has its copies, and every node its share',
      async () => {
        const missing = await this.#unsettled(within)
        if (missing !== undefined) throw new Error(missing)
        return true
      },
      timeoutMs,
      250
    )
  }

  async #isRecovered(): Promise<boolean> {
    try {
      for (const watcher of this.watchers) {
        const { hintRanges, copiesSyncing } = await stats(watcher)
        const members = (await watcher.info('members')) as { verdict: string }[]
        if (hintRanges !== 0 || copiesSyncing !== 0 || members.some(({ verdict }) => verdict !== 'up')) return false
      }
      return true
    } catch {
      // One that does not answer yet is asked again.
      return false
    }
  }

  async hints(): Promise<number> {
    let hints = 0
    for (const watcher of this.watchers) hints += (await stats(watcher)).hints
    return hints
  }

  async close(): Promise<void> {
    await this.disk?.thaw()
    await Promise.all(this.#clients.map(client => client.close()))
    await Promise.all(this.nodes.map(node => node.end('SIGKILL')))
    this.disk?.remove()
    rmSync(this.root, { recursive: true, force: true })
  }

  async #connect(seeds: string[], route: boolean): Promise<CoterieClient> {
    const client = await connect({ seeds, secret: this.secret, route })
    this.#clients.push(client)
    return client
  }

  /** What is not yet as `settled` wants it, in words. */
  async #unsettled(within: number): Promise<string | undefined> {
    const share = RANGES / this.nodes.length
    for (const [i, watcher] of this.watchers.entries()) {
      const { name } = this.nodes[i]!
      const { copiesSyncing, copiesFrozen, rangesAskedFor } = await stats(watcher)
      if (copiesSyncing! + copiesFrozen! + rangesAskedFor! > 0)
        return `${name}: ${copiesSyncing} syncing, ${copiesFrozen} frozen, ${rangesAskedFor} asked for`
      const { owners } = (await watcher.info('ring')) as { owners: { owner: string }[] }
      const counts = this.nodes.map(({ peerId }) => owners.filter(({ owner }) => owner === peerId).length)
      if (counts.some(count => Math.abs(count - share) > within) || counts.reduce((a, b) => a + b) < RANGES)
        return `${name}: the nodes own ${counts.join(', ')} of ${RANGES} ranges`
    }
    const { whole, crowded, silent } = (await this.watchers[0]!.info('status')) as ClusterStatus
    if (whole < RANGES || crowded.length + silent.length > 0)
      return `${whole} of ${RANGES} ranges whole, ${crowded.length} in too few zones, ${silent.length} nodes silent`
    return undefined
  }

  #make(): ChaosNode {
    const index = this.#made++
    const host = this.#hosts[index]
    if (host === undefined) throw new Error(`there are ${this.#hosts.length} hosts for nodes; ask for more (run.ts)`)
    return new ChaosNode(`n${index}`, host, join(this.root, `n${index}`))
  }

  async #join(node: ChaosNode, index: number): Promise<void> {
    const seed = ['--seed', this.nodes[0]!.address, '--secret-file', this.#secretFile]
    await node.start([...seed, ...this.#options(index)])
  }

  async #watch(nodes: ChaosNode[]): Promise<void> {
    for (const node of nodes) this.#watchers.set(node, await this.#connect([node.address], false))
  }

  async #isIdentical(): Promise<boolean> {
    try {
      const sums = new Map<number, string>()
      for (const watcher of this.watchers) {
        if ((await stats(watcher)).hintRanges !== 0) return false
        for (const { range, status, sum } of (await watcher.info('copies')) as Copy[]) {
          if (status !== 'synced' || (sums.get(range) ?? sum) !== sum) return false
          sums.set(range, sum)
        }
      }
      return sums.size === RANGES
    } catch {
      // One that does not answer yet is asked again.
      return false
    }
  }
}

interface Copy {
  range: number
  status: string
  sum: string
}

export const stats = async (client: CoterieClient) =>
  (await client.info('stats')) as Record<string, number> & { hints: number }
