/**
 * All that happened to one key, and who had seen what. A write covers the writes that its context covers, and all that
 * those cover: contexts are transitive. Ids grow with time, and nobody has seen what was sent later, so one walk from the
 * newest write to the oldest answers what has become of each.
 */
import type { KeyFindings, ReadRecord, WriteRecord } from '../history.ts'
import type { WallClocks } from './wall-clocks.ts'

/** That a write was certainly replaced. */
export interface Replaced {
  /** By which write that counts, perhaps through others, and since when: of several the earliest. */
  by: WriteRecord
  sinceMs: number
  /** Who had seen it directly, and since when that counts. */
  seers: { seer: WriteRecord; sinceMs: number }[]
}

export class KeyCase {
  readonly key: string
  /** In the order in which they were sent. */
  readonly writes: WriteRecord[] = []
  /** Those that were answered, in the order in which they were asked. */
  readonly reads: ReadRecord[] = []
  /** Deletes whose coordinator read first. */
  readonly blindDeletes: WriteRecord[] = []
  readonly found: KeyFindings | undefined
  readonly #clocks: WallClocks
  readonly #byId = new Map<number, WriteRecord>()
  readonly #coverers = new Map<number, WriteRecord[]>()

  constructor(key: string, found: KeyFindings | undefined, clocks: WallClocks) {
    this.key = key
    this.found = found
    this.#clocks = clocks
  }

  /** In order of ids. */
  addWrite(write: WriteRecord): void {
    this.writes.push(write)
    this.#byId.set(write.id, write)
    if (write.covers === 'unknown') this.blindDeletes.push(write)
    for (const id of this.coveredBy(write)) {
      const coverers = this.#coverers.get(id)
      if (coverers === undefined) this.#coverers.set(id, [write])
      else coverers.push(write)
    }
  }

  /** The write of this id to this key. */
  write(id: number): WriteRecord | undefined {
    return this.#byId.get(id)
  }

  /** Ids of what the write's context covers for certain, seen directly; never what was sent later. */
  coveredBy({ id, covers }: WriteRecord): number[] {
    return covers === 'unknown' ? [] : covers.filter(covered => covered < id)
  }

  /** Writes that were sent with a context that covers this one, seen directly; blind deletes are not among them. */
  coverersOf(id: number): readonly WriteRecord[] {
    return this.#coverers.get(id) ?? []
  }

  /** When a delete whose coordinator reads first may read for the last time. An error leaves open whether, and when, it is done. */
  mayReadUntil({ outcome, endMs }: WriteRecord): number {
    return outcome === 'acked' ? endMs! : Number.POSITIVE_INFINITY
  }

  /**
   * Ids of values sent before `atMs` of which nothing is left among the values `present` at that time. Not of those is a
   * value that is present or may have expired, and one that is causally superseded: a chain of writes, each sent with a
   * context that covers the one before (that it was tried is enough: it may have happened), leads to a present value,
   * to a delete, or to one that may have expired. A blind delete may have covered whatever was sent before it ended.
   */
  unaccounted(present: ReadonlySet<number>, atMs: number): Set<number> {
    const gone = new Set<number>()
    const leads = new Set<number>()
    let deletedUpToMs = Number.NEGATIVE_INFINITY
    for (const blind of this.blindDeletes) {
      if (blind.startMs <= atMs) deletedUpToMs = Math.max(deletedUpToMs, this.mayReadUntil(blind))
    }
    for (const write of this.writes.toReversed()) {
      const { id, startMs, value } = write
      if (startMs > atMs) continue
      const ends = value === undefined || present.has(id) || this.#clocks.mayBeExpired(write, atMs)
      if (ends || startMs <= deletedUpToMs || this.coverersOf(id).some(coverer => leads.has(coverer.id))) leads.add(id)
      else gone.add(id)
    }
    return gone
  }

  /**
   * Of these ids those from which the trouble starts: what was sent after seeing them is not among them. (Where a chain
   * is lost from its end, each of its links is gone.)
   */
  heads(ids: ReadonlySet<number>): WriteRecord[] {
    const told = new Set<number>()
    const heads: WriteRecord[] = []
    for (const write of this.writes.toReversed()) {
      if (this.coverersOf(write.id).some(coverer => told.has(coverer.id))) told.add(write.id)
      else if (ids.has(write.id)) {
        told.add(write.id)
        heads.push(write)
      }
    }
    return heads.reverse()
  }

  /**
   * For each write that was certainly replaced: by whom. `countsFrom`: from when on a write counts; undefined: never.
   * `blindly`: whether a blind delete has certainly read a write.
   */
  replaced(
    countsFrom: (write: WriteRecord) => number | undefined,
    blindly: (blind: WriteRecord, write: WriteRecord) => boolean
  ): Map<number, Replaced> {
    const replaced = new Map<number, Replaced>()
    for (const write of this.writes.toReversed()) {
      const seenBy = (seer: WriteRecord) => {
        // Whoever replaced that one has seen what it had seen.
        const further = replaced.get(seer.id)
        const ownMs = countsFrom(seer) ?? Number.POSITIVE_INFINITY
        if (ownMs === Number.POSITIVE_INFINITY && further === undefined) return
        const isOwn = further === undefined || ownMs <= further.sinceMs
        const { by, sinceMs } = isOwn ? { by: seer, sinceMs: ownMs } : further
        const known = replaced.get(write.id)
        const seers = [...(known?.seers ?? []), { seer, sinceMs }]
        if (known !== undefined && known.sinceMs <= sinceMs) known.seers = seers
        else replaced.set(write.id, { by, sinceMs, seers })
      }
      this.coverersOf(write.id).forEach(seenBy)
      for (const blind of this.blindDeletes) if (blind.id !== write.id && blindly(blind, write)) seenBy(blind)
    }
    return replaced
  }

  /**
   * The dot under which a coverer had seen a value. A put that was tried through several nodes may have a dot of each; a
   * context covers those that were there to be seen, and the others are known by the write id for the retry window only
   * (design §7: later retries may make siblings, never a loss). Undefined when nobody knows.
   */
  seenDot(coverer: WriteRecord, value: WriteRecord): string | undefined {
    if (coverer.covers === 'unknown') return value.dot
    let seen =
      value.client === coverer.client && value.endMs !== undefined ? { atMs: value.endMs, dot: value.dot } : undefined
    for (const { client, endMs, values, dots } of this.reads) {
      if (client !== coverer.client || endMs === undefined || endMs > coverer.startMs) continue
      const at = values.indexOf(value.id)
      if (at >= 0 && dots[at] !== undefined && (seen === undefined || endMs >= seen.atMs))
        seen = { atMs: endMs, dot: dots[at] }
    }
    return seen?.dot
  }

  /** True when a value is shown under a dot that none of these, which cover it, had seen: another try of the same put. */
  isLateTry(value: WriteRecord, dot: string | undefined, coverers: readonly WriteRecord[]): boolean {
    if (dot === undefined) return false
    const seen = coverers.map(coverer => this.seenDot(coverer, value))
    return seen.every(one => one !== undefined && one !== dot)
  }
}
