/**
 * Range clocks in a compare session, and what a copy learns of them when it has caught up (design §10).
 *
 * A side reads its clock in the same turn as its sums, and sends it after all its states: whoever has taken those in
 * holds, or knows as superseded, all that the clock covers, and may join it. Not if the sender has found damage meanwhile:
 * it could not send what it promised.
 */
import type { CopyStatus } from '../messages.ts'
import type { Log } from '../ports.ts'
import type { Arrivals } from '../replica/arrivals.ts'
import type { Replicas } from '../replica/replicas.ts'
import { type Dot, formatDot } from '../version/dot.ts'
import { type ClockEntries, RangeClock } from '../version/range-clock.ts'
import type { DeadItem, SyncMessage } from './sync-codec.ts'

/** What the other side of a session said of a range. */
export interface Verdict {
  /** Its copy was synced; one that was not says nothing of what lives. */
  synced: boolean
  /** Its clock, if all that it held has been taken in. */
  clock: ClockEntries
  /** Of what this side sent, what it calls dead. */
  dead: readonly DeadItem[]
  /** What has come from elsewhere since the session began. */
  arrivals: Arrivals
}

interface Offer {
  entries: ClockEntries
  damages: number
  refusals: number
  arrivals: Arrivals
}

type ClockMessage = Extract<SyncMessage, { type: 'clock' }>

export class SessionClocks {
  readonly #replicas: Replicas
  /** This side's clocks as they were when it told its sums. */
  readonly #offers = new Map<number, Offer>()
  readonly #taken = new Map<number, ClockMessage>()
  /** What the other side calls dead of what this one sent. */
  readonly #dead = new Map<number, DeadItem[]>()
  /** Ranges whose clock could have been joined: nothing was lost here meanwhile. */
  readonly #sound = new Set<number>()

  constructor(replicas: Replicas) {
    this.#replicas = replicas
  }

  /** In the same turn as the range's sums are read. */
  begin(range: number): void {
    const replicas = this.#replicas
    this.#offers.get(range)?.arrivals.close()
    this.#offers.set(range, {
      entries: replicas.clocks.of(range).entries(),
      damages: replicas.damages(range),
      refusals: replicas.refusals(range),
      arrivals: replicas.watch(range)
    })
  }

  arrivals(range: number): Arrivals | undefined {
    return this.#offers.get(range)?.arrivals
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
    this.#dead.set(range, [...(this.#dead.get(range) ?? []), ...items])
  }

  /**
   * The session is over; `revived`: ranges of which the other side sent live values that are dead here; `refused`: of which not
   * all could be taken in.
   */
  async finish(revived: ReadonlySet<number>, refused: ReadonlySet<number>): Promise<void> {
    const replicas = this.#replicas
    for (const [range, message] of this.#taken) {
      const offer = this.#offers.get(range)
      // What the sums counted may yet be refused by the disk.
      await replicas.quiet(range)
      const missed = await this.#hasMissed(range)
      const isWhole = offer?.damages === replicas.damages(range) && offer.refusals === replicas.refusals(range)
      if (!isWhole || refused.has(range)) continue
      this.#sound.add(range)
      if (replicas.status(range) === 'synced')
        this.#judge(message, { revived: revived.has(range), missed }, offer.arrivals)
    }
  }

  /** The other side calls something dead that lives here, or that this copy's clock does not cover. */
  async #hasMissed(range: number): Promise<boolean> {
    const { clocks } = this.#replicas
    for (const { key, dots } of this.#dead.get(range) ?? []) {
      if (dots.some(dot => !clocks.covers(range, dot))) return true
      if (await this.#replicas.lives(range, key, dots)) return true
    }
    return false
  }

  /** Of a synced copy: who of the two has lost something, if anybody has; else it joins. */
  #judge(
    { range, entries, synced }: ClockMessage,
    { revived, missed }: { revived: boolean; missed: boolean },
    arrivals: Arrivals
  ): void {
    const { clocks } = this.#replicas
    if (revived && synced && new RangeClock(entries).includes(clocks.reaped(range)))
      this.#replicas.doubt(
        range,
        'another replica holds what is dead here, and knows of every delete that was reaped here'
      )
    else if (!this.#dead.has(range)) joinAllBut(clocks.of(range), entries, arrivals.coveredBy(entries))
    // To join would be to say that what the other side calls dead lives here.
    else if (!revived && synced && missed && !clocks.of(range).includes(entries))
      this.#replicas.doubt(range, 'another replica calls dead what this copy holds, and this copy has missed its end')
  }

  /** For a copy that catches up. Its arrivals are the caller's to close; those of the other ranges are closed. */
  verdict(range: number, status: CopyStatus | undefined): Verdict | undefined {
    const offer = this.#offers.get(range)
    if (offer === undefined) return undefined
    this.#offers.delete(range)
    return {
      synced: status === 'synced',
      clock: this.#sound.has(range) ? (this.#taken.get(range)?.entries ?? []) : [],
      dead: this.#dead.get(range) ?? [],
      arrivals: offer.arrivals
    }
  }

  /** Watches nothing any more. */
  close(): void {
    for (const { arrivals } of this.#offers.values()) arrivals.close()
    this.#offers.clear()
  }
}

