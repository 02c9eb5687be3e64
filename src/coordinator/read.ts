/**
 * A quorum read: ask R replicas, the healthiest first, and more of them when one fails or is slow; merge what they answer;
 * mend the stale ones behind the answer (design §8).
 */
import type { Background } from '../background.ts'
import { CoterieError } from '../errors.ts'
import type { Clock, Timers } from '../ports.ts'
import { decodeState, encodeState } from '../version/codec.ts'
import { emptyState, type KeyState, merge, sameVersions } from '../version/key-state.ts'
import { type Deadline, withinDeadline } from './deadline.ts'
import { ReadQuorum } from './quorum.ts'
import { mergeReplica, type ReplicaParts, readReplica, StaleView } from './replica-calls.ts'

export interface ReadParts extends ReplicaParts {
  clock: Clock
  timers: Timers
  background: Background
  hedgeDelayMs: number
}

export interface ReadResult {
  /** All answers merged; the empty state when the key is absent. */
  state: KeyState
  replies: number
}

/** Throws StaleView when the ring moved, `not-available` when too few replicas answered. */
export async function readKey(
  parts: ReadParts,
  target: { range: number; key: Uint8Array; needed: number },
  deadline: Deadline
): Promise<ReadResult> {
  const members = parts.topology.view.preferenceList(target.range)
  const read = new QuorumRead(parts, target, members, deadline)
  return withinDeadline(read.run(), deadline, parts.timers, () => read.tooFew(`within ${deadline.timeoutMs} ms`))
}

class QuorumRead {
  readonly #parts: ReadParts
  readonly #target: { range: number; key: Uint8Array; needed: number }
  readonly #deadline: Deadline
  readonly #order: string[]
  readonly #quorum: ReadQuorum
  readonly #states = new Map<string, KeyState | undefined>()
  readonly #failures: string[] = []
  #asked = 0
  #settled = 0

  constructor(
    parts: ReadParts,
    target: { range: number; key: Uint8Array; needed: number },
    members: readonly string[],
    deadline: Deadline
  ) {
    this.#parts = parts
    this.#target = target
    this.#deadline = deadline
    this.#order = parts.peers.byHealth(members)
    this.#quorum = new ReadQuorum(target.needed, members)
  }

  run(): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      const { timers, hedgeDelayMs } = this.#parts
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
          else if (verdict === 'failed') finish(() => reject(this.tooFew('')))
          else if (this.#asked === this.#settled) ask(1)
        }
        if (done && this.#asked === this.#settled) this.#mend()
      }
      const ask = (count: number) => {
        for (const member of this.#order.slice(this.#asked, this.#asked + count)) {
          this.#asked++
          this.#ask(member)
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
      const arm = () =>
        timers.after(hedgeDelayMs, () => {
          if (done) return
          ask(1)
          hedge = arm()
        })
      let hedge = arm()
      ask(this.#target.needed)
    })
  }

  tooFew(when: string): CoterieError {
    const { range, needed } = this.#target
    const of = `a read of range ${range} needs ${needed} of its ${this.#order.length} replicas`
    const enough = this.#quorum.answers >= needed
    const found = enough
      ? `${this.#quorum.answers} answered, but too few of them have caught up to say that there is no such key`
      : `${this.#failures.length} failed`
    const why = this.#failures.length > 0 ? `: ${this.#failures.at(-1)}` : ''
    return new CoterieError('not-available', `${of}; ${found}${when === '' ? '' : ` ${when}`}${why}`)
  }

  async #ask(member: string): Promise<void> {
    const { range, key } = this.#target
    const { state, synced } = await readReplica(this.#parts, member, range, key, this.#deadline.options())
    const decoded = state === undefined ? undefined : decodeState(state)
    this.#states.set(member, decoded)
    this.#quorum.answer(member, decoded !== undefined, synced)
  }

  #merged(): KeyState {
    const nowMs = this.#parts.clock.wallMs()
    let merged = emptyState()
    for (const state of this.#states.values()) if (state !== undefined) merged = merge(merged, state, nowMs)
    return merged
  }

  #result(): ReadResult {
    return { state: this.#merged(), replies: this.#quorum.answers }
  }

  /** Read repair: every replica that answered with less than the merge of all gets the merge. */
  #mend(): void {
    const merged = this.#merged()
    const stale = [...this.#states].filter(([, state]) => !sameVersions(state ?? emptyState(), merged))
    if (stale.length === 0) return
    const { range, key } = this.#target
    const bytes = encodeState(merged)
    const options = { timeoutMs: this.#deadline.timeoutMs }
    for (const [member] of stale)
      this.#parts.background.run('read repair', mergeReplica(this.#parts, member, range, key, bytes, options))
  }
}
