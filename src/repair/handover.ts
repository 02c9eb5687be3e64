/**
 * The owner's side of a movement. Thieves ask for ranges; the owner works out which preference lists each flip changes,
 * has every new member copy first, and only then signs one grant per range and epoch (design §6). While an owner is up,
 * nobody else can give its ranges away.
 */
import type { Background } from '../background.ts'
import { expectAnswer, type Peers } from '../coordinator/peers.ts'
import type { Answer } from '../messages.ts'
import type { Clock, Log, Timers } from '../ports.ts'
import { chooseFlips, type FlipEffect, flipEffects } from '../ring/flips.ts'
import type { Flip, RingView } from '../ring/ring-view.ts'
import type { Topology } from '../topology.ts'

const CALL_TIMEOUT_MS = 5000
/** A new member that could not copy is left alone for this long, and other ranges go first. */
const SET_ASIDE_MS = 3000
/** Up to this many members each grant is told to all; everybody is connected to everybody then (`wire/peers.ts`). */
const TELL_ALL = 64
/** A member whose sources are out of reach says so at once: it is not asked again before this. */
const PULL_AGAIN_MS = 200
/** A copy that gains nothing for this long is not waited for any more (failures 48). */
const HEADWAY_MS = 10_000

interface Ask {
  to: string
  untilMs: number
}

/** One new member of some lists, and the copies that it has to be level with. */
interface Preparation {
  member: string
  sources: string[]
  ranges: number[]
}

export interface HandoverParts {
  clock: Clock
  timers: Timers
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  /** True for a member that may be given ranges: known, and neither leaving nor left. */
  mayOwn: (peerId: string) => boolean
  /** Peer ids of all that are known. */
  members: () => string[]
}

export class Handover {
  readonly #parts: HandoverParts
  readonly #leaseMs: number
  readonly #asks = new Map<number, Ask>()
  readonly #setAside = new Map<string, number>()
  #unsafe = { version: -1, flips: new Set<string>() }
  #running = false
  #granted = 0

  constructor(parts: HandoverParts, init: { leaseMs: number }) {
    this.#parts = parts
    this.#leaseMs = init.leaseMs
  }

  get granted(): number {
    return this.#granted
  }

