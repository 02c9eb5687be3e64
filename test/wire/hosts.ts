/** Real libp2p hosts on loopback TCP with a `Libp2pNetwork` each, and conditions to wait for. */
import type { Connection, Libp2p } from '@libp2p/interface'
import { createLibp2p } from 'libp2p'
import type { ClusterParams } from '../../src/config.ts'
import type { CoterieError } from '../../src/errors.ts'
import type { Request } from '../../src/messages.ts'
import { silentLog, systemClock, systemRandom, systemTimers } from '../../src/runtime.ts'
import type { NetworkComponents } from '../../src/wire/components.ts'
import { hostConfig } from '../../src/wire/host.ts'
import { createIdentity, type Identity } from '../../src/wire/identity.ts'
import { Libp2pNetwork, type NetworkInit } from '../../src/wire/libp2p-network.ts'

export const PARAMS: ClusterParams = { clusterId: '0123456789abcdef'.repeat(2), name: 'test', q: 64, n: 3, r: 2, w: 2 }
export const SECRET = new Uint8Array(32).fill(7)
export const LOOPBACK = '/ip4/127.0.0.1/tcp/0'

/** Longer than any wait of a test should take on a busy machine. */
const PATIENCE_MS = 8000

export interface Node {
  network: Libp2pNetwork
  peerId: string
  address: string
  identity: Identity
  libp2p: Libp2p
  components: NetworkComponents
  refusals: CoterieError[]
  params: () => ClusterParams | undefined
  /** Addresses by peer id, for the dialler; `meet` fills them. */
  book: Map<string, string[]>
  wanted: string[]
  stop(): Promise<void>
}

export interface NodeInit extends Partial<NetworkInit> {
  identity?: Identity
  listen?: string
  cluster?: ClusterParams
  fresh?: boolean
  open?: boolean
  /** Leaves libp2p running without serving anything of ours. */
  dumb?: boolean
}

const running = new Set<Node>()

export async function startNode(init: NodeInit = {}): Promise<Node> {
  const { listen = LOOPBACK, cluster = PARAMS, fresh, open, dumb, ...rest } = init
  const identity = init.identity ?? (await createIdentity())
  let components: NetworkComponents | undefined
  const client = init.role === 'client'
  const libp2p = await createLibp2p({
    ...hostConfig({
      privateKey: identity.privateKey,
      listen: [listen],
      clusterId: cluster.clusterId,
      client,
      inboundConnectionThreshold: 1000,
      services: {
        store: (parts: NetworkComponents) => {
          components = parts
          return {}
        }
      }
    })
  })
  let params = fresh ? undefined : cluster
  const refusals: CoterieError[] = []
  const book = new Map<string, string[]>()
  const wanted: string[] = []
  const networkInit: NetworkInit = {
    role: 'node',
    clusterId: cluster.clusterId,
    params: () => params,
    adopt: adopted => {
      params = adopted
    },
    secret: open ? undefined : SECRET,
    addressesOf: peerId => book.get(peerId) ?? [],
    wanted: () => wanted,
    seeds: [],
    onRefused: error => refusals.push(error),
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: silentLog,
    ...rest
  }
  let network: Libp2pNetwork
  try {
    network = new Libp2pNetwork(components!, networkInit)
  } catch (error) {
    await libp2p.stop()
    throw error
  }
  if (!dumb) await network.start()
  const node: Node = {
    network,
    peerId: identity.peerId,
    address: libp2p.getMultiaddrs()[0]?.toString() ?? '',
    identity,
    libp2p,
    components: components!,
    refusals,
    params: () => params,
    book,
    wanted,
    async stop() {
      running.delete(node)
      await network.stop()
      await libp2p.stop()
    }
  }
  running.add(node)
  return node
}

/** Every node may dial every other. */
export function meet(...nodes: Node[]): void {
  for (const a of nodes) for (const b of nodes) if (a !== b && b.address) a.book.set(b.peerId, [b.address])
}

/** One after another: libp2p waits half a second for a connection that both ends close at once. */
export async function stopAll(): Promise<void> {
  for (const node of [...running]) await node.stop()
}

/** Polls: conditions of libp2p have no event of their own. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + PATIENCE_MS
  while (!condition()) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`never came true: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

export async function bounded<T>(what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took too long: ${what}`)), PATIENCE_MS)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** What a promise rejects with. */
export async function failure(work: Promise<unknown>): Promise<CoterieError> {
  try {
    await bounded('a failure', work)
  } catch (error) {
    return error as CoterieError
  }
  throw new Error('it did not fail')
}

export const readOf = (text: string): Request => ({
  type: 'read',
  range: 1,
  key: new TextEncoder().encode(text),
  standIn: false
})

/** Answers a read with its key as the state. */
export const echo = async (request: Request) => {
  if (request.type !== 'read') throw new Error('not a read')
  return { type: 'state' as const, state: request.key, synced: true }
}

export const connectionTo = (node: Node, other: Node): Connection => node.network.admission.connectionTo(other.peerId)!
