/** Whole cores on an in-memory network and in-memory files: everything of a node but libp2p, the disk and the process. */
import { type ClusterParams, DEFAULT_SETTINGS, type NodeSettings } from '../../src/config.ts'
import { Core } from '../../src/core.ts'
import { keepAlive, lineLog, systemClock, systemRandom, systemTimers } from '../../src/runtime.ts'
import { FakeFiles } from './fake-files.ts'
import { ed25519Signer } from './fake-signer.ts'
import { MemoryHub, type MemoryNetwork } from './memory-network.ts'
import { until } from './until.ts'

export interface MemoryNode {
  name: string
  peerId: string
  core: Core
  network: MemoryNetwork
  files: FakeFiles
  fatal?: Error
  left?: boolean
}

/** Quick rounds, so that tests take seconds; the ratios are those of the defaults. */
const QUICK: Partial<NodeSettings> = {
  gossipIntervalMs: 50,
  reconcileIntervalMs: 50,
  antiEntropyIntervalMs: 500,
  leaseMs: 3000,
  requestTimeoutMs: 3000
}

export class MemoryCluster {
  readonly hub = new MemoryHub()
  readonly params: ClusterParams
  readonly nodes = new Map<string, MemoryNode>()
  readonly #settings: Partial<NodeSettings>
  readonly #disks = new Map<string, FakeFiles>()
  /** It has no socket that would, while an operation pauses. */
  readonly #release = keepAlive()

  constructor(params: Partial<ClusterParams> = {}, settings: Partial<NodeSettings> = {}) {
    this.params = { clusterId: 'c'.repeat(32), name: 'test', q: 32, n: 3, r: 2, w: 2, ...params }
    this.#settings = settings
  }

  /** Starts a node; the first one is the founder. A node of a name used before comes back with its files. */
  async start(name: string, settings: Partial<NodeSettings> = {}): Promise<MemoryNode> {
    const signer = ed25519Signer(name)
    const files = this.#disks.get(name) ?? new FakeFiles()
    const founder = this.#disks.size === 0
    this.#disks.set(name, files)
    await files.makeDir('d')
    const network = this.hub.network(signer.peerId)
    const log = lineLog(process.env.COTERIE_TEST_LOG === undefined ? 'silent' : 'debug', line =>
      console.error(name, line)
    )
    const node: Partial<MemoryNode> = { name, peerId: signer.peerId, network, files }
    node.core = new Core(
      { clock: systemClock, timers: systemTimers, random: systemRandom, signer, files, network, log },
      {
        dir: 'd',
        params: this.params,
        settings: { ...DEFAULT_SETTINGS, ...QUICK, ...this.#settings, ...settings },
        founder: founder || name === [...this.#disks.keys()][0],
        addresses: () => [`/memory/${name}`],
        seeds: () => [],
        onFatal: error => {
          node.fatal = error
        },
        onLeft: () => {
          node.left = true
        }
      }
    )
    this.nodes.set(name, node as MemoryNode)
    await node.core.start()
    return node as MemoryNode
  }

  async startMany(count: number): Promise<MemoryNode[]> {
    const nodes: MemoryNode[] = []
    for (let i = 0; i < count; i++) nodes.push(await this.start(`n${i}`))
    await this.settled()
    return nodes
  }

  async stop(name: string): Promise<void> {
    const node = this.nodes.get(name)!
    this.nodes.delete(name)
    await node.core.stop()
    node.network.close()
  }

  /** Without a word to anybody, and without a last sync; `power`: what was not synced is gone too. */
  crash(name: string, { power = false } = {}): void {
    const node = this.nodes.get(name)!
    this.nodes.delete(name)
    node.network.close()
    if (power) node.files.powerCut()
    else node.files.crash()
    // What it still does goes nowhere: its network is closed, and a restart has a disk of its own.
    const disk = new FakeFiles()
    for (const path of node.files.paths()) disk.set(path, node.files.peek(path))
    this.#disks.set(name, disk)
    void node.core.stop().catch(() => undefined)
  }

  /** A node of this name that does not run has lost its disk. */
  wipe(name: string): void {
    this.#disks.set(name, new FakeFiles())
  }

  /** The disk that a node of this name has, or would start with. */
  disk(name: string): FakeFiles {
    return this.#disks.get(name)!
  }

  /** Every node sees the same complete ring, shares are even, and no copy is syncing or on its way out. */
  async settled(timeoutMs = 30_000): Promise<void> {
    const nodes = [...this.nodes.values()]
    await until(
      'the cluster settles',
      async () => {
        const rings = nodes.map(({ core }) =>
          core.topology
            .claims()
            .map(({ owner, epoch }) => `${owner} ${epoch}`)
            .join()
        )
        if (new Set(rings).size !== 1) return false
        for (const { core, peerId } of nodes) {
          const stats = (await core.info('stats')) as Record<string, number>
          if (!stats.trustsItsRing) return false
          if (!core.topology.complete || stats.copiesSyncing + stats.copiesFrozen + stats.rangesAskedFor > 0)
            return false
          const owned = core.topology.claims().filter(({ owner }) => owner === peerId).length
          if (Math.abs(owned - this.params.q / nodes.length) > 2) return false
        }
        return true
      },
      timeoutMs
    )
  }

  async close(): Promise<void> {
    await Promise.all([...this.nodes.keys()].map(name => this.stop(name)))
    this.#release()
  }
}
