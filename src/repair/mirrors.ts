/**
 * The source's side of a movement: while a new member copies a range from here, every write that this copy acknowledges
 * has reached the new member first, so that the copy it ends up with lacks nothing that was acknowledged here (design
 * §6, safety of movement 1 and 3).
 *
 * A mirror that cannot be reached is dropped, and the new member learns from its next call (`started` again) that it has
 * to compare once more. A sealed one is not: from the seal until the lease ends, no ack without it, because the owner is
 * about to sign the range away on its strength.
 */
import type { Peers } from '../coordinator/peers.ts'
import { CoterieError } from '../errors.ts'
import type { Answer } from '../messages.ts'
import type { Clock } from '../ports.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { Topology } from '../topology.ts'

/** How long a write waits for a mirror: below any client's deadline, above a slow disk's hiccup. */
const MIRROR_TIMEOUT_MS = 2000

interface Mirror {
  untilMs: number
  sealed: boolean
}

export class Mirrors {
  readonly #clock: Clock
  readonly #peers: Peers
  readonly #replicas: Replicas
  readonly #topology: Topology
  readonly #leaseMs: number
  readonly #byRange = new Map<number, Map<string, Mirror>>()

  constructor(
    parts: { clock: Clock; peers: Peers; replicas: Replicas; topology: Topology },
    init: { leaseMs: number }
  ) {
    this.#clock = parts.clock
    this.#peers = parts.peers
    this.#replicas = parts.replicas
    this.#topology = parts.topology
    this.#leaseMs = init.leaseMs
  }

  /** Begins or renews mirrors for `member`. */
  mirror(member: string, ranges: number[]): Answer {
    const answer = {
      type: 'mirrored' as const,
      continued: [] as number[],
      started: [] as number[],
      absent: [] as number[]
    }
    const untilMs = this.#clock.monotonicMs() + this.#leaseMs
    for (const range of ranges) {
      if (this.#replicas.status(range) !== 'synced') {
        answer.absent.push(range)
        continue
      }
      const known = this.#live(range, member)
      if (known === undefined) this.#of(range).set(member, { untilMs, sealed: false })
      else known.untilMs = untilMs
      ;(known === undefined ? answer.started : answer.continued).push(range)
    }
    return answer
  }

  /** Throws `range-busy` when one of the ranges is not mirrored without a gap: the member has to compare again. */
  seal(member: string, ranges: number[]): void {
    const mirrors = ranges.map(range => this.#live(range, member))
    const gap = mirrors.indexOf(undefined)
    if (gap >= 0) throw new CoterieError('range-busy', `range ${ranges[gap]} is not mirrored to ${member} at present`)
    const untilMs = this.#clock.monotonicMs() + this.#leaseMs
    for (const mirror of mirrors as Mirror[]) {
      mirror.sealed = true
      mirror.untilMs = untilMs
    }
  }

  /** The replica's hook: resolves when all mirrors of the range have the write; `except` has it, for it came from there. */
  send(range: number, key: Uint8Array, state: Uint8Array, except?: string): Promise<void> | undefined {
    const members = this.#byRange.get(range)
    if (members === undefined) return undefined
    const sends = [...members.keys()]
      .filter(member => member !== except && this.#live(range, member) !== undefined && !this.#moved(range, member))
      .map(member => this.#sendTo(member, range, key, state))
    return sends.length === 0 ? undefined : Promise.all(sends).then(() => undefined)
  }

  /** Ends what was not renewed, and what no longer has a copy behind it. */
  tick(): void {
    for (const [range, members] of this.#byRange) {
      for (const member of members.keys()) this.#live(range, member)
      const status = this.#replicas.status(range)
      if (members.size === 0 || status === 'none' || status === 'frozen') this.#byRange.delete(range)
    }
  }

  get size(): number {
    let size = 0
    for (const members of this.#byRange.values()) size += members.size
    return size
  }

  /**
   * The movement is over and this copy stayed on the list: the new member gets its writes as any other member does, and an
   * ack from here counts for this copy alone. Waiting on would make one dead member fail both acks until the lease ends.
   */
  #moved(range: number, member: string): boolean {
    const { view } = this.#topology
    return view.isMember(range, member) && view.isMember(range, this.#peers.self)
  }

  async #sendTo(member: string, range: number, key: Uint8Array, state: Uint8Array): Promise<void> {
    try {
      const answer = await this.#peers.call(
        member,
        { type: 'merge', range, key, state, standIn: false },
        { timeoutMs: MIRROR_TIMEOUT_MS }
      )
      // A member that has given its copy up, or frozen it, vouches for it no more (`prepared-copies.ts`): it comes back, if ever, with
      // a syncing one, which is compared before it counts.
      if (answer.type !== 'merged') this.#byRange.get(range)?.delete(member)
    } catch (error) {
      const mirror = this.#live(range, member)
      if (mirror?.sealed) {
        // A code of its own: the caller must not take this node for the one that cannot be reached.
        throw new CoterieError('not-available', `range ${range} is on its way to ${member}, which does not answer`, {
          cause: error
        })
      }
      this.#byRange.get(range)?.delete(member)
    }
  }

  #of(range: number): Map<string, Mirror> {
    let members = this.#byRange.get(range)
    if (members === undefined) this.#byRange.set(range, (members = new Map()))
    return members
  }

  #live(range: number, member: string): Mirror | undefined {
    const members = this.#byRange.get(range)
    const mirror = members?.get(member)
    if (mirror === undefined || mirror.untilMs > this.#clock.monotonicMs()) return mirror
    members?.delete(member)
    return undefined
  }
}
