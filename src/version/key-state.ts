/**
 * The state of one key in one copy: its siblings (concurrent writes), the context of everything it knows of, and the
 * ids of writes replaced lately. Replication, hints, repair and transfers carry whole key states, never one sibling:
 * a lone sibling with its context would erase an older one that the receiver has missed (design §7).
 *
 * @example
 *   const { state, dot } = write(before, { dot: minted, value, context: seen, writeId, expiresAtMs: 0, nowMs })
 *   const answered = withDot(seen ?? EMPTY_CONTEXT, dot)     // the context for the client
 *   const everywhere = merge(state, fromAnotherReplica, nowMs)
 */
import { LIMITS } from '../config.ts'
import { CoterieError } from '../errors.ts'
import { type CausalContext, covers, EMPTY_CONTEXT, entryCount, equals, join, withDotsUpTo } from './causal-context.ts'
import { compareDots, type Dot, formatDot } from './dot.ts'

export interface Sibling {
  readonly dot: Dot
  /** Absent: a tombstone. */
  readonly value: Uint8Array | undefined
  /** 16 hex digits: 8 random bytes, the same for every retry of one write. */
  readonly writeId: string
  /** Wall milliseconds, fixed with the write id; 0: never. */
  readonly expiresAtMs: number
  /** Wall milliseconds of the node that minted the dot; orders nothing but the last-writer-wins view. 0: not known. */
  readonly writtenAtMs: number
}

/** A write that another has replaced, remembered for its retries. */
export interface Replaced {
  readonly id: string
  /** The (lowest) dot that the write had. */
  readonly dot: Dot
  /** Wall milliseconds of the replacement. */
  readonly atMs: number
}

export interface KeyState {
  /** Holds the dots of all siblings, and of all writes that they replaced. */
  readonly context: CausalContext
  /** Sorted by dot. */
  readonly siblings: readonly Sibling[]
  /** Sorted by id. */
  readonly replaced: readonly Replaced[]
}

export interface StateLimits {
  readonly maxSiblings: number
  readonly maxStateBytes: number
  readonly retryWindowMs: number
}

export interface WriteInput {
  /** Minted by this copy for this write. */
  dot: Dot
  /** Absent: a tombstone. */
  value: Uint8Array | undefined
  /** What the writer has seen; absent: nothing, so the write becomes a sibling. */
  context?: CausalContext
  writeId: string
  expiresAtMs: number
  nowMs: number
  limits?: StateLimits
}

export interface WriteResult {
  state: KeyState
  /** The dot of the write: the given one, or the earlier one of a repeated write. */
  dot: Dot
  /** Live values that the write replaced. */
  replaced: number
  /** True for a retry of a write that the state knows: nothing was minted, the state is as it was. */
  repeated: boolean
}

/**
 * Most replaced ids that a state keeps, newest first. Only a key written more than once a second gets there within the
 * retry window; without the bound, every write to a hot key would carry and store all ids of the last minute. At 64
 * they take under 2 KiB, and reach back 5 s (the usual deadline, after which clients retry) at 12 writes a second.
 */
export const MAX_REPLACED = 64

/** Upper bounds of the bytes that one sibling (without its value), context entry and replaced id take when encoded. */
const SIBLING_BYTES = 64
const ENTRY_BYTES = 24
const REPLACED_BYTES = 48

const EMPTY_STATE: KeyState = { context: EMPTY_CONTEXT, siblings: [], replaced: [] }

export function emptyState(): KeyState {
  return EMPTY_STATE
}

/**
 * Adds a write to the state of the copy that minted its dot. It replaces exactly the siblings that `context` covers, and
 * drops those that have expired. A write id that is among the siblings or the replaced ids mints nothing.
 * Throws `too-many-siblings` or `too-large` when the state would be over its limits and not smaller than before,
 * `bad-context` for a context from the future, `bad-usage` for a write id that stands for another value.
 */
