/**
 * The steps of a compare session that both sides share: which entries differ, key states cut into messages and put
 * together again.
 */
import { LIMITS } from '../config.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Arrivals } from '../replica/arrivals.ts'
import { bucketOf } from '../replica/bucket-sums.ts'
import type { Replicas } from '../replica/replicas.ts'
import { type DeadItem, ENTRY_BYTES, POSITION_BYTES, type StateItem, type SyncMessage } from './sync-codec.ts'

/** Key states travel in chunks of at most this (design §7). */
const CHUNK_BYTES = 256 * 1024
/** Entries of several buckets share a message up to about this. */
const ENTRIES_BYTES = 128 * 1024
/** Keys in one `dead` message. */
const DEAD_KEYS = 128
/** Merges under way at once, per session: enough to share group commits, few enough to leave room for clients. */
const MERGES_AT_ONCE = 64

export interface Position {
  hi: number
  lo: number
}

/** Everything that a copy holds in the given buckets, as `entries` messages. One pass over the index. */
export function* entriesOf(replicas: Replicas, range: number, buckets: number[]): Iterable<SyncMessage> {
  const byBucket = new Map<number, number[]>(buckets.map(bucket => [bucket, []]))
  replicas.forEach(range, (hi, lo, tag) => {
    byBucket.get(bucketOf(lo))?.push(hi, lo, tag)
  })
  let words: number[] = []
  let named: number[] = []
  for (const [bucket, entries] of byBucket) {
    words = words.concat(entries)
    named.push(bucket)
    if (words.length * 4 < ENTRIES_BYTES) continue
    yield { type: 'entries', range, buckets: named, entries: packWords(words) }
    words = []
    named = []
  }
  if (named.length > 0) yield { type: 'entries', range, buckets: named, entries: packWords(words) }
}

/** Compares the other side's entries with ours: what we should send, and what we want. Same tag, same versions. */
export function diffEntries(
  replicas: Replicas,
  range: number,
  buckets: number[],
  entries: Uint8Array
): { send: Position[]; want: Position[] } {
  const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength)
  const theirs = new Map<string, { position: Position; tag: number }>()
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    const position = { hi: view.getUint32(at, true), lo: view.getUint32(at + 4, true) }
    theirs.set(`${position.hi}:${position.lo}`, { position, tag: view.getUint32(at + 8, true) })
  }
  const inBuckets = new Set(buckets)
  const send: Position[] = []
  const want: Position[] = []
  replicas.forEach(range, (hi, lo, tag) => {
    if (!inBuckets.has(bucketOf(lo))) return
    const name = `${hi}:${lo}`
    const other = theirs.get(name)
    theirs.delete(name)
    if (other?.tag === tag) return
    send.push({ hi, lo })
    if (other !== undefined) want.push(other.position)
  })
  for (const { position } of theirs.values()) want.push(position)
  return { send, want }
}

/** The states at these positions as `states` messages, read only as they are sent. */
export async function* statesAt(replicas: Replicas, range: number, positions: Position[]): AsyncIterable<SyncMessage> {
  let items: StateItem[] = []
  let size = 0
  for (const { hi, lo } of positions) {
    for (const { key, state } of await replicas.lookup(range, hi, lo)) {
      for (let at = 0; at === 0 || at < state.length; at += CHUNK_BYTES) {
        const chunk = state.subarray(at, at + CHUNK_BYTES)
        if (size > 0 && size + chunk.length > CHUNK_BYTES) {
          yield { type: 'states', range, items }
          items = []
          size = 0
        }
        items.push({ key, state: chunk, more: at + CHUNK_BYTES < state.length })
        size += key.length + chunk.length
      }
    }
  }
  if (items.length > 0) yield { type: 'states', range, items }
}

/** Takes in the `states` messages of one session; keeps the beginning of a state that is still on its way. */
export class StateSink {
  readonly #replicas: Replicas
  readonly #arrivalsOf: (range: number) => Arrivals | undefined
  #parts: Uint8Array[] = []
  #partBytes = 0
  merged = 0
  mergedBytes = 0
  /** What this copy takes for dead of the states that came, by range. */
  readonly dead = new Map<number, DeadItem[]>()
  /** Ranges of which a live value came that this copy takes for dead. */
  readonly revived = new Set<number>()
  /**
   * Ranges with a key whose state does not fit together with this copy's: it holds less than it was sent, so it proves nothing of
   * them, and believes no clock that came along.
   */
  readonly refused = new Set<number>()

  /** `arrivalsOf`: what watches what comes from elsewhere meanwhile. */
  constructor(replicas: Replicas, arrivalsOf: (range: number) => Arrivals | undefined) {
    this.#replicas = replicas
    this.#arrivalsOf = arrivalsOf
  }

  /** Told to whoever sent it: a copy that catches up gives it up. */
  *deadMessages(): Iterable<SyncMessage> {
    for (const [range, items] of this.dead) {
      for (let at = 0; at < items.length; at += DEAD_KEYS)
        yield { type: 'dead', range, items: items.slice(at, at + DEAD_KEYS) }
    }
  }

  /** Said before the end of a session, of ranges that this side has begun by giving the status of. */
  *refusals(): Iterable<SyncMessage> {
    for (const range of this.refused) yield { type: 'status', range, status: 'none', keys: 0 }
  }

  /** Resolves when all whole states of the message are stored; the stream waits that long, which is the back-pressure. */
  async take({ range, items }: Extract<SyncMessage, { type: 'states' }>): Promise<void> {
    let running: Promise<unknown>[] = []
    for (const { key, state, more } of items) {
      this.#parts.push(state)
      this.#partBytes += state.length
      if (this.#partBytes > LIMITS.maxMergedBytes) throw new CoterieError('protocol', 'a key state beyond any limit')
      if (more) continue
      // Copied out of the receive buffer, which the index and the cache would otherwise keep alive.
      const whole = Buffer.concat(this.#parts)
      this.#parts = []
      this.#partBytes = 0
      const merging = this.#merge(range, Uint8Array.from(key), whole)
      // Waited for below, unless a bad message comes first: then its failure has no other listener.
      merging.catch(() => undefined)
      running.push(merging)
      this.merged++
      this.mergedBytes += key.length + whole.length
      if (running.length < MERGES_AT_ONCE) continue
      await Promise.all(running)
      running = []
    }
    await Promise.all(running)
  }

  async #merge(range: number, key: Uint8Array, state: Uint8Array): Promise<void> {
    const merging = this.#replicas.merge(range, key, state, undefined, this.#arrivalsOf(range)).catch(error => {
      if (!isCoterieError(error, 'too-large')) throw error
      this.refused.add(range)
      return undefined
    })
    const { dead = [], revives = false } = (await merging) ?? {}
    if (dead.length === 0) return
    if (revives) this.revived.add(range)
    const items = this.dead.get(range) ?? []
    items.push({ key, dots: dead })
    this.dead.set(range, items)
  }
}

export function packPositions(positions: Position[]): Uint8Array {
  return packWords(positions.flatMap(({ hi, lo }) => [hi, lo]))
}

export function unpackPositions(packed: Uint8Array): Position[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  const positions: Position[] = []
  for (let at = 0; at < packed.length; at += POSITION_BYTES)
    positions.push({ hi: view.getUint32(at, true), lo: view.getUint32(at + 4, true) })
  return positions
}

function packWords(words: number[]): Uint8Array {
  const bytes = new Uint8Array(words.length * 4)
  const view = new DataView(bytes.buffer)
  words.forEach((word, i) => {
    view.setUint32(i * 4, word, true)
  })
  return bytes
}
