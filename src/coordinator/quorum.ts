/**
 * When is a read or a write done? Pure accumulators: answers go in, a verdict comes out (design §8; Dynamo §4.5). Members
 * are counted by name, so that a ring that changes in the middle of an operation can hand over a new list.
 */
import { CoterieError } from '../errors.ts'
import type { Level } from '../messages.ts'

export interface QuorumRules {
  n: number
  /** The cluster's default for this kind of operation. */
  byDefault: number
  /** Distinct owners on the ring, dead ones included: no node counts twice in a small cluster (design §8). */
  owners: number
}

/** The number of answers a level asks for. Throws `bad-usage` for a number outside 1 … N. */
export function answersNeeded(level: Level, { n, byDefault, owners }: QuorumRules): number {
  const asked =
    level === 'default' ? byDefault : level === 'quorum' ? Math.floor(n / 2) + 1 : level === 'all' ? n : level
  if (!Number.isInteger(asked) || asked < 1 || asked > n) {
    throw new CoterieError(
      'bad-usage',
      `${asked} answers were asked for; this cluster keeps ${n} copies, so it takes 1 to ${n}, quorum or all`
    )
  }
  return Math.min(asked, Math.max(1, owners))
}

export type ReadVerdict = 'waiting' | 'value' | 'absent' | 'failed'

/**
 * A value needs R answers that show one together; "no such key", a deleted one as well, needs R answers from synced copies,
 * since a copy that lacks what it should have may be all that stands beside an old delete. A stand-in's answer counts, and is
 * never synced.
 */
export class ReadQuorum {
  readonly #needed: number
  readonly #members: readonly string[]
  /** Of each that has answered: whether its copy is synced. */
  readonly #answers = new Map<string, boolean>()
  #shows = false
  readonly #failed = new Set<string>()
  /** How many may be asked beside the members; asked for only when the members alone cannot do it. */
  readonly #spares: () => number

  constructor(needed: number, members: readonly string[], spares: () => number = () => 0) {
    this.#needed = needed
    this.#members = members
    this.#spares = spares
  }

  /** `shows`: all answers up to this one together show a value. */
  answer(member: string, shows: boolean, synced: boolean): ReadVerdict {
    this.#answers.set(member, synced)
    this.#shows = shows
    return this.verdict
  }

  fail(member: string): ReadVerdict {
    this.#failed.add(member)
    return this.verdict
  }

  get answers(): number {
    return this.#answers.size
  }

  get verdict(): ReadVerdict {
    const answers = [...this.#answers.values()]
    if (answers.length >= this.#needed && this.#shows) return 'value'
    if (answers.filter(synced => synced).length >= this.#needed) return 'absent'
    // A replica that has not answered yet may be a holder, or synced: only when none is left is the read hopeless,
    // or when even all of them would be too few.
    const isHopeless = (open: number) => open <= 0 || answers.length + open < this.#needed
    const open = this.#members.length - answers.length - this.#failed.size
    return isHopeless(open) && isHopeless(open + this.#spares()) ? 'failed' : 'waiting'
  }
}

export type WriteVerdict = 'waiting' | 'stored' | 'failed'

/** A write is stored once W nodes hold it: members of the list, or others that stand in for them. */
export class WriteQuorum {
  #needed: number
  #members: readonly string[]
  readonly #acked = new Set<string>()
  readonly #failed = new Set<string>()
  readonly #standIns = new Set<string>()
  /** Nodes that may still stand in; asked for only when the members alone cannot do it. */
  readonly #spares: () => number

  constructor(needed: number, members: readonly string[], spares: () => number = () => 0) {
    this.#needed = needed
    this.#members = members
    this.#spares = spares
  }

  /** A node that is not on the list holds it. */
  standIn(peer: string): WriteVerdict {
    this.#standIns.add(peer)
    return this.verdict
  }

  ack(member: string): WriteVerdict {
    this.#acked.add(member)
    return this.verdict
  }

  fail(member: string): WriteVerdict {
    this.#failed.add(member)
    return this.verdict
  }

  hasFailed(member: string): boolean {
    return this.#failed.has(member)
  }

  hasAcked(member: string): boolean {
    return this.#acked.has(member)
  }

  /** The list changed under the write: from now on these members count, and the acks of those that were on both. */
  retarget(needed: number, members: readonly string[]): WriteVerdict {
    this.#needed = needed
    this.#members = members
    return this.verdict
  }

  /** No node counts twice, though one that stood in may have come onto the list. */
  get acks(): number {
    const standIns = [...this.#standIns].filter(peer => !this.#countsAsMember(peer)).length
    return this.#memberAcks + standIns
  }

  /** It is stored, but by fewer than W members of the list. */
  get isSloppy(): boolean {
    return this.#memberAcks < this.#needed
  }

  get verdict(): WriteVerdict {
    if (this.acks >= this.#needed) return 'stored'
    const open = this.#members.filter(member => !this.#acked.has(member) && !this.#failed.has(member)).length
    if (this.acks + open >= this.#needed) return 'waiting'
    return this.acks + open + this.#spares() < this.#needed ? 'failed' : 'waiting'
  }

  get #memberAcks(): number {
    return this.#members.filter(member => this.#acked.has(member)).length
  }

  #countsAsMember(peer: string): boolean {
    return this.#acked.has(peer) && this.#members.includes(peer)
  }
}
