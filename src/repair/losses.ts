/**
 * `coterie accept-loss`: an operator gives up what the lost copies of ranges held (design §6, safety of movement 2; failures
 * 47). Without it such a range takes writes and answers "not available", never "no such key", until a synced copy returns.
 *
 * It is refused while a synced copy can be reached, and while a list member may return with one. Then what stand-ins keep of
 * the ranges is handed over, and all list members that can be reached compare their copies and count as synced
 * (`accepted-copies.ts`); where a list has no member left that lives, one takes the range over first. Nothing of it is
 * remembered: what fails on the way can be asked for again.
 */
import { CopyStatuses } from '../coordinator/copy-statuses.ts'
import { expectAnswer, type Peers } from '../coordinator/peers.ts'
import { CoterieError } from '../errors.ts'
import type { Request } from '../messages.ts'
import type { Clock, Log, Timers } from '../ports.ts'
import type { Topology } from '../topology.ts'
import type { Moved } from './movement.ts'

const STATUS_TIMEOUT_MS = 2000
/** Until a takeover is tried again, or goes on with the ranges that it had to leave. */
const PAUSE_MS = 200

export interface LossParts {
  clock: Clock
  timers: Timers
  log: Log
  peers: Peers
  topology: Topology
  /** Peer ids of all that are known, this node included. */
  members: () => string[]
  /** It was removed or has left: it will not return. */
  hasGone: (peerId: string) => boolean
  majority: { readonly isHeard: boolean }
  reclaimer: {
    isDead(peerId: string): boolean
    takeLost(ranges: ReadonlySet<number>, accepted: ReadonlySet<number>): Promise<Moved['outcome']>
  }
}

export class Losses {
  readonly #parts: LossParts

  constructor(parts: LossParts) {
    this.#parts = parts
  }

  /**
   * Resolves when the copies of the ranges at all list members that can be reached are synced, on disk. `force`: though a
   * member cannot be reached that may return with a synced copy. Throws `refused` with the reason, and `range-busy` for
   * what may succeed in a moment.
   */
  async accept(ranges: readonly number[], { force, timeoutMs }: { force: boolean; timeoutMs: number }): Promise<void> {
    const { clock, topology, log } = this.#parts
    if (!topology.complete) throw new CoterieError('not-available', 'this node does not know the ring yet; ask another')
    const endMs = clock.monotonicMs() + timeoutMs
    const statuses = await this.#look(ranges)
    const reasons = ranges.flatMap(range => this.#whyNot(range, statuses, force) ?? [])
    if (reasons.length > 0) throw new CoterieError('refused', [...new Set(reasons)].join('; '))
    log.warn('accepting the loss of ranges that have no synced copy', { ranges: ranges.join(), force })
    await this.#takeOver(ranges, endMs)
    const reached = statuses.members()
    // Their views may be older, and some have just come onto a list.
    const claims = new Map(ranges.flatMap(range => topology.claimsAround(range)).map(claim => [claim.range, claim]))
    await this.#tellAll(reached, () => ({ type: 'claims', claims: [...claims.values()] }), endMs)
    await this.#tellAll(reached, () => ({ type: 'deliver', ranges: [...ranges] }), endMs)
    const holders = reached.filter(member => ranges.some(range => isCopy(statuses.of(member, range))))
    const byMember = Map.groupBy(
      ranges.flatMap(range => this.#reachable(range).map(member => ({ member, range }))),
      ({ member }) => member
    )
    const accept = (member: string): Request => {
      const theirs = byMember.get(member)!.map(({ range }) => range)
      return { type: 'accept', ranges: theirs, holders }
    }
    await this.#tellAll([...byMember.keys()], accept, endMs)
  }

  /** What all say that can be reached, list members or not: of a range on its way, others have copies too. */
  async #look(ranges: readonly number[]): Promise<Found> {
    const { peers, members, topology, log } = this.#parts
    const all = new Set([...members(), ...topology.view.owners()])
    const asked = [...all].filter(member => peers.isReachable(member))
    const silent = new Set<string>()
    const statuses = new CopyStatuses()
    await statuses.ask(peers, new Map(asked.map(member => [member, ranges])), {
      timeoutMs: STATUS_TIMEOUT_MS,
      onSilent: (member, error) => {
        silent.add(member)
        log.debug('a member did not say what it holds', { member, error: String(error) })
      }
    })
    const reached = asked.filter(member => !silent.has(member)).sort()
    return { of: (member, range) => statuses.of(member, range), members: () => reached }
  }

  #whyNot(range: number, statuses: Found, force: boolean): string | undefined {
    const { topology, reclaimer, majority, hasGone } = this.#parts
    const reached = statuses.members()
    const synced = reached.find(member => statuses.of(member, range) === 'synced')
    if (synced !== undefined)
      return `range ${range} is not lost: ${synced} has a synced copy and can be reached; the others fill theirs from it`
    const list = topology.view.preferenceList(range)
    const away = list.find(member => !reached.includes(member) && !hasGone(member) && !reclaimer.isDead(member))
    if (away !== undefined && !force)
      return `range ${range}: ${away} cannot be reached now and may return with its copy: start it, or remove it if it is gone for good (coterie remove), or force it`
    if (list.some(member => reached.includes(member))) return undefined
    if (!majority.isHeard)
      return `range ${range}: nobody of its list can be reached, and this node hears too few members to take it over: remove those that are gone for good (coterie remove)`
    const owner = topology.view.owner(range)!
    return reclaimer.isDead(owner)
      ? undefined
      : `range ${range}: nobody of its list can be reached, and its owner ${owner} may still take itself for one; it can be taken over when that one has been down or removed for long enough`
  }

