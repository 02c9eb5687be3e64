/** The network port of one boot of a simulated machine or client: what `wire/libp2p-network.ts` is to a real one. */
import { CoterieError, isCoterieError } from '../../errors.ts'
import type { Answer, Request } from '../../messages.ts'
import type {
  Caller,
  Duplex,
  Log,
  Network,
  RequestHandler,
  RequestOptions,
  StreamHandler,
  StreamProtocol
} from '../../ports.ts'
import { unreachable } from '../../wire/kv-callers.ts'
import { withDeadline } from '../../wire/streams.ts'
import type { SimProcess } from '../world/process.ts'
import type { SimRandom } from '../world/random.ts'
import type { World } from '../world/world.ts'
import type { End } from './connections.ts'
import { Dials, type Target } from './dials.ts'
import type { Links } from './links.ts'

/** libp2p closes connections that nobody uses above this. */
const MAX_CONNECTIONS = 300

export interface PortInit {
  peerId: string
  role: Caller['role']
  /** Peers to stay connected to: seeds, members. Above 64 of them, connections are made on demand. */
  wanted: () => string[]
  /** Peers that are refused, as in admission. */
  banned?: (peerId: string) => boolean
  /** Told of requests that fail with `internal`, as on a real node. */
  log?: Pick<Log, 'error'>
}

export interface SimPort extends Network {
  /**
   * The process has been killed (then nothing that it waits for settles) or is stopping (then all of it rejects with
   * `closed`). The other ends hear of it if the links let them.
   */
  detach(): void
  readonly openStreams: number
  /** Requests, answers and messages of streams that this side sent, as encoded. */
  readonly bytesSent: number
  readonly bytesSentBy: Readonly<Record<'request' | StreamProtocol, number>>
}

export interface PortParts {
  world: World
  process: SimProcess
  links: Links
  random: SimRandom
  target: (peerId: string) => Target | undefined
  left: (port: Port) => void
}

export class Port implements SimPort, Target {
  readonly peerId: string
  readonly caller: Caller
  readonly world: World
  readonly process: SimProcess
  readonly bytesSentBy = { request: 0, gossip: 0, sync: 0 }
  readonly log: Pick<Log, 'error'> | undefined
  requestHandler: RequestHandler | undefined
  readonly #parts: PortParts
  readonly #init: PortInit
  readonly #dials: Dials
  /** Of simultaneous dials both stay; the oldest is used. */
  readonly #ends = new Map<string, End[]>()
  readonly #streamHandlers: Partial<Record<StreamProtocol, StreamHandler>> = {}
  readonly #listeners = new Set<(peerId: string, connected: boolean) => void>()
  #detached = false

