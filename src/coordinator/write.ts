/**
 * A quorum write: this node mints the dot in its own copy and sends the merged key state to the other members of the
 * preference list in parallel; the answer leaves once W nodes hold it, the rest goes on behind (design §8). A member that
 * is down, suspect, fails or is slow is stood in for by the next node after the list: the quorum is sloppy.
 */
import type { Background } from '../background.ts'
import { CoterieError } from '../errors.ts'
import type { HedgeBudget } from '../hedge-budget.ts'
import type { Timer, Timers } from '../ports.ts'
import type { WriteIntent, Written } from '../replica/replicas.ts'
import { type Deadline, withinDeadline } from './deadline.ts'
import { WriteQuorum } from './quorum.ts'
import { mergeReplica, mergeStandIn, type ReplicaParts, StaleView } from './replica-calls.ts'

/**
 * Hedges are few, and an operation must not fail for that: after so many times the delay of a hedge, who is late is passed
 * over from a larger budget.
 */
export const PATIENCE = 4
/** A write that is stored gets its missing copies however late it is: each of them has at least so much time. */
const BEHIND_MS = 2000

export interface WriteParts extends ReplicaParts {
  timers: Timers
  background: Background
  /** Who may stand in for members of a range's list, best first, this node included. */
  fallbacks: (range: number) => string[]
  /** After this long without W acks, members that have not answered are stood in for, as far as hedges reach. */
  standInDelayMs: number
  hedges: HedgeBudget
}

export interface WriteTarget {
  range: number
  key: Uint8Array
  /** W for a ring of so many owners. */
  needed: () => number
  /** The minting copy is a stand-in's: should this node come onto the list meanwhile, its list member's copy has nothing of it yet. */
  asStandIn?: boolean
}

/** This node's own copy, which mints the dot: a list member's, or a stand-in's when no member can be reached. */
export interface MintingCopy {
  write(range: number, key: Uint8Array, intent: WriteIntent): Promise<Written>
}

export interface WriteResult extends Omit<Written, 'stored' | 'bytes'> {
  acks: number
  /** Live values of the key in the fullest of the list members' copies that had answered, but for the minting one. */
  siblings: number
  /** Fewer than W of the acks are list members'. */
  sloppy: boolean
}

/** Throws `not-available` when W nodes cannot be reached, and then the write may still take effect; or when it was too late to begin. */
export async function writeKey(
  parts: WriteParts,
  copy: MintingCopy,
  target: WriteTarget,
  intent: WriteIntent,
  deadline: Deadline
): Promise<WriteResult> {
  const mustBeWanted = () => deadline.check('the write')
  const written = await copy.write(target.range, target.key, { ...intent, mustBeWanted })
  const replication = new Replication(parts, target, written, deadline)
  const { acks, sloppy } = await withinDeadline(replication.run(), deadline, parts.timers, () =>
    replication.tooFew(`within ${deadline.timeoutMs} ms`)
  )
  return {
    state: written.state,
    dot: written.dot,
    replaced: written.replaced,
    siblings: replication.siblings,
    acks,
    sloppy
  }
}

class Replication {
  readonly #parts: WriteParts
  readonly #target: WriteTarget
  readonly #written: Written
  readonly #deadline: Deadline
  readonly #quorum: WriteQuorum
  readonly #sent = new Set<string>()
  /** Members that seemed out of reach, or were silent, when the write began. */
  readonly #away = new Set<string>()
  /** Nodes that stand in, or are about to; and those asked that have not answered. */
  readonly #standIns = new Set<string>()
  readonly #open = new Set<string>()
  readonly #needed: number
  /** Who may still be asked to stand in; undefined: not needed so far. */
  #fallbacks: string[] | undefined
  #slow = false
  /** Two writes that have not seen one another share a replica, if both reach a majority: it tells the later one of both. */
  siblings = 0
  #judge: () => void = () => {}
  #lastError: unknown

  constructor(parts: WriteParts, target: WriteTarget, written: Written, deadline: Deadline) {
    this.#parts = parts
    this.#target = target
    this.#written = written
    this.#deadline = deadline
    this.#needed = target.needed()
    this.#quorum = new WriteQuorum(this.#needed, this.#members(), () => this.#spares())
  }

