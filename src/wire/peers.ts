/**
 * Keeps the connections that a member needs: dials seeds until they have answered once, members whenever they are not
 * connected, hints (mDNS) within a budget. One dial per peer at a time, with backoff; libp2p's own reconnecting gives up
 * after half a minute (failures 27), this never does.
 */
import type { Connection } from '@libp2p/interface'
import { CoterieError } from '../errors.ts'
import type { Clock, Log, Random, Timer } from '../ports.ts'
import type { Admission } from './admission.ts'
import { Backoff } from './backoff.ts'
import { Dialer, type DialerInit, parseAddress, peerIdIn } from './dialer.ts'
import { raceSignal } from './streams.ts'

/** Up to this many members everybody keeps a connection to everybody; above, connections are made on demand. */
export const FULL_MESH = 64
/** How often the loop looks for members and seeds that are due. */
const LOOP_MS = 250
/** Dials that the loop and hints have under way at once. */
const MAX_DIALS = 16
/** A silent seed is logged again this often. */
const SEED_LOG_MS = 10 * 60_000
/** Hints that may be dialled in each window; the rest waits or is dropped. */
const MAX_HINTS = 32
const HINT_WINDOW_MS = 10_000
/** libp2p tells of a peer that it discovers only once, and that may have been too early: so we try again, this often. */
const MAX_HINT_TRIES = 8
const MAX_REMEMBERED_HINTS = 64
/** Peers and addresses whose failures are remembered. */
const MAX_REMEMBERED = 2048

export interface PeersInit extends DialerInit {
  admission: Admission
  /** Where a peer was last known, best first. */
  addressesOf: (peerId: string) => string[]
  /** Members to stay connected to. */
  wanted: () => string[]
  seeds: string[]
  clock: Clock
  random: Random
  log: Log
}

interface Target {
  backoff: Backoff
  dialing?: Promise<Connection>
  lastError?: CoterieError
}

interface Seed {
  address: string
  backoff: Backoff
  /** It has answered once. */
  done: boolean
  dialing: boolean
  loggedMs: number
}

export class Peers {
  readonly #init: PeersInit
  readonly #dialer: Dialer
  readonly #targets = new Map<string, Target>()
  readonly #seeds: Seed[]
  readonly #unsubscribe: () => void
  #loop?: Timer
  #running = false
  #dials = 0
  readonly #hinted = new Map<string, { addresses: string[]; tries: number }>()
  #hints = { windowMs: Number.NEGATIVE_INFINITY, count: 0 }

