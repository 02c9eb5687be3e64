/**
 * A quorum read: ask R replicas, the fastest first, and more of them when one fails or is slow; merge what they answer;
 * mend the stale ones behind the answer (design §8). Where too few list members can be reached, those that stand in for
 * them are asked too.
 */
import type { Background } from '../background.ts'
import { CoterieError } from '../errors.ts'
import type { HedgeBudget } from '../hedge-budget.ts'
import type { Timers } from '../ports.ts'
import { decodeState, encodeState } from '../version/codec.ts'
import { emptyState, isDead, type KeyState, merge, sameVersions } from '../version/key-state.ts'
import { type Deadline, withinDeadline } from './deadline.ts'
import { ReadQuorum } from './quorum.ts'
import { mergeReplica, type ReplicaParts, readReplica, readStandIn, StaleView } from './replica-calls.ts'
import { PATIENCE } from './write.ts'

export interface ReadParts extends ReplicaParts {
  timers: Timers
  background: Background
  /** Who may stand in for members of a range's list, best first, this node included. */
  fallbacks: (range: number) => string[]
  hedges: HedgeBudget
}

export interface ReadResult {
  /** All answers merged; the empty state when the key is absent. */
  state: KeyState
  replies: number
}

export interface ReadTarget {
  range: number
  key: Uint8Array
  needed: number
  /** R answers will do, whatever they say: for the context of what is there, and not to tell anybody what is not. */
  isForContext?: boolean
}

/** Throws StaleView when the ring moved, `not-available` when too few replicas answered. */
export async function readKey(parts: ReadParts, target: ReadTarget, deadline: Deadline): Promise<ReadResult> {
  const members = parts.topology.view.preferenceList(target.range)
  const read = new QuorumRead(parts, target, members, deadline)
  return withinDeadline(read.run(), deadline, parts.timers, () => read.tooFew(`within ${deadline.timeoutMs} ms`))
}

/** Most stand-ins that a read asks, for each member of the list. */
const MAX_STAND_INS = 2

class QuorumRead {
  readonly #parts: ReadParts
  readonly #target: ReadTarget
  readonly #deadline: Deadline
  readonly #members: readonly string[]
  /** Whom to ask, in this order. */
  readonly #order: string[]
  /** Of `#order`, those that may stand in for members; undefined: not needed so far. */
  #standIns: number | undefined
  readonly #quorum: ReadQuorum
  readonly #states = new Map<string, KeyState | undefined>()
  /** All that have answered so far. */
  #merged = emptyState()
  readonly #failures: string[] = []
  /** Those that have answered or failed. */
  readonly #heard = new Set<string>()
  #asked = 0
  #settled = 0

  constructor(parts: ReadParts, target: ReadTarget, members: readonly string[], deadline: Deadline) {
    this.#parts = parts
    this.#target = target
    this.#deadline = deadline
    this.#members = members
    this.#order = parts.peers.byHealth(members)
    this.#quorum = new ReadQuorum(target.needed, members, () => this.#withStandIns())
    const answering = members.filter(member => parts.peers.isAnswering(member)).length
    // They come last; but before members that cannot be reached or are silent, where R members are not there to ask.
    if (answering < target.needed) this.#withStandIns(answering)
  }

