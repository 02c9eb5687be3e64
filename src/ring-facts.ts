/** What member records say of the ring: this node's, those taken in, and what those are told who have forgotten it (design §6). */
import type { Background } from './background.ts'
import type { Claim } from './claim.ts'
import type { Peers } from './coordinator/peers.ts'
import type { MemberRecord } from './membership/member-record.ts'
import type { Membership } from './membership/membership.ts'
import type { Clock } from './ports.ts'
import type { PreparedCopies } from './repair/prepared-copies.ts'
import type { CopyTable } from './replica/copy-table.ts'
import type { Replicas } from './replica/replicas.ts'
import type { Topology } from './topology.ts'

export interface RingFactsParts {
  clock: Clock
  membership: Membership
  background: Background
  peers: Peers
  topology: Topology
  copies: CopyTable
  replicas: Replicas
  prepared: PreparedCopies
}

export class RingFacts {
  readonly #parts: RingFactsParts
  readonly #timeoutMs: number
  readonly #strangersFromMs: number
  /** Records whose node could not be told what it has forgotten: it is the only one whose record would tell the others. */
  readonly #untold = new Map<string, MemberRecord>()

  /** `strangersAfterMs`: how long gossip has, from now on, to bring the record of an owner that is still a member. */
  constructor(parts: RingFactsParts, init: { timeoutMs: number; strangersAfterMs: number }) {
    this.#parts = parts
    this.#timeoutMs = init.timeoutMs
    this.#strangersFromMs = parts.clock.monotonicMs() + init.strangersAfterMs
  }

  /**
   * For this node's own record: its claims and grants, and those that no record tells of, since neither who owns the range
   * nor who gave it has one any more. Until somebody takes the range over, a joiner would not know the whole ring without.
   */
  toTell(): Claim[] {
    const { topology, clock, membership } = this.#parts
    const areKnown = clock.monotonicMs() >= this.#strangersFromMs
    const isMute = (peerId: string) =>
      membership.isRemoved(peerId) || (areKnown && membership.member(peerId) === undefined)
    const mute = new Set(topology.view.owners().filter(isMute))
    if (mute.size === 0) return topology.ownClaims()
    const isOrphaned = ({ owner, grant }: Claim) => mute.has(owner) && (grant === undefined || isMute(grant.by))
    return [...topology.ownClaims(), ...topology.claims().filter(isOrphaned)]
  }

  takeIn(record: MemberRecord): void {
    this.#parts.background.run('taking in ring facts', this.#learn(record))
  }

  /** Tells once more whoever could not be told. */
  tick(): void {
    for (const [peerId, record] of this.#untold) if (this.#parts.peers.isReachable(peerId)) this.takeIn(record)
  }

  /** The cluster remembers more than this directory does: nothing here is taken as complete until compared. */
  overtaken(claims: Claim[]): void {
    const { background, topology, copies, replicas, prepared } = this.#parts
    const synced = copies.withStatus('synced')
    prepared.overtaken()
    // A wiped owner resumes what it owned, with copies that are syncing: nobody else can tell it of ranges never granted.
    background.run('taking back its own ring facts', topology.apply(claims))
    replicas.renameActors(synced)
    for (const range of copies.ranges()) replicas.clocks.forget(range)
    background.run('marking all copies as syncing', copies.set(synced, 'syncing'))
  }

  /** Omission releases nothing (design §6): an owner that leaves out what it owns has lost it, and hears it from us. */
  async #learn(record: MemberRecord): Promise<void> {
    const { topology, peers } = this.#parts
    const { peerId, claims } = record
    this.#untold.delete(peerId)
    await topology.learn(claims)
    // It may know of an older claim only, such as the one by which it gave the range away that has come back to it since.
    const said = new Map(claims.map(({ range, epoch }) => [range, epoch]))
    const isForgotten = ({ range, owner, epoch }: Claim) => owner === peerId && (said.get(range) ?? 0) < epoch
    const forgotten = topology.claims().filter(isForgotten)
    if (forgotten.length === 0) return
    try {
      await peers.call(peerId, { type: 'claims', claims: forgotten }, { timeoutMs: this.#timeoutMs })
    } catch (error) {
      this.#untold.set(peerId, record)
      throw error
    }
  }
}
