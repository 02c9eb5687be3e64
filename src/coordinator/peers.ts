/**
 * Calls from this node to any member, itself included, and what they teach: who answers, how fast, and whether somebody
 * knows a newer ring. Routing asks this for the best order of replicas.
 */
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Answer, Request } from '../messages.ts'
import type { Clock, Network, RequestOptions } from '../ports.ts'
import { Silence } from './silence.ts'

/** Weight of the newest sample in the moving average of latency. */
const LATENCY_WEIGHT = 0.2
/** What an unknown peer is taken to need, in milliseconds. */
const UNKNOWN_LATENCY_MS = 5
/** What was slow this long ago may be fast again: it is asked, to see. */
const FORGET_MS = 5000
/** The quantile of latency that a hedge waits for, and how fast its estimate follows. */
const HEDGE_QUANTILE = 0.95
const QUANTILE_STEP = 0.2
/**
 * A peer is silent after so many times the delay of a hedge: for long enough that a process which waits for its turn on a busy
 * machine is not; until then there are hedges.
 */
const SILENT_AFTER = 3
/** A hedge waits no less: below it, what makes an answer late is as likely this node itself. */
const MIN_HEDGE_MS = 10

export interface PeerHealth {
  isAlive(peerId: string): boolean
  reportSuccess(peerId: string): void
  reportFailure(peerId: string): void
}

export interface PeersInit {
  /** Serves a request to ourselves without a network. */
  local: (request: Request, options: RequestOptions) => Promise<Answer>
  /** What a hedge waits for at most, and for a peer of which nothing is known. */
  hedgeDelayMs: number
}

interface Latency {
  meanMs: number
  /** When it was measured last, monotonic ms. */
  atMs: number
  /** Estimate of the quantile, by steps up and down (Ma, Muthukrishnan and Sandler, Frugal Streaming, 2013). */
  highMs: number
}

export class Peers {
  readonly #network: Network
  readonly #clock: Clock
  readonly #health: PeerHealth
  readonly #local: PeersInit['local']
  /** What a hedge waits for at most. */
  readonly hedgeDelayMs: number
  readonly #latency = new Map<string, Latency>()
  readonly #silence: Silence

  constructor(parts: { network: Network; clock: Clock; health: PeerHealth }, init: PeersInit) {
    this.#network = parts.network
    this.#clock = parts.clock
    this.#health = parts.health
    this.#local = init.local
    this.hedgeDelayMs = init.hedgeDelayMs
    this.#silence = new Silence(parts.clock, { afterMs: SILENT_AFTER * init.hedgeDelayMs })
  }

  get self(): string {
    return this.#network.peerId
  }

  /** Rejects like `Network.request`; `unreachable` and `timeout`, unless it had no time to speak of, count against the peer's health. */
  async call(peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    if (peerId === this.self) return this.#local(request, options)
    const startMs = this.#clock.monotonicMs()
    const isQuick = request.type === 'read' || request.type === 'merge'
    if (isQuick) this.#silence.asked(peerId)
    try {
      const answer = await this.#network.request(peerId, request, options)
      this.#learn(peerId, this.#clock.monotonicMs() - startMs)
      this.#silence.heard(peerId)
      this.#health.reportSuccess(peerId)
      return answer
    } catch (error) {
      // What had next to no time left says nothing of the peer.
      const isHasty = isCoterieError(error, 'timeout') && this.#clock.monotonicMs() - startMs < this.hedgeDelayMs
      if (isCoterieError(error, 'unreachable', 'timeout') && !isHasty) this.#health.reportFailure(peerId)
      throw error
    } finally {
      if (isQuick) this.#silence.ended(peerId)
    }
  }

  isReachable(peerId: string): boolean {
    return peerId === this.self || (this.#network.isConnected(peerId) && this.#health.isAlive(peerId))
  }

  /** It has stopped answering, though it seems alive still and others answer. */
  isSilent(peerId: string): boolean {
    return this.#silence.has(peerId)
  }

  isAnswering(peerId: string): boolean {
    return this.isReachable(peerId) && !this.isSilent(peerId)
  }

  /** Ourselves, then those that answer, fastest first, then the silent ones and the rest: they may be back before we know. */
  byHealth(peerIds: readonly string[]): string[] {
    const rank = (peerId: string) => {
      if (peerId === this.self) return -1
      return this.#expectedMs(peerId) + (this.isSilent(peerId) ? 1e8 : 0) + (this.isReachable(peerId) ? 0 : 1e9)
    }
    return [...peerIds].sort((a, b) => rank(a) - rank(b))
  }

  /** An answer of this peer that takes longer than this, in milliseconds, is late: the 95th percentile so far. */
  usualMs(peerId: string): number {
    const highMs = peerId === this.self ? MIN_HEDGE_MS : (this.#latency.get(peerId)?.highMs ?? this.hedgeDelayMs)
    return Math.min(this.hedgeDelayMs, Math.max(MIN_HEDGE_MS, highMs))
  }

  /** An answer is late. Known before it arrives, so that the next request goes elsewhere. */
  slow(peerId: string): void {
    if (peerId !== this.self) this.#learn(peerId, Math.max(this.usualMs(peerId), this.hedgeDelayMs))
  }

  #expectedMs(peerId: string): number {
    const known = this.#latency.get(peerId)
    if (known === undefined) return UNKNOWN_LATENCY_MS
    const isOld = this.#clock.monotonicMs() - known.atMs > FORGET_MS
    return isOld ? Math.min(known.meanMs, UNKNOWN_LATENCY_MS) : known.meanMs
  }

  #learn(peerId: string, ms: number): void {
    const atMs = this.#clock.monotonicMs()
    const known = this.#latency.get(peerId)
    if (known === undefined) {
      this.#latency.set(peerId, { meanMs: ms, highMs: Math.max(2 * ms, MIN_HEDGE_MS), atMs })
      return
    }
    known.atMs = atMs
    known.meanMs += LATENCY_WEIGHT * (ms - known.meanMs)
    const step = QUANTILE_STEP * Math.max(1, known.meanMs)
    known.highMs = Math.max(
      known.meanMs,
      known.highMs + step * (ms > known.highMs ? HEDGE_QUANTILE : HEDGE_QUANTILE - 1)
    )
  }
}

/** The answer as the type it must have; anything else is the other side's `protocol` error. */
export function expectAnswer<T extends Answer['type']>(answer: Answer, ...types: T[]): Extract<Answer, { type: T }> {
  if ((types as string[]).includes(answer.type)) return answer as Extract<Answer, { type: T }>
  throw new CoterieError('protocol', `the peer answered "${answer.type}" where ${types.join(' or ')} was due`)
}
