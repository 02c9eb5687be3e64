/**
 * Gossip rounds: every interval (± 10 %) one exchange with each of one to three peers, and answers to the exchanges that
 * others begin. At most one exchange at a time with a peer in each direction; all of them bounded in number and time.
 */
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Caller, Duplex, Log, Network, Random, Timer, Timers } from '../ports.ts'
import { type ExchangeContext, initiate, respond } from './exchange.ts'
import { type Candidates, chooseTargets } from './gossip-targets.ts'

export interface GossipPorts {
  network: Network
  timers: Timers
  random: Pick<Random, 'float'>
  log: Pick<Log, 'error' | 'debug'>
}

/** What the rounds need of whoever keeps the members. */
export interface GossipInit {
  intervalMs: number
  context: ExchangeContext
  candidates(): Candidates
  /** Before anything of a round. */
  beforeRound(): void
  /** Before any exchange: the own record must be up to date. */
  beforeExchange(): void
  /** The next round is this far off. */
  scheduled(delayMs: number): void
  /** An exchange that this node began went through, or failed. */
  outcome(peerId: string, error?: unknown): void
}

/** An exchange that takes longer is given up: three rounds' worth, and enough for a dial across the world. */
export const EXCHANGE_TIMEOUT_MS = 3000
const MAX_OUTGOING = 16
/** Twice what the busiest node of a thousand sees in one round. */
const MAX_INCOMING = 64
const JITTER = 0.1

export class Gossip {
  readonly #ports: GossipPorts
  readonly #init: GossipInit
  readonly #outgoing = new Map<string, Promise<void>>()
  readonly #incoming = new Set<string>()
  readonly #streams = new Set<Duplex>()
  #timer?: Timer
  #stopping = new AbortController()
  #running = false
  rounds = 0

  constructor(ports: GossipPorts, init: GossipInit) {
    this.#ports = ports
    this.#init = init
  }

  start(): void {
    this.#running = true
    this.#stopping = new AbortController()
    this.#ports.network.handleStreams('gossip', (stream, from) => this.#answer(stream, from))
    this.#schedule()
  }

  /** Gives up what is under way; resolves when all of it has ended. Later streams are refused. */
  async stop(): Promise<void> {
    this.#running = false
    this.#timer?.cancel()
    const reason = new CoterieError('closed', 'this node is stopping')
    this.#stopping.abort(reason)
    for (const stream of this.#streams) stream.abort(reason)
    await Promise.all(this.#outgoing.values())
  }

  /** One round; resolves when its exchanges have ended, well or not. */
  async roundNow(): Promise<void> {
    this.rounds++
    this.#init.beforeRound()
    const targets = chooseTargets(this.#init.candidates(), this.#ports.random)
    await Promise.all(targets.map(peerId => this.exchangeWith(peerId)))
  }

  /** Joins the exchange with this peer that is under way, if there is one. Never rejects: `outcome` tells. */
  exchangeWith(peerId: string): Promise<void> {
    const underWay = this.#outgoing.get(peerId)
    if (underWay) return underWay
    if (!this.#running || this.#outgoing.size >= MAX_OUTGOING) return Promise.resolve()
    const exchange = this.#begin(peerId).finally(() => this.#outgoing.delete(peerId))
    this.#outgoing.set(peerId, exchange)
    return exchange
  }

  #schedule(): void {
    if (!this.#running) return
    const delayMs = this.#init.intervalMs * (1 - JITTER + 2 * JITTER * this.#ports.random.float())
    this.#init.scheduled(delayMs)
    this.#timer = this.#ports.timers.after(delayMs, () => {
      // Exchanges may outlast the interval: the next round does not wait for them.
      this.roundNow().catch(error => this.#ports.log.error('a gossip round failed', { error: String(error) }))
      this.#schedule()
    })
  }

  async #begin(peerId: string): Promise<void> {
    try {
      this.#init.beforeExchange()
      const options = { timeoutMs: EXCHANGE_TIMEOUT_MS, signal: this.#stopping.signal }
      const stream = await this.#ports.network.open(peerId, 'gossip', options)
      await this.#within(stream, peerId, () => initiate(stream, this.#init.context))
      this.#init.outcome(peerId)
    } catch (error) {
      if (!this.#running) return
      this.#ports.log.debug('gossip exchange failed', { peerId, error: String(error) })
      this.#init.outcome(peerId, error)
    }
  }

  async #answer(stream: Duplex, from: Caller): Promise<void> {
    if (!this.#running) throw new CoterieError('closed', 'this node is stopping')
    if (from.role !== 'node') throw new CoterieError('refused', 'clients do not gossip')
    if (this.#incoming.has(from.peerId) || this.#incoming.size >= MAX_INCOMING) {
      throw new CoterieError('overloaded', 'too many gossip exchanges at once; try again in the next round')
    }
    this.#incoming.add(from.peerId)
    try {
      this.#init.beforeExchange()
      await this.#within(stream, from.peerId, () => respond(stream, this.#init.context))
    } catch (error) {
      // The stream is given up already; the other side knows, and begins again when it likes.
      this.#ports.log.debug('gossip exchange failed', { peerId: from.peerId, error: String(error) })
      if (isCoterieError(error, 'protocol')) throw error
    } finally {
      this.#incoming.delete(from.peerId)
    }
  }

  async #within(stream: Duplex, peerId: string, work: () => Promise<void>): Promise<void> {
    if (!this.#running) {
      const closed = new CoterieError('closed', 'this node is stopping')
      stream.abort(closed)
      throw closed
    }
    const late = new CoterieError('timeout', `the gossip exchange with ${peerId} took over ${EXCHANGE_TIMEOUT_MS} ms`)
    const timer = this.#ports.timers.after(EXCHANGE_TIMEOUT_MS, () => stream.abort(late))
    this.#streams.add(stream)
    try {
      await work()
    } finally {
      timer.cancel()
      this.#streams.delete(stream)
    }
  }
}
