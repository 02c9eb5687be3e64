/**
 * A lean network for many simulated nodes that do nothing but gossip: streams of whole messages with delay and loss,
 * connections made on demand, as `wire/peers.ts` does above its full mesh. No bandwidth, no back-pressure, no requests.
 */
import { CoterieError } from '../../errors.ts'
import type { Caller, Duplex, Network, StreamHandler } from '../../ports.ts'
import type { SimProcess } from '../world/process.ts'
import type { SimRandom } from '../world/random.ts'
import type { World } from '../world/world.ts'
import { type StreamEnd, streamPair } from './gossip-stream.ts'

/** Of every link, both ways. A message takes `minMs` to `maxMs`, each as likely. */
export interface GossipLinks {
  minMs: number
  maxMs: number
  /** Share of packets lost; streams are TCP, so that a loss is a delay. */
  loss: number
}

/** Round trips of a dial before the first stream: TCP, Noise, muxer, hello. */
const DIAL_ROUND_TRIPS = 4
const PACKET_BYTES = 1400
/** Linux's least retransmission timeout; it doubles with every loss in a row. */
const RETRANSMIT_MS = 200
/** A dial that nobody answers (`wire/dialer.ts`). */
const DIAL_TIMEOUT_MS = 8000

type Listener = (peerId: string, connected: boolean) => void

export class GossipNet {
  readonly world: World
  readonly #random: SimRandom
  readonly #links: GossipLinks
  /** The newest boot under each peer id. */
  readonly #peers = new Map<string, GossipPeer>()

  constructor(world: World, random: SimRandom, links: GossipLinks) {
    this.world = world
    this.#random = random
    this.#links = links
  }

  attach(process: SimProcess, peerId: string): GossipPeer {
    const peer = new GossipPeer(this, process, peerId)
    this.#peers.set(peerId, peer)
    return peer
  }

  peer(peerId: string): GossipPeer | undefined {
    return this.#peers.get(peerId)
  }

