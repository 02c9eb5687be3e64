/**
 * Reads and writes of this node's own range copies: mints dots, merges key states, keeps the bucket sums. Knows versions
 * and storage, no other node. One instance serves all ranges.
 *
 * There are no locks: a write reads the key's state, and if the index shows that the key has changed meanwhile, reads it
 * again; the check and the append happen in one turn of the event loop.
 */
import { LIMITS } from '../config.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { CopyStatus } from '../messages.ts'
import type { Clock, Log, Random } from '../ports.ts'
import { positionOf, rangeOf } from '../ring/position.ts'
import type { Damage, RangeStore, StoredKey } from '../storage/range-store.ts'
import type { CausalContext } from '../version/causal-context.ts'
import { decodeState, encodeState, stateTag } from '../version/codec.ts'
import type { Dot } from '../version/dot.ts'
import { emptyState, type KeyState, liveSiblings, merge, sameVersions, write } from '../version/key-state.ts'
import { BucketSums } from './bucket-sums.ts'
import { DiskRoom } from './disk-room.ts'

export interface WriteIntent {
  /** Undefined: a tombstone. */
  value: Uint8Array | undefined
  context: CausalContext | undefined
  /** 16 hex digits. */
  writeId: string
  expiresAtMs: number
}

export interface Written {
  state: KeyState
  /** The state's encoding, for the other replicas. */
  bytes: Uint8Array
  dot: Dot
  replaced: number
  /** Resolves when this copy holds the write as `durability` says, and its mirrors have it. */
  stored: Promise<void>
}

/** Sends a write on to the nodes that mirror this copy, `except` the one it came from; undefined when there are none (`repair/mirrors.ts`). */
export type MirrorHook = (
  range: number,
  key: Uint8Array,
  state: Uint8Array,
  except?: string
) => Promise<void> | undefined

/** Which copies there are, and how far each can be trusted (`copy-table.ts`; those of stand-ins are simpler). */
export interface CopyMarks {
  status(range: number): CopyStatus
  /** Takes effect at once; resolves when it is as lasting as it has to be. */
  set(ranges: number[], status: CopyStatus): Promise<void>
}

interface Actor {
  id: string
  counter: number
}

/** The newest append of a key that has not settled. */
interface Appending {
  tag: number
  /** Rejects with what the storage said. */
  done: Promise<void>
}

export class Replicas {
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: Log
  readonly #store: RangeStore
  readonly #copies: CopyMarks
  readonly #q: number
  readonly #actors = new Map<number, Actor>()
  readonly #sums = new Map<number, BucketSums>()
  readonly #damages = new Map<number, number>()
  /**
   * By position. While one is here and the index does not show its tag, the storage has refused it or still looks for its
   * place: a write that built on what the index shows would cover the dot of the one before without holding its value.
   */
  readonly #appending = new Map<string, Appending>()
  /** While it is full, nothing leaves this node before it is in its file. */
  readonly #room: DiskRoom
  /** Set by the node when it is composed: the replica itself knows no network. */
  mirror: MirrorHook = () => undefined

  constructor(
    ports: { clock: Clock; random: Random; log: Log },
    parts: { store: RangeStore; copies: CopyMarks },
    init: { q: number }
  ) {
    this.#clock = ports.clock
    this.#random = ports.random
    this.#log = ports.log
    this.#store = parts.store
    this.#copies = parts.copies
    this.#room = new DiskRoom(ports)
    this.#q = init.q
    this.#store.onDamage(damage => this.#onDamage(damage))
    this.#store.onFault(range => this.#forget(range))
  }

