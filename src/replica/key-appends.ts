/**
 * What a write of a key builds on, and its appends that have not settled.
 *
 * There are no locks: a write reads the key's state (`current`), and if the index shows that the key has changed
 * meanwhile (`isCurrent`), reads it again; the check and the append happen in one turn of the event loop.
 */
import { isCoterieError } from '../errors.ts'
import type { RangeStore, StoredKey } from '../storage/range-store.ts'
import { decodeState, stateTag } from '../version/codec.ts'
import type { KeyState } from '../version/key-state.ts'
import type { CopySums } from './copy-sums.ts'
import type { DiskRoom } from './disk-room.ts'

export interface Current {
  state: KeyState | undefined
  tag: number | undefined
}

/** The newest append of a key that has not settled; no tag: it is being removed. */
interface Appending {
  range: number
  tag: number | undefined
  /** Rejects with what the storage said. */
  done: Promise<void>
}

export interface KeyAppendsParts {
  store: RangeStore
  sums: CopySums
  room: DiskRoom
  /** At the append; what it gives is called once the copy holds this state, as `durability` says. */
  onAppend: (range: number, state: KeyState) => () => void
  /** The copy has given up a state that it had shown. */
  onRefused: (range: number) => void
}

export class KeyAppends {
  readonly #parts: KeyAppendsParts
  /**
   * By position. While one is here and the index does not show its tag, the storage has refused it or still looks for its
   * place: a write that built on what the index shows would cover the dot of the one before without holding its value.
   */
  readonly #appending = new Map<string, Appending>()
  readonly #refusals = new Map<number, number>()

  constructor(parts: KeyAppendsParts) {
    this.#parts = parts
  }

  async current(range: number, key: StoredKey): Promise<Current> {
    const { store } = this.#parts
    const appending = this.#appending.get(nameOf(key))
    // Its failure is told to whoever appended.
    if (appending !== undefined && appending.tag !== store.tagOf(range, key))
      await appending.done.catch(() => undefined)
    const tag = store.tagOf(range, key)
    if (tag === undefined) return { state: undefined, tag }
    return { state: await this.read(range, key), tag }
  }

  async read(range: number, key: StoredKey): Promise<KeyState | undefined> {
    const bytes = this.#parts.store.peek(range, key) ?? (await this.#get(range, key))
    return bytes === undefined ? undefined : decodeState(bytes)
  }

  /** What the next write of a key builds on: nothing has changed it, and no append of it is in doubt. In the same turn as the append. */
  isCurrent(range: number, key: StoredKey, tag: number | undefined): boolean {
    const appending = this.#appending.get(nameOf(key))
    return this.#parts.store.tagOf(range, key) === tag && (appending === undefined || appending.tag === tag)
  }

  /** Settles as the newest append of the key does; undefined: none is under way. */
  pending(key: StoredKey): Promise<void> | undefined {
    return this.#appending.get(nameOf(key))?.done
  }

  /** How many appends of a range were refused: each took back a state that the copy had shown. */
  refusals(range: number): number {
    return this.#refusals.get(range) ?? 0
  }

  /** All appends of a range that are under way have settled, well or not. */
  async quiet(range: number): Promise<void> {
    const running = [...this.#appending.values()].filter(appending => appending.range === range)
    await Promise.allSettled(running.map(({ done }) => done))
  }

  /** Puts `state`, whose encoding is `bytes`, in the place of the one with `oldTag`. */
  append(range: number, key: StoredKey, state: KeyState, bytes: Uint8Array, oldTag: number | undefined): Promise<void> {
    const tag = stateTag(state)
    const onStored = this.#parts.onAppend(range, state)
    const appended = this.#parts.store.put(range, key, bytes, tag)
    return this.#track(range, key, appended, oldTag, tag, onStored)
  }

  /** Takes the key out of the copy. */
  remove(range: number, key: StoredKey, oldTag: number): Promise<void> {
    return this.#track(range, key, this.#parts.store.remove(range, key), oldTag, undefined, () => undefined)
  }

  /** A record that does not check is gone from the index and reported; the key reads as absent in a syncing copy. */
  async #get(range: number, key: StoredKey): Promise<Uint8Array | undefined> {
    try {
      return await this.#parts.store.get(range, key)
    } catch (error) {
      if (isCoterieError(error, 'damaged')) return undefined
      throw error
    }
  }

  #track(
    range: number,
    key: StoredKey,
    appended: Promise<void>,
    oldTag: number | undefined,
    tag: number | undefined,
    onStored: () => void
  ): Promise<void> {
    const { store, sums, room, onRefused } = this.#parts
    const inPlace = store.tagOf(range, key) === tag
    if (inPlace) sums.replace(range, key, oldTag, tag)
    else sums.forget(range)
    const name = nameOf(key)
    const settle = () => {
      if (this.#appending.get(name) === appending) this.#appending.delete(name)
      if (!inPlace) sums.forget(range)
    }
    const stored = () => {
      room.found()
      settle()
      onStored()
    }
    const done = appended.then(stored, error => {
      settle()
      if (isCoterieError(error, 'disk-full')) room.refused(error)
      this.#refusals.set(range, this.refusals(range) + 1)
      onRefused(range)
      throw error
    })
    const appending: Appending = { range, tag, done }
    this.#appending.set(name, appending)
    return done
  }
}

const nameOf = ({ hi, lo }: StoredKey): string => `${hi}:${lo}`
