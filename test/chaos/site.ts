/** Five node processes, each on a host of its own (network namespaces), one of them with its directory on a disk of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { type CoterieClient, connect } from '../../src/client/client.ts'
import { BIN } from '../support/processes.ts'
import { RealDisk } from '../support/real-disks.ts'
import { until } from '../support/until.ts'

export const NODES = 5
const RANGES = 64
const READY_MS = 30_000
const STOP_MS = 15_000
const DISK_MIB = 256

/** What the parent, which made the hosts, tells of each. */
export interface HostInit {
  address: string
  inside: string[]
}

export class ChaosNode {
  readonly name: string
  readonly host: HostInit
  readonly dir: string
  peerId = ''
  #child: ChildProcess | undefined
  #args: string[] = []

  constructor(name: string, host: HostInit, dir: string) {
    this.name = name
    this.host = host
    this.dir = dir
  }

  get address(): string {
    return `/ip4/${this.host.address}/tcp/4270`
  }

  get log(): string {
    return readFileSync(`${this.dir}.log`, 'utf8')
  }

  /** Starts it; resolves when it is ready. Without arguments: with those of before. */
  async start(args = this.#args): Promise<void> {
    this.#args = args
    const [program, ...before] = this.host.inside
    const log = openSync(`${this.dir}.log`, 'a')
    const command = [
      ...before,
      process.execPath,
      BIN,
      'node',
      '--dir',
      this.dir,
      '--no-mdns',
      '--stop-with-stdin',
      ...args
    ]
    const child = spawn(program!, command, { stdio: ['pipe', 'pipe', log] })
    closeSync(log)
    child.stdin!.on('error', () => {})
    this.#child = child
    let out = ''
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`${this.name} is not ready\n${this.log.slice(-3000)}`)), READY_MS)
      child.once('exit', code => {
        clearTimeout(limit)
        reject(new Error(`${this.name} ended with ${code}\n${this.log.slice(-3000)}`))
      })
      child.stdout!.on('data', chunk => {
        out += chunk
        const ready = /^coterie ready (\S+) /m.exec(out)
        if (ready === null) return
        clearTimeout(limit)
        this.peerId = ready[1]!
        resolve()
      })
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Ends it, and waits until it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await gone
    clearTimeout(limit)
  }

  /** Runs a program on its host. */
  run(...args: string[]): void {
    const [program, ...before] = this.host.inside
    const { status, stderr, error } = spawnSync(program!, [...before, ...args], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${args.join(' ')} on ${this.name}: ${error?.message ?? stderr}`)
  }
}

export class Site {
  readonly root = mkdtempSync(join(tmpdir(), 'coterie-chaos-'))
  readonly nodes: ChaosNode[]
  /** The last node's. */
  readonly disk: RealDisk
  /** Each asks its own node alone. */
  readonly watchers: CoterieClient[] = []
  readonly #clients: CoterieClient[] = []
  secret = ''

  constructor(hosts: HostInit[]) {
    this.nodes = hosts.slice(0, NODES).map((host, i) => new ChaosNode(`n${i}`, host, join(this.root, `n${i}`)))
    this.disk = new RealDisk(this.nodes[NODES - 1]!.dir, { kind: 'ext4', mib: DISK_MIB, journal: true })
  }

  async start(): Promise<void> {
    const [first, ...others] = this.nodes
    const init = ['init', '--dir', first!.dir, '--ranges', `${RANGES}`, '--json']
    const { stdout, stderr, status } = spawnSync(process.execPath, [BIN, ...init], { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    const { secretFile } = JSON.parse(stdout) as { secretFile: string }
    this.secret = readFileSync(secretFile, 'utf8').trim()
    await first!.start()
    await Promise.all(others.map(node => node.start(['--seed', first!.address, '--secret-file', secretFile])))
    for (const node of this.nodes) this.watchers.push(await this.#connect([node.address], false))
    await until('all own their share', () => this.#isSettled(), 60_000, 250)
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
    await this.disk.thaw()
    await Promise.all(this.#clients.map(client => client.close()))
    await Promise.all(this.nodes.map(node => node.end('SIGKILL')))
    this.disk.remove()
    rmSync(this.root, { recursive: true, force: true })
  }

  async #connect(seeds: string[], route: boolean): Promise<CoterieClient> {
    const client = await connect({ seeds, secret: this.secret, route })
    this.#clients.push(client)
    return client
  }

  async #isSettled(): Promise<boolean> {
    for (const watcher of this.watchers) {
      const { copiesSyncing, copiesFrozen, rangesAskedFor } = await stats(watcher)
      if (copiesSyncing! + copiesFrozen! + rangesAskedFor! > 0) return false
      const members = (await watcher.info('members')) as { ranges: number }[]
      if (members.length < NODES || members.some(({ ranges }) => Math.abs(ranges - RANGES / NODES) > 2)) return false
    }
    return true
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

const stats = async (client: CoterieClient) =>
  (await client.info('stats')) as Record<string, number> & { hints: number }
