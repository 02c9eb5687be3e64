/** Many nodes that only gossip: the real `Membership` of each on virtual time, and what they come to believe, on record. */
import { hash } from 'node:crypto'
import type { Claim } from '../../claim.ts'
import { DEFAULT_SETTINGS } from '../../config.ts'
import type { Verdict } from '../../membership/failure-detector.ts'
import type { MemberRecord } from '../../membership/member-record.ts'
import { Membership } from '../../membership/membership.ts'
import type { FileIo, Log } from '../../ports.ts'
import { simSigner } from '../signer.ts'
import { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'
import type { GossipNet, GossipPeer } from './gossip-net.ts'

const CLUSTER = '0123456789abcdef0123456789abcdef'
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** A seed that does not answer is dialled again after this long (`wire/backoff.ts`). */
const SEED_AGAIN_MS = 500

const SILENT: Log = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} }

/** Somebody took somebody for suspect or down. */
export interface Opinion {
  atMs: number
  by: GossipNode
  about: GossipNode
  verdict: Exclude<Verdict, 'up'>
  /** Whether the process that it is about was alive then, paused or not. */
  alive: boolean
}

/** A change of one member's record on its way to all others. */
export interface Spread {
  /** The record's capacity marks it; a higher mark in the record says that a later change came first. */
  capacity: number
  beganMs: number
  /** Nodes that have not heard of it. */
  waiting: Set<GossipNode>
  doneMs: number | undefined
}

export interface GossipNode {
  name: string
  peerId: string
  files: FileIo
  boots: number
  process: SimProcess
  network: GossipPeer
  membership: Membership
  /** Other members that this boot has a record of. */
  known: number
  upSinceMs: number
}

export interface GossipClusterInit {
  world: World
  net: GossipNet
  /** Ranges that each node claims, each with a grant: what makes up most of a record. */
  claims: number
}

export class GossipCluster {
  readonly nodes: GossipNode[] = []
  readonly opinions: Opinion[] = []
  readonly #init: GossipClusterInit
  readonly #byPeer = new Map<string, GossipNode>()
  /** Under way, by peer id of the source. */
  readonly #spreads = new Map<string, Spread[]>()
  #marks = 1

  constructor(init: GossipClusterInit) {
    this.#init = init
  }

  get alive(): GossipNode[] {
    return this.nodes.filter(node => node.process.alive)
  }

  /** A new node with an empty directory, whose only acquaintance is `seed`. */
  async add(seed: GossipNode | undefined): Promise<GossipNode> {
    const name = `n${this.nodes.length}`
    const node = { name, peerId: peerIdOf(name), files: memoryFiles(), boots: 0 } as GossipNode
    this.nodes.push(node)
    this.#byPeer.set(node.peerId, node)
    await this.#boot(node, seed)
    return node
  }

  /** The process dies. `power`: its host with it, so that nobody is told. */
  kill(node: GossipNode, how: 'process' | 'power'): void {
    node.process.kill()
    if (how === 'process') this.#init.net.breakConnections(node.network)
  }

  /** A new process in the same directory. */
  async restart(node: GossipNode): Promise<void> {
    await this.#boot(node, undefined)
  }

  async #boot(node: GossipNode, seed: GossipNode | undefined): Promise<void> {
    const { world, net, claims } = this.#init
    const process = new SimProcess(world, node.name, { skewMs: 0, drift: 0 })
    const random = world.random.fork(`${node.name}/${node.boots++}`)
    const network = net.attach(process, node.peerId)
    const { clock, timers } = process
    const ports = { clock, timers, random, signer: simSigner(node.peerId), files: node.files, network, log: SILENT }
    const index = this.nodes.indexOf(node)
    const membership = new Membership(ports, {
      dir: 'dir',
      clusterId: CLUSTER,
      settings: DEFAULT_SETTINGS,
      addresses: () => [`/ip4/10.0.${index >> 8}.${index & 255}/tcp/4270`],
      seeds: seed && (() => [seed.peerId])
    })
    Object.assign(node, { process, network, membership, known: 0, upSinceMs: world.nowMs })
    membership.onRecord((record, previous) => this.#heard(node, record, previous))
    membership.onLiveness((peerId, verdict) => {
      if (verdict === 'up') return
      const about = this.#byPeer.get(peerId)!
      this.opinions.push({ atMs: world.nowMs, by: node, about, verdict, alive: about.process.alive })
    })
    membership.update({ status: 'up', claims: claimsOf(node.peerId, index, claims) })
    await membership.start()
    if (seed) void this.#reachSeed(node, network, seed)
  }

  async #reachSeed(node: GossipNode, network: GossipPeer, seed: GossipNode): Promise<void> {
    while (node.network === network && !network.isConnected(seed.peerId)) {
      try {
        await network.dial(seed.peerId)
      } catch {
        // It may not be up yet.
        await this.#init.world.sleep(SEED_AGAIN_MS, node.process)
      }
    }
  }

  /** Changes one node's record and follows that until every other live node has it. */
  change(source: GossipNode): Spread {
    const capacity = ++this.#marks
    const waiting = new Set(this.alive.filter(node => node !== source))
    const spread: Spread = { capacity, beganMs: this.#init.world.nowMs, waiting, doneMs: undefined }
    this.#spreads.set(source.peerId, [...(this.#spreads.get(source.peerId) ?? []), spread])
    source.membership.update({ capacity })
    return spread
  }

  #heard(node: GossipNode, record: MemberRecord, previous?: MemberRecord): void {
    if (!previous) node.known++
    const spreads = this.#spreads.get(record.peerId)
    if (!spreads) return
    for (const spread of spreads) {
      if (record.capacity < spread.capacity || !spread.waiting.delete(node)) continue
      if (spread.waiting.size === 0) spread.doneMs = this.#init.world.nowMs
    }
  }

  /** Whether every live node has a record of every other. */
  allKnowAll(): boolean {
    const alive = this.alive
    return alive.every(node => node.known >= alive.length - 1)
  }
}

/** As long as a real one, so that records are. */
function peerIdOf(name: string): string {
  const digest = hash('sha256', name, 'buffer')
  return `12D3KooW${Array.from({ length: 44 }, (_, i) => BASE58[digest[i % 32]! % 58]).join('')}`
}

function claimsOf(owner: string, index: number, count: number): Claim[] {
  const signature = new Uint8Array(64).fill(index)
  const by = peerIdOf('granter')
  return Array.from({ length: count }, (_, i) => ({
    range: (index * count + i) % 4096,
    epoch: 2,
    owner,
    grant: { by, signature }
  }))
}

/** Small files that are only ever read and replaced whole. */
function memoryFiles(): FileIo {
  const files = new Map<string, Uint8Array>()
  const never = async (): Promise<never> => {
    throw new Error('membership needs no such file operation')
  }
  return {
    open: never,
    list: never,
    rename: never,
    unlink: never,
    syncDir: never,
    makeDir: async () => undefined,
    readFile: async path => files.get(path),
    replaceFile: async (path, content) => void files.set(path, content)
  }
}
