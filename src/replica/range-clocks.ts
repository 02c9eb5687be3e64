/**
 * The range clocks of a node's copies (`version/range-clock.ts`), and what of them is on disk (`clocks.json`).
 *
 * On disk a clock never covers more than the range's file holds: it is read, then the file is synced, then the clock is
 * written. It counts after a restart only if the file still reaches as far as it did then. A copy that may have lost
 * something forgets its clock, on disk too: with the old one, it would take for dead what it has to be given again.
 */
import type { FileIo, Log } from '../ports.ts'
import type { Extent } from '../storage/log/log-file.ts'
import type { RangeStore } from '../storage/range-store.ts'
import type { Dot } from '../version/dot.ts'
import type { KeyState } from '../version/key-state.ts'
import { type ClockEntries, RangeClock } from '../version/range-clock.ts'
import { WholeFile } from '../whole-file.ts'

interface Saved extends Extent {
  entries: ClockEntries
}

export class RangeClocks {
  readonly #files: FileIo
  readonly #log: Log
  readonly #store: RangeStore
  readonly #file: WholeFile
  readonly #clocks = new Map<number, RangeClock>()
  readonly #saved = new Map<number, Saved>()
  /** What the clock covered when the copy last reaped, or was filled by others: all that it can take for dead. */
  readonly #reaped = new Map<number, ClockEntries>()
  readonly #forgotten = new Map<number, number>()

  constructor(ports: { files: FileIo; log: Log }, parts: { store: RangeStore }, init: { path: string }) {
    this.#files = ports.files
    this.#log = ports.log
    this.#store = parts.store
    this.#file = new WholeFile(ports.files, init.path, () => this.#encode())
  }

  /**
   * Takes up the clocks on disk of copies that are `trusted`: complete when the last process ended, and not found damaged
   * since. Gives the trusted ranges whose files are older than their clocks, or all when nothing can be read: what those
   * copies have lost, nobody knows.
   */
  async open(trusted: readonly number[]): Promise<number[]> {
    const bytes = await this.#files.readFile(this.#file.path)
    if (bytes === undefined) return []
    let table: Map<number, Saved>
    try {
      table = readTable(bytes)
    } catch (error) {
      this.#log.warn('the range clocks cannot be read; all copies are compared again', {
        file: this.#file.path,
        error: String(error)
      })
      return [...trusted]
    }
    const doubtful: number[] = []
    for (const range of trusted) {
      const saved = table.get(range)
      if (saved === undefined) continue
      if (!reaches(this.#store.extent(range), saved)) {
        doubtful.push(range)
        continue
      }
      this.#saved.set(range, saved)
      this.#reaped.set(range, saved.entries)
      this.#clocks.set(range, new RangeClock(saved.entries))
    }
    return doubtful
  }

  of(range: number): RangeClock {
    let clock = this.#clocks.get(range)
    if (clock === undefined) this.#clocks.set(range, (clock = new RangeClock()))
    return clock
  }

  /**
   * At an append, for when the copy holds this state in its file: notes it, unless the copy has lost something meanwhile. That
   * may be the same record, which can be read, and be found damaged, before it is stored as `durability` says.
   */
  noting(range: number, state: KeyState): () => void {
    const era = this.#era(range)
    return () => {
      if (this.#era(range) === era) this.of(range).noteAll(state.context)
    }
  }

  covers(range: number, dot: Dot): boolean {
    return this.#clocks.get(range)?.covers(dot) === true
  }

  /** Another copy's clock, all that it held at that time having been pulled. */
  join(range: number, entries: ClockEntries): void {
    this.of(range).join(entries)
  }

  /** Everything that the copy takes for dead was deleted within what these entries cover. */
  reaped(range: number): ClockEntries {
    return this.#reaped.get(range) ?? []
  }

  /** From now on the copy does not hold all that its clock covers. */
  markReaped(range: number): void {
    this.#reaped.set(range, this.of(range).entries())
  }

  /** The copy may have lost something, or is gone. `written` says when the disk knows. */
  forget(range: number): void {
    this.#clocks.delete(range)
    this.#reaped.delete(range)
    this.#forgotten.set(range, this.#era(range) + 1)
    if (this.#saved.delete(range)) void this.#file.write()
  }

  /** Brings these clocks to disk, as they are now; syncs the files that they speak of. Throws what syncing throws, when all that could be saved is. */
  async save(ranges: readonly number[]): Promise<void> {
    let changed = false
    const failures: unknown[] = []
    for (const range of ranges) {
      try {
        if (await this.#sync(range)) changed = true
      } catch (error) {
        failures.push(error)
      }
    }
    await (changed ? this.#file.write() : this.#file.written())
    if (failures.length > 0) throw failures[0]
  }

  /** True when there is something new to write of this range, which its file is sure to hold. */
  async #sync(range: number): Promise<boolean> {
    const clock = this.#clocks.get(range)
    if (clock === undefined || clock.isEmpty || this.#store.state(range) !== 'open') return false
    const entries = clock.entries()
    const saved = this.#saved.get(range)
    if (saved !== undefined && sameEntries(saved.entries, entries)) return false
    const extent = this.#store.extent(range)
    const era = this.#era(range)
    await this.#store.sync(range)
    if (this.#era(range) !== era) return false
    this.#saved.set(range, { ...extent, entries })
    return true
  }

  /** Resolves when nothing is on disk of what was forgotten. */
  written(): Promise<void> {
    return this.#file.written()
  }

  /** Ranges that have a clock. */
  ranges(): number[] {
    return [...this.#clocks.keys()]
  }

  #era(range: number): number {
    return this.#forgotten.get(range) ?? 0
  }

  #encode(): Uint8Array {
    const ranges = [...this.#saved]
      .sort(([a], [b]) => a - b)
      .map(([range, { generation, bytes, entries }]) => ({
        range,
        generation,
        bytes,
        clock: Object.fromEntries(entries)
      }))
    return new TextEncoder().encode(`${JSON.stringify({ ranges })}\n`)
  }
}

/** A file of a later generation holds what the earlier ones held. */
function reaches(now: Extent, then: Extent): boolean {
  return now.generation === then.generation ? now.bytes >= then.bytes : now.generation > then.generation
}

const sameEntries = (a: ClockEntries, b: ClockEntries): boolean =>
  a.length === b.length && a.every(([actor, counter], i) => b[i]![0] === actor && b[i]![1] === counter)

/** Throws on anything that is not a table of ours. */
function readTable(bytes: Uint8Array): Map<number, Saved> {
  const { ranges } = JSON.parse(new TextDecoder().decode(bytes)) as { ranges: unknown }
  if (!Array.isArray(ranges)) throw new TypeError('no list of ranges')
  const table = new Map<number, Saved>()
  for (const { range, generation, bytes, clock } of ranges as Record<string, unknown>[]) {
    const entries = Object.entries(clock as object)
    const numbers = [range, generation, bytes, ...entries.map(([, counter]) => counter)]
    if (!numbers.every(number => Number.isSafeInteger(number) && (number as number) >= 0))
      throw new TypeError('a clock that is none')
    const sorted = entries.sort(([a], [b]) => (a < b ? -1 : 1)) as [string, number][]
    table.set(range as number, { generation: generation as number, bytes: bytes as number, entries: sorted })
  }
  return table
}