  /** Throws `bad-usage` for a seed that is no multiaddr. */
  constructor(init: PeersInit) {
    this.#init = init
    this.#dialer = new Dialer(init)
    // A seed list may be the same for all nodes, and name this one.
    const isOther = (seed: string) => peerIdIn(parseAddress(seed)) !== init.components.peerId.toString()
    this.#seeds = [...new Set(init.seeds)].filter(isOther).map(address => ({
      address,
      backoff: new Backoff(init),
      done: false,
      dialing: false,
      loggedMs: Number.NEGATIVE_INFINITY
    }))
    this.#unsubscribe = init.admission.onChange(({ peerId }, connected) => {
      if (connected) this.#targets.get(peerId)?.backoff.reset()
    })
  }

  start(): void {
    this.#running = true
    this.#tick()
  }

  stop(): void {
    this.#running = false
    this.#loop?.cancel()
    this.#unsubscribe()
  }

  /**
   * An admitted connection: one there is, or the dial that is under way, or a new one. Rejects at once with
   * `unreachable` while a failed peer is left alone, or with why the dial or the hello failed.
   */
  async connect(peerId: string, signal?: AbortSignal): Promise<Connection> {
    const existing = this.#init.admission.connectionTo(peerId)
    if (existing) return existing
    const target = this.#targetOf(peerId)
    if (!target.dialing && target.backoff.waitMs > 0) {
      const seconds = (target.backoff.waitMs / 1000).toFixed(1)
      const last = target.lastError?.message ?? 'the last try failed'
      throw new CoterieError('unreachable', `${peerId} is left alone for ${seconds} s more: ${last}`)
    }
    const dialing =
      target.dialing ?? this.#dial(peerId, target, () => this.#dialer.dialPeer(peerId, this.#init.addressesOf(peerId)))
    return signal ? raceSignal(dialing, signal) : dialing
  }

  /**
   * Dials whoever answers at an address; gives the peer id once it is admitted.
   */
  async dialAddress(address: string): Promise<string> {
    const named = peerIdIn(parseAddress(address))
    if (named !== undefined && this.#init.admission.connectionTo(named)) return named
    // By address, not by peer: another address of the same peer must not stand for this one.
    const target = this.#targetOf(address)
    const dialing = target.dialing ?? this.#dial(address, target, () => this.#dialer.dialAddress(address))
    return (await dialing).remotePeer.toString()
  }

  /**
   * Dials a peer at addresses that anybody may have made up (mDNS). Rejects with `overloaded` when too many came, with
   * `unreachable` while that peer is left alone; the loop tries it a few times more.
   */
  async hint(peerId: string, addresses: string[]): Promise<void> {
    if (this.#init.admission.connectionTo(peerId)) return
    const target = this.#targetOf(peerId)
    if (!this.#hinted.has(peerId)) {
      if (this.#hinted.size >= MAX_REMEMBERED_HINTS) this.#hinted.delete(this.#hinted.keys().next().value!)
      this.#hinted.set(peerId, { addresses, tries: 0 })
    }
    this.#budget(peerId, target)
    await (target.dialing ?? this.#dial(peerId, target, () => this.#dialer.dialPeer(peerId, addresses)))
  }

  #budget(key: string, target: Target): void {
    if (target.dialing) return
    if (target.backoff.waitMs > 0) throw new CoterieError('unreachable', `${key} was tried a moment ago`)
    const nowMs = this.#init.clock.monotonicMs()
    if (nowMs - this.#hints.windowMs >= HINT_WINDOW_MS) this.#hints = { windowMs: nowMs, count: 0 }
    if (this.#dials >= MAX_DIALS || this.#hints.count >= MAX_HINTS) {
      throw new CoterieError('overloaded', `too many hints at once; ${key} is not dialled`)
    }
    this.#hints.count++
  }

  /** Shared by all who want this peer; also over as soon as the peer's own dial to us has been admitted. */
  #dial(key: string, target: Target, dial: () => Promise<Connection>): Promise<Connection> {
    const { promise, resolve, reject } = Promise.withResolvers<Connection>()
    target.dialing = promise
    this.#dials++
    const unsubscribe = this.#init.admission.onChange(({ peerId }, connected, connection) => {
      if (connected && peerId === key) resolve(connection)
    })
    dial().then(resolve, reject)
    const settled = (error?: unknown) => {
      unsubscribe()
      this.#dials--
      target.dialing = undefined
      if (error === undefined) target.backoff.reset()
      else {
        target.lastError = error as CoterieError
        target.backoff.failed()
      }
    }
    // Handles the rejection too: whoever awaits `promise` gets it as well.
    promise.then(() => settled(), settled)
    return promise
  }

  #targetOf(key: string): Target {
    const known = this.#targets.get(key)
    if (known) return known
    if (this.#targets.size >= MAX_REMEMBERED) this.#forgetOne()
    const target: Target = { backoff: new Backoff(this.#init) }
    this.#targets.set(key, target)
    return target
  }

  #forgetOne(): void {
    for (const [key, target] of this.#targets) {
      if (target.dialing) continue
      this.#targets.delete(key)
      return
    }
  }

  // ---- the loop

  #tick(): void {
    if (!this.#running) return
    const wanted = this.#init.wanted()
    // A seed that has answered is dialled again by whoever lost it before it had told of any member.
    const alone = wanted.length === 0 && this.#init.admission.nodes().length === 0
    for (const seed of this.#seeds) {
      if ((alone || !seed.done) && !seed.dialing && seed.backoff.waitMs === 0 && this.#dials < MAX_DIALS)
        void this.#trySeed(seed)
    }
    if (wanted.length <= FULL_MESH) for (const peerId of wanted) this.#tryMember(peerId)
    for (const [peerId, hint] of this.#hinted) this.#tryHint(peerId, hint)
    this.#loop = this.#init.timers.after(LOOP_MS, () => this.#tick())
  }

  #tryMember(peerId: string): void {
    if (peerId === this.#init.components.peerId.toString() || this.#init.admission.connectionTo(peerId)) return
    const target = this.#targetOf(peerId)
    if (target.dialing || target.backoff.waitMs > 0 || this.#dials >= MAX_DIALS) return
    this.connect(peerId).catch(error => {
      this.#init.log.debug(`no connection to ${peerId}; trying again`, { error: String(error) })
    })
  }

  #tryHint(peerId: string, hint: { addresses: string[]; tries: number }): void {
    const target = this.#targetOf(peerId)
    if (target.dialing || target.backoff.waitMs > 0) return
    if (this.#init.admission.connectionTo(peerId) || hint.tries >= MAX_HINT_TRIES) {
      this.#hinted.delete(peerId)
      return
    }
    hint.tries++
    this.hint(peerId, hint.addresses).catch(error => {
      this.#init.log.debug(`the hint at ${peerId} led nowhere`, { error: String(error) })
    })
  }

  async #trySeed(seed: Seed): Promise<void> {
    const { log, clock } = this.#init
    seed.dialing = true
    try {
      const peerId = await this.dialAddress(seed.address)
      seed.done = true
      seed.backoff.reset()
      log.info(`seed ${seed.address} is ${peerId}`)
    } catch (error) {
      if (!this.#running) return
      seed.backoff.failed()
      if (clock.monotonicMs() - seed.loggedMs >= SEED_LOG_MS) {
        seed.loggedMs = clock.monotonicMs()
        log.warn(`seed ${seed.address} cannot be used: ${(error as Error).message}; trying on for ever`)
      }
    } finally {
      seed.dialing = false
    }
  }
}
