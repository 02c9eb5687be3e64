/**
 * `Network`s in memory for tests: every network made by one hub is admitted and connected to all others at once.
 * Requests and answers are cloned, errors travel as code and message, streams keep message borders and are bounded.
 *
 * @example
 *   const hub = new MemoryHub()
 *   const a = hub.network('a'), b = hub.network('b')
 *   b.handleRequests(async () => ({ type: 'ok' }))
 *   await a.request('b', request, { timeoutMs: 1000 })
 *   hub.cut('a', 'b')              // both lose the connection: `unreachable` at once, open streams break
 *   hub.cut('a', 'b', 'one-way')   // what a sends to b vanishes silently: callers run into their timeouts
 *   hub.heal()
 */
import { asCoterieError, CoterieError } from '../../src/errors.ts'
import type { Answer, Request } from '../../src/messages.ts'
import type {
  Caller,
  Duplex,
  Network,
  RequestHandler,
  RequestOptions,
  StreamHandler,
  StreamProtocol
} from '../../src/ports.ts'
import { duplexPair, type MemoryPipe } from './memory-duplex.ts'

export type MemoryNetwork = Network & {
  /** Leaves the hub: the others see the connection lost. Its handlers are forgotten. */
  close(): void
  /** Requests and streams begun by this network, by kind, as a test may want to assert. */
  readonly counts: { requests: number; streams: number }
}

type Listener = (peerId: string, connected: boolean) => void

export class MemoryHub {
  /** Runs before a request is delivered: may wait (delay), throw (the request fails) or record. */
  beforeRequest?: (from: string, to: string, request: Request) => Promise<void> | void
  readonly #nodes = new Map<string, MemoryPeer>()
  /** `from>to` pairs whose messages are lost, and whether the connection is known to be lost. */
  readonly #cuts = new Map<string, 'both' | 'one-way'>()
  readonly #pipes = new Set<{ from: string; to: string; pipe: MemoryPipe }>()
  readonly deliver: (fn: () => void) => void

  /** `deliver` decides when a message arrives; default `setImmediate`. */
  constructor(deliver: (fn: () => void) => void = setImmediate) {
    this.deliver = deliver
  }