  /** `ranges` is all that the thief wants from us now: what it asked for before and leaves out is forgotten. */
  ask(thief: string, ranges: number[]): Answer {
    const { topology, peers } = this.#parts
    const answer = {
      type: 'asked' as const,
      granted: [] as NonNullable<ReturnType<Topology['claim']>>[],
      pending: [] as number[],
      refused: [] as number[]
    }
    for (const [range, { to }] of this.#asks) if (to === thief) this.#asks.delete(range)
    const untilMs = this.#parts.clock.monotonicMs() + this.#leaseMs
    for (const range of ranges) {
      const claim = topology.claim(range)
      if (claim !== undefined && claim.owner === thief) answer.granted.push(claim)
      else if (
        claim?.owner !== peers.self ||
        this.#asks.has(range) ||
        !this.#parts.mayOwn(thief) ||
        this.#isUnsafe(range, thief)
      )
        answer.refused.push(range)
      else {
        this.#asks.set(range, { to: thief, untilMs })
        answer.pending.push(range)
      }
    }
    this.tick()
    return answer
  }

  /** Goes on with what is asked for, if nothing is under way. */
  tick(): void {
    const nowMs = this.#parts.clock.monotonicMs()
    for (const [range, { untilMs }] of this.#asks) if (untilMs <= nowMs) this.#asks.delete(range)
    if (this.#running || this.#asks.size === 0) return
    this.#running = true
    const rounds = async () => {
      try {
        while (this.#asks.size > 0 && !this.#parts.background.signal.aborted && (await this.#round()));
      } finally {
        this.#running = false
      }
    }
    this.#parts.background.run('handing ranges over', rounds())
  }

  /** One set of flips that go together; false when nothing could be given away now. */
  async #round(): Promise<boolean> {
    const { topology, peers } = this.#parts
    const view = topology.view
    const asked: Flip[] = [...this.#asks]
      .filter(([range]) => topology.claim(range)?.owner === peers.self)
      .map(([range, { to }]) => ({ range, to }))
    for (const range of this.#asks.keys()) if (!asked.some(flip => flip.range === range)) this.#asks.delete(range)
    if (chooseFlips(view, asked).length === 0) {
      this.#refuse(asked)
      return false
    }
    const { flips, effects } = await this.#choose(view, asked)
    if (flips.length === 0) return false
    const preparations = this.#preparations(effects)
    if (preparations === undefined) return false
    const planned = () => this.#unchanged(flips, effects)
    const all = async (step: (preparation: Preparation) => Promise<boolean>) =>
      (await Promise.all(preparations.map(preparation => this.#attempt(preparation, step, planned)))).every(Boolean)
    const { clock } = this.#parts
    const startMs = clock.monotonicMs()
    const copy = (preparation: Preparation) => this.#pull(preparation, planned)
    // Who was ready first has waited for the last one: if for long, the mirrors have lapsed, and a second look renews them.
    let ready = (await all(copy)) && (clock.monotonicMs() - startMs < this.#leaseMs / 4 || (await all(copy)))
    const sealedMs = clock.monotonicMs()
    ready = ready && (await all(preparation => this.#sealed(preparation, planned)))
    // Another owner's flip came between: what was prepared may not be what is needed now.
    if (!planned()) return true
    if (!ready) return false
    // The seals hold for a lease; a grant signed on the strength of lapsed ones could lose what was acknowledged since.
    if (clock.monotonicMs() - sealedMs > this.#leaseMs / 2) return true
    await this.#grant(flips, effects, planned)
    return true
  }

  /**
   * Flips that change two members of one list at once, each by itself (with zones, one range may move several members):
   * their thieves are told, and take others, until the ring is another one.
   */
  #refuse(flips: Flip[]): void {
    const { version } = this.#parts.topology
    if (this.#unsafe.version !== version) this.#unsafe = { version, flips: new Set() }
    for (const { range, to } of flips) {
      // Several thieves may want one range: what one of them was told must not make room for the next to be told afresh.
      this.#unsafe.flips.add(`${range} ${to}`)
      this.#asks.delete(range)
    }
  }

  #isUnsafe(range: number, thief: string): boolean {
    return this.#unsafe.version === this.#parts.topology.version && this.#unsafe.flips.has(`${range} ${thief}`)
  }

  /** Flips that go together and change no list that is held. Where some are left out others come in, of lists not looked at so far. */
  async #choose(view: RingView, asked: Flip[]): Promise<{ flips: Flip[]; effects: FlipEffect[] }> {
    const held = new Set<number>()
    const known = new Set<number>()
    for (;;) {
      const flips = chooseFlips(view, asked, held)
      const effects = flipEffects(view, flips)
      const fresh = effects.filter(({ range }) => !known.has(range))
      if (fresh.length === 0) return { flips, effects }
      for (const range of await this.#heldRanges(fresh)) held.add(range)
      for (const { range } of fresh) known.add(range)
    }
  }

  /** Lists that may not change now: a reachable member is not in sync, or a member to be is out of reach. */
  async #heldRanges(effects: FlipEffect[]): Promise<Set<number>> {
    const held = new Set<number>()
    const byMember = new Map<string, number[]>()
    for (const { range, before, entering } of effects) {
      if (entering.some(member => !this.#canCopy(member))) held.add(range)
      for (const member of before) {
        if (this.#parts.peers.isReachable(member)) byMember.set(member, [...(byMember.get(member) ?? []), range])
      }
    }
    await Promise.all(
      [...byMember].map(async ([member, ranges]) => {
        try {
          const answer = await this.#parts.peers.call(
            member,
            { type: 'copies', ranges },
            { timeoutMs: CALL_TIMEOUT_MS }
          )
          for (const { range, status } of expectAnswer(answer, 'copies').copies)
            if (status !== 'synced') held.add(range)
        } catch (error) {
          this.#parts.log.debug('a list member did not say what it holds', { member, error: String(error) })
          for (const range of ranges) held.add(range)
        }
      })
    )
    return held
  }

  #canCopy(member: string): boolean {
    const untilMs = this.#setAside.get(member) ?? 0
    return this.#parts.peers.isReachable(member) && untilMs <= this.#parts.clock.monotonicMs()
  }

  /** Undefined when a list has too few reachable members to copy from. */
  #preparations(effects: FlipEffect[]): Preparation[] | undefined {
    const grouped = new Map<string, Preparation>()
    for (const effect of effects) {
      const sources = this.#sources(effect)
      if (effect.entering.length > 0 && sources === undefined) return undefined
      for (const member of effect.entering) {
        const name = [member, ...sources!].join(' ')
        const group = grouped.get(name) ?? { member, sources: sources!, ranges: [] }
        group.ranges.push(effect.range)
        grouped.set(name, group)
      }
    }
    return [...grouped.values()]
  }

  /**
   * The member that the new one replaces; where that is gone or none leaves, enough of the list to meet every write
   * acknowledged at the cluster's W: N − W + 1 of them (design §6, safety of movement 1).
   */
  #sources({ before, leaving }: FlipEffect): string[] | undefined {
    const { peers, topology } = this.#parts
    if (leaving.length === 1 && peers.isReachable(leaving[0])) return [leaving[0]]
    const w = Math.min(topology.params.w, before.length)
    const reachable = peers.byHealth(before).filter(member => peers.isReachable(member))
    const needed = before.length - w + 1
    return reachable.length < needed ? undefined : reachable.slice(0, needed)
  }

  /** One step with one new member; false when it fails or makes no headway: it is set aside then, unless the plan is void. */
  async #attempt(
    preparation: Preparation,
    step: (preparation: Preparation) => Promise<boolean>,
    planned: () => boolean
  ): Promise<boolean> {
    const { member, ranges } = preparation
    try {
      if (await step(preparation)) return true
    } catch (error) {
      this.#parts.log.debug('a new member of a preference list is not ready', {
        member,
        ranges: ranges.length,
        error: String(error)
      })
    }
    if (planned()) this.#setAside.set(member, this.#parts.clock.monotonicMs() + SET_ASIDE_MS)
    return false
  }

  /** Seals the mirrors and asks once more: what the member says after the seal cannot be undone by a lost mirror. */
  async #sealed(preparation: Preparation, stillWanted: () => boolean): Promise<boolean> {
    const { member, sources, ranges } = preparation
    for (const source of sources)
      await this.#parts.peers.call(source, { type: 'seal', ranges, member }, { timeoutMs: CALL_TIMEOUT_MS })
    return this.#pull(preparation, stillWanted)
  }

  /** Copies: calls until all is synced, as long as there is headway and the plan holds. */
  async #pull({ member, sources, ranges }: Preparation, stillWanted: () => boolean): Promise<boolean> {
    const { peers, clock, timers, background } = this.#parts
    let best = -1
    let giveUpMs = clock.monotonicMs() + HEADWAY_MS
    while (clock.monotonicMs() < giveUpMs && this.#asks.size > 0 && stillWanted() && !background.signal.aborted) {
      const answer = await peers.call(member, { type: 'pull', ranges, sources }, { timeoutMs: CALL_TIMEOUT_MS })
      const { synced, keysDone } = expectAnswer(answer, 'pulled')
      if (synced.length === ranges.length) return true
      const headway = synced.length * 1e9 + keysDone
      if (headway > best) {
        best = headway
        giveUpMs = clock.monotonicMs() + HEADWAY_MS
      } else await timers.sleep(PULL_AGAIN_MS, background.signal)
    }
    return false
  }

  /**
   * The flips would still do what they were planned for, no more and no less: with another owner's flip in between, they
   * may change a list that nobody has prepared for.
   */
  #unchanged(flips: Flip[], effects: FlipEffect[]): boolean {
    const now = flipEffects(this.#parts.topology.view, flips)
    return (
      now.length === effects.length &&
      now.every(({ range, before, after }, i) => {
        const planned = effects[i]!
        return range === planned.range && `${before}` === `${planned.before}` && `${after}` === `${planned.after}`
      })
    )
  }

  async #grant(flips: Flip[], effects: FlipEffect[], planned: () => boolean): Promise<void> {
    const { topology, peers, background, log } = this.#parts
    const claims = await topology.grant(flips, planned)
    if (claims.length === 0) return
    this.#granted += claims.length
    for (const { range } of flips) this.#asks.delete(range)
    log.info('gave ranges away', { ranges: claims.length, to: [...new Set(flips.map(({ to }) => to))].join(',') })
    // Those whose lists have changed need not wait for gossip; nor, while they are few, the others: one that goes by an
    // older ring takes itself and its like for members of lists that have moved on, and reads there what is not news.
    const others = this.#parts.members()
    const told = new Set([
      ...flips.map(({ to }) => to),
      ...effects.flatMap(({ before, after }) => [...before, ...after]),
      ...(others.length <= TELL_ALL ? others.filter(member => peers.isReachable(member)) : [])
    ])
    told.delete(peers.self)
    for (const member of told)
      background.run(
        'telling a member of a grant',
        peers.call(member, { type: 'claims', claims }, { timeoutMs: CALL_TIMEOUT_MS })
      )
  }
}
