/**
 * The `Network` port on libp2p: admitted connections (`admission.ts`), kept alive (`peers.ts`), one kv channel to each
 * peer that is asked something (`kv-channel.ts`), a stream for every gossip exchange and every sync.
 *
 * @example
 *   const network = new Libp2pNetwork(components, { role: 'node', clusterId, params, adopt, secret, … })
 *   network.handleRequests(handler)
 *   await network.start()
 */
import type { Connection, Libp2pEvents, PeerInfo, Stream } from '@libp2p/interface'
import type { ClusterParams } from '../config.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Answer, Request } from '../messages.ts'
import type {
  Caller,
  Clock,
  Duplex,
  Log,
  Network,
  Random,
  RequestHandler,
  RequestOptions,
  StreamHandler,
  StreamProtocol,
  Timers
} from '../ports.ts'
import { Admission, HELLO_PROTOCOL, HELLO_TIMEOUT_MS, MAX_HELLO_STREAMS } from './admission.ts'
import type { NetworkComponents } from './components.ts'
import { duplexOf } from './duplex.ts'
import { DEFAULT_KV_LIMITS, KvChannel, type KvLimits } from './kv-channel.ts'
import { KvServer } from './kv-server.ts'
import { Peers } from './peers.ts'
import { StreamSlots } from './slots.ts'
import { openStream, setPaused, withDeadline } from './streams.ts'

export const KV_PROTOCOL = '/coterie/kv/1'
const STREAM_PROTOCOLS: Record<StreamProtocol, string> = { gossip: '/coterie/gossip/1', sync: '/coterie/sync/1' }

/** Streams that this side opens per protocol and connection; it takes four times as many, for those not yet closed there. */
const MAX_STREAMS = 16
const INBOUND_STREAMS = 4 * MAX_STREAMS
/** One kv stream each way; a little more while one replaces another. */
const KV_STREAMS = 4
/** A handler that is done waits this long for the other side to close its half. */
const LINGER_MS = 5000
/** Answers that are being worked on when the node stops get this long. */
const DRAIN_MS = 2000
/**
 * A connection on which nothing came back for this long, though something was asked, is given up: TCP alone takes a
 * quarter of an hour, and after a partition a new connection is faster than the old one's retransmissions.
 */
const SILENCE_MS = 20_000

export interface NetworkInit {
  role: Caller['role']
  clusterId: string
  /** Undefined until they are known: then the first member that admits this node brings them to `adopt`. */
  params: () => ClusterParams | undefined
  adopt: (params: ClusterParams) => void | Promise<void>
  /** 32 bytes; absent: an open cluster. */
  secret?: Uint8Array
  banned?: (peerId: string) => boolean
  addressesOf: (peerId: string) => string[]
  /** An address at which this peer has just been reached. */
  learned?: (peerId: string, addresses: string[]) => void
  /** Members to stay connected to (up to 64; more are connected on demand). */
  wanted: () => string[]
  seeds: string[]
  limits?: Partial<KvLimits>
  /** Closes inbound connections that are not admitted in time: for a libp2p host that serves nothing else. */
  exclusive?: boolean
  onRefused?: (error: CoterieError, peerOrAddress: string) => void
  clock: Clock
  timers: Timers
  random: Random
  log: Log
}

/** What is known about hearing from a peer: since when something has been asked without anything coming back. */
interface Pulse {
  askedMs?: number
}

export class Libp2pNetwork implements Network {
  readonly peerId: string
  readonly admission: Admission
  readonly peers: Peers
  readonly #components: NetworkComponents
  readonly #init: NetworkInit
  readonly #limits: KvLimits
  readonly #slots = new StreamSlots(MAX_STREAMS)
  readonly #channels = new Map<string, KvChannel>()
  readonly #opening = new Map<string, Promise<KvChannel>>()
  readonly #servers = new Set<KvServer>()
  readonly #pulses = new WeakMap<Connection, Pulse>()
  readonly #handlers: Partial<Record<StreamProtocol, StreamHandler>> = {}
  readonly #listeners = new Set<(peerId: string, connected: boolean) => void>()
  #handler?: RequestHandler
  #state: 'new' | 'running' | 'stopped' = 'new'