  /** Puts those that may stand in into the order, once: few reads need them, and to find them costs a walk. How many. */
  #withStandIns(at = this.#order.length): number {
    if (this.#standIns === undefined) {
      const standIns = this.#parts.fallbacks(this.#target.range).slice(0, MAX_STAND_INS * this.#members.length)
      this.#order.splice(at, 0, ...standIns)
      this.#standIns = standIns.length
    }
    return this.#standIns
  }

  run(): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      const { clock, timers, peers, hedges } = this.#parts
      const sinceMs = clock.monotonicMs()
      const patienceMs = PATIENCE * peers.hedgeDelayMs
      let done = false
      const finish = (settle: () => void) => {
        done = true
        hedge.cancel()
        settle()
      }
      const next = () => {
        const verdict = this.#quorum.verdict
        if (!done) {
          if (verdict === 'value' || verdict === 'absent') finish(() => resolve(this.#result()))
          else if (verdict === 'failed' || this.#deadline.isOver) finish(() => reject(this.tooFew('')))
          else if (this.#asked === this.#settled) ask(1)
        }
        if (done && this.#asked === this.#settled) this.#mend()
      }
      const ask = (count: number) => {
        for (const member of this.#order.slice(this.#asked, this.#asked + count)) {
          this.#asked++
          this.#ask(member)
            .finally(() => this.#heard.add(member))
            .catch(error => {
              if (error instanceof StaleView) finish(() => reject(error))
              this.#quorum.fail(member)
              this.#failures.push(error instanceof Error ? error.message : String(error))
            })
            .then(() => {
              this.#settled++
              next()
            })
        }
      }
      // Until the slowest of those asked so far has usually answered.
      const usualMs = () => Math.max(...this.#order.slice(0, this.#asked).map(member => peers.usualMs(member)))
      const arm = () =>
        timers.after(usualMs(), () => {
          if (done || this.#deadline.isOver) return
          const late = this.#order.slice(0, this.#asked).filter(member => !this.#heard.has(member))
          for (const member of late) peers.slow(member)
          const isSilent = late.some(member => peers.isSilent(member))
          const isLong = clock.monotonicMs() - sinceMs >= patienceMs
          if (this.#asked === this.#order.length) this.#withStandIns()
          const mayAsk = () => isSilent || hedges.spend() || (isLong && hedges.spendLong())
          if (this.#asked < this.#order.length && mayAsk()) ask(1)
          hedge = arm()
        })
      hedges.earn()
      ask(this.#target.needed)
      let hedge = arm()
    })
  }

  tooFew(when: string): CoterieError {
    const { range, needed } = this.#target
    const of = `a read of range ${range} needs ${needed} of its ${this.#members.length} replicas, or of those that stand in for them`
    const enough = this.#quorum.answers >= needed
    const found = enough
      ? `${this.#quorum.answers} answered, but too few of them have caught up to say that there is no such key`
      : `${this.#failures.length} failed`
    const why = this.#failures.length > 0 ? `: ${this.#failures.at(-1)}` : ''
    return new CoterieError('not-available', `${of}; ${found}${when === '' ? '' : ` ${when}`}${why}`)
  }

  async #ask(member: string): Promise<void> {
    const { range, key } = this.#target
    const read = this.#members.includes(member) ? readReplica : readStandIn
    const { state, synced } = await read(this.#parts, member, range, key, this.#deadline.options())
    const decoded = state === undefined ? undefined : decodeState(state)
    this.#states.set(member, decoded)
    const nowMs = this.#parts.clock.wallMs()
    if (decoded !== undefined) this.#merged = merge(this.#merged, decoded, nowMs)
    const shows = this.#target.isForContext === true || !isDead(this.#merged, nowMs)
    this.#quorum.answer(member, shows, synced)
  }

  #result(): ReadResult {
    const standIns = [...this.#states.keys()].filter(peer => !this.#members.includes(peer)).length
    return { state: this.#merged, replies: this.#quorum.answers - standIns }
  }

  /** Read repair: every replica that answered with less than the merge of all gets the merge. */
  #mend(): void {
    const merged = this.#merged
    const stale = [...this.#states].filter(
      ([member, state]) => this.#members.includes(member) && !sameVersions(state ?? emptyState(), merged)
    )
    if (stale.length === 0) return
    const { range, key } = this.#target
    const bytes = encodeState(merged)
    const options = { timeoutMs: this.#deadline.timeoutMs }
    for (const [member] of stale)
      this.#parts.background.run('read repair', mergeReplica(this.#parts, member, range, key, bytes, options))
  }
}
