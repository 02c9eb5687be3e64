/**
 * How a simulated peer comes by its connections: dials on demand, and a loop that keeps those that a member needs, with
 * backoff, as `wire/peers.ts` does on libp2p.
 */
import { CoterieError } from '../../errors.ts'
import { Backoff } from '../../wire/backoff.ts'
import { FULL_MESH } from '../../wire/peers.ts'
import type { SimRandom } from '../world/random.ts'
import type { Cancellable } from '../world/world.ts'
import { End, type Host } from './connections.ts'
import type { Links } from './links.ts'

/** The loop looks this often while a wanted peer is missing, */
const LOOP_MS = 500
/** this often while none is: there may be new members, */
const CALM_LOOP_MS = 2000
/** and this often while there are so many that it connects to none. */
const LARGE_LOOP_MS = 10_000
/** A dial, admission included: as long as a hello may take. */
const DIAL_TIMEOUT_MS = 3000
/** Dials that the loop has under way at once. */
const MAX_DIALS = 16
/** Shorter than on the wire: the end of a run waits for everybody to find everybody. */
const LONGEST_DELAY_MS = 4000

export interface DialsInit {
  host: Target
  links: Links
  random: SimRandom
  /** Who answers to this name now. */
  target: (peerId: string) => Target | undefined
  connectionTo: (peerId: string) => End | undefined
  wanted: () => string[]
}

/** A side that dials and is dialled. */
export interface Target extends Host {
  bans(peerId: string): boolean
  /** Why it, or the dialler, will not have the connection. */
  refusal(dialler: Target): CoterieError | undefined
}

interface Dial {
  promise: Promise<End>
  resolve(end: End): void
  reject(error: CoterieError): void
}

interface Failed {
  backoff: Backoff
  /** The last time. */
  why: string
}

export class Dials {
  readonly #init: DialsInit
  readonly #dials = new Map<string, Dial>()
  readonly #failed = new Map<string, Failed>()
  #stopped = false
  /** More peers are wanted than anybody stays connected to. */
  #large = false
  #loop: { timer: Cancellable; atMs: number } | undefined

  constructor(init: DialsInit) {
    this.#init = init
    this.#loopAfter(0)
  }

  /** A connection: one there is, or the dial that is under way, or a new one. Rejects as `Peers.connect`. */
  async connect(peerId: string): Promise<End> {
    const existing = this.#init.connectionTo(peerId)
    if (existing !== undefined) return existing
    const waitMs = this.#waitMs(peerId)
    if (!this.#dials.has(peerId) && waitMs > 0) {
      const { why } = this.#failed.get(peerId)!
      const seconds = (waitMs / 1000).toFixed(1)
      throw new CoterieError('unreachable', `${peerId} is left alone for ${seconds} s more: ${why}`)
    }
    return (this.#dials.get(peerId) ?? this.#dial(peerId)).promise
  }

  /** Whichever side dialled. */
  connected(end: End): void {
    const { peerId } = end.peer
    this.#failed.delete(peerId)
    const dial = this.#dials.get(peerId)
    this.#dials.delete(peerId)
    dial?.resolve(end)
  }

  disconnected(): void {
    if (!this.#large) this.#loopAfter(LOOP_MS)
  }

  /** `reason` absent: killed, and nobody is told. */
  stop(reason: CoterieError | undefined): void {
    this.#stopped = true
    this.#loop?.timer.cancel()
    if (reason !== undefined) for (const dial of this.#dials.values()) dial.reject(reason)
    this.#dials.clear()
  }

  #waitMs(peerId: string): number {
    return this.#failed.get(peerId)?.backoff.waitMs ?? 0
  }

  #dial(peerId: string): Dial {
    const dial: Dial = Promise.withResolvers<End>()
    dial.promise.catch(() => {
      // Whoever waits for it is told.
    })
    this.#dials.set(peerId, dial)
    const { host, links } = this.#init
    const { world, process } = host
    const there = links.between(host.caller.peerId, peerId)
    const back = links.between(peerId, host.caller.peerId)
    const end = new End(host, { peerId, role: 'node' }, there)
    const failed = (code: 'refused' | 'unreachable', why: string) => {
      end.close(new CoterieError(code, why), false)
      // The other side's dial may have been quicker.
      if (this.#dials.get(peerId) === dial) this.#giveUp(peerId, dial, new CoterieError(code, why))
    }
    const timer = world.after(DIAL_TIMEOUT_MS, process, `net ${there.name} connect timeout`, () =>
      failed('unreachable', `cannot connect to ${peerId}: nothing came back within ${DIAL_TIMEOUT_MS} ms`)
    )
    end.onDecided = () => timer.cancel()
    /** The other side's answer, on its way to us. */
    const answered = (afterMs: number, what: string, code: 'refused' | 'unreachable', why: string) =>
      world.after(afterMs, process, `net ${back.name} ${what}`, () => {
        if (!back.isCut && end.state === 'opening') failed(code, why)
      })
    if (there.isCut) return dial
    const thereMs = there.reliableDelayMs()
    const target = this.#init.target(peerId)
    if (target === undefined || !target.attached || target.caller.role === 'client') {
      const roundTripMs = thereMs + back.reliableDelayMs()
      answered(roundTripMs, 'refuse', 'unreachable', `cannot connect to ${peerId}: connection refused`)
      return dial
    }
    world.after(thereMs, target.process, `net ${there.name} connect`, () => {
      if (there.isCut || back.isCut) return
      const refusal = target.attached ? target.refusal(host) : new CoterieError('unreachable', 'connection refused')
      if (refusal === undefined) new End(target, host.caller, back).accept(end)
      else {
        const code = refusal.code === 'refused' ? 'refused' : 'unreachable'
        answered(back.reliableDelayMs(), 'refuse', code, `${peerId} refuses us: "${refusal.message}"`)
      }
    })
    return dial
  }

  #giveUp(peerId: string, dial: Dial, error: CoterieError): void {
    this.#dials.delete(peerId)
    const { host, random } = this.#init
    const { clock } = host.process
    const backoff = this.#failed.get(peerId)?.backoff ?? new Backoff({ clock, random }, LONGEST_DELAY_MS)
    backoff.failed()
    this.#failed.set(peerId, { backoff, why: error.message })
    dial.reject(error)
  }

  // ---- the loop

  #loopAfter(delayMs: number): void {
    const { world, process } = this.#init.host
    const atMs = world.nowMs + delayMs
    if (this.#stopped || (this.#loop !== undefined && this.#loop.atMs <= atMs)) return
    this.#loop?.timer.cancel()
    this.#loop = { atMs, timer: world.after(delayMs, process, 'net loop', () => this.#tick()) }
  }

  #tick(): void {
    this.#loop = undefined
    const { host, wanted, connectionTo } = this.#init
    const peerIds = wanted()
    this.#large = peerIds.length > FULL_MESH
    if (this.#large) {
      this.#loopAfter(LARGE_LOOP_MS)
      return
    }
    let missing = false
    for (const peerId of peerIds) {
      if (peerId === host.caller.peerId || connectionTo(peerId) !== undefined) continue
      missing = true
      if (this.#dials.size < MAX_DIALS && !this.#dials.has(peerId) && this.#waitMs(peerId) === 0) this.#dial(peerId)
    }
    this.#loopAfter(missing ? LOOP_MS : CALM_LOOP_MS)
  }
}
