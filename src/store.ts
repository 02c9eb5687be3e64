/**
 * `Store`: what a node, a remote client and the simulator's node all give, and what the contract suite in
 * `test/contract` runs on. Keys and values go in as bytes or as strings (UTF-8) and come back as bytes.
 *
 * @example
 *   const { values, context } = await store.get('cart:7')
 *   await store.put('cart:7', merge(values), { context })   // replaces exactly what was read
 */
import { LIMITS } from './config.ts'
import { CoterieError } from './errors.ts'
import type { Level } from './messages.ts'

export type Bytes = Uint8Array | string

export interface OperationOptions {
  /** Gives the operation up; it rejects with the signal's reason. A write given up may still take effect. */
  signal?: AbortSignal
  /** Deadline in milliseconds; default `requestTimeoutMs` of the node asked. */
  timeoutMs?: number
}
export interface GetOptions extends OperationOptions {
  r?: Level
  /**
   * The last-writer-wins view: of several values only the one that was written last, and none if a delete came after it, by
   * the wall clocks of the nodes that took them. What it leaves out is covered by `context` all the same: the next write
   * with it replaces everything. Clocks that disagree decide wrongly; nothing is lost by looking.
   */
  latest?: boolean
}
export interface PutOptions extends OperationOptions {
  /** The context of the read whose values this write replaces; without it the write adds a sibling. */
  context?: string
  w?: Level
  ttlMs?: number
}
export interface DeleteOptions extends OperationOptions {
  /** Without it, the key is read first and what was read is deleted. */
  context?: string
  w?: Level
}
export interface UpdateOptions extends OperationOptions {
  /** Deadline of all its reads and writes together; without it, each has the default of the node asked. */
  timeoutMs?: number
  r?: Level
  w?: Level
  ttlMs?: number
  /** How often to read and write again when another writer came between; default 10. */
  attempts?: number
}
export interface KeysOptions extends OperationOptions {
  /** One range only; default all. Keys come range by range, in no order within a range. */
  range?: number
  prefix?: Bytes
}

export interface Sibling {
  value: Uint8Array
  /** `actor:counter`, the identity of the write. */
  dot: string
  /** Wall milliseconds. */
  expiresAt?: number
  /** Wall milliseconds of the node that took the write. */
  writtenAt?: number
}
export interface GetResult {
  /** Empty when there is no such key. More than one: concurrent writes, for the reader to merge. */
  values: Uint8Array[]
  /** To hand to the `put` or `delete` that replaces what was read. */
  context: string
  /** Members of the preference list that answered; those that stand in for them are not counted. */
  replies: number
  siblings: Sibling[]
}
export interface PutResult {
  /** Covers what the write replaced and the write itself. */
  context: string
  dot: string
  /** Replicas that stored it before this answer. */
  acks: number
  /** Fewer than W members of the preference list hold it: others stand in, or the node asked may go by an old ring. */
  sloppy: boolean
  /**
   * Live values of the key after the write, in the fullest copy that had answered; above 1: siblings. Of two writes that have
   * not seen one another at least one is told of both, where W + W > N and neither is sloppy.
   */
  siblings: number
  /** Values that the write replaced. */
  replaced: number
}

/** Errors thrown by every method: CoterieError with `too-large`, `bad-context`, `not-available`, `timeout`, `closed`, … */
export interface Store {
  get(key: Bytes, options?: GetOptions): Promise<GetResult>
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<PutResult>
  delete(key: Bytes, options?: DeleteOptions): Promise<PutResult>
  /** Reads, gives the values to `merge`, writes back what it returns (undefined: deletes), and again on conflict. */
  update(key: Bytes, merge: (values: Uint8Array[]) => Bytes | undefined, options?: UpdateOptions): Promise<PutResult>
  keys(options?: KeysOptions): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

const encoder = new TextEncoder()
export const toBytes = (bytes: Bytes): Uint8Array => (typeof bytes === 'string' ? encoder.encode(bytes) : bytes)

/** Throws `bad-usage` or `too-large`. */
export function checkKey(key: Bytes): Uint8Array {
  const bytes = toBytes(key)
  if (!(bytes instanceof Uint8Array)) throw new CoterieError('bad-usage', 'a key is a string or a Uint8Array')
  if (bytes.length === 0) throw new CoterieError('bad-usage', 'the key is empty; it takes 1 to 1024 bytes')
  if (bytes.length > LIMITS.maxKeyBytes) {
    throw new CoterieError('too-large', `the key is ${bytes.length} bytes; at most ${LIMITS.maxKeyBytes} are taken`)
  }
  return bytes
}

/** Throws `bad-usage` or `too-large`. */
export function checkValue(value: Bytes): Uint8Array {
  const bytes = toBytes(value)
  if (!(bytes instanceof Uint8Array)) throw new CoterieError('bad-usage', 'a value is a string or a Uint8Array')
  if (bytes.length > LIMITS.maxValueBytes) {
    throw new CoterieError('too-large', `the value is ${bytes.length} bytes; at most ${LIMITS.maxValueBytes} are taken`)
  }
  return bytes
}

/** The last-writer-wins view of siblings (`GetOptions.latest`). `deletedAtMs`: of the newest delete beside them; 0: none. */
export function latestOf(siblings: readonly Sibling[], deletedAtMs: number): Sibling[] {
  const writtenAt = ({ writtenAt = 0 }: Sibling) => writtenAt
  // Of equal times the higher dot, so that all readers see the same.
  const later = (a: Sibling, b: Sibling) =>
    writtenAt(b) > writtenAt(a) || (writtenAt(b) === writtenAt(a) && b.dot > a.dot) ? b : a
  const last = siblings.length === 0 ? undefined : siblings.reduce(later)
  return last === undefined || deletedAtMs > writtenAt(last) ? [] : [last]
}

export interface RetryParts {
  /** A clock that never goes back. */
  nowMs: () => number
  /** Before the next attempt. By chance: two writers that go on in step would meet every time. */
  pause: (attempt: number) => Promise<void>
}

/**
 * Read, merge, write back, until no copy that has answered holds a value that `merge` has not seen. Shared by every Store.
 */
export async function updateByRetry(
  store: Pick<Store, 'get' | 'put' | 'delete'>,
  key: Bytes,
  merge: (values: Uint8Array[]) => Bytes | undefined,
  { attempts = 10, r, w, ttlMs, signal, timeoutMs: givenMs }: UpdateOptions = {},
  { nowMs, pause }: RetryParts
): Promise<PutResult> {
  const sinceMs = nowMs()
  const leftMs = () => (givenMs === undefined ? undefined : givenMs - (nowMs() - sinceMs))
  let timeoutMs = givenMs
  for (let attempt = 1; ; attempt++) {
    const { values, context } = await store.get(key, { r, signal, timeoutMs })
    const merged = merge(values)
    timeoutMs = atLeastOne(leftMs())
    const result =
      merged === undefined
        ? await store.delete(key, { context, w, signal, timeoutMs })
        : await store.put(key, merged, { context, w, ttlMs, signal, timeoutMs })
    const alone = result.siblings <= (merged === undefined ? 0 : 1)
    // The last attempt's write is stored like any other; siblings that remain are for the next reader.
    timeoutMs = leftMs()
    if (alone || attempt >= attempts || (timeoutMs !== undefined && timeoutMs < 1)) return result
    await pause(attempt)
  }
}

/** What was read and merged is written, if only just: the deadline of the write says what became of it. */
const atLeastOne = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.max(1, ms))