  network(peerId: string, role: Caller['role'] = 'node'): MemoryNetwork {
    if (this.#nodes.has(peerId)) throw new Error(`the hub has a network ${peerId} already`)
    const peer = new MemoryPeer(this, peerId, role)
    this.#nodes.set(peerId, peer)
    for (const other of this.#nodes.keys()) this.#announce(peerId, other, true)
    return peer
  }

  /** Cuts a from b. `both` is noticed by both at once; `one-way` swallows what a sends to b. */
  cut(a: string, b: string, way: 'both' | 'one-way' = 'both'): void {
    const wasLinked = this.linked(a, b)
    this.#cuts.set(`${a}>${b}`, way)
    if (way === 'both') this.#cuts.set(`${b}>${a}`, way)
    for (const entry of [...this.#pipes]) {
      const here = entry.from === a && entry.to === b
      const there = entry.from === b && entry.to === a
      if (here || there) entry.pipe.abort(new CoterieError('unreachable', `the link ${a} - ${b} was cut`))
    }
    if (way === 'both' && wasLinked) this.#announce(a, b, false)
  }

  /** Cuts every pair across the given groups, both ways. */
  partition(...groups: string[][]): void {
    groups.forEach((group, i) => {
      for (const other of groups.slice(i + 1).flat()) for (const peerId of group) this.cut(peerId, other)
    })
  }

  /** Mends every cut. */
  heal(): void {
    const cuts = [...this.#cuts]
    this.#cuts.clear()
    const told = new Set<string>()
    for (const [pair, way] of cuts) {
      const [a, b] = pair.split('>') as [string, string]
      const key = [a, b].sort().join('>')
      if (way === 'one-way' || told.has(key)) continue
      told.add(key)
      this.#announce(a, b, true)
    }
  }

  /** Whether a believes itself connected to b. */
  linked(a: string, b: string): boolean {
    return a !== b && this.#nodes.has(a) && this.#nodes.has(b) && this.#cuts.get(`${a}>${b}`) !== 'both'
  }

  /** Whether what a sends reaches b. */
  reaches(a: string, b: string): boolean {
    return this.#nodes.has(b) && !this.#cuts.has(`${a}>${b}`)
  }

  peer(peerId: string): MemoryPeer | undefined {
    return this.#nodes.get(peerId)
  }

  connectedTo(peerId: string): string[] {
    return [...this.#nodes.values()].filter(p => p.role === 'node' && this.linked(peerId, p.peerId)).map(p => p.peerId)
  }

  remove(peer: MemoryPeer): void {
    if (this.#nodes.get(peer.peerId) !== peer) return
    const others = this.connectedTo(peer.peerId)
    for (const { from, to, pipe } of [...this.#pipes]) {
      if (from === peer.peerId || to === peer.peerId)
        pipe.abort(new CoterieError('unreachable', `${peer.peerId} is gone`))
    }
    this.#nodes.delete(peer.peerId)
    for (const other of others) {
      const listening = this.#nodes.get(other)
      if (peer.role === 'node') this.deliver(() => listening?.tell(peer.peerId, false))
    }
  }

  track(from: string, to: string, pipe: MemoryPipe): void {
    const entry = { from, to, pipe }
    this.#pipes.add(entry)
    pipe.closed.then(() => this.#pipes.delete(entry))
  }

  #announce(a: string, b: string, connected: boolean): void {
    if (a === b) return
    const [left, right] = [this.#nodes.get(a), this.#nodes.get(b)]
    if (!left || !right) return
    this.deliver(() => {
      if (this.linked(a, b) !== connected) return
      if (right.role === 'node') left.tell(b, connected)
      if (left.role === 'node') right.tell(a, connected)
    })
  }
}

class MemoryPeer implements MemoryNetwork {
  readonly peerId: string
  readonly role: Caller['role']
  readonly counts = { requests: 0, streams: 0 }
  readonly #hub: MemoryHub
  readonly #listeners = new Set<Listener>()
  #requests?: RequestHandler
  #gone = false
  readonly #streams = new Map<StreamProtocol, StreamHandler>()

  constructor(hub: MemoryHub, peerId: string, role: Caller['role']) {
    this.#hub = hub
    this.peerId = peerId
    this.role = role
  }

  async request(peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    this.counts.requests++
    this.#mustReach(peerId)
    const copy = structuredClone(request)
    const answer = (async () => {
      await this.#hub.beforeRequest?.(this.peerId, peerId, copy)
      await this.#travel(this.peerId, peerId)
      const target = this.#hub.peer(peerId)
      const handler = target?.handler()
      if (!handler) throw new CoterieError('unreachable', `${peerId} answers no requests`)
      const from: Caller = { peerId: this.peerId, role: this.role }
      let outcome: () => Answer
      try {
        const value = structuredClone(await handler(copy, from, options))
        outcome = () => value
      } catch (error) {
        const { code, message } = asCoterieError(error)
        outcome = () => {
          throw new CoterieError(code, message)
        }
      }
      await this.#travel(peerId, this.peerId)
      return outcome()
    })()
    return this.#within(answer, peerId, options)
  }

  async open(
    peerId: string,
    protocol: StreamProtocol,
    options: { timeoutMs: number; signal?: AbortSignal }
  ): Promise<Duplex> {
    this.counts.streams++
    this.#mustReach(peerId)
    const opening = (async () => {
      await this.#travel(this.peerId, peerId)
      await this.#travel(peerId, this.peerId)
      const handler = this.#hub.peer(peerId)?.streamHandler(protocol)
      if (!handler) throw new CoterieError('unreachable', `${peerId} does not serve ${protocol}`)
      const pipe = duplexPair(this.#hub.deliver)
      this.#hub.track(this.peerId, peerId, pipe)
      const from: Caller = { peerId: this.peerId, role: this.role }
      this.#hub.deliver(() => {
        pipe
          .serve(stream => handler(stream, from))
          .catch(() => {
            // The other side has been told.
          })
      })
      return pipe.left
    })()
    return this.#within(opening, peerId, options)
  }

  handleRequests(handler: RequestHandler): void {
    this.#requests = handler
  }

  handleStreams(protocol: StreamProtocol, handler: StreamHandler): void {
    this.#streams.set(protocol, handler)
  }

  connected(): string[] {
    return this.#gone ? [] : this.#hub.connectedTo(this.peerId)
  }

  isConnected(peerId: string): boolean {
    return !this.#gone && this.#hub.linked(this.peerId, peerId)
  }

  onConnection(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#gone = true
    this.#hub.remove(this)
    this.#requests = undefined
    this.#streams.clear()
  }

  handler(): RequestHandler | undefined {
    return this.#requests
  }

  streamHandler(protocol: StreamProtocol): StreamHandler | undefined {
    return this.#streams.get(protocol)
  }

  tell(peerId: string, connected: boolean): void {
    for (const listener of [...this.#listeners]) listener(peerId, connected)
  }

  #mustReach(peerId: string): void {
    if (peerId === this.peerId) throw new CoterieError('internal', 'a node does not call itself over the network')
    // What a dead node still does must not pass for the doing of one that has come back under its name.
    if (this.#gone || !this.#hub.linked(this.peerId, peerId)) {
      throw new CoterieError('unreachable', `no connection from ${this.peerId} to ${peerId}`)
    }
  }

  /** One hop; never settles when the hop is cut, as a lost packet would not: the caller's timeout ends the wait. */
  #travel(from: string, to: string): Promise<void> {
    return new Promise(resolve => {
      this.#hub.deliver(() => {
        if (this.#hub.reaches(from, to)) resolve()
      })
    })
  }

  #within<T>(work: Promise<T>, peerId: string, { timeoutMs, signal }: RequestOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => settle(() => reject(new CoterieError('timeout', `${peerId} did not answer within ${timeoutMs} ms`))),
        timeoutMs
      )
      const onAbort = () => settle(() => reject(signal?.reason))
      const stopListening = this.onConnection((lost, connected) => {
        if (lost !== peerId || connected) return
        settle(() => reject(new CoterieError('unreachable', `lost ${peerId}; whether it acted is unknown`)))
      })
      const settle = (then: () => void) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        stopListening()
        then()
      }
      work.then(
        value => settle(() => resolve(value)),
        error => settle(() => reject(error))
      )
      if (signal?.aborted) return onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}
