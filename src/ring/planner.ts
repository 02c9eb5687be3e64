/**
 * Which ranges a node should ask for, and from whom: a joiner's first share, what a leaver gives away, and later
 * whatever evens the ring out (design §6). A function of what all nodes know alike, so it can be worked out anywhere and replayed.
 *
 * It takes from whoever is most over their share, spreads the thief's ranges around the ring, and stops where one more
 * would even nothing out, so that nodes planning one after another do not pass ranges back and forth.
 */
import { positionOf } from './position.ts'

export interface PlanMember {
  peerId: string
  /** Relative share of the ranges; 0: it leaves, and gives all that it has away. */
  capacity: number
  zone: string
}

export interface Steal {
  range: number
  from: string
}

interface Account {
  peerId: string
  zone: string
  share: number
  count: number
  canGive: boolean
}

/** Shares are quotients of floats; differences below this are none. */
const EPSILON = 1e-9
/** Above any score. */
const LAST_RESORT = 2 ** 40

/**
 * `owners[range]` as in `OwnerMap.ownerList`. `members` is everybody who has not left: the thief, those that own
 * nothing yet, and those that are down, whose share stays theirs. Nobody is asked for whom `canGive` is false (down),
 * nor an owner that is no member; no range is asked for that `mayTake` is false of (its owner has refused it). Everyone
 * ends between their share rounded down and, for the thief, rounded up; but what leavers give away is shared among those
 * that can be reached, or one that is down would keep it waiting; and `slack` more, where those that are due may not
 * have it. A range that `isHot` is taken only where nothing else is left: whoever gave it away would get it back.
 */
export function planSteals(
  owners: readonly (string | undefined)[],
  members: readonly PlanMember[],
  thief: string,
  n: number,
  {
    canGive = () => true,
    mayTake = () => true,
    isHot = () => false,
    slack = 0
  }: {
    canGive?: (peerId: string) => boolean
    mayTake?: (range: number) => boolean
    isHot?: (range: number) => boolean
    slack?: number
  } = {}
): Steal[] {
  const accounts = openAccounts(owners, members, thief, canGive)
  const own = accounts.get(thief)
  if (!own || own.share === 0) return []
  // Most plans are of somebody who has their share: they end before the ring is looked at.
  let board: Board | undefined
  const steals: Steal[] = []
  const leavers = [...accounts.values()].filter(isLeaver)
  let due = slack > 0 ? Number.POSITIVE_INFINITY : dueOf(accounts, leavers, own)
  const steal = (victim: Account): void => {
    board ??= new Board(owners, accounts, own, n)
    const range = board.best(victim, mayTake, isHot)
    if (range === undefined) {
      victim.canGive = false
      return
    }
    board.take(range)
    victim.count--
    own.count++
    if (isLeaver(victim)) due--
    steals.push({ range, from: victim.peerId })
  }
  while (own.count + 1 <= Math.ceil(own.share - EPSILON)) {
    const victim = mostOver(accounts.values())
    if (!victim || victim.count - 1 < Math.floor(victim.share + EPSILON)) break
    // One range moves both by one: it evens nothing out unless they are more than one apart.
    if (excess(victim) - excess(own) <= 1 + EPSILON) break
    if (isLeaver(victim) && due <= 0) break
    steal(victim)
  }
  while (due > 0 && own.count + 1 <= Math.ceil(own.share - EPSILON) + slack) {
    const leaver = mostOver(leavers)
    if (!leaver) break
    steal(leaver)
  }
  return steals
}

/**
 * How many ranges of leavers fall to the thief if they go one by one to whoever is most below their share. Where each takes up to
 * its share rounded up, those that come first leave too little for the last, who take it from them afterwards: of members of
 * unequal capacity up to a third more ranges moved than had to. Equal shares are all rounded by the same, which costs a tenth.
 */
function dueOf(accounts: ReadonlyMap<string, Account>, leavers: readonly Account[], own: Account): number {
  const ranges = leavers.reduce((sum, { count }) => sum + count, 0)
  if (ranges === 0) return Number.POSITIVE_INFINITY
  const others = [...accounts.values()].filter(account => account !== own && account.canGive && !isLeaver(account))
  if (others.every(({ share }) => Math.abs(share - own.share) <= EPSILON)) return Number.POSITIVE_INFINITY
  /** What another takes before the thief takes one more at `level`. */
  const before = (other: Account, level: number) => {
    const steps = level - excess(other)
    const whole = Math.ceil(steps - EPSILON)
    const isEven = Math.abs(steps - Math.round(steps)) <= EPSILON
    return Math.max(0, isEven && other.peerId < own.peerId ? whole + 1 : whole)
  }
  let due = 0
  while (due < ranges) {
    const level = excess(own) + due
    const taken = others.reduce((sum, other) => sum + before(other, level), due)
    if (taken >= ranges) break
    due++
  }
  return due
}

const isLeaver = ({ share }: Account): boolean => share === 0

const excess = (account: Account) => account.count - account.share

function openAccounts(
  owners: readonly (string | undefined)[],
  members: readonly PlanMember[],
  thief: string,
  canGive: (peerId: string) => boolean
): Map<string, Account> {
  const total = members.reduce((sum, { capacity }) => sum + capacity, 0)
  const accounts = new Map<string, Account>()
  for (const { peerId, zone, capacity } of members) {
    const share = (owners.length * capacity) / total
    accounts.set(peerId, { peerId, zone, share, count: 0, canGive: peerId !== thief && canGive(peerId) })
  }
  for (const owner of owners) {
    const account = owner === undefined ? undefined : accounts.get(owner)
    if (account) account.count++
  }
  const all = [...accounts.values()]
  if (all.some(account => isLeaver(account) && account.count > 0)) shareAmongPresent(owners.length, all, thief)
  return accounts
}

