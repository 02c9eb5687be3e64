/**
 * Takes over what dead members owned (design §6, death). A member is dead when it has been down for `reclaimAfterMs` while
 * this node heard most of the others; when it was removed, `trustMs` ago, for it may be cut off and not know;
 * or when it has left. One survivor acts for all, the first of those that are up, and the next when nothing comes of it; it
 * plans by what all know alike, has new members of lists copy first, and signs.
 */
import type { Background } from '../background.ts'
import type { Clock, Log } from '../ports.ts'
import type { PlanMember } from '../ring/planner.ts'
import { planReclaims } from '../ring/reclaim-planner.ts'
import type { Flip } from '../ring/ring-view.ts'
import type { Topology } from '../topology.ts'
import { FlipWindow } from './flip-window.ts'
import type { Moved, Movement } from './movement.ts'
import { UnsafeFlips } from './unsafe-flips.ts'

/** A look that comes so late means that this process stood still: what it has not heard meanwhile proves nothing. */
const PAUSE_MS = 5000
/** An operator who was told to wait asks again before this: until then nothing else begins, or it might never be its turn. */
const ASKED_AGAIN_MS = 1000
/** Ranges in one plan: how long the event loop and the lists that change are busy with it. */
const RANGES_AT_ONCE = 256

export interface ReclaimerParts {
  clock: Clock
  log: Log
  background: Background
  topology: Topology
  movement: Movement
  majority: { readonly isHeard: boolean; readonly isHeardNow: boolean }
  /** What this node thinks of a peer. */
  verdict: (peerId: string) => 'up' | 'suspect' | 'down' | 'left' | 'removed'
  /** Who may own ranges, those that are down included. */
  survivors: () => PlanMember[]
}

export interface ReclaimerInit {
  self: string
  reclaimAfterMs: number
  /** How long a member that was removed, and may be cut off, trusts its own view of the ring. */
  trustMs: number
  /** How long members of a list are waited for that may be back or in sync soon, where too few are in sync to copy from. */
  patienceMs: number
  /** How long the first of the survivors has before the next one acts as well, and so on. */
  turnMs: number
}

export class Reclaimer {
  readonly #parts: ReclaimerParts
  readonly #init: ReclaimerInit
  /** Since when each owner is down or removed. */
  readonly #downMs = new Map<string, number>()
  #lookedMs = Number.NEGATIVE_INFINITY
  /** Who was dead at the last look. */
  #deadOnes: ReadonlySet<string> = new Set()
  /** Who is dead, and since when it is these. */
  #since = { dead: '', ms: 0 }
  readonly #unsafe: UnsafeFlips
  /** One for each: what an operator waits for must not keep what nobody waits for from its turn, nor the other way round. */
  readonly #windows = { own: new FlipWindow(RANGES_AT_ONCE), lost: new FlipWindow(RANGES_AT_ONCE) }
  #running = false
  /** When an operator was last told to wait. */
  #heldUpMs = Number.NEGATIVE_INFINITY
  #reclaimed = 0

  constructor(parts: ReclaimerParts, init: ReclaimerInit) {
    this.#parts = parts
    this.#init = init
    this.#unsafe = new UnsafeFlips(parts.topology)
  }

  /** Ranges taken over by this node's word. */
  get reclaimed(): number {
    return this.#reclaimed
  }