export function write(state: KeyState, input: WriteInput): WriteResult {
  const { dot, value, context = EMPTY_CONTEXT, writeId, expiresAtMs, nowMs, limits = LIMITS } = input
  const earlier = findRepeat(state, input, limits)
  if (earlier) return { state, dot: earlier, replaced: 0, repeated: true }
  if (covers(state.context, dot)) {
    throw new CoterieError('internal', `dot ${formatDot(dot)} was minted twice; this write would be lost`)
  }
  if (covers(context, dot)) {
    throw new CoterieError('bad-context', `the context holds ${formatDot(dot)}, a write that had not happened yet`)
  }
  const replaced = remember([state.replaced], nowMs, limits.retryWindowMs)
  const kept: Sibling[] = []
  for (const sibling of state.siblings) {
    if (covers(context, sibling.dot)) note(replaced, { id: sibling.writeId, dot: sibling.dot, atMs: nowMs })
    else if (isSpent(sibling, nowMs)) note(replaced, { id: sibling.writeId, dot: sibling.dot, atMs: nowMs })
    else kept.push(sibling)
  }
  const written: Sibling = { dot, value, writeId, expiresAtMs, writtenAtMs: nowMs }
  const after: KeyState = {
    context: withDotsUpTo(join(state.context, context), dot),
    siblings: [...kept.filter(sibling => !replaced.has(sibling.writeId)), written].sort(bySiblingDot),
    replaced: newest(replaced)
  }
  checkLimits(state, after, limits)
  const gone = liveSiblings(state, nowMs).filter(old => !after.siblings.includes(old))
  return { state: after, dot, replaced: gone.length, repeated: false }
}

/**
 * What two states know together: commutative, associative and idempotent. A sibling goes only when the other side has
 * covered its dot, or replaced the same write under another dot.
 */
export function merge(a: KeyState, b: KeyState, nowMs: number, retryWindowMs: number = LIMITS.retryWindowMs): KeyState {
  const replaced = remember([a.replaced, b.replaced], nowMs, retryWindowMs)
  const siblings: Sibling[] = []
  // Noted even when its id is known already: what goes must leave the same trace whatever the order of merges.
  const drop = (sibling: Sibling) => note(replaced, { id: sibling.writeId, dot: sibling.dot, atMs: nowMs })
  const keepUnless = (sibling: Sibling, other: CausalContext) => {
    if (covers(other, sibling.dot)) drop(sibling)
    else siblings.push(sibling)
  }
  let left = 0
  let right = 0
  while (left < a.siblings.length || right < b.siblings.length) {
    const order = orderOf(a.siblings[left], b.siblings[right])
    if (order < 0) keepUnless(a.siblings[left++], b.context)
    else if (order > 0) keepUnless(b.siblings[right++], a.context)
    else siblings.push(sameWrite(a.siblings[left++], b.siblings[right++]))
  }
  const retried = siblings.filter(sibling => replaced.has(sibling.writeId))
  retried.forEach(drop)
  return {
    context: join(a.context, b.context),
    siblings: siblings.filter(sibling => !retried.includes(sibling)),
    replaced: newest(replaced)
  }
}

/** False for a tombstone and for a value past its time, which counts as one. */
export function isLive(sibling: Sibling, nowMs: number): boolean {
  return sibling.value !== undefined && (sibling.expiresAtMs === 0 || sibling.expiresAtMs > nowMs)
}

/**
 * True for an expired value, which a write takes along: nobody else does while a live one stands beside it, and blind
 * writes with a time to live would fill the key. Only `write` decides so, once: its state covers the dot, so merges drop the
 * value everywhere, whatever their clocks say. Tombstones stay, and values that were written later than now by a clock that
 * is ahead: the last-writer-wins view goes by them (`deletedAtMs`), while what is older than the new write hides nothing.
 */
function isSpent(sibling: Sibling, nowMs: number): boolean {
  return sibling.value !== undefined && !isLive(sibling, nowMs) && sibling.writtenAtMs <= nowMs
}

/** True when no sibling is live any more: a key that was deleted, or has expired. */
export function isDead(state: KeyState, nowMs: number): boolean {
  return !state.siblings.some(sibling => isLive(sibling, nowMs))
}

/** The state without the siblings that are `gone`. Its context keeps their dots: they stay so. */
export function withoutSiblings(state: KeyState, isGone: (dot: Dot) => boolean): { state: KeyState; gone: Dot[] } {
  const gone = state.siblings.map(({ dot }) => dot).filter(isGone)
  if (gone.length === 0) return { state, gone }
  return { state: { ...state, siblings: state.siblings.filter(({ dot }) => !gone.includes(dot)) }, gone }
}

/**
 * What a reader is shown: no tombstones, nothing expired, and one only (the lowest dot) of the dots that a retried
 * write got from several coordinators. The others stay in the state: dropping one there would make the result of a
 * merge depend on its order. A context that covers any of them replaces them all, by their write id.
 */
export function liveSiblings(state: KeyState, nowMs: number): Sibling[] {
  const live: Sibling[] = []
  for (const sibling of state.siblings) {
    const shown = (other: Sibling) => other.writeId === sibling.writeId && sameBytes(other.value, sibling.value)
    if (isLive(sibling, nowMs) && !live.some(shown)) live.push(sibling)
  }
  return live
}

