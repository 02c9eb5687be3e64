/** Who owns ranges, or may: what the shares of all nodes are worked out from. */
import { type RangeWork, UNTOLD_OPS } from './heat.ts'
import type { Verdict } from './membership/failure-detector.ts'
import type { Member, Membership } from './membership/membership.ts'
import type { PlanMember } from './ring/planner.ts'

export class Shareholders {
  readonly #membership: Membership

  constructor(membership: Membership) {
    this.#membership = membership
  }

  /** True for a member that may be given ranges: known, and neither leaving nor left. */
  mayOwn(peerId: string): boolean {
    const member = this.#membership.member(peerId)
    return member !== undefined && isStaying(member)
  }

  /** What this node thinks of a member, and whether it is one still. */
  verdict(peerId: string): Verdict | 'left' | 'removed' {
    if (this.#membership.isRemoved(peerId)) return 'removed'
    const member = this.#membership.member(peerId)
    if (member?.record.status === 'left') return 'left'
    return member?.verdict ?? 'down'
  }

  /** All that may own ranges, those that are down included: their share stays theirs. */
  staying(): string[] {
    return this.#membership
      .members()
      .filter(isStaying)
      .map(({ peerId }) => peerId)
  }

  /** True when all others that there are, and they are known, leave as well. */
  isDeserted(owners: readonly string[]): boolean {
    const others = this.#membership.members().filter(({ self, record }) => !self && record.status !== 'left')
    const isKnown = (owner: string) => this.#membership.member(owner) !== undefined || this.#membership.isRemoved(owner)
    return others.length > 0 && others.every(({ record }) => record.status === 'leaving') && owners.every(isKnown)
  }

  /**
   * Work a second of those of whom it is known: told in their records, or too little to be told. Of an earlier version that
   * tells of no work, one that is busy is left out.
   */
  loads(): Map<string, number> {
    const loads = new Map<string, number>()
    for (const { peerId, record } of this.#membership.members()) {
      const { heat, opsPerSecond } = record.load
      if (heat !== undefined) loads.set(peerId, heat.work)
      else if (opsPerSecond < UNTOLD_OPS) loads.set(peerId, 0)
    }
    return loads
  }

  /** What a member tells of its coolest ranges; undefined where it has too little work to tell. */
  coolOf(peerId: string): readonly RangeWork[] | undefined {
    return this.#membership.member(peerId)?.record.load.heat?.cool
  }

  /** Ranges that somebody tells to be hot: their owner, or who was until a moment ago. */
  hotRanges(): Set<number> {
    const told = this.#membership.members().flatMap(({ record }) => record.load.heat?.hot ?? [])
    return new Set(told.map(({ range }) => range))
  }

  /** True while everybody who owns ranges is there, and nobody comes or goes. */
  areSettled(owners: readonly string[]): boolean {
    const members = this.#membership.members().filter(({ record }) => record.status !== 'left')
    const isThere = (owner: string) =>
      members.some(({ peerId, self, verdict }) => peerId === owner && (self || verdict === 'up'))
    return members.every(({ record }) => record.status === 'up') && owners.every(isThere)
  }

  /** For the planner: those that may own ranges, and those that leave, with a capacity of 0. */
  plan(): PlanMember[] {
    return this.#membership
      .members()
      .filter(({ record }) => record.status !== 'left')
      .map(member => ({
        peerId: member.peerId,
        capacity: isStaying(member) ? member.record.capacity : 0,
        zone: member.record.zone
      }))
  }
}

const isStaying = ({ record }: Member): boolean => record.status === 'joining' || record.status === 'up'