  constructor(parts: PortParts, init: PortInit) {
    this.#parts = parts
    this.#init = init
    this.peerId = init.peerId
    this.caller = { peerId: init.peerId, role: init.role }
    this.world = parts.world
    this.process = parts.process
    this.log = init.log
    this.#dials = new Dials({
      host: this,
      links: parts.links,
      random: parts.random,
      target: parts.target,
      connectionTo: peerId => this.#ends.get(peerId)?.[0],
      wanted: init.wanted
    })
  }

  // ---- Network

  handleRequests(handler: RequestHandler): void {
    this.requestHandler = handler
  }

  handleStreams(protocol: StreamProtocol, handler: StreamHandler): void {
    this.#streamHandlers[protocol] = handler
  }

  connected(): string[] {
    return [...this.#ends.keys()].filter(peerId => this.isConnected(peerId))
  }

  isConnected(peerId: string): boolean {
    return this.#ends.get(peerId)?.[0]?.peer.role === 'node'
  }

  onConnection(listener: (peerId: string, connected: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async request(peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    if (!this.process.alive) return never()
    this.#check(peerId)
    const existing = this.#ends.get(peerId)?.[0]
    if (existing !== undefined) return existing.calls.request(request, options)
    const { timeoutMs, signal } = options
    const startMs = this.world.nowMs
    const what = `the kv stream to ${peerId}`
    let end: End
    try {
      end = await withDeadline(this.process.timers, timeoutMs, what, () => this.#dials.connect(peerId), signal)
    } catch (error) {
      throw signal?.aborted ? signal.reason : unreachable(what, error)
    }
    const leftMs = Math.max(1, timeoutMs - (this.world.nowMs - startMs))
    return end.calls.request(request, { timeoutMs: leftMs, signal })
  }

  async open(
    peerId: string,
    protocol: StreamProtocol,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal }
  ): Promise<Duplex> {
    if (!this.process.alive) return never()
    this.#check(peerId)
    const what = `opening a ${protocol} stream to ${peerId}`
    let end: End | undefined
    const work = async (signal: AbortSignal) => {
      end = await this.#dials.connect(peerId)
      signal.throwIfAborted()
      if (end.state !== 'open') throw new CoterieError('unreachable', `the connection to ${peerId} is lost`)
      end.asked()
      const stream = end.openStream(protocol)
      const giveUp = () => stream.abort(signal.reason as Error)
      signal.addEventListener('abort', giveUp, { once: true })
      await stream.opened.finally(() => signal.removeEventListener('abort', giveUp))
      end.heard()
      return stream.duplex
    }
    try {
      return await withDeadline(this.process.timers, timeoutMs, what, work, signal)
    } catch (error) {
      if (isCoterieError(error, 'timeout')) end?.timedOut()
      throw signal?.aborted ? signal.reason : unreachable(what, error)
    }
  }

  #check(peerId: string): void {
    if (this.#detached) throw new CoterieError('closed', 'the network is not running')
    if (peerId === this.peerId) throw new CoterieError('internal', 'a node does not ask itself over the network')
  }

  // ---- SimPort

  detach(): void {
    if (this.#detached) return
    this.#detached = true
    this.#parts.left(this)
    const reason = new CoterieError('closed', 'this side is stopping')
    this.#dials.stop(this.process.alive ? reason : undefined)
    for (const ends of [...this.#ends.values()]) for (const end of [...ends]) end.close(reason, true)
  }

  get openStreams(): number {
    let count = 0
    for (const ends of this.#ends.values()) for (const end of ends) count += end.openStreams
    return count
  }

  get bytesSent(): number {
    const { request, gossip, sync } = this.bytesSentBy
    return request + gossip + sync
  }

  // ---- what its connections need

  get attached(): boolean {
    return this.process.alive && !this.#detached
  }

  streamHandler(protocol: StreamProtocol): StreamHandler | undefined {
    return this.#streamHandlers[protocol]
  }

  sent(kind: 'request' | StreamProtocol, bytes: number): void {
    this.bytesSentBy[kind] += bytes
  }

  refusal(dialler: Target): CoterieError | undefined {
    if (this.bans(dialler.caller.peerId) || dialler.bans(this.peerId)) {
      return new CoterieError('refused', 'you are banned from this cluster')
    }
    return undefined
  }

  bans(peerId: string): boolean {
    return this.#init.banned?.(peerId) ?? false
  }

  opened(end: End): void {
    const { peerId } = end.peer
    const ends = this.#ends.get(peerId)
    if (ends === undefined) this.#ends.set(peerId, [end])
    else ends.push(end)
    this.#dials.connected(end)
    if (ends !== undefined) return
    this.#tell(end, true)
    if (this.#ends.size > MAX_CONNECTIONS) this.#closeIdle(peerId)
  }

  closed(end: End, wasOpen: boolean): void {
    const { peerId } = end.peer
    const ends = this.#ends.get(peerId)
    if (!wasOpen || ends === undefined) return
    ends.splice(ends.indexOf(end), 1)
    if (ends.length > 0) return
    this.#ends.delete(peerId)
    if (!this.attached) return
    this.#dials.disconnected()
    this.#tell(end, false)
  }

  /** Every connection breaks, at this end and at the other. */
  reset(): void {
    for (const end of [...this.#ends.values()].flat()) end.reset()
  }

  #tell({ peer }: End, connected: boolean): void {
    if (peer.role !== 'node') return
    for (const listener of [...this.#listeners]) listener(peer.peerId, connected)
  }

  #closeIdle(newest: string): void {
    for (const [peerId, ends] of this.#ends) {
      if (peerId === newest || !ends.every(end => end.isIdle)) continue
      for (const end of [...ends]) end.close(new CoterieError('closed', 'too many connections'), true)
      return
    }
  }
}

/** What a process waits for that has been killed. */
const never = () => new Promise<never>(() => undefined)
