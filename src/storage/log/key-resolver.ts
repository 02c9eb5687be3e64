/**
 * Which entry of the index is a key's, when memory does not tell: two keys may share all 64 bits of their position
 * (collisions of a SHA-256 prefix can be made), so an entry whose record nobody has in memory is asked for its key. Puts
 * to one position wait for one another, so that they take effect in the order of their calls.
 */
import { sameBytes } from '../format/record.ts'
import type { IndexEntry, KeyIndex, Position } from '../index/key-index.ts'
import { type RecordReader, StaleEntry, unlessDamaged, untilFresh } from './record-reader.ts'

/** A key and its position, the first 64 bits of its SHA-256. */
export interface StoredKey {
  bytes: Uint8Array
  hi: number
  lo: number
}

export class KeyResolver {
  readonly #index: KeyIndex
  readonly #reader: RecordReader
  /** By position, as long as a put to it has not learned its place. */
  readonly #resolving = new Map<string, Promise<void>>()

  constructor(index: KeyIndex, reader: RecordReader) {
    this.#index = index
    this.#reader = reader
  }

  get busy(): boolean {
    return this.#resolving.size > 0
  }

  async idle(): Promise<void> {
    while (this.busy) await Promise.all(this.#resolving.values())
  }

  /** Resolves when the puts to this position, up to now, are in the index. Never rejects. */
  async resolved(position: Position): Promise<void> {
    await this.#resolving.get(nameOf(position))
  }

  /**
   * Calls `act` with the key's entry (undefined: it has none) in the turn in which that is so, at once if memory knows.
   * Resolves and rejects as `act`, or rejects with what reading has thrown.
   */
  resolve(key: StoredKey, act: (entry: IndexEntry | undefined) => Promise<void>): Promise<void> {
    const position = nameOf(key)
    const before = this.#resolving.get(position)
    const known = before ? undefined : this.#knownEntry(key)
    if (known !== undefined) return act(known ?? undefined)
    const acted = (before ?? Promise.resolve()).then(() => untilFresh(() => this.#findAndAct(key, act)))
    const settled = acted.then(
      () => {},
      () => {}
    )
    this.#resolving.set(position, settled)
    void settled.then(() => {
      if (this.#resolving.get(position) === settled) this.#resolving.delete(position)
    })
    return acted.then(({ outcome }) => outcome)
  }

  /** As far as memory tells: null for none, undefined for unknown. */
  #knownEntry(key: StoredKey): IndexEntry | null | undefined {
    let allKnown = true
    for (const entry of this.#index.find(key.hi, key.lo)) {
      const record = this.#reader.inMemory(entry)
      if (record && sameBytes(record.key, key.bytes)) return entry
      if (!record) allKnown = false
    }
    return allKnown ? null : undefined
  }

  /** The outcome in an object, so that nobody waits for it here. */
  async #findAndAct(
    key: StoredKey,
    act: (entry: IndexEntry | undefined) => Promise<void>
  ): Promise<{ outcome: Promise<void> }> {
    const entry = await this.#findEntry(key)
    // While its key was read, it may have been moved to another file.
    if (entry && !this.#index.find(key.hi, key.lo).some(now => sameEntry(now, entry))) throw new StaleEntry()
    return { outcome: act(entry) }
  }

  /** Asking the disk. */
  async #findEntry(key: StoredKey): Promise<IndexEntry | undefined> {
    for (const entry of this.#index.find(key.hi, key.lo)) {
      // A damaged one is out of the index now, and the put does not need it.
      const other = await unlessDamaged(this.#reader.key(key, entry))
      if (other && sameBytes(other, key.bytes)) return entry
    }
    return undefined
  }
}

export function sameEntry(a: IndexEntry, b: IndexEntry): boolean {
  return a.offset === b.offset && a.file === b.file
}

function nameOf({ hi, lo }: Position): string {
  return `${hi}:${lo}`
}