  rangeOf(key: Uint8Array): number {
    return rangeOf(positionOf(key), this.#q)
  }

  status(range: number): CopyStatus {
    return this.#copies.status(range)
  }

  /** Makes an empty, syncing copy where there is none; thaws a frozen one (design §6.4). */
  async create(ranges: readonly number[]): Promise<void> {
    for (const range of ranges) this.#store.create(range)
    const waking = ranges.filter(range => ['none', 'frozen'].includes(this.#copies.status(range)))
    await this.#copies.set(waking, 'syncing')
  }

  /**
   * Unlinks a copy. The caller has proof that every member of the preference list holds what it held (design §6.4), and
   * has marked it as frozen or syncing on disk: a crash in between must not leave a synced copy that is empty.
   */
  async drop(range: number): Promise<void> {
    if (this.#copies.status(range) === 'synced')
      throw new CoterieError('internal', `the copy of range ${range} is synced and may not be dropped`)
    // All in one turn: a copy that is made anew meanwhile must not lose its log to this drop.
    const marked = this.#copies.set([range], 'none')
    this.#forget(range)
    // A comparison that is under way proves nothing of the copy that may come after this one.
    this.#damages.set(range, this.damages(range) + 1)
    await Promise.all([marked, this.#store.drop(range)])
  }

  /** True when the range's file failed and takes nothing any more. */
  isFenced(range: number): boolean {
    return this.#store.state(range) === 'fenced'
  }

  async read(range: number, key: Uint8Array): Promise<KeyState | undefined> {
    const stored = storedKey(key)
    const bytes = this.#store.peek(range, stored) ?? (await this.#get(range, stored))
    return bytes === undefined ? undefined : decodeState(bytes)
  }

  /** Mints a dot for a new value or tombstone. Throws `too-many-siblings`, `disk-full`, `range-fenced`. */
  async write(range: number, key: Uint8Array, intent: WriteIntent): Promise<Written> {
    const stored = storedKey(key)
    for (;;) {
      const { state, tag } = await this.#current(range, stored)
      if (!this.#isCurrent(range, stored, tag)) continue
      this.#mustTakeWrites(range)
      const nowMs = this.#clock.wallMs()
      const actor = this.#actor(range)
      const result = write(state ?? emptyState(), {
        dot: { actor: actor.id, counter: actor.counter + 1 },
        value: intent.value,
        context: intent.context,
        writeId: intent.writeId,
        expiresAtMs: intent.expiresAtMs,
        nowMs,
        limits: LIMITS
      })
      const bytes = encodeState(result.state)
      if (!result.repeated) actor.counter++
      // A repeated write is no better stored than the first one, which may still be on its way to the disk.
      const appended = result.repeated
        ? this.#appending.get(nameOf(stored))?.done
        : this.#append(range, stored, result.state, bytes, tag)
      // A write that is refused here has a new actor drawn, and every dot that has left is in the key's context for good.
      if (this.#room.isFull) await appended
      const acknowledged = this.#acknowledged(this.mirror(range, key, bytes), appended)
      // A caller that is no longer on the list does not wait for it, which must not end the process.
      acknowledged.catch(() => undefined)
      return { state: result.state, bytes, dot: result.dot, replaced: result.replaced, stored: acknowledged }
    }
  }

  /**
   * Takes in another replica's state of a key. Resolves when it is held as `durability` says and mirrored, though not back
   * to `from`: two nodes that mirror each other would pass it on for ever. True if it was news.
   */
  async merge(range: number, key: Uint8Array, incoming: Uint8Array, from?: string): Promise<boolean> {
    const stored = storedKey(key)
    const theirs = decodeState(incoming)
    for (;;) {
      const { state: ours, tag } = await this.#current(range, stored)
      if (!this.#isCurrent(range, stored, tag)) continue
      this.#mustTakeWrites(range)
      const merged = ours === undefined ? theirs : merge(ours, theirs, this.#clock.wallMs())
      if (ours !== undefined && sameVersions(ours, merged)) {
        await this.#acknowledged(this.mirror(range, key, incoming, from), this.#appending.get(nameOf(stored))?.done)
        return false
      }
      const bytes = ours === undefined ? incoming : encodeState(merged)
      const appended = this.#append(range, stored, merged, bytes, tag)
      await this.#acknowledged(this.mirror(range, key, bytes, from), appended)
      return true
    }
  }

  /** The sums of a copy, built from the index when first asked for and kept up from then on. */
  sums(range: number): BucketSums {
    let sums = this.#sums.get(range)
    if (sums === undefined) {
      sums = new BucketSums()
      const target = sums
      this.#store.forEach(range, (hi, lo, tag) => target.add(hi, lo, tag))
      this.#sums.set(range, sums)
    }
    return sums
  }

  forEach(range: number, visit: (hi: number, lo: number, tag: number) => void): void {
    this.#store.forEach(range, visit)
  }

  /** Every key of a copy that stands at a position (one, but for constructed collisions), with its encoded state. */
  async lookup(range: number, hi: number, lo: number): Promise<{ key: Uint8Array; state: Uint8Array }[]> {
    const found = await this.#store.lookup(range, hi, lo)
    return found.map(({ key, value }) => ({ key, state: value }))
  }

  /**
   * Up to `limit` live keys after a position, in order of position; `done` when there are no more. Keys at one position
   * are never parted by a page.
   */
  async page(
    range: number,
    after: { hi: number; lo: number } | undefined,
    limit: number,
    prefix: Uint8Array
  ): Promise<{ keys: Uint8Array[]; done: boolean }> {
    const keys: Uint8Array[] = []
    let cursor = after
    while (keys.length < limit) {
      const { keys: found, next } = await this.#store.page(range, cursor, limit)
      for (const key of found) {
        if (!startsWith(key, prefix)) continue
        const state = await this.read(range, key)
        if (state !== undefined && liveSiblings(state, this.#clock.wallMs()).length > 0) keys.push(key)
      }
      if (next === undefined) return { keys, done: true }
      cursor = next
    }
    return { keys, done: false }
  }

  /** Everything acknowledged in these ranges survives a power cut once this resolves. Throws `range-fenced`. */
  async sync(ranges: number[]): Promise<void> {
    for (const range of ranges) if (this.#store.state(range) !== 'absent') await this.#store.sync(range)
  }

  /** Copies that may have forgotten something mint under new names from now on (design §7: no dot is ever reused). */
  renameActors(ranges: number[]): void {
    for (const range of ranges) this.#actors.delete(range)
  }

  /** How often a copy was found to have lost something; a comparison proves nothing if it happened meanwhile. */
  damages(range: number): number {
    return this.#damages.get(range) ?? 0
  }

  /**
   * In the same turn as the append: a frozen copy is being proven held elsewhere and may not change any more (design §6.4);
   * and what a failed file refuses must not leave this node first, with an actor of its own for every try.
   */
  #mustTakeWrites(range: number): void {
    if (this.isFenced(range))
      throw new CoterieError(
        'range-fenced',
        `the file of range ${range} has failed; it takes nothing until it is rebuilt`
      )
    const status = this.#copies.status(range)
    if (status === 'synced' || status === 'syncing') return
    throw new CoterieError('wrong-node', `this node holds no copy of range ${range} that takes writes`)
  }

  #actor(range: number): Actor {
    let actor = this.#actors.get(range)
    if (actor === undefined) {
      actor = { id: toHex(this.#random.bytes(8)), counter: 0 }
      this.#actors.set(range, actor)
    }
    return actor
  }

  /** What the next write of a key builds on: nothing has changed it, and no append of it is in doubt. In the same turn as the append. */
  #isCurrent(range: number, key: StoredKey, tag: number | undefined): boolean {
    const appending = this.#appending.get(nameOf(key))
    return this.#store.tagOf(range, key) === tag && (appending === undefined || appending.tag === tag)
  }

  async #current(range: number, key: StoredKey): Promise<{ state: KeyState | undefined; tag: number | undefined }> {
    const appending = this.#appending.get(nameOf(key))
    // Its failure is told to whoever appended.
    if (appending !== undefined && appending.tag !== this.#store.tagOf(range, key))
      await appending.done.catch(() => undefined)
    const tag = this.#store.tagOf(range, key)
    if (tag === undefined) return { state: undefined, tag }
    const bytes = this.#store.peek(range, key) ?? (await this.#get(range, key))
    return { state: bytes === undefined ? undefined : decodeState(bytes), tag }
  }

  /** A record that does not check is gone from the index and reported; the key reads as absent in a syncing copy. */
  async #get(range: number, key: StoredKey): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.get(range, key)
    } catch (error) {
      if (isCoterieError(error, 'damaged')) return undefined
      throw error
    }
  }

  #append(
    range: number,
    key: StoredKey,
    state: KeyState,
    bytes: Uint8Array,
    oldTag: number | undefined
  ): Promise<void> {
    const tag = stateTag(state)
    const appended = this.#store.put(range, key, bytes, tag)
    const inPlace = this.#store.tagOf(range, key) === tag
    if (inPlace) this.#sumUp(range, key, oldTag, tag)
    else this.#sums.delete(range)
    const name = nameOf(key)
    const settle = () => {
      if (this.#appending.get(name) === appending) this.#appending.delete(name)
      if (!inPlace) this.#sums.delete(range)
    }
    const stored = () => {
      this.#room.found()
      settle()
    }
    const done = appended.then(stored, error => {
      settle()
      if (isCoterieError(error, 'disk-full')) this.#room.refused(error)
      // The copy has given up a state that it had shown: its sums are stale, and its actor may have minted what it no longer knows.
      this.#forget(range)
      throw error
    })
    const appending: Appending = { tag, done }
    this.#appending.set(name, appending)
    return done
  }

  #sumUp(range: number, key: StoredKey, oldTag: number | undefined, tag: number): void {
    const sums = this.#sums.get(range)
    if (sums === undefined) return
    if (oldTag !== undefined) sums.remove(key.hi, key.lo, oldTag)
    sums.add(key.hi, key.lo, tag)
  }

  async #acknowledged(mirrored: Promise<void> | undefined, appended: Promise<void> | undefined): Promise<void> {
    await (mirrored === undefined ? appended : Promise.all([appended, mirrored]))
  }

  #forget(range: number): void {
    this.#actors.delete(range)
    this.#sums.delete(range)
  }

  #onDamage(damage: Damage): void {
    this.#forget(damage.range)
    this.#damages.set(damage.range, this.damages(damage.range) + 1)
    if (this.#copies.status(damage.range) === 'none') return
    this.#log.warn('a record of a range file does not check; the copy is syncing until compared', { ...damage })
    // Failure to write the mark leaves it in memory; the damage is found again at the next start.
    this.#copies
      .set([damage.range], 'syncing')
      .catch(error => this.#log.error('cannot write copies.json', { error: String(error) }))
  }
}

export function storedKey(key: Uint8Array): StoredKey {
  const { hi, lo } = positionOf(key)
  return { bytes: key, hi, lo }
}

const nameOf = ({ hi, lo }: StoredKey): string => `${hi}:${lo}`

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && prefix.every((byte, i) => key[i] === byte)
}

/** Throws `too-large` for a key that no store takes; for requests from the network. */
export function checkStoredKey(key: Uint8Array): void {
  if (key.length === 0 || key.length > LIMITS.maxKeyBytes) {
    throw new CoterieError('too-large', `a key of ${key.length} bytes; 1 to ${LIMITS.maxKeyBytes} are taken`)
  }
}