  run(): Promise<{ acks: number; sloppy: boolean }> {
    return new Promise((resolve, reject) => {
      const { timers, standInDelayMs, hedges } = this.#parts
      hedges.earn()
      const passOver = () => {
        this.#slow = true
        // Those that stand in may be cut off as well.
        for (const peer of this.#open) this.#standIns.delete(peer)
        this.#fill()
      }
      // Else one that is overloaded would make more work for all the others.
      const mayPassOver = (late: number) => {
        if (!this.#slow && this.#isWaitingForSilent()) return true
        if (late === 1) return hedges.spend()
        return late % PATIENCE === 0 && hedges.spendLong()
      }
      const wait = (late: number): Timer =>
        timers.after(standInDelayMs, () => {
          if (this.#deadline.isPast) return
          if (mayPassOver(late)) passOver()
          timer = wait(late + 1)
        })
      let timer = wait(1)
      this.#judge = () => {
        const { verdict, acks, isSloppy } = this.#quorum
        if (verdict === 'waiting') return
        timer.cancel()
        if (verdict === 'stored') resolve({ acks, sloppy: isSloppy })
        else reject(this.tooFew(''))
      }
      this.#sendAll()
      this.#fill()
    })
  }

  tooFew(when: string): CoterieError {
    const members = this.#members()
    const why =
      this.#lastError === undefined
        ? ''
        : `: ${this.#lastError instanceof Error ? this.#lastError.message : String(this.#lastError)}`
    const asked = `a write of range ${this.#target.range} needs ${this.#needed} nodes`
    const failed = `${members.filter(member => this.#quorum.hasFailed(member)).length} of its ${members.length} replicas failed${when === '' ? '' : ` ${when}`}`
    return new CoterieError(
      'not-available',
      `${asked}; ${failed}, and nobody else could stand in${why} (those that took it keep it)`
    )
  }

  #members(): readonly string[] {
    return this.#parts.topology.view.preferenceList(this.#target.range)
  }

  #sendAll(): void {
    const { peers, background } = this.#parts
    for (const member of this.#members()) {
      if (this.#sent.has(member)) continue
      this.#sent.add(member)
      if (!peers.isAnswering(member)) this.#away.add(member)
      const sent = this.#send(member).then(() => {
        this.#judge()
        this.#fill()
      })
      background.run('replication of a write', sent)
    }
    if (!this.#sent.has(peers.self)) this.#standIn(peers.self)
  }

  /** As many stand-ins as there are members that do not take it. */
  #fill(): void {
    if (!this.#slow && this.#away.size === 0 && this.#lastError === undefined) return
    if (this.#isOver) return
    const isWaiting = this.#quorum.verdict === 'waiting'
    const missing = this.#members().filter(
      member =>
        !this.#quorum.hasAcked(member) &&
        (this.#quorum.hasFailed(member) || this.#away.has(member) || (this.#slow && isWaiting))
    )
    while (this.#standIns.size < missing.length) {
      this.#fallbacks ??= this.#mayStandIn()
      const next = this.#fallbacks.shift()
      if (next === undefined) return
      this.#standIn(next)
    }
  }

  /** It has failed: what is not sent yet is for nobody. */
  get #isOver(): boolean {
    return this.#deadline.isPast && this.#quorum.verdict !== 'stored'
  }

  /** Without the caller's signal: a write that its caller gave up is still replicated as far as time allows. */
  get #timeout(): { timeoutMs: number } {
    const { timeoutMs } = this.#deadline.options()
    return { timeoutMs: this.#quorum.verdict === 'stored' ? Math.max(timeoutMs, BEHIND_MS) : timeoutMs }
  }

  #isWaitingForSilent(): boolean {
    return this.#members().some(member => !this.#quorum.hasAcked(member) && this.#parts.peers.isSilent(member))
  }

  #mayStandIn(): string[] {
    return this.#parts.fallbacks(this.#target.range).filter(peer => !this.#sent.has(peer))
  }

  /** Nodes that may yet hold it beside the members. */
  #spares(): number {
    this.#fallbacks ??= this.#mayStandIn()
    return this.#fallbacks.length + this.#open.size
  }

  #standIn(peer: string): void {
    this.#sent.add(peer)
    this.#standIns.add(peer)
    this.#open.add(peer)
    this.#parts.background.run('standing in for a replica', this.#sendToStandIn(peer))
  }

  async #sendToStandIn(peer: string): Promise<void> {
    const { range, key } = this.#target
    try {
      if (peer === this.#parts.peers.self) await this.#written.stored
      else await mergeStandIn(this.#parts, peer, range, key, this.#written.bytes, this.#timeout)
      this.#quorum.standIn(peer)
    } catch (error) {
      this.#lastError = error
      this.#standIns.delete(peer)
    }
    this.#open.delete(peer)
    this.#judge()
    this.#fill()
  }

  async #send(member: string, again = true): Promise<void> {
    const { range, key, asStandIn } = this.#target
    try {
      if (member === this.#parts.peers.self && !asStandIn) await this.#written.stored
      else {
        const merged = await mergeReplica(this.#parts, member, range, key, this.#written.bytes, this.#timeout)
        this.siblings = Math.max(this.siblings, merged.siblings)
      }
      this.#quorum.ack(member)
    } catch (error) {
      if (error instanceof StaleView) {
        this.#quorum.retarget(this.#target.needed(), this.#members())
        this.#sendAll()
        // The news was about others: it is on the new list as well, and its copy may just have thawed.
        if (again && this.#members().includes(member)) return this.#send(member, false)
      } else this.#lastError = error
      this.#quorum.fail(member)
    }
  }
}
