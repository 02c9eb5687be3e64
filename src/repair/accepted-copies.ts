/**
 * A list member's side of an accepted loss (`losses.ts`): its copies of ranges that have no synced copy any more are
 * compared with all that is left of these ranges, and count as synced from then on (design §6, safety of movement 2).
 *
 * They take over no clock of a copy that was not synced: what a copy covers is what it has had in its own file. So a lost
 * copy that returns after all is taken in like any other replica, and only what was deleted since stays dead.
 */
import type { Background } from '../background.ts'
import type { Peers } from '../coordinator/peers.ts'
import { CoterieError } from '../errors.ts'
import type { Log, Network, Timers } from '../ports.ts'
import type { CopyTable } from '../replica/copy-table.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { Topology } from '../topology.ts'
import { type CompareResult, compareRanges } from './compare.ts'
import { settleCopy, type Verdict } from './compare-clocks.ts'

export interface AcceptedParts {
  timers: Timers
  network: Network
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  replicas: Replicas
  copies: CopyTable
  /** Makes the copies that this node should hold. */
  keeper: { ensure(ranges: number[]): Promise<void> }
}

export class AcceptedCopies {
  readonly #parts: AcceptedParts

  constructor(parts: AcceptedParts) {
    this.#parts = parts
  }

  /**
   * Resolves when it is on disk that this node's copies of the ranges are synced; at once for those that are. `holders`: all
   * who have something of them, as far as the asker knows. Throws `refused` where another list member has a synced copy,
   * and `range-busy` when a copy here or there cannot be compared now.
   */
  async accept(ranges: readonly number[], holders: readonly string[]): Promise<void> {
    const { copies, keeper, replicas, log } = this.#parts
    await keeper.ensure([...ranges])
    const open = ranges.filter(range => copies.status(range) !== 'synced')
    this.#mustBeOpen(open)
    const damages = new Map(open.map(range => [range, replicas.damages(range)]))
    const verdicts = new Map<number, Verdict[]>(open.map(range => [range, []]))
    try {
      for (const peer of open.length === 0 ? [] : this.#others(open, holders)) {
        const found = await this.#compare(peer, open)
        for (const [range, verdict] of found.verdicts) verdicts.get(range)!.push(verdict)
        const [apart] = found.refused
        if (apart !== undefined) throw busy(`a key of range ${apart} is too large together with what ${peer} has of it`)
        // One that was named had none when the asker looked: it has been told of the loss a moment before this one.
        const kept = open.find(range => found.statuses.get(range) === 'synced' && !holders.includes(peer))
        if (kept !== undefined)
          throw new CoterieError('refused', `range ${kept} is not lost: ${peer} has a synced copy of it`)
      }
      for (const range of open) {
        const isUnharmed = () => copies.status(range) === 'syncing' && replicas.damages(range) === damages.get(range)
        if (!(await settleCopy(this.#parts, range, verdicts.get(range)!, isUnharmed)))
          throw busy(`the copy of range ${range} was damaged or moved meanwhile`)
      }
    } finally {
      for (const { arrivals } of [...verdicts.values()].flat()) arrivals.close()
    }
    if (open.length === 0) return
    await copies.set(open, 'synced')
    log.warn('copies count as synced by the word of an operator: what the lost ones held is given up', {
      ranges: open.join()
    })
  }

  #mustBeOpen(ranges: readonly number[]): void {
    const { copies, replicas, topology, peers } = this.#parts
    for (const range of ranges) {
      if (!topology.complete || !topology.view.isMember(range, peers.self) || copies.status(range) !== 'syncing')
        throw busy(`${peers.self} is not on the list of range ${range} as it sees the ring`)
      if (replicas.isFenced(range) || replicas.isRenewing(range))
        throw busy(`the file of range ${range} at ${peers.self} has failed and is being replaced`)
    }
  }

  /** The holders, and list members that this node can reach though the asker may not. */
  #others(ranges: readonly number[], holders: readonly string[]): string[] {
    const { topology, peers } = this.#parts
    const members = ranges.flatMap(range => topology.view.preferenceList(range))
    const others = new Set([...holders, ...members.filter(member => peers.isReachable(member))])
    others.delete(peers.self)
    return [...others]
  }

  async #compare(peer: string, ranges: number[]): Promise<CompareResult> {
    try {
      return await compareRanges(this.#parts, peer, ranges, { verdicts: true, signal: this.#parts.background.signal })
    } catch (error) {
      throw busy(`${this.#parts.peers.self} cannot compare its copies with those of ${peer} now (${String(error)})`)
    }
  }
}

const busy = (why: string): CoterieError => new CoterieError('range-busy', `${why}; ask again in a moment`)
