/**
 * Calls from this node to any member, itself included, and what they teach: who answers, how fast, and whether somebody
 * knows a newer ring. Routing asks this for the best order of replicas.
 */
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Answer, Request } from '../messages.ts'
import type { Clock, Network, RequestOptions } from '../ports.ts'

/** Weight of the newest sample in the moving average of latency. */
const LATENCY_WEIGHT = 0.2
/** What an unknown peer is taken to need, in milliseconds. */
const UNKNOWN_LATENCY_MS = 5

export interface PeerHealth {
  isAlive(peerId: string): boolean
  reportSuccess(peerId: string): void
  reportFailure(peerId: string): void
}

export interface PeersInit {
  /** Serves a request to ourselves without a network. */
  local: (request: Request, options: RequestOptions) => Promise<Answer>
}

export class Peers {
  readonly #network: Network
  readonly #clock: Clock
  readonly #health: PeerHealth
  readonly #local: PeersInit['local']
  readonly #latencyMs = new Map<string, number>()

  constructor(parts: { network: Network; clock: Clock; health: PeerHealth }, init: PeersInit) {
    this.#network = parts.network
    this.#clock = parts.clock
    this.#health = parts.health
    this.#local = init.local
  }

  get self(): string {
    return this.#network.peerId
  }

  /** Rejects like `Network.request`; `unreachable` and `timeout` count against the peer's health. */
  async call(peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    if (peerId === this.self) return this.#local(request, options)
    const startMs = this.#clock.monotonicMs()
    try {
      const answer = await this.#network.request(peerId, request, options)
      this.#learn(peerId, this.#clock.monotonicMs() - startMs)
      this.#health.reportSuccess(peerId)
      return answer
    } catch (error) {
      if (isCoterieError(error, 'unreachable', 'timeout')) this.#health.reportFailure(peerId)
      throw error
    }
  }

  isReachable(peerId: string): boolean {
    return peerId === this.self || (this.#network.isConnected(peerId) && this.#health.isAlive(peerId))
  }

  /** Ourselves, then those that answer, fastest first, then the rest: they may be back before we know. */
  byHealth(peerIds: readonly string[]): string[] {
    const rank = (peerId: string) => {
      if (peerId === this.self) return -1
      return (this.#latencyMs.get(peerId) ?? UNKNOWN_LATENCY_MS) + (this.isReachable(peerId) ? 0 : 1e9)
    }
    return [...peerIds].sort((a, b) => rank(a) - rank(b))
  }

  #learn(peerId: string, ms: number): void {
    const known = this.#latencyMs.get(peerId)
    this.#latencyMs.set(peerId, known === undefined ? ms : known + LATENCY_WEIGHT * (ms - known))
  }
}

/** The answer as the type it must have; anything else is the other side's `protocol` error. */
export function expectAnswer<T extends Answer['type']>(answer: Answer, ...types: T[]): Extract<Answer, { type: T }> {
  if ((types as string[]).includes(answer.type)) return answer as Extract<Answer, { type: T }>
  throw new CoterieError('protocol', `the peer answered "${answer.type}" where ${types.join(' or ')} was due`)
}