function joinAllBut(clock: RangeClock, entries: ClockEntries, actors: readonly string[]): void {
  clock.join(actors.length === 0 ? entries : entries.filter(([actor]) => !actors.includes(actor)))
}

/**
 * Of a copy that has been compared with enough others to be level: takes out what every synced one of them calls dead, and
 * joins their clocks. In this order: a clock that covers a dot which the copy still holds says that it lives. False when
 * the copy was harmed meanwhile (`isUnharmed`) or the disk refuses: it has to be compared again.
 */
export async function settleCopy(
  { replicas, log }: { replicas: Replicas; log: Log },
  range: number,
  verdicts: readonly Verdict[],
  isUnharmed: () => boolean
): Promise<boolean> {
  try {
    return isUnharmed() && (await settle(replicas, range, verdicts, isUnharmed))
  } catch (error) {
    log.warn('a copy that is level could not be settled; it is compared again', { range, error: String(error) })
    return false
  }
}

async function settle(
  replicas: Replicas,
  range: number,
  verdicts: readonly Verdict[],
  isUnharmed: () => boolean
): Promise<boolean> {
  const said = verdicts.filter(({ synced }) => synced)
  const graves = commonDead(said)
  for (const { key, dots } of graves) await replicas.bury(range, key, dots)
  // The mark that follows is durable: what was taken out must not be back after a power cut.
  if (graves.length > 0) await replicas.sync([range])
  await replicas.quiet(range)
  if (!isUnharmed()) return false
  const clock = replicas.clocks.of(range)
  const unseen = said.flatMap(({ arrivals, clock }) => arrivals.coveredBy(clock))
  for (const actor of unseen) clock.drop(actor)
  for (const { clock: theirs } of said) joinAllBut(clock, theirs, unseen)
  replicas.clocks.markReaped(range)
  // The mark must not find an older clock on disk, either.
  await replicas.clocks.written()
  return isUnharmed()
}

/** Of each key the dots that all of them call dead. */
function commonDead(verdicts: readonly Verdict[]): DeadItem[] {
  const counts = new Map<string, { key: Uint8Array; dot: Dot; count: number }>()
  for (const { dead } of verdicts) {
    for (const { key, dots } of dead) {
      for (const dot of dots) {
        const name = `${Buffer.from(key).toString('latin1')} ${formatDot(dot)}`
        const entry = counts.get(name) ?? { key, dot, count: 0 }
        entry.count++
        counts.set(name, entry)
      }
    }
  }
  return [...counts.values()]
    .filter(({ count }) => count === verdicts.length)
    .map(({ key, dot }) => ({ key, dots: [dot] }))
}