/** When the newest sibling was written (wall milliseconds) that is deleted or expired; 0: there is none. */
export function deletedAtMs(state: KeyState, nowMs: number): number {
  return Math.max(0, ...state.siblings.filter(sibling => !isLive(sibling, nowMs)).map(({ writtenAtMs }) => writtenAtMs))
}

/** True when both hold the same siblings and know of the same writes; `replaced` may differ. */
export function sameVersions(a: KeyState, b: KeyState): boolean {
  if (a === b) return true
  return (
    a.siblings.length === b.siblings.length &&
    a.siblings.every((sibling, index) => compareDots(sibling.dot, b.siblings[index].dot) === 0) &&
    equals(a.context, b.context)
  )
}

/** Bytes of the encoded state, rounded up. */
export function stateBytes(state: KeyState): number {
  let bytes = entryCount(state.context) * ENTRY_BYTES + state.replaced.length * REPLACED_BYTES + ENTRY_BYTES
  for (const { value } of state.siblings) bytes += SIBLING_BYTES + (value?.length ?? 0)
  return bytes
}

/** The dot of an earlier arrival of the same write, if the state knows one. */
function findRepeat(state: KeyState, input: WriteInput, limits: StateLimits): Dot | undefined {
  const sibling = state.siblings.find(({ writeId }) => writeId === input.writeId)
  if (sibling && !sameBytes(sibling.value, input.value)) {
    throw new CoterieError('bad-usage', `write id ${input.writeId} was used for another value; take a new one`)
  }
  if (sibling) return sibling.dot
  const past = state.replaced.find(({ id }) => id === input.writeId)
  return past && isRecent(past, input.nowMs, limits.retryWindowMs) ? past.dot : undefined
}

/** Only what makes an oversized key no smaller is refused; merges never are, or replicas could not converge. */
function checkLimits(before: KeyState, after: KeyState, limits: StateLimits): void {
  const count = after.siblings.length
  if (count > limits.maxSiblings && count >= before.siblings.length) {
    throw new CoterieError(
      'too-many-siblings',
      `the key has ${before.siblings.length} siblings and at most ${limits.maxSiblings} are kept; ` +
        'read it and write the merged value back with the context of the read'
    )
  }
  const bytes = stateBytes(after)
  if (bytes > limits.maxStateBytes && bytes >= stateBytes(before)) {
    throw new CoterieError(
      'too-large',
      `the key would take ${bytes} bytes with all its siblings and at most ${limits.maxStateBytes} are kept; ` +
        'read it and write a smaller merged value back with the context of the read'
    )
  }
}

function isRecent(entry: Replaced, nowMs: number, windowMs: number): boolean {
  return nowMs - entry.atMs <= windowMs
}

function remember(lists: readonly (readonly Replaced[])[], nowMs: number, windowMs: number): Map<string, Replaced> {
  const known = new Map<string, Replaced>()
  for (const list of lists) for (const entry of list) if (isRecent(entry, nowMs, windowMs)) note(known, entry)
  return known
}

/** Per id the lowest dot and the latest time, so that the order of merging does not show. */
function note(known: Map<string, Replaced>, entry: Replaced): void {
  const { id, dot, atMs } = known.get(entry.id) ?? entry
  known.set(id, { id, dot: compareDots(entry.dot, dot) < 0 ? entry.dot : dot, atMs: Math.max(entry.atMs, atMs) })
}

function newest(known: Map<string, Replaced>): Replaced[] {
  const all = [...known.values()]
  const byId = (a: Replaced, b: Replaced) => (a.id < b.id ? -1 : 1)
  if (all.length <= MAX_REPLACED) return all.sort(byId)
  return all
    .sort((a, b) => b.atMs - a.atMs || byId(a, b))
    .slice(0, MAX_REPLACED)
    .sort(byId)
}

const bySiblingDot = (a: Sibling, b: Sibling) => compareDots(a.dot, b.dot)

function orderOf(a: Sibling | undefined, b: Sibling | undefined): number {
  if (!a) return 1
  return b ? compareDots(a.dot, b.dot) : -1
}

/** One dot is one write, so both are equal, unless bytes rotted unseen: then both sides must at least pick the same. */
function sameWrite(a: Sibling, b: Sibling): Sibling {
  if (a === b || a.value === undefined) return a
  return b.value !== undefined && Buffer.compare(a.value, b.value) <= 0 ? a : b
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a === b || (a.length === b.length && Buffer.compare(a, b) === 0)
}
