/**
 * A quorum write: this node mints the dot in its own copy and sends the merged key state to the other members of the
 * preference list in parallel; the answer leaves once W of them hold it, the rest goes on behind (design §8).
 */
import type { Background } from '../background.ts'
import { CoterieError } from '../errors.ts'
import type { Timers } from '../ports.ts'
import type { Replicas, WriteIntent, Written } from '../replica/replicas.ts'
import { type Deadline, withinDeadline } from './deadline.ts'
import { WriteQuorum } from './quorum.ts'
import { mergeReplica, type ReplicaParts, StaleView } from './replica-calls.ts'

export interface WriteParts extends ReplicaParts {
  timers: Timers
  background: Background
  replicas: Replicas
}

export interface WriteTarget {
  range: number
  key: Uint8Array
  /** W for a ring of so many owners. */
  needed: () => number
}

export interface WriteResult extends Omit<Written, 'stored' | 'bytes'> {
  acks: number
}

/** The node must be on the preference list. Throws `not-available` when W members cannot be reached: the write may still take effect. */
export async function writeKey(
  parts: WriteParts,
  target: WriteTarget,
  intent: WriteIntent,
  deadline: Deadline
): Promise<WriteResult> {
  const written = await parts.replicas.write(target.range, target.key, intent)
  const replication = new Replication(parts, target, written, deadline)
  const acks = await withinDeadline(replication.run(), deadline, parts.timers, () =>
    replication.tooFew(`within ${deadline.timeoutMs} ms`)
  )
  return { state: written.state, dot: written.dot, replaced: written.replaced, acks }
}

class Replication {
  readonly #parts: WriteParts
  readonly #target: WriteTarget
  readonly #written: Written
  readonly #deadline: Deadline
  readonly #quorum: WriteQuorum
  readonly #sent = new Set<string>()
  readonly #needed: number
  #lastError: unknown

  constructor(parts: WriteParts, target: WriteTarget, written: Written, deadline: Deadline) {
    this.#parts = parts
    this.#target = target
    this.#written = written
    this.#deadline = deadline
    this.#needed = target.needed()
    this.#quorum = new WriteQuorum(this.#needed, this.#members())
  }

  run(): Promise<number> {
    return new Promise((resolve, reject) => {
      const judge = () => {
        const verdict = this.#quorum.verdict
        if (verdict === 'stored') resolve(this.#quorum.acks)
        else if (verdict === 'failed') reject(this.tooFew(''))
      }
      const sendAll = () => {
        for (const member of this.#members()) {
          if (this.#sent.has(member)) continue
          this.#sent.add(member)
          this.#parts.background.run('replication of a write', this.#send(member).then(judge))
        }
      }
      this.#onStale = () => {
        this.#quorum.retarget(this.#target.needed(), this.#members())
        sendAll()
      }
      sendAll()
    })
  }

  tooFew(when: string): CoterieError {
    const members = this.#members()
    const why =
      this.#lastError === undefined
        ? ''
        : `: ${this.#lastError instanceof Error ? this.#lastError.message : String(this.#lastError)}`
    const asked = `a write of range ${this.#target.range} needs ${this.#needed} of its ${members.length} replicas`
    const failed = `${members.filter(member => this.#quorum.hasFailed(member)).length} failed${when === '' ? '' : ` ${when}`}`
    return new CoterieError('not-available', `${asked}; ${failed}${why} (those that took it keep it)`)
  }

  #onStale: () => void = () => {}

  #members(): readonly string[] {
    return this.#parts.topology.view.preferenceList(this.#target.range)
  }

  async #send(member: string, again = true): Promise<void> {
    const { range, key } = this.#target
    try {
      if (member === this.#parts.peers.self) await this.#written.stored
      else {
        // Without the caller's signal: a write that its caller gave up is still replicated as far as time allows.
        const { timeoutMs } = this.#deadline.options()
        await mergeReplica(this.#parts, member, range, key, this.#written.bytes, { timeoutMs })
      }
      this.#quorum.ack(member)
    } catch (error) {
      if (error instanceof StaleView) {
        this.#onStale()
        // The news was about others: it is on the new list as well, and its copy may just have thawed.
        if (again && this.#members().includes(member)) return this.#send(member, false)
      } else this.#lastError = error
      this.#quorum.fail(member)
    }
  }
}