  tick(): void {
    const { clock, topology, background, majority } = this.#parts
    if (!topology.complete) return
    const dead = this.#dead()
    this.#deadOnes = dead
    const names = [...dead].sort().join()
    if (this.#since.dead !== names) this.#since = { dead: names, ms: clock.monotonicMs() }
    if (this.#running || dead.size === 0 || !majority.isHeard || !this.#isDue(dead)) return
    if (clock.monotonicMs() - this.#heldUpMs < ASKED_AGAIN_MS) return
    const flips = this.#plan(dead)
    if (flips.length === 0) return
    this.#running = true
    const taking = this.#take(flips, dead, { window: this.#windows.own }).finally(() => {
      this.#running = false
    })
    background.run('taking over the ranges of dead members', taking)
  }

  /** By the last look. */
  isDead(peerId: string): boolean {
    return this.#deadOnes.has(peerId)
  }

  /**
   * Takes over ranges of dead members that nobody else takes, since no synced copy is left of them and an operator has
   * accepted that (`losses.ts`). Whoever is told does it: the others hold these ranges back. `accepted`: all whose loss is,
   * since lists beside these change along with them.
   */
  async takeLost(ranges: ReadonlySet<number>, accepted: ReadonlySet<number>): Promise<Moved['outcome']> {
    const { majority, clock } = this.#parts
    if (this.#running) this.#heldUpMs = clock.monotonicMs()
    const dead = this.#deadOnes
    const flips = this.#plan(dead).filter(({ range }) => ranges.has(range))
    if (this.#running || flips.length === 0 || !majority.isHeard) return 'held'
    this.#running = true
    this.#heldUpMs = Number.NEGATIVE_INFINITY
    try {
      return await this.#take(flips, dead, { window: this.#windows.lost, isLost: range => accepted.has(range) })
    } finally {
      this.#running = false
    }
  }

  /** Owners, and those that may own, that are dead. Silence counts only while most of the others are heard. */
  #dead(): Set<string> {
    const { clock, topology, majority, verdict, survivors } = this.#parts
    const { self, reclaimAfterMs, trustMs } = this.#init
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#lookedMs > PAUSE_MS || !majority.isHeard) this.#downMs.clear()
    this.#lookedMs = nowMs
    const dead = new Set<string>()
    for (const peerId of new Set([...topology.view.owners(), ...survivors().map(({ peerId }) => peerId)])) {
      if (peerId === self) continue
      const seen = verdict(peerId)
      if (seen === 'up' || seen === 'suspect') this.#downMs.delete(peerId)
      else if (!this.#downMs.has(peerId)) this.#downMs.set(peerId, nowMs)
      const silentMs = nowMs - (this.#downMs.get(peerId) ?? nowMs)
      const isSilent = seen === 'down' && reclaimAfterMs > 0 && silentMs >= reclaimAfterMs
      const isRemoved = seen === 'removed' && silentMs >= trustMs
      if (seen === 'left' || isSilent || isRemoved) dead.add(peerId)
    }
    return dead
  }

  /**
   * The first of those that are up, at once; the others later, one after the other, should nothing come of it. Who owns
   * nothing comes last: a joiner that does not know the whole ring yet would let its turn pass.
   */
  #isDue(dead: ReadonlySet<string>): boolean {
    const { clock, topology, survivors, verdict } = this.#parts
    const { self, turnMs } = this.#init
    const owners = new Set(topology.view.owners())
    const up = survivors()
      .map(({ peerId }) => peerId)
      .filter(peerId => !dead.has(peerId) && (peerId === self || verdict(peerId) === 'up'))
      .sort()
    const turn = [...up.filter(peerId => owners.has(peerId)), ...up.filter(peerId => !owners.has(peerId))].indexOf(self)
    return turn >= 0 && clock.monotonicMs() - this.#since.ms >= turn * turnMs
  }

  /** Nothing goes to those that are down, dead or not: their share waits for them. */
  #plan(dead: ReadonlySet<string>): Flip[] {
    const { topology, survivors, verdict } = this.#parts
    const { self } = this.#init
    const owners = Array.from({ length: topology.params.q }, (_, range) => topology.claim(range)?.owner)
    const living = survivors().filter(({ peerId }) => peerId === self || verdict(peerId) !== 'down')
    const isDead = (owner: string) => dead.has(owner)
    const mayTake = (range: number, peerId: string) => !this.#unsafe.has({ range, to: peerId })
    return planReclaims(owners, living, isDead, topology.params.n, mayTake)
  }

  async #take(
    flips: readonly Flip[],
    dead: ReadonlySet<string>,
    { window, isLost = () => false }: { window: FlipWindow; isLost?: (range: number) => boolean }
  ): Promise<Moved['outcome']> {
    const { clock, topology, movement, majority, log } = this.#parts
    const asked = window.of(flips)
    const isPatient = clock.monotonicMs() - this.#since.ms < this.#init.patienceMs
    const { outcome, claims } = await movement.run({
      asked,
      isWanted: () => majority.isHeard,
      bereft: { patient: isPatient, isDead: owner => dead.has(owner), isLost },
      sign: (chosen, stillPlanned) =>
        topology.reclaim(
          chosen,
          owner => dead.has(owner),
          () => stillPlanned() && majority.isHeardNow && this.#areStillDead(dead)
        )
    })
    if (outcome === 'unsafe') for (const flip of asked) this.#unsafe.add(flip)
    if (claims.length === 0) {
      window.passOver(asked)
      return outcome
    }
    this.#reclaimed += claims.length
    log.warn('took over ranges of members that are dead', { ranges: claims.length, from: [...dead].join() })
    return outcome
  }

  #areStillDead(dead: ReadonlySet<string>): boolean {
    return [...dead].every(owner => !['up', 'suspect'].includes(this.#parts.verdict(owner)))
  }
}
