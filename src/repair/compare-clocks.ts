/**
 * Range clocks in a compare session, and what a copy learns of them when it has caught up (design §10).
 *
 * A side reads its clock in the same turn as its sums, and sends it after all its states: whoever has taken those in
 * holds, or knows as superseded, all that the clock covers, and may join it. Not if the sender has found damage meanwhile:
 * it could not send what it promised.
 */
import type { Replicas } from '../replica/replicas.ts'
import { compareDots } from '../version/dot.ts'
import { type ClockEntries, RangeClock } from '../version/range-clock.ts'
import type { DeadItem, SyncMessage } from './sync-codec.ts'

/** Of what this side sent, the other one calls these dead; and its clock, when all that it held has been taken in. */
export interface Verdict {
  clock: ClockEntries
  dead: DeadItem[]
}

interface Offer {
  entries: ClockEntries
  damages: number
}

type ClockMessage = Extract<SyncMessage, { type: 'clock' }>

export class SessionClocks {
  readonly #replicas: Replicas
  /** This side's clocks as they were when it told its sums. */
  readonly #offers = new Map<number, Offer>()
  readonly #taken = new Map<number, ClockMessage>()
  /** What the other side calls dead of what this one sent. */
  readonly dead = new Map<number, DeadItem[]>()
  /** The other side's, for ranges that were not joined: a copy that catches up joins when it is level with all. */
  readonly clocks = new Map<number, ClockEntries>()

  constructor(replicas: Replicas) {
    this.#replicas = replicas
  }

  /** In the same turn as the range's sums are read. */
  begin(range: number): void {
    this.#offers.set(range, {
      entries: this.#replicas.clocks.of(range).entries(),
      damages: this.#replicas.damages(range)
    })
  }

  /** This side's clocks, for after all its states. */
  *messages(): Iterable<SyncMessage> {
    for (const [range, { entries, damages }] of this.#offers) {
      if (entries.length === 0 || this.#replicas.damages(range) !== damages) continue
      yield { type: 'clock', range, entries, synced: this.#replicas.status(range) === 'synced' }
    }
  }

  /** All states that the other side sent of this range have been taken in. */
  take(message: ClockMessage): void {
    this.#taken.set(message.range, message)
  }

  takeDead({ range, items }: Extract<SyncMessage, { type: 'dead' }>): void {
    this.dead.set(range, [...(this.dead.get(range) ?? []), ...items])
  }

  /** The session is over; `wasDead`: some of what the other side sent of a range is dead here. */
  finish(wasDead: (range: number) => boolean): void {
    const replicas = this.#replicas
    for (const [range, { entries, synced }] of this.#taken) {
      // Something was lost here since the session began: what the other side has is not all here.
      if (this.#offers.get(range)?.damages !== replicas.damages(range)) continue
      const isSynced = replicas.status(range) === 'synced'
      if (!isSynced) this.clocks.set(range, entries)
      else if (wasDead(range) && synced && new RangeClock(entries).includes(replicas.clocks.reaped(range))) {
        replicas.doubt(
          range,
          'another replica holds what this copy takes for deleted, and knows all that was deleted here'
        )
        // To join would be to say that what the other side calls dead lives. It lacks it, or this copy missed its end.
      } else if (!this.dead.has(range)) replicas.clocks.join(range, entries)
    }
  }
}

/**
 * Of a copy that has been compared with enough others to be level: takes out what all of them call dead, and joins their
 * clocks. In this order: a clock that covers a dot which the copy still holds says that it lives.
 */
export async function settleCopy(replicas: Replicas, range: number, verdicts: readonly Verdict[]): Promise<void> {
  const [first, ...others] = verdicts
  for (const { key, dots } of first?.dead ?? []) {
    const dead = dots.filter(dot =>
      others.every(({ dead }) =>
        dead.some(item => Buffer.compare(item.key, key) === 0 && item.dots.some(other => compareDots(other, dot) === 0))
      )
    )
    if (dead.length > 0) await replicas.bury(range, key, dead)
  }
  for (const { clock } of verdicts) replicas.clocks.join(range, clock)
  replicas.clocks.markReaped(range)
  // The mark that follows must not find an older clock on disk.
  await replicas.clocks.written()
}
