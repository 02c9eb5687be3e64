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
import { Admission, HELLO_PROTOCOL, MAX_HELLO_STREAMS } from './admission.ts'
import type { NetworkComponents } from './components.ts'
import { duplexOf } from './duplex.ts'
import { KV_PROTOCOL, KV_STREAMS, KvCallers, unreachable } from './kv-callers.ts'
import { DEFAULT_KV_LIMITS, type KvLimits } from './kv-channel.ts'
import { KvServer } from './kv-server.ts'
import { Liveness } from './liveness.ts'
import { Peers } from './peers.ts'
import { StreamSlots } from './slots.ts'
import { setPaused, withDeadline } from './streams.ts'

const STREAM_PROTOCOLS: Record<StreamProtocol, string> = { gossip: '/coterie/gossip/1', sync: '/coterie/sync/1' }

/** Streams that this side opens per protocol and connection; it takes four times as many, for those not yet closed there. */
const MAX_STREAMS = 16
const INBOUND_STREAMS = 4 * MAX_STREAMS
/** A handler that is done waits this long for the other side to close its half. */
const LINGER_MS = 5000
/** Answers that are being worked on when the node stops get this long. */
const DRAIN_MS = 2000
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

export class Libp2pNetwork implements Network {
  readonly peerId: string
  readonly admission: Admission
  readonly peers: Peers
  readonly #components: NetworkComponents
  readonly #init: NetworkInit
  readonly #limits: KvLimits
  readonly #slots = new StreamSlots(MAX_STREAMS)
  readonly #callers: KvCallers
  readonly #servers = new Set<KvServer>()
  readonly #liveness: Liveness
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
    this.#liveness = new Liveness(init)
    const { clock, timers } = init
    const connect = (peerId: string) => this.peers.connect(peerId)
    this.#callers = new KvCallers({ connect, liveness: this.#liveness, limits: this.#limits, clock, timers })
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
    this.#callers.close(reason())
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

  async request(peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    this.#check(peerId)
    return this.#callers.request(peerId, request, options)
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
      this.#liveness.asked(connection)
      const stream = await this.#slots.open(connection, STREAM_PROTOCOLS[protocol], signal)
      this.#liveness.heard(connection)
      return duplexOf(stream)
    }
    try {
      return await withDeadline(this.#init.timers, timeoutMs, what, work, signal)
    } catch (error) {
      if (connection && isCoterieError(error, 'timeout')) this.#liveness.timedOut(connection)
      throw signal?.aborted ? signal.reason : unreachable(what, error)
    }
  }

  #check(peerId: string): void {
    if (this.#state !== 'running') throw new CoterieError('closed', 'the network is not running')
    if (peerId === this.peerId) throw new CoterieError('internal', 'a node does not ask itself over the network')
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
    if (caller.role !== 'node') {
      stream.abort(new CoterieError('refused', `${protocol} streams are for members of the cluster, not for clients`))
      return
    }
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
    if (!connected) this.#callers.lost(peerId)
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
