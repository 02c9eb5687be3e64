/**
 * Moves ranges to other owners safely (design §6): works out which preference lists the flips change, has every new member
 * of each list copy first, and only then has them signed. Of an owner that gives its ranges away (`handover.ts`), or of one
 * that is dead (`reclaimer.ts`).
 */
import type { Background } from '../background.ts'
import type { Claim } from '../claim.ts'
import { CopyStatuses } from '../coordinator/copy-statuses.ts'
import { expectAnswer, type Peers } from '../coordinator/peers.ts'
import type { Clock, Log, Timers } from '../ports.ts'
import { chooseFlips, type FlipEffect, flipEffects } from '../ring/flips.ts'
import type { Flip, RingView } from '../ring/ring-view.ts'
import type { Topology } from '../topology.ts'

const CALL_TIMEOUT_MS = 5000
/** A new member that could not copy is left alone for this long, and other ranges go first. */
const SET_ASIDE_MS = 3000
/** Up to this many members each claim is told to all; everybody is connected to everybody then (`wire/peers.ts`). */
const TELL_ALL = 64
/** A member whose sources are out of reach says so at once: it is not asked again before this. */
const PULL_AGAIN_MS = 200
/** A copy that gains nothing for this long is not waited for any more (failures 48). */
const HEADWAY_MS = 10_000

/** One new member of some lists, and the copies that it has to be level with. */
interface Preparation {
  member: string
  sources: string[]
  ranges: number[]
}

export interface MovementParts {
  clock: Clock
  timers: Timers
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  /** Peer ids of all that are known. */
  members: () => string[]
}

export interface Move {
  asked: readonly Flip[]
  /** False: nobody wants it any more. */
  isWanted: () => boolean
  /** Signs the flips, unless the plan turns out to be void. */
  sign: (flips: readonly Flip[], stillPlanned: () => boolean) => Promise<Claim[]>
  /**
   * The owners are dead. A list of which too few are left to copy from safely changes all the same: its new members begin
   * empty and syncing, and fill themselves from whoever is left. `patient`: not while others of it are not dead, which
   * may be back or in sync soon. One that is dead may take a dead one's place on a list, until its own ranges have gone.
   * `isLost`: an operator has accepted the loss of what the range held, though nobody has it in sync (`losses.ts`).
   */
  bereft?: { patient: boolean; isDead: (owner: string) => boolean; isLost: (range: number) => boolean }
}

export interface Moved {
  /** `again`: the ring has changed meanwhile, a new plan may do. `held`: not now. `unsafe`: not as long as the ring is this one. */
  outcome: 'moved' | 'again' | 'held' | 'unsafe'
  claims: Claim[]
}

export class Movement {
  readonly #parts: MovementParts
  readonly #leaseMs: number
  readonly #setAside = new Map<string, number>()
  /** Ranges whose lists are about to change, as soon as the disk has the claims: how many movements are at it. */
  readonly #changing = new Map<number, number>()

  constructor(parts: MovementParts, init: { leaseMs: number }) {
    this.#parts = parts
    this.#leaseMs = init.leaseMs
  }

