/**
 * Reads and writes of this node's own range copies: mints dots, merges key states, keeps the bucket sums. Knows versions
 * and storage, no other node. One instance serves all ranges. How writes of one key meet is in `key-appends.ts`.
 */
import { LIMITS } from '../config.ts'
import { CoterieError } from '../errors.ts'
import type { CopyStatus } from '../messages.ts'
import type { Clock, Log, Random } from '../ports.ts'
import { positionOf, rangeOf } from '../ring/position.ts'
import type { Position } from '../storage/index/key-index.ts'
import type { RangeStore } from '../storage/range-store.ts'
import type { CausalContext } from '../version/causal-context.ts'
import { decodeState, encodeState, stateTag } from '../version/codec.ts'
import { compareDots, type Dot } from '../version/dot.ts'
import {
  emptyState,
  isDead,
  isLive,
  type KeyState,
  liveSiblings,
  merge,
  sameVersions,
  withoutSiblings,
  write
} from '../version/key-state.ts'
import { Actors } from './actors.ts'
import { type Arrivals, ArrivalWatch } from './arrivals.ts'
import type { BucketSums } from './bucket-sums.ts'
import { CopySums } from './copy-sums.ts'
import { DiskRoom } from './disk-room.ts'
import { type Merged, Oversize, sift } from './incoming.ts'
import { KeyAppends } from './key-appends.ts'
import { type Page, pageOf } from './listing.ts'
import type { RangeClocks } from './range-clocks.ts'
import { storedKey } from './stored-key.ts'

const NO_KEY = new Uint8Array()

export interface WriteIntent {
  /** Undefined: a tombstone. */
  value: Uint8Array | undefined
  context: CausalContext | undefined
  /** 16 hex digits. */
  writeId: string
  expiresAtMs: number
  /** Throws where nobody waits for it any more: asked last, since a disk that stalled may have taken long. */
  mustBeWanted?: () => void
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

export class Replicas {
  readonly #clock: Clock
  readonly #log: Log
  readonly #store: RangeStore
  readonly #copies: CopyMarks
  readonly #q: number
  readonly #actors: Actors
  readonly #sums: CopySums
  readonly #appends: KeyAppends
  readonly #arrivals = new ArrivalWatch()
  readonly #damages = new Map<number, number>()
  /** While it is full, nothing leaves this node before it is in its file. */
  readonly #room: DiskRoom
  readonly #oversize: Oversize
  readonly clocks: RangeClocks
  /** Set by the node when it is composed: the replica itself knows no network. */
  mirror: MirrorHook = () => undefined