  /** Throws `bad-usage` for a seed that is no multiaddr. */
  constructor(components: NetworkComponents, init: NetworkInit) {
    this.#components = components
    this.#init = init
    this.#limits = { ...DEFAULT_KV_LIMITS, ...init.limits }
    this.peerId = components.peerId.toString()
    this.admission = new Admission({ ...init, peerId: this.peerId })
    this.peers = new Peers({ ...init, components, admission: this.admission })
    this.admission.onChange((peer, connected) => this.#onAdmission(peer, connected))
  }

  /** Serves and dials. A client serves nothing: nobody calls it. */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new CoterieError('internal', 'the network was started before')
    this.#state = 'running'
    if (this.#init.role === 'node') {
      const { registrar, events } = this.#components
      const few = { maxInboundStreams: MAX_HELLO_STREAMS, maxOutboundStreams: MAX_HELLO_STREAMS }
      await registrar.handle(HELLO_PROTOCOL, (stream, connection) => this.admission.serve(stream, connection), few)
      const kv = { maxInboundStreams: KV_STREAMS, maxOutboundStreams: KV_STREAMS }
      await registrar.handle(KV_PROTOCOL, (stream, connection) => this.#serveKv(stream, connection), kv)
      for (const [name, protocol] of Object.entries(STREAM_PROTOCOLS) as [StreamProtocol, string][]) {
        const many = { maxInboundStreams: INBOUND_STREAMS, maxOutboundStreams: MAX_STREAMS + 1 }
        await registrar.handle(protocol, (stream, connection) => this.#serveStream(name, stream, connection), many)
      }
      events.addEventListener('peer:discovery', this.#onDiscovery)
      if (this.#init.exclusive) events.addEventListener('connection:open', this.#onOpen)
    }
    this.peers.start()
  }

  /** Takes nothing new, lets answers that are being worked on leave, then rejects what is still in flight with `closed`. */
  async stop(): Promise<void> {
    if (this.#state !== 'running') return
    this.#state = 'stopped'
    this.peers.stop()
    const { registrar, events } = this.#components
    const { role, timers } = this.#init
    if (role === 'node') {
      events.removeEventListener('peer:discovery', this.#onDiscovery)
      events.removeEventListener('connection:open', this.#onOpen)
      for (const protocol of [HELLO_PROTOCOL, KV_PROTOCOL, ...Object.values(STREAM_PROTOCOLS)]) {
        await registrar.unhandle(protocol)
      }
    }
    const reason = () => new CoterieError('closed', 'this side is stopping')
    const drained = Promise.all([...this.#servers].map(server => server.drained()))
    const cut = new AbortController()
    await Promise.race([drained, timers.sleep(DRAIN_MS, cut.signal).catch(() => undefined)])
    cut.abort()
    for (const server of this.#servers) server.abort(reason())
    for (const channel of this.#channels.values()) channel.close(reason())
  }

  // ---- Network

  handleRequests(handler: RequestHandler): void {
    this.#handler = handler
  }

  handleStreams(protocol: StreamProtocol, handler: StreamHandler): void {
    this.#handlers[protocol] = handler
  }

  connected(): string[] {
    return this.admission.nodes()
  }

  isConnected(peerId: string): boolean {
    return this.admission.isNode(peerId)
  }

  onConnection(listener: (peerId: string, connected: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  request(peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    const channel = this.#channels.get(peerId)
    if (channel && this.#state === 'running') return this.#ask(channel, peerId, request, options)
    return this.#requestSoon(peerId, request, options)
  }

  async open(
    peerId: string,
    protocol: StreamProtocol,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal }
  ): Promise<Duplex> {
    this.#check(peerId)
    const what = `opening a ${protocol} stream to ${peerId}`
    let connection: Connection | undefined
    const work = async (signal: AbortSignal) => {
      connection = await this.peers.connect(peerId, signal)
      this.#asked(connection)
      const stream = await this.#slots.open(connection, STREAM_PROTOCOLS[protocol], signal)
      this.#heard(connection)
      return duplexOf(stream)
    }
    try {
      return await withDeadline(this.#init.timers, timeoutMs, what, work, signal)
    } catch (error) {
      if (connection && isCoterieError(error, 'timeout')) this.#silent(connection)
      throw signal?.aborted ? signal.reason : unreachable(what, error)
    }
  }

  // ---- asking

  #ask(channel: KvChannel, peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    const connection = this.admission.connectionTo(peerId)
    if (connection) this.#asked(connection)
    return channel.request(request, options)
  }

  async #requestSoon(peerId: string, request: Request, { timeoutMs, signal }: RequestOptions): Promise<Answer> {
    this.#check(peerId)
    const { clock, timers } = this.#init
    const startMs = clock.monotonicMs()
    const what = `the kv stream to ${peerId}`
    let channel: KvChannel
    try {
      channel = await withDeadline(timers, timeoutMs, what, () => this.#channelTo(peerId), signal)
    } catch (error) {
      throw signal?.aborted ? signal.reason : unreachable(what, error)
    }
    const leftMs = timeoutMs - (clock.monotonicMs() - startMs)
    return this.#ask(channel, peerId, request, { timeoutMs: Math.max(1, leftMs), signal })
  }

  #check(peerId: string): void {
    if (this.#state !== 'running') throw new CoterieError('closed', 'the network is not running')
    if (peerId === this.peerId) throw new CoterieError('internal', 'a node does not ask itself over the network')
  }

  /** Shared by all requests that wait for it; not bound to the deadline of any. */
  #channelTo(peerId: string): Promise<KvChannel> {
    const existing = this.#channels.get(peerId)
    if (existing) return Promise.resolve(existing)
    const opening = this.#opening.get(peerId) ?? this.#openChannel(peerId).finally(() => this.#opening.delete(peerId))
    this.#opening.set(peerId, opening)
    return opening
  }

  async #openChannel(peerId: string): Promise<KvChannel> {
    const { clock, timers } = this.#init
    const connection = await this.peers.connect(peerId)
    this.#asked(connection)
    const stream = await withDeadline(timers, HELLO_TIMEOUT_MS, `opening a kv stream to ${peerId}`, signal =>
      openStream(connection, KV_PROTOCOL, KV_STREAMS, signal)
    ).catch(error => {
      if (isCoterieError(error, 'timeout')) this.#silent(connection)
      throw error
    })
    let channel: KvChannel | undefined
    channel = new KvChannel({
      stream,
      peerId,
      clock,
      timers,
      limits: this.#limits,
      onHeard: () => this.#heard(connection),
      onTimeout: () => this.#silent(connection),
      onClosed: () => {
        if (this.#channels.get(peerId) === channel) this.#channels.delete(peerId)
      }
    })
    if (this.#state !== 'running') channel.close(new CoterieError('closed', 'this side is stopping'))
    else if (!channel.isClosed) this.#channels.set(peerId, channel)
    return channel
  }

  #asked(connection: Connection): void {
    const pulse = this.#pulses.get(connection)
    if (!pulse) this.#pulses.set(connection, { askedMs: this.#init.clock.monotonicMs() })
    else pulse.askedMs ??= this.#init.clock.monotonicMs()
  }

  #heard(connection: Connection): void {
    const pulse = this.#pulses.get(connection)
    if (pulse) pulse.askedMs = undefined
  }

  /** Something timed out. One slow answer means nothing; a long silence means that the connection is dead. */
  #silent(connection: Connection): void {
    const askedMs = this.#pulses.get(connection)?.askedMs
    if (askedMs === undefined || this.#init.clock.monotonicMs() - askedMs < SILENCE_MS) return
    const seconds = SILENCE_MS / 1000
    this.#init.log.warn(`nothing came from ${connection.remotePeer} for ${seconds} s; giving the connection up`)
    connection.abort(new CoterieError('timeout', `nothing came for ${seconds} s`))
  }

  // ---- serving

  async #admitted(stream: Stream, connection: Connection): Promise<Caller | undefined> {
    // What the other side sends before it is admitted stays in its own hands.
    setPaused(stream, true)
    try {
      return await this.admission.whenAdmitted(connection)
    } catch (error) {
      this.#init.log.debug(`a ${stream.protocol} stream of ${connection.remotePeer} is not served`, {
        error: String(error)
      })
      stream.abort(error as Error)
      return undefined
    }
  }

  async #serveKv(stream: Stream, connection: Connection): Promise<void> {
    const caller = await this.#admitted(stream, connection)
    if (!caller) return
    const { clock, timers, log } = this.#init
    const handler = () => (this.#state === 'running' ? this.#handler : undefined)
    const server = new KvServer({ stream, caller, handler, clock, timers, log, limits: this.#limits })
    this.#servers.add(server)
    await server.closed
    this.#servers.delete(server)
  }

  async #serveStream(protocol: StreamProtocol, stream: Stream, connection: Connection): Promise<void> {
    const caller = await this.#admitted(stream, connection)
    if (!caller) return
    const handler = this.#handlers[protocol]
    const duplex = duplexOf(stream)
    if (!handler || this.#state !== 'running') {
      duplex.abort(new CoterieError('closed', `this node takes no ${protocol} streams`))
      return
    }
    try {
      await handler(duplex, caller)
      await this.#linger(stream)
    } catch (error) {
      this.#init.log.debug(`a ${protocol} stream of ${caller.peerId} failed`, { error: String(error) })
      duplex.abort(error as Error)
    }
  }

  /** A handler that returned has said all it will: both halves are closed, or the stream is given up. */
  async #linger(stream: Stream): Promise<void> {
    if (stream.status === 'closed' || stream.status === 'aborted' || stream.status === 'reset') return
    const closed = new Promise<void>(resolve => {
      stream.addEventListener('close', () => resolve(), { once: true })
    })
    await withDeadline(this.#init.timers, LINGER_MS, 'closing a stream', async () => {
      await stream.close()
      await closed
    })
  }

  // ---- events

  #onAdmission({ peerId, role }: Caller, connected: boolean): void {
    if (!connected) this.#channels.get(peerId)?.close(new CoterieError('unreachable', `${peerId} has gone`))
    if (role !== 'node') return
    for (const listener of this.#listeners) listener(peerId, connected)
  }

  /** mDNS, or any other discovery of the host: a hint for addresses, nothing more. */
  readonly #onDiscovery = (event: CustomEvent<PeerInfo>): void => {
    const { id, multiaddrs } = event.detail
    const peerId = id.toString()
    if (peerId === this.peerId || multiaddrs.length === 0) return
    // libp2p also "discovers" whoever it has just connected to: whoever dialled runs the hello.
    if (this.#components.connectionManager.getConnections(id).length > 0) return
    this.#init.log.debug(`discovered ${peerId}`)
    this.peers.hint(peerId, multiaddrs.map(String)).catch(error => {
      this.#init.log.debug(`the hint at ${peerId} led nowhere`, { error: String(error) })
    })
  }

  readonly #onOpen = (event: Libp2pEvents['connection:open']): void => {
    const connection = event.detail
    if (connection.direction !== 'inbound') return
    this.admission.whenAdmitted(connection).catch(error => {
      if (connection.status === 'open') connection.abort(error as Error)
    })
  }
}

/** Nothing was sent yet, whatever went wrong. Refusals keep their code: trying on is of no use. */
function unreachable(what: string, cause: unknown): CoterieError {
  if (isCoterieError(cause, 'refused', 'unreachable', 'closed', 'internal', 'overloaded', 'bad-usage')) return cause
  const message = cause instanceof Error ? cause.message : 'the connection closed'
  return new CoterieError('unreachable', `${what}: ${message}`, { cause })
}
