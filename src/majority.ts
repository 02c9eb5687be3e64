/**
 * Whether this node hears most of the cluster, and so may conclude something from silence; and whether its own view of the
 * ring can be trusted still: a node that was cut off for long may not know that others own by now what it takes for its
 * own (design §6, death).
 */
import type { Membership } from './membership/membership.ts'
import type { Clock } from './ports.ts'
import type { Topology } from './topology.ts'

/** Of the time after which a silent member is dead: how long a node trusts its view without hearing most of the others. */
export const TRUST_SHARE = 0.5

export interface MajorityParts {
  clock: Clock
  membership: Membership
  topology: Topology
}

export class Majority {
  readonly #parts: MajorityParts
  readonly #trustMs: number
  /** Until then it was sure enough at the last look. */
  #currentUntilMs = Number.NEGATIVE_INFINITY

  constructor(parts: MajorityParts, init: { reclaimAfterMs: number }) {
    this.#parts = parts
    this.#trustMs = init.reclaimAfterMs === 0 ? Number.POSITIVE_INFINITY : init.reclaimAfterMs * TRUST_SHARE
  }

  /** More than half of the owners that have neither left nor been removed seem alive, this node included; suspects do, too. */
  get isHeard(): boolean {
    return this.#isMost(verdict => verdict !== 'down')
  }

  /** The same without suspects: a node that was cut off just now suspects everybody, before it takes anybody for down. */
  get isHeardNow(): boolean {
    return this.#isMost(verdict => verdict === 'up')
  }

  #isMost(counts: (verdict: string) => boolean): boolean {
    const { membership } = this.#parts
    const all = this.#all()
    const counted = all.filter(
      peerId => peerId === membership.self || counts(membership.member(peerId)?.verdict ?? 'down')
    )
    return 2 * counted.length > all.length
  }

  /** False: others may have taken over what this node takes for its own, or another's, and it would not know. */
  get isCurrent(): boolean {
    if (this.#trustMs === Number.POSITIVE_INFINITY) return true
    const nowMs = this.#parts.clock.monotonicMs()
    if (nowMs >= this.#currentUntilMs) this.#currentUntilMs = this.#heardMs() + this.#trustMs
    return nowMs < this.#currentUntilMs
  }

  /** Since when, at the latest, more than half were certain to be alive. */
  #heardMs(): number {
    const { membership } = this.#parts
    const times = this.#all()
      .map(peerId => membership.aliveMs(peerId))
      .sort((a, b) => b - a)
    return times[Math.floor(times.length / 2)]!
  }

  /**
   * Owners that have neither left nor been removed, those that nobody has told about since our start included. Who owns nothing
   * yet has no say: joiners on the small side of a cut would make a second majority of it.
   */
  #all(): string[] {
    const { membership, topology } = this.#parts
    const hasLeft = (peerId: string) => membership.member(peerId)?.record.status === 'left'
    const owners = topology.view.owners().filter(owner => !membership.isRemoved(owner) && !hasLeft(owner))
    if (owners.length > 0) return owners
    // Before it knows the ring.
    const members = membership.members().map(({ peerId }) => peerId)
    return members.filter(peerId => !hasLeft(peerId))
  }
}