  /** Milliseconds that `bytes` take over a link now. */
  delayMs(bytes = 0): number {
    const { minMs, maxMs, loss } = this.#links
    let delayMs = minMs + this.#random.float() * (maxMs - minMs)
    if (loss === 0) return delayMs
    const anyLost = 1 - (1 - loss) ** Math.max(1, Math.ceil(bytes / PACKET_BYTES))
    if (!this.#random.chance(anyLost)) return delayMs
    let waitMs = RETRANSMIT_MS
    do {
      delayMs += waitMs
      waitMs *= 2
    } while (this.#random.chance(loss))
    return delayMs
  }

  /** The process died and its host lives: its connections break at once. Without this call the host is dead as well. */
  breakConnections(peer: GossipPeer): void {
    peer.hostUp = true
    for (const other of [...peer.links.values()]) {
      this.world.after(this.delayMs(), other.process, 'lost', () => other.lose(peer))
    }
  }

  /** Connects all to all without a word: as after the quarter of an hour in which everybody has met everybody. */
  connectAll(): void {
    const alive = [...this.#peers.values()].filter(peer => peer.process.alive)
    for (const peer of alive) for (const other of alive) if (other !== peer) peer.links.set(other.peerId, other)
  }
}

/** The network as one boot of a node has it. */
export class GossipPeer implements Network {
  readonly peerId: string
  readonly process: SimProcess
  /** Peer id to the boot that the connection goes to. */
  readonly links = new Map<string, GossipPeer>()
  /** Open here, not closed by both. */
  readonly streams = new Set<StreamEnd>()
  /** Whether a dead process's host still answers, with a refusal. */
  hostUp = false
  readonly #net: GossipNet
  readonly #listeners = new Set<Listener>()
  readonly #dials = new Map<string, Promise<GossipPeer>>()
  #handler: StreamHandler | undefined

  constructor(net: GossipNet, process: SimProcess, peerId: string) {
    this.#net = net
    this.process = process
    this.peerId = peerId
  }

  async request(): Promise<never> {
    throw new CoterieError('internal', 'the gossip network carries no requests')
  }

  handleRequests(): void {}

  handleStreams(_protocol: 'gossip' | 'sync', handler: StreamHandler): void {
    this.#handler = handler
  }

  connected(): string[] {
    return [...this.links.keys()]
  }

  isConnected(peerId: string): boolean {
    return this.links.has(peerId)
  }

  onConnection(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** An open stream, over the connection there is or a new one. Rejects with `unreachable` or `timeout`. */
  open(
    peerId: string,
    _protocol: 'gossip' | 'sync',
    options: { timeoutMs: number; signal?: AbortSignal }
  ): Promise<Duplex> {
    const { world } = this.#net
    return new Promise((resolve, reject) => {
      const onAbort = () => settle(() => reject(options.signal?.reason))
      // Made when it is needed: with its stack it would cost more than the whole opening.
      const late = () => new CoterieError('timeout', `${peerId} did not open a stream within ${options.timeoutMs} ms`)
      const timer = world.after(options.timeoutMs, this.process, 'open-timeout', () => settle(() => reject(late())))
      let settled = false
      const settle = (then: () => void) => {
        settled = true
        timer.cancel()
        options.signal?.removeEventListener('abort', onAbort)
        then()
      }
      options.signal?.addEventListener('abort', onAbort, { once: true })
      this.#connect(peerId).then(
        remote => {
          const [ours, theirs] = streamPair(this.#net, this, remote)
          world.after(this.#net.delayMs(), remote.process, 'open', () => {
            remote.meet(this)
            remote.#serve(theirs)
            world.after(this.#net.delayMs(), this.process, 'opened', () => {
              if (settled) ours.abort(late())
              else settle(() => resolve(ours))
            })
          })
        },
        error => {
          if (!settled) settle(() => reject(error))
        }
      )
    })
  }

  /** Connects, if that is not done; as `wire/peers.ts` does with a seed. Rejects with `unreachable`. */
  async dial(peerId: string): Promise<void> {
    await this.#connect(peerId)
  }

  #connect(peerId: string): Promise<GossipPeer> {
    const connected = this.links.get(peerId)
    if (connected) return Promise.resolve(connected)
    const dialing = this.#dials.get(peerId) ?? this.#dial(peerId).finally(() => this.#dials.delete(peerId))
    this.#dials.set(peerId, dialing)
    return dialing
  }

  #dial(peerId: string): Promise<GossipPeer> {
    const { world } = this.#net
    const remote = this.#net.peer(peerId)
    const unreachable = new CoterieError('unreachable', `cannot connect to ${peerId}`)
    const trip = () => this.#net.delayMs() + this.#net.delayMs()
    return new Promise((resolve, reject) => {
      if (!remote || (!remote.process.alive && remote.hostUp)) {
        world.after(trip(), this.process, 'refused', () => reject(unreachable))
        return
      }
      const timer = world.after(DIAL_TIMEOUT_MS, this.process, 'dial-timeout', () => reject(unreachable))
      let delayMs = this.#net.delayMs()
      for (let i = 1; i < DIAL_ROUND_TRIPS; i++) delayMs += trip()
      world.after(delayMs, remote.process, 'dialled', () => {
        remote.meet(this)
        world.after(this.#net.delayMs(), this.process, 'connected', () => {
          timer.cancel()
          this.meet(remote)
          resolve(remote)
        })
      })
    })
  }

  /** A connection to this boot is there. */
  meet(remote: GossipPeer): void {
    const before = this.links.get(remote.peerId)
    if (before === remote || !remote.process.alive) return
    if (before) this.lose(before)
    this.links.set(remote.peerId, remote)
    for (const listener of [...this.#listeners]) listener(remote.peerId, true)
  }

  lose(remote: GossipPeer): void {
    if (this.links.get(remote.peerId) !== remote) return
    this.links.delete(remote.peerId)
    const lost = new CoterieError('unreachable', `lost ${remote.peerId}`)
    for (const end of [...this.streams]) if (end.remote === remote) end.fail(lost)
    for (const listener of [...this.#listeners]) listener(remote.peerId, false)
  }

  #serve(end: StreamEnd): void {
    const from: Caller = { peerId: end.remote.peerId, role: 'node' }
    if (this.#handler) this.#handler(end, from).catch(error => end.abort(error as Error))
    else end.abort(new CoterieError('unreachable', `${this.peerId} does not gossip yet`))
  }
}
