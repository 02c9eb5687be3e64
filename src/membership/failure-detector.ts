/**
 * Who seems to be alive: this node's own opinion, from heartbeats heard through gossip (phi accrual) and from what its own
 * requests met (design §5). Nobody can accuse somebody else, and `down` never means removed.
 *
 * - `down`: silent for longer than chance explains.
 * - `suspect`: heard, but our requests failed or the connection broke. It is set at once. Failed requests are forgiven
 *   after a pause that doubles with every failure in a row, so that somebody tries again; a broken connection, when the
 *   peer is met again or its heart has been heard twice more.
 * - After a pause of this very process, silence proves nothing: no new verdict for a while (failures 33).
 */
import type { Clock } from '../ports.ts'
import { describe, deviationFloorMs, emptyWindow, observe, phi, type Window } from './phi.ts'

export type Verdict = 'up' | 'suspect' | 'down'

/** A timer that fires this late means that the process stood still. */
export const PAUSE_MS = 2000
/** For how many gossip intervals a node that stood still passes no new verdict: as long as news takes to arrive. */
export const QUIET_INTERVALS = 5
/** First and longest suspicion after failed requests. */
export const SUSPICION_MS = 1000
export const MAX_SUSPICION_MS = 15_000
/** Heartbeats after which a broken connection is forgiven: one may have been on its way already. */
const FORGIVING_BEATS = 2
/** Gaps above this many intervals are outages, not samples. */
export const OUTAGE_INTERVALS = 30

interface Health {
  window: Window
  heardMs: number
  verdict: Verdict
  /** Requests that failed in a row, and until when that counts. */
  failures: number
  suspectUntilMs: number
  /** Heartbeats to hear before a broken connection is forgiven. */
  unforgiven: number
}

export interface DetectorInit {
  gossipIntervalMs: number
  phiThreshold: number
  /** Called with every change of a verdict. */
  onVerdict: (peerId: string, verdict: Verdict) => void
}

export class FailureDetector {
  readonly #clock: Clock
  readonly #init: DetectorInit
  readonly #peers = new Map<string, Health>()
  #quietUntilMs = Number.NEGATIVE_INFINITY
  /** When the next `tick` is due; far past it, this process has been standing still. */
  #dueMs = Number.POSITIVE_INFINITY

  constructor(clock: Clock, init: DetectorInit) {
    this.#clock = clock
    this.#init = init
  }

  /** Of peers never heard of: `down`. */
  verdict(peerId: string): Verdict {
    return this.#peers.get(peerId)?.verdict ?? 'down'
  }

  /** Phi of a peer now; infinite for peers never heard of. */
  phi(peerId: string): number {
    const health = this.#peers.get(peerId)
    return health ? this.#phiAt(health, this.#clock.monotonicMs()) : Number.POSITIVE_INFINITY
  }

  /** A heartbeat of the peer arrived, directly or through others, or its first record did. */
  heard(peerId: string): void {
    const now = this.#clock.monotonicMs()
    const health = this.#peers.get(peerId)
    if (!health) {
      const fresh: Health = {
        window: emptyWindow(),
        heardMs: now,
        verdict: 'down',
        failures: 0,
        suspectUntilMs: Number.NEGATIVE_INFINITY,
        unforgiven: 0
      }
      this.#peers.set(peerId, fresh)
      this.#judge(peerId, fresh, now)
      return
    }
    const gapMs = now - health.heardMs
    if (gapMs <= OUTAGE_INTERVALS * this.#init.gossipIntervalMs && health.verdict !== 'down') {
      observe(health.window, gapMs)
    }
    health.heardMs = now
    if (health.unforgiven > 0) health.unforgiven--
    this.#judge(peerId, health, now)
  }

  /** The peer itself was met: a connection came up or a gossip exchange with it went through. */
  met(peerId: string): void {
    const health = this.#peers.get(peerId)
    if (!health) return
    health.unforgiven = 0
    health.heardMs = this.#clock.monotonicMs()
    this.#judge(peerId, health, health.heardMs)
  }

  /** The connection to the peer broke, or a gossip exchange with it did. */
  lost(peerId: string): void {
    const health = this.#peers.get(peerId)
    const now = this.#clock.monotonicMs()
    if (!health || this.#stoodStill(now)) return
    health.unforgiven = FORGIVING_BEATS
    this.#judge(peerId, health, now)
  }

  reportSuccess(peerId: string): void {
    const health = this.#peers.get(peerId)
    if (!health) return
    const settled = health.failures === 0 && health.unforgiven === 0 && health.verdict === 'up'
    // On every answer of every request: nothing to judge when all was well.
    if (settled) return
    const now = this.#clock.monotonicMs()
    Object.assign(health, { failures: 0, suspectUntilMs: Number.NEGATIVE_INFINITY, unforgiven: 0, heardMs: now })
    this.#judge(peerId, health, now)
  }

  reportFailure(peerId: string): void {
    const health = this.#peers.get(peerId)
    const now = this.#clock.monotonicMs()
    // Requests that ran out of time while this process stood still say nothing about the peer.
    if (!health || this.#stoodStill(now)) return
    // Failures of requests sent before the verdict do not count on top of it.
    if (now >= health.suspectUntilMs) {
      const pauseMs = Math.min(MAX_SUSPICION_MS, SUSPICION_MS * 2 ** Math.min(health.failures, 10))
      health.failures++
      health.suspectUntilMs = now + pauseMs
    }
    this.#judge(peerId, health, now)
  }

  forget(peerId: string): void {
    this.#peers.delete(peerId)
  }

  /** Says when the next `tick` is to come. */
  expectTick(delayMs: number): void {
    this.#dueMs = this.#clock.monotonicMs() + delayMs
  }

  /** Looks at everybody. Returns for how long this process stood still before, in ms; 0 if it did not. */
  tick(): number {
    const now = this.#clock.monotonicMs()
    const lateMs = now - this.#dueMs
    const pausedMs = lateMs > PAUSE_MS ? lateMs : 0
    if (pausedMs > 0) {
      this.#quietUntilMs = now + QUIET_INTERVALS * this.#init.gossipIntervalMs
      // The time that this process did not live through is not held against anybody.
      for (const health of this.#peers.values()) {
        if (health.verdict !== 'down') health.heardMs = Math.min(now, health.heardMs + pausedMs)
      }
    }
    this.#dueMs = Number.POSITIVE_INFINITY
    for (const [peerId, health] of this.#peers) this.#judge(peerId, health, now)
    return pausedMs
  }

  #stoodStill(now: number): boolean {
    return now < this.#quietUntilMs || now - this.#dueMs > PAUSE_MS
  }

  #phiAt(health: Health, now: number): number {
    const { meanMs, deviationMs } = describe(health.window, this.#init.gossipIntervalMs)
    const floorMs = deviationFloorMs(this.#init.gossipIntervalMs, this.#peers.size + 1)
    return phi(now - health.heardMs, meanMs, Math.max(deviationMs, floorMs))
  }

  #judge(peerId: string, health: Health, now: number): void {
    const silent = this.#phiAt(health, now) >= this.#init.phiThreshold
    let verdict: Verdict = 'up'
    if (silent && (health.verdict === 'down' || !this.#stoodStill(now))) verdict = 'down'
    else if (health.unforgiven > 0 || now < health.suspectUntilMs) verdict = 'suspect'
    if (verdict === health.verdict) return
    health.verdict = verdict
    this.#init.onVerdict(peerId, verdict)
  }
}