/** Those that cannot be reached keep what they have, no more and no less; the others share the rest. */
function shareAmongPresent(q: number, accounts: readonly Account[], thief: string): void {
  const isPresent = ({ peerId, canGive }: Account) => peerId === thief || canGive
  const present = accounts.filter(isPresent)
  const absent = accounts.filter(account => !isPresent(account) && !isLeaver(account))
  const total = present.reduce((sum, { share }) => sum + share, 0)
  const ranges = q - absent.reduce((sum, { count }) => sum + count, 0)
  for (const account of present) account.share *= ranges / total
}

/** The giver most over their share; of equals the lower peer id, until it has given and others are ahead. */
function mostOver(accounts: Iterable<Account>): Account | undefined {
  let most: Account | undefined
  for (const account of accounts) {
    if (!account.canGive || account.count === 0) continue
    const ahead = most ? excess(account) - excess(most) : 1
    const even = Math.abs(ahead) <= EPSILON
    if (!most || (even ? account.peerId < most.peerId : ahead > 0)) most = account
  }
  return most
}

/**
 * The ring while a plan is made. What a choice depends on is kept up to date per range, so that a plan for half of
 * 4,096 ranges takes milliseconds on an event loop that others wait for.
 */
class Board {
  readonly #owners: (string | undefined)[]
  readonly #thief: Account
  readonly #zoneOf: (peerId: string | undefined) => string | undefined
  /** Steps within which two ranges can be on one preference list. */
  readonly #reach: number
  /** Per range: steps to the thief's nearest; owners in the thief's zone, and ranges of its own owner, within reach. */
  readonly #distances: Int32Array
  readonly #sameZone: Int32Array
  readonly #sameOwner: Int32Array
  /** Where the thief's search starts, so that joiners at the same time do not all ask for range 0. */
  readonly #start: number

  constructor(
    owners: readonly (string | undefined)[],
    accounts: ReadonlyMap<string, Account>,
    thief: Account,
    n: number
  ) {
    const q = owners.length
    this.#owners = [...owners]
    this.#thief = thief
    this.#zoneOf = peerId => (peerId === undefined ? undefined : accounts.get(peerId)?.zone)
    this.#reach = Math.min(n - 1, (q - 1) >> 1)
    this.#distances = new Int32Array(q).fill(q)
    this.#sameZone = new Int32Array(q)
    this.#sameOwner = new Int32Array(q)
    this.#start = positionOf(new TextEncoder().encode(thief.peerId)).hi % q
    owners.forEach((owner, range) => {
      if (owner === thief.peerId) this.#measureFrom(range)
      this.#tellNeighbours(range, owner, 1)
    })
  }

  /** The victim's range that suits the thief best. */
  best(victim: Account, mayTake: (range: number) => boolean, isHot: (range: number) => boolean): number | undefined {
    const q = this.#owners.length
    let best: number | undefined
    let bestScore = Number.NEGATIVE_INFINITY
    for (let step = 0; step < q; step++) {
      const range = (this.#start + step) % q
      if (this.#owners[range] !== victim.peerId || !mayTake(range)) continue
      const score = this.#score(range) - (isHot(range) ? LAST_RESORT : 0)
      if (score <= bestScore) continue
      best = range
      bestScore = score
    }
    return best
  }

  take(range: number): void {
    this.#tellNeighbours(range, this.#owners[range], -1)
    this.#owners[range] = this.#thief.peerId
    this.#tellNeighbours(range, this.#thief.peerId, 1)
    this.#measureFrom(range)
  }

  /**
   * Higher is better; what comes first weighs more:
   * 1. N steps from the thief's other ranges, or lists between them have to go further for a third node;
   * 2. few neighbours in the thief's zone, which lists would have to skip;
   * 3. many neighbours of the same victim: taking one of two close together mends a list;
   * 4. far from the thief's other ranges, so that load and transfers spread over many.
   */
  #score(range: number): number {
    const most = 2 * this.#reach
    const distance = this.#distances[range]
    const apart = Math.min(distance, this.#reach + 1)
    const first = apart * (most + 1) + (most - this.#sameZone[range])
    return (first * (most + 1) + this.#sameOwner[range]) * (this.#owners.length + 1) + distance
  }

  /** Counts the owner of `range` in or out of what its neighbours know. */
  #tellNeighbours(range: number, owner: string | undefined, change: 1 | -1): void {
    if (owner === undefined) return
    const q = this.#owners.length
    const inZone = this.#zoneOf(owner) === this.#thief.zone
    for (let step = -this.#reach; step <= this.#reach; step++) {
      const neighbour = (range + step + q) % q
      if (step === 0) continue
      if (inZone) this.#sameZone[neighbour] += change
      if (this.#owners[neighbour] === owner) this.#sameOwner[neighbour] += change
    }
  }

  #measureFrom(origin: number): void {
    const q = this.#owners.length
    for (let range = 0; range < q; range++) {
      const forward = range < origin ? range - origin + q : range - origin
      const distance = Math.min(forward, q - forward)
      if (distance < this.#distances[range]) this.#distances[range] = distance
    }
  }
}