  /**
   * Ranges without a list member that lives need one first. That changes the lists beside them, and those may be lost as well
   * though somebody of them lives: all that are accepted may change. However a try ends, time has to pass before the next.
   */
  async #takeOver(ranges: readonly number[], endMs: number): Promise<void> {
    const { clock, timers, reclaimer } = this.#parts
    const accepted = new Set(ranges)
    const deserted = () => ranges.filter(range => this.#reachable(range).length === 0)
    for (;;) {
      const before = deserted()
      if (before.length > 0) await reclaimer.takeLost(new Set(before), accepted)
      const left = deserted()
      if (left.length === 0) return
      if (clock.monotonicMs() + PAUSE_MS >= endMs)
        throw new CoterieError(
          'range-busy',
          `nobody could take over range ${left.join(', ')} in time: where ranges beside it have no synced copy either, accept their loss along with it (coterie status names them)`
        )
      await timers.sleep(PAUSE_MS)
    }
  }

  #reachable(range: number): string[] {
    const { topology, peers } = this.#parts
    return topology.view.preferenceList(range).filter(member => peers.isReachable(member))
  }

  async #tellAll(members: readonly string[], request: (member: string) => Request, endMs: number): Promise<void> {
    const { peers, clock } = this.#parts
    const failures: string[] = []
    await Promise.all(
      members.map(async member => {
        try {
          const timeoutMs = Math.max(1, endMs - clock.monotonicMs())
          expectAnswer(await peers.call(member, request(member), { timeoutMs }), 'ok')
        } catch (error) {
          failures.push(`${member}: ${error instanceof Error ? error.message : String(error)}`)
        }
      })
    )
    if (failures.length > 0)
      throw new CoterieError(
        'range-busy',
        `not all that are concerned could be told of the loss (${failures.sort().join('; ')}); look at coterie status, and ask again where it names the range still`
      )
  }
}

/** What members say of their copies, and who has answered. */
interface Found {
  of: CopyStatuses['of']
  members(): string[]
}

const isCopy = (status: string | undefined): boolean => status !== undefined && status !== 'none'