  /** One set of the flips that go together. */
  async run(move: Move): Promise<Moved> {
    const { view } = this.#parts.topology
    const nothing = (outcome: Moved['outcome']): Moved => ({ outcome, claims: [] })
    if (chooseFlips(view, move.asked).length === 0) return nothing('unsafe')
    const { flips, effects, statuses } = await this.#choose(view, move)
    if (flips.length === 0) return nothing('held')
    const preparations = this.#preparations(effects, statuses, move)
    if (preparations === undefined) return nothing('held')
    const planned = () => this.#unchanged(flips, effects)
    const isWanted = () => planned() && move.isWanted()
    const all = async (step: (preparation: Preparation) => Promise<boolean>) =>
      (await Promise.all(preparations.map(preparation => this.#attempt(preparation, step, planned)))).every(Boolean)
    const { clock } = this.#parts
    const startMs = clock.monotonicMs()
    const copy = (preparation: Preparation) => this.#pull(preparation, isWanted)
    // Who was ready first has waited for the last one: if for long, the mirrors have lapsed, and a second look renews them.
    let ready = (await all(copy)) && (clock.monotonicMs() - startMs < this.#leaseMs / 4 || (await all(copy)))
    return this.#whileChanging(effects, async () => {
      const sealedMs = clock.monotonicMs()
      ready = ready && (await all(preparation => this.#sealed(preparation, isWanted)))
      // Another flip came between: what was prepared may not be what is needed now.
      if (!planned()) return nothing('again')
      if (!ready) return nothing('held')
      // The seals hold for a lease; a claim signed on the strength of lapsed ones could lose what was acknowledged since. A disk
      // that stalls may take as long to sign it.
      const areSealed = () => clock.monotonicMs() - sealedMs <= this.#leaseMs / 2
      if (!areSealed()) return nothing('again')
      const claims = await move.sign(flips, () => planned() && areSealed())
      // Whoever was told that something moved would go on at once, and find the same again.
      if (claims.length === 0) return nothing(planned() ? 'held' : 'again')
      this.#tell(flips, effects, claims)
      return { outcome: 'moved', claims }
    })
  }

  /** Flips that go together and change no list that is held. Where some are left out others come in, of lists not looked at so far. */
  async #choose(
    view: RingView,
    { asked, bereft }: Move
  ): Promise<{ flips: Flip[]; effects: FlipEffect[]; statuses: CopyStatuses }> {
    const held = new Set<number>()
    const known = new Set<number>()
    const statuses = new CopyStatuses()
    for (;;) {
      const flips = chooseFlips(view, asked, held)
      const effects = flipEffects(view, flips)
      const fresh = effects.filter(({ range }) => !known.has(range))
      if (fresh.length === 0) return { flips, effects, statuses }
      await this.#ask(fresh, statuses)
      for (const effect of fresh) if (this.#isHeld(effect, statuses, bereft)) held.add(effect.range)
      for (const { range } of fresh) known.add(range)
    }
  }

  /**
   * True from the seal on until a change of the range's list is known, however long the disk takes to sign it: a new member
   * that has said that its copy is level must not be told now that it can give it up, since this node's has all of it.
   */
  isChanging(range: number): boolean {
    return this.#changing.has(range)
  }

  async #whileChanging<T>(effects: readonly FlipEffect[], work: () => Promise<T>): Promise<T> {
    const count = ({ range }: FlipEffect, by: number) => {
      const now = (this.#changing.get(range) ?? 0) + by
      if (now === 0) this.#changing.delete(range)
      else this.#changing.set(range, now)
    }
    for (const effect of effects) count(effect, 1)
    try {
      return await work()
    } finally {
      for (const effect of effects) count(effect, -1)
    }
  }

  /** What the reachable members of these lists hold; one that does not say holds nothing. */
  async #ask(effects: readonly FlipEffect[], statuses: CopyStatuses): Promise<void> {
    const byMember = new Map<string, number[]>()
    for (const { range, before } of effects) {
      for (const member of before) {
        if (this.#parts.peers.isReachable(member)) byMember.set(member, [...(byMember.get(member) ?? []), range])
      }
    }
    await statuses.ask(this.#parts.peers, byMember, {
      timeoutMs: CALL_TIMEOUT_MS,
      onSilent: (member, error) =>
        this.#parts.log.debug('a list member did not say what it holds', { member, error: String(error) })
    })
  }

  /**
   * A list that may not change now: a member to be is out of reach, or a reachable member is not in sync; of a list that has
   * lost members, as long as enough of it can be reached to wait for, and always where nobody that can be is in sync, but
   * for lost ranges.
   */
  #isHeld({ range, before, entering }: FlipEffect, statuses: CopyStatuses, bereft: Move['bereft']): boolean {
    if (entering.some(member => !this.#canCopy(member) && bereft?.isDead(member) !== true)) return true
    const asked = before.flatMap(member => statuses.of(member, range) ?? [])
    const synced = asked.filter(status => status === 'synced').length
    if (bereft === undefined) return synced < asked.length
    if (bereft.isLost(range)) return false
    const needed = this.#needed(before)
    const mayReturn = before.some(member => !this.#parts.peers.isReachable(member) && !bereft.isDead(member))
    return synced === 0 || (synced < needed && bereft.patient && (asked.length >= needed || mayReturn))
  }

  #canCopy(member: string): boolean {
    const untilMs = this.#setAside.get(member) ?? 0
    return this.#parts.peers.isReachable(member) && untilMs <= this.#parts.clock.monotonicMs()
  }

  /** Undefined when a list has too few reachable members to copy from. */
  #preparations(effects: FlipEffect[], statuses: CopyStatuses, { bereft }: Move): Preparation[] | undefined {
    const grouped = new Map<string, Preparation>()
    for (const effect of effects) {
      const sources = this.#sources(effect, statuses)
      if (effect.entering.length === 0 || (sources === undefined && bereft !== undefined)) continue
      if (sources === undefined) return undefined
      for (const member of effect.entering) {
        if (bereft?.isDead(member)) continue
        const name = [member, ...sources].join(' ')
        const group = grouped.get(name) ?? { member, sources, ranges: [] }
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
  #sources({ range, before, leaving }: FlipEffect, statuses: CopyStatuses): string[] | undefined {
    const { peers } = this.#parts
    if (leaving.length === 1 && statuses.of(leaving[0], range) === 'synced') return [leaving[0]]
    const synced = peers.byHealth(before).filter(member => statuses.of(member, range) === 'synced')
    const needed = this.#needed(before)
    return synced.length < needed ? undefined : synced.slice(0, needed)
  }

  #needed(list: readonly string[]): number {
    return list.length - Math.min(this.#parts.topology.params.w, list.length) + 1
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
    while (clock.monotonicMs() < giveUpMs && stillWanted() && !background.signal.aborted) {
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

  /**
   * Those whose lists have changed need not wait for gossip; nor, while they are few, the others: one that goes by an
   * older ring takes itself and its like for members of lists that have moved on, and reads there what is not news.
   */
  #tell(flips: readonly Flip[], effects: readonly FlipEffect[], claims: Claim[]): void {
    const { peers, background } = this.#parts
    const others = this.#parts.members()
    const told = new Set([
      ...flips.map(({ to }) => to),
      ...effects.flatMap(({ before, after }) => [...before, ...after]),
      ...(others.length <= TELL_ALL ? others.filter(member => peers.isReachable(member)) : [])
    ])
    told.delete(peers.self)
    for (const member of told)
      background.run(
        'telling a member who owns what',
        peers.call(member, { type: 'claims', claims }, { timeoutMs: CALL_TIMEOUT_MS })
      )
  }
}
