/**
 * What the nodes will do once members have changed, before it happens: their own planners on one ring, in turns, until
 * nothing more moves. As real nodes do, each flip waits for those that it is not safe with, and one that is unsafe by
 * itself is left alone for a while, and others asked for. Nodes act at the same time, not in turns: they may share out
 * other ranges, but as many each, give or take one.
 */
import { chooseFlips, flipEffects } from './flips.ts'
import { type PlanMember, planSteals } from './planner.ts'
import { planReclaims } from './reclaim-planner.ts'
import { type Flip, RingView } from './ring-view.ts'

/** Once nothing moves, leavers' ranges go to those that have their share, up to so many more: an hour of waiting (`thief.ts`). */
const MOST_SLACK = 8
/** Ranges of dead members that are taken over at once (`reclaimer.ts`). */
const RECLAIMS_AT_ONCE = 256

export interface FutureMember extends PlanMember {
  /** False: it gives nothing and takes nothing; what it has, and its share, wait for it. */
  isUp: boolean
}

export interface FutureRing {
  view: RingView
  /** Copies made on the way: (range, new member of its list). */
  copies: number
  /** Ranges that stay with owners that go, since no flip of them is safe, or nobody may take them. */
  stuck: number[]
}

/**
 * `view`: the ring as it is. `members`: everybody who will be there, with the capacities that they will have; 0: it
 * leaves. An owner that is no member is dead, and the others take over what it owns.
 */
export function planAhead(view: RingView, members: readonly FutureMember[]): FutureRing {
  return new Rehearsal(view, members).run()
}

class Rehearsal {
  #owners: (string | undefined)[]
  #view: RingView
  readonly #members: readonly FutureMember[]
  readonly #byId: ReadonlyMap<string, FutureMember>
  /** Those that can take ranges, in the order in which they are asked. */
  readonly #takers: FutureMember[]
  readonly #zoneOf: (peerId: string) => string
  /** Flips found to be unsafe by themselves: not asked for again before all else has come to rest. */
  readonly #unsafe = new Set<string>()
  /** The ring has changed since the first of them was found. */
  #isStale = false
  /** Takers that want nothing as the ring is. */
  readonly #content = new Set<string>()
  #copies = 0
  #slack = 0

  constructor(view: RingView, members: readonly FutureMember[]) {
    this.#byId = new Map(members.map(member => [member.peerId, member]))
    const { zoneOf } = view.toLayout()
    this.#zoneOf = peerId => this.#byId.get(peerId)?.zone ?? zoneOf(peerId)
    this.#owners = view.toLayout().toOwners()
    this.#view = new RingView(this.#owners, this.#zoneOf, view.n)
    this.#members = members
    this.#takers = members.filter(({ isUp, capacity }) => isUp && capacity > 0)
    this.#takers.sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
  }

  run(): FutureRing {
    for (;;) {
      const outcome = this.#round()
      if (outcome === 'moved') this.#slack = 0
      if (outcome !== 'nothing' || this.#forgetUnsafe()) continue
      const stuck = this.#stuck()
      if (stuck.length === 0 || this.#slack === MOST_SLACK) return { view: this.#view, copies: this.#copies, stuck }
      this.#slack++
      this.#content.clear()
    }
  }

  /** True when some flips may be safe by now. */
  #forgetUnsafe(): boolean {
    if (this.#unsafe.size === 0 || !this.#isStale) return false
    this.#unsafe.clear()
    this.#content.clear()
    this.#isStale = false
    return true
  }

  /** Everybody plans once. Each flip brings dead owners, leavers or shares nearer to their end, so that it ends. */
  #round(): 'moved' | 'unsafe' | 'nothing' {
    const outcomes = new Set([this.#reclaim()])
    for (const { peerId } of this.#takers) outcomes.add(this.#steal(peerId))
    return outcomes.has('moved') ? 'moved' : outcomes.has('unsafe') ? 'unsafe' : 'nothing'
  }

  #reclaim(): 'moved' | 'unsafe' | 'nothing' {
    const isDead = (owner: string) => !this.#byId.has(owner)
    if (!this.#view.owners().some(isDead)) return 'nothing'
    const mayTake = (range: number, peerId: string) => !this.#unsafe.has(nameOf({ range, to: peerId }))
    const flips = planReclaims(this.#owners, this.#takers, isDead, this.#view.n, mayTake)
    return this.#move(flips.slice(0, RECLAIMS_AT_ONCE))
  }

  #steal(thief: string): 'moved' | 'unsafe' | 'nothing' {
    if (this.#content.has(thief)) return 'nothing'
    const steals = planSteals(this.#owners, this.#members, thief, this.#view.n, {
      canGive: peerId => this.#byId.get(peerId)?.isUp === true,
      mayTake: range => !this.#unsafe.has(nameOf({ range, to: thief })),
      slack: this.#slack
    })
    if (steals.length === 0) this.#content.add(thief)
    return this.#move(steals.map(({ range }) => ({ range, to: thief })))
  }

  #move(asked: Flip[]): 'moved' | 'unsafe' | 'nothing' {
    if (asked.length === 0) return 'nothing'
    const flips = chooseFlips(this.#view, asked)
    if (flips.length === 0) {
      for (const flip of asked) this.#unsafe.add(nameOf(flip))
      return 'unsafe'
    }
    for (const { entering } of flipEffects(this.#view, flips)) this.#copies += entering.length
    for (const { range, to } of flips) this.#owners[range] = to
    this.#view = new RingView(this.#owners, this.#zoneOf, this.#view.n)
    this.#content.clear()
    this.#isStale = true
    return 'moved'
  }

  #stuck(): number[] {
    return this.#owners.flatMap((owner, range) => {
      const goes = owner !== undefined && (this.#byId.get(owner)?.capacity ?? 0) === 0
      return goes ? [range] : []
    })
  }
}

const nameOf = ({ range, to }: Flip): string => `${range} ${to}`