  constructor(
    ports: { clock: Clock; random: Random; log: Log },
    parts: { store: RangeStore; copies: CopyMarks; clocks: RangeClocks },
    init: { q: number }
  ) {
    this.#clock = ports.clock
    this.#actors = new Actors(ports)
    this.#log = ports.log
    this.#store = parts.store
    this.#copies = parts.copies
    this.clocks = parts.clocks
    this.#room = new DiskRoom(ports)
    this.#oversize = new Oversize(ports.log)
    this.#sums = new CopySums(parts.store)
    this.#appends = new KeyAppends({
      store: parts.store,
      sums: this.#sums,
      room: this.#room,
      onAppend: (range, state) => this.clocks.noting(range, state),
      // Its sums are stale, and its actor may have minted what it no longer knows.
      onRefused: range => this.#forget(range)
    })
    this.#q = init.q
    this.#store.onDamage(damage => {
      this.doubt(damage.range, 'a record of a range file does not check', { ...damage })
    })
    this.#store.onFault(range => {
      this.#forget(range)
      this.clocks.forget(range)
    })
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
    this.clocks.forget(range)
    // A comparison that is under way proves nothing of the copy that may come after this one.
    this.#damages.set(range, this.damages(range) + 1)
    await Promise.all([marked, this.#store.drop(range)])
  }

  /** True when the range's file failed and takes nothing any more. */
  isFenced(range: number): boolean {
    return this.#store.state(range) === 'fenced'
  }

  /** Its file failed, and it goes on in a new one, to which not all of the old one has been moved yet. */
  isRenewing(range: number): boolean {
    return this.#store.state(range) === 'renewing'
  }

  /** A fenced copy takes reads and writes again, with what verifies of its file. False: not now. */
  renew(range: number): boolean {
    return this.#store.renew(range)
  }

  read(range: number, key: Uint8Array): Promise<KeyState | undefined> {
    return this.#appends.read(range, storedKey(key))
  }

  /** True when one of these dots stands for a live value here. */
  async lives(range: number, key: Uint8Array, dots: readonly Dot[]): Promise<boolean> {
    const nowMs = this.#clock.wallMs()
    const state = await this.read(range, key)
    return state?.siblings.some(sibling => hasDot(dots, sibling.dot) && isLive(sibling, nowMs)) === true
  }

  /** Mints a dot for a new value or tombstone. Throws `too-many-siblings`, `disk-full`, `range-fenced`. */
  async write(range: number, key: Uint8Array, intent: WriteIntent): Promise<Written> {
    const stored = storedKey(key)
    for (;;) {
      const { state, tag } = await this.#appends.current(range, stored)
      if (!this.#appends.isCurrent(range, stored, tag)) continue
      this.#mustTakeWrites(range)
      intent.mustBeWanted?.()
      const nowMs = this.#clock.wallMs()
      const actor = this.#actors.of(range)
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
        ? this.#appends.pending(stored)
        : this.#appends.append(range, stored, result.state, bytes, tag)
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
   * to `from`: two nodes that mirror each other would pass it on for ever. What is dead is left out (design §10). `compared`: it comes
   * out of the session that these arrivals watch. Throws `too-large` where both states together fit no record.
   */
  async merge(
    range: number,
    key: Uint8Array,
    incoming: Uint8Array,
    from?: string,
    compared?: Arrivals
  ): Promise<Merged> {
    const stored = storedKey(key)
    const decoded = decodeState(incoming)
    for (;;) {
      const { state: ours, tag } = await this.#appends.current(range, stored)
      if (!this.#appends.isCurrent(range, stored, tag)) continue
      this.#mustTakeWrites(range)
      const nowMs = this.#clock.wallMs()
      const isReaped = (dot: Dot) => this.clocks.covers(range, dot)
      const { theirs, dead, revives } = sift(decoded, ours?.context, isReaped, nowMs)
      if (ours === undefined && theirs.siblings.length === 0 && this.clocks.of(range).coversAll(theirs.context))
        return { news: false, dead, revives, siblings: 0 }
      const merged = ours === undefined ? theirs : merge(ours, theirs, nowMs)
      this.#oversize.mustFit(key, merged)
      const siblings = liveSiblings(merged, nowMs).length
      // A record of an earlier version has another tag, and would differ from other copies for ever.
      if (ours !== undefined && sameVersions(ours, merged) && tag === stateTag(ours)) {
        const passed = dead.length === 0 ? incoming : encodeState(theirs)
        await this.#acknowledged(this.mirror(range, key, passed, from), this.#appends.pending(stored))
        return { news: false, dead, revives, siblings }
      }
      this.#arrivals.note(
        range,
        theirs.siblings,
        compared,
        sibling => isLive(sibling, nowMs) && !this.clocks.covers(range, sibling.dot)
      )
      const bytes = merged === decoded ? incoming : encodeState(merged)
      const appended = this.#appends.append(range, stored, merged, bytes, tag)
      await this.#acknowledged(this.mirror(range, key, bytes, from), appended)
      return { news: true, dead, revives, siblings }
    }
  }

  /** From now on, until it is closed: what comes into the copy otherwise than out of the session that asks. */
  watch(range: number): Arrivals {
    return this.#arrivals.open(range)
  }

  /** Appends of the range that were refused so far: something that the copy had shown is not there any more. */
  refusals(range: number): number {
    return this.#appends.refusals(range)
  }

  /** No append of the range is under way that was when this was called. */
  quiet(range: number): Promise<void> {
    return this.#appends.quiet(range)
  }

  /** Takes siblings out of a key. For a copy that has caught up with others, all of which call them dead. */
  async bury(range: number, key: Uint8Array, dead: readonly Dot[]): Promise<void> {
    const stored = storedKey(key)
    for (;;) {
      const { state: ours, tag } = await this.#appends.current(range, stored)
      if (!this.#appends.isCurrent(range, stored, tag)) continue
      if (ours === undefined) return
      const { state, gone } = withoutSiblings(ours, dot => hasDot(dead, dot))
      if (gone.length === 0) return
      this.#mustTakeWrites(range)
      // It has given something up otherwise than by reaping.
      this.#actors.forget(range)
      await this.#appends.append(range, stored, state, encodeState(state), tag)
      return
    }
  }

  /**
   * Takes a dead key out of the copy for good, if its state still has this tag. The caller has made sure that every list
   * member's range clock covers it, and that this copy's, covering it, is on disk.
   */
  async reap(range: number, key: Uint8Array, tag: number): Promise<boolean> {
    const stored = storedKey(key)
    if (!this.#appends.isCurrent(range, stored, tag) || this.status(range) !== 'synced') return false
    this.clocks.markReaped(range)
    await this.#appends.remove(range, stored, tag)
    return true
  }

  /** The copy may have lost something: nothing that it says of what it lacks counts until it has been compared. */
  doubt(range: number, reason: string, fields: Record<string, unknown> = { range }): void {
    this.#forget(range)
    this.clocks.forget(range)
    this.#damages.set(range, this.damages(range) + 1)
    if (this.#copies.status(range) === 'none') return
    this.#log.warn(`${reason}; the copy is syncing until compared`, fields)
    // Failure to write the mark leaves it in memory; the damage is found again at the next start.
    this.#copies
      .set([range], 'syncing')
      .catch(error => this.#log.error('cannot write copies.json', { error: String(error) }))
  }

  /** Brings all range clocks to disk that have changed. What cannot be saved is missed, if ever, as garbage that stays. */
  async saveClocks(): Promise<void> {
    try {
      await this.clocks.save(this.clocks.ranges())
    } catch (error) {
      this.#log.warn('the range clocks could not be saved', { error: String(error) })
    }
  }

  sums(range: number): BucketSums {
    return this.#sums.of(range)
  }

  /** The tag of whatever stands at a position; undefined: nothing does. */
  tagAt(range: number, hi: number, lo: number): number | undefined {
    return this.#store.tagOf(range, { bytes: NO_KEY, hi, lo })
  }

  forEach(range: number, visit: (hi: number, lo: number, tag: number) => void): void {
    this.#store.forEach(range, visit)
  }

  /** Every key of a copy that stands at a position (one, but for constructed collisions), with its encoded state. */
  async lookup(range: number, hi: number, lo: number): Promise<{ key: Uint8Array; state: Uint8Array }[]> {
    const found = await this.#store.lookup(range, hi, lo)
    return found.map(({ key, value }) => ({ key, state: value }))
  }

  page(range: number, after: Position | undefined, limit: number, prefix: Uint8Array): Promise<Page> {
    const isLiving = async (key: Uint8Array) => {
      const state = await this.read(range, key)
      return state !== undefined && !isDead(state, this.#clock.wallMs())
    }
    return pageOf(this.#store, isLiving, { range, after, limit, prefix })
  }

  /** Everything acknowledged in these ranges survives a power cut once this resolves. Throws `range-fenced`. */
  async sync(ranges: number[]): Promise<void> {
    for (const range of ranges) if (this.#store.state(range) !== 'absent') await this.#store.sync(range)
  }

  /** Copies that may have forgotten something mint under new names from now on (design §7: no dot is ever reused). */
  renameActors(ranges: number[]): void {
    for (const range of ranges) this.#actors.forget(range)
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

  async #acknowledged(mirrored: Promise<void> | undefined, appended: Promise<void> | undefined): Promise<void> {
    await (mirrored === undefined ? appended : Promise.all([appended, mirrored]))
  }

  #forget(range: number): void {
    this.#actors.forget(range)
    this.#sums.forget(range)
  }
}

const hasDot = (dots: readonly Dot[], dot: Dot): boolean => dots.some(other => compareDots(other, dot) === 0)
