/**
 * Replicas compare their shared ranges on a schedule and whenever a peer returns (design §10; Dynamo §4.7): what a
 * replica missed while it was away, and what a disk lost without saying so, comes back here.
 */
import type { Background } from '../background.ts'
import type { Peers } from '../coordinator/peers.ts'
import type { Clock, Log, Network, Random, Timers } from '../ports.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { Topology } from '../topology.ts'
import { compareRanges } from './compare.ts'

/** Of the interval: how soon a session that was cut is tried again. */
const SOON_SHARE = 1 / 10
/** And a peer that comes and goes, as one that is suspected now and then, is compared with no more often than this. */
const RETURN_MS = 5000
/** Sessions that this node leads at once: the rest of its time belongs to clients. */
const SESSIONS_AT_ONCE = 2

export interface AntiEntropyParts {
  clock: Clock
  timers: Timers
  random: Random
  network: Network
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  replicas: Replicas
}

/** A session that runs now: keys that have arrived, and keys of the other side in ranges that differ, as far as known. */
export interface SessionProgress {
  peer: string
  ranges: number
  keysDone: number
  keysTotal: number
}

export interface AntiEntropyStats {
  sessions: number
  failed: number
  /** Key states, over all sessions that this node led. */
  received: number
  sent: number
  /** How long the last whole session took. */
  lastMs: number
  running: SessionProgress[]
}

export class AntiEntropy {
  readonly #parts: AntiEntropyParts
  readonly #intervalMs: number
  readonly #dueMs = new Map<string, number>()
  /** When the latest session with each peer began that came to its end. */
  readonly #beganMs = new Map<string, number>()
  readonly #running = new Map<string, SessionProgress>()
  readonly #counts = { sessions: 0, failed: 0, received: 0, sent: 0, lastMs: 0 }

  constructor(parts: AntiEntropyParts, init: { intervalMs: number }) {
    this.#parts = parts
    this.#intervalMs = init.intervalMs
  }

  stats(): AntiEntropyStats {
    return { ...this.#counts, running: [...this.#running.values()] }
  }

  /** A peer is back: what we share with it is compared at the next tick, unless it was a moment ago. */
  peerReturned(peerId: string): void {
    const beganMs = this.#beganMs.get(peerId) ?? Number.NEGATIVE_INFINITY
    const soonMs = beganMs + Math.min(RETURN_MS, this.#intervalMs * SOON_SHARE)
    this.#dueMs.set(peerId, Math.min(soonMs, this.#dueMs.get(peerId) ?? soonMs))
  }

  tick(): void {
    const { topology, peers, clock, random, background } = this.#parts
    if (!topology.complete) return
    const nowMs = clock.monotonicMs()
    const mine = topology.view.rangesHeldBy(peers.self)
    const others = new Set(mine.flatMap(range => topology.view.preferenceList(range)))
    for (const peer of this.#dueMs.keys()) {
      if (others.has(peer)) continue
      this.#dueMs.delete(peer)
      this.#beganMs.delete(peer)
    }
    for (const peer of others) {
      // One side of each pair leads, so that a pair compares once.
      if (peer <= peers.self || !peers.isReachable(peer) || this.#running.has(peer)) continue
      const due = this.#dueMs.get(peer)
      if (due === undefined) this.#dueMs.set(peer, nowMs + this.#intervalMs * random.float())
      else if (due <= nowMs && this.#running.size < SESSIONS_AT_ONCE) {
        const shared = mine.filter(range => topology.view.isMember(range, peer))
        this.#dueMs.set(peer, nowMs + this.#intervalMs * (0.9 + 0.2 * random.float()))
        background.run('anti-entropy', this.#session(peer, shared))
      }
    }
  }

  async #session(peer: string, ranges: number[]): Promise<void> {
    const { clock, background, replicas } = this.#parts
    const held = ranges.filter(range => replicas.status(range) !== 'none')
    const progress = { peer, ranges: held.length, keysDone: 0, keysTotal: 0 }
    this.#running.set(peer, progress)
    const startMs = clock.monotonicMs()
    try {
      this.#counts.sessions++
      const { received, sent } = await compareRanges(this.#parts, peer, held, {
        signal: background.signal,
        onProgress: (keysDone, keysTotal) => Object.assign(progress, { keysDone, keysTotal })
      })
      this.#beganMs.set(peer, startMs)
      this.#counts.lastMs = Math.round(clock.monotonicMs() - startMs)
      this.#counts.received += received
      this.#counts.sent += sent
      if (received + sent > 0) this.#parts.log.info('anti-entropy mended copies', { peer, received, sent })
    } catch (error) {
      this.#counts.failed++
      // Soon again: a session that was cut has left something to do.
      this.#dueMs.set(peer, clock.monotonicMs() + this.#intervalMs * SOON_SHARE)
      throw error
    } finally {
      this.#running.delete(peer)
    }
  }
}
