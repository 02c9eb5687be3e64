/** The `Store` methods as requests: what the node and the remote client have in common. They differ in where `send` goes. */
import { CoterieError, isCoterieError } from './errors.ts'
import type { Answer, Level, Request } from './messages.ts'
import type { Clock, Random, RequestOptions, Timers } from './ports.ts'
import { positionOf, rangeOf } from './ring/position.ts'
import {
  type Bytes,
  checkKey,
  checkValue,
  type DeleteOptions,
  type GetOptions,
  type GetResult,
  type KeysOptions,
  latestOf,
  type OperationOptions,
  type PutOptions,
  type PutResult,
  type Store,
  toBytes,
  type UpdateOptions,
  updateByRetry
} from './store.ts'
import { tokenFromString, tokenToString } from './version/token.ts'

const WRITE_ID_BYTES = 8
/** Keys in one answer of a listing: at most 256 KiB of the longest keys. */
const KEYS_PAGE = 256
/** Between two attempts of an update, at most: about as long as a write takes, and twice as long after each. */
const FIRST_PAUSE_MS = 10
const MAX_PAUSE_MS = 250

export interface StoreParts {
  clock: Clock
  timers: Timers
  random: Random
  q: () => number
  timeoutMs: number
  send: (request: Request, options: RequestOptions) => Promise<Answer>
}

export class StoreRequests implements Omit<Store, 'close'> {
  readonly #parts: StoreParts

  constructor(parts: StoreParts) {
    this.#parts = parts
  }

  async get(key: Bytes, { r = 'default', latest = false, ...options }: GetOptions = {}): Promise<GetResult> {
    const answer = await this.#send({ type: 'get', key: checkKey(key), r: checkLevel(r), forwarded: false }, options)
    if (answer.type !== 'got') throw unexpected(answer)
    const all = answer.siblings.map(({ value, dot, expiresAtMs, writtenAtMs }) => ({
      value,
      dot,
      ...(expiresAtMs > 0 && { expiresAt: expiresAtMs }),
      ...(writtenAtMs > 0 && { writtenAt: writtenAtMs })
    }))
    const siblings = latest ? latestOf(all, answer.deletedAtMs) : all
    return {
      values: siblings.map(({ value }) => value),
      context: tokenToString(answer.context),
      replies: answer.replies,
      siblings
    }
  }

  async put(key: Bytes, value: Bytes, { ttlMs, ...options }: PutOptions = {}): Promise<PutResult> {
    if (ttlMs !== undefined && !(ttlMs > 0 && Number.isFinite(ttlMs)))
      throw new CoterieError('bad-usage', `ttlMs is ${ttlMs}; it takes milliseconds above 0`)
    return this.#write(key, checkValue(value), ttlMs, options)
  }

  async delete(key: Bytes, options: DeleteOptions = {}): Promise<PutResult> {
    if (options.context !== undefined && options.context !== '') return this.#write(key, undefined, undefined, options)
    // Read here, and once: a try that a slow node gets to late must not delete what was put since.
    const { clock, timeoutMs: defaultMs } = this.#parts
    const { timeoutMs = defaultMs, signal } = options
    const endMs = clock.monotonicMs() + timeoutMs
    const context = await this.#contextOf(key, { timeoutMs, signal })
    const leftMs = Math.max(1, endMs - clock.monotonicMs())
    return this.#write(key, undefined, undefined, { ...options, context, timeoutMs: leftMs })
  }

  /** Undefined: its values are too many to travel; only the node asked can read it, and does so for a delete without context. */
  async #contextOf(key: Bytes, options: GetOptions): Promise<string | undefined> {
    try {
      return (await this.get(key, options)).context
    } catch (error) {
      if (isCoterieError(error, 'too-large')) return undefined
      throw error
    }
  }

  update(key: Bytes, merge: (values: Uint8Array[]) => Bytes | undefined, options?: UpdateOptions): Promise<PutResult> {
    const { clock, timers, random } = this.#parts
    const pause = (attempt: number) =>
      timers.sleep(random.float() * Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1)), options?.signal)
    return updateByRetry(this, key, merge, options, { nowMs: () => clock.monotonicMs(), pause })
  }

  async *keys({ range, prefix = '', ...options }: KeysOptions = {}): AsyncGenerator<Uint8Array> {
    const q = this.#parts.q()
    if (range !== undefined && !(Number.isInteger(range) && range >= 0 && range < q))
      throw new CoterieError('bad-usage', `range is ${range}; this cluster has 0 to ${q - 1}`)
    const [first, last] = range === undefined ? [0, q - 1] : [range, range]
    for (let at = first; at <= last; at++) yield* this.#keysOf(at, toBytes(prefix), options)
  }

  async *#keysOf(range: number, prefix: Uint8Array, options: OperationOptions): AsyncGenerator<Uint8Array> {
    let after: Uint8Array = new Uint8Array()
    for (;;) {
      const answer = await this.#send(
        { type: 'keys', range, after, limit: KEYS_PAGE, prefix, forwarded: false },
        options
      )
      if (answer.type !== 'keys') throw unexpected(answer)
      yield* answer.keys
      const last = answer.keys.at(-1)
      if (answer.done || last === undefined) return
      after = cursorAfter(last)
    }
  }

  async #write(
    key: Bytes,
    value: Uint8Array | undefined,
    ttlMs: number | undefined,
    { context, w = 'default', ...options }: DeleteOptions
  ): Promise<PutResult> {
    const answer = await this.#send(
      {
        type: 'put',
        key: checkKey(key),
        value,
        context: context === undefined || context === '' ? undefined : tokenFromString(context),
        w: checkLevel(w),
        expiresAtMs: ttlMs === undefined ? 0 : Math.ceil(this.#parts.clock.wallMs() + ttlMs),
        writeId: this.#parts.random.bytes(WRITE_ID_BYTES),
        forwarded: false
      },
      options
    )
    if (answer.type !== 'stored') throw unexpected(answer)
    const { dot, acks, sloppy, siblings, replaced } = answer
    return { context: tokenToString(answer.context), dot, acks, sloppy, siblings, replaced }
  }

  #send(request: Request, { timeoutMs = this.#parts.timeoutMs, signal }: OperationOptions): Promise<Answer> {
    signal?.throwIfAborted()
    if (!(timeoutMs > 0 && Number.isFinite(timeoutMs)))
      throw new CoterieError('bad-usage', `timeoutMs is ${timeoutMs}; it takes milliseconds above 0`)
    return this.#parts.send(request, { timeoutMs, signal })
  }
}

/** The wire has no other levels: a node would see something else than was asked for. N is the cluster's to check. */
function checkLevel(level: Level): Level {
  if (['default', 'quorum', 'all'].includes(level as string)) return level
  if (typeof level === 'number' && Number.isInteger(level) && level >= 1) return level
  throw new CoterieError('bad-usage', `${level} answers were asked for; it takes a whole number from 1, quorum or all`)
}

/** The range of a key, for routing. */
export function rangeOfKey(key: Uint8Array, q: number): number {
  return rangeOf(positionOf(key), q)
}

/** A listing goes on after the position of the last key it gave. */
function cursorAfter(key: Uint8Array): Uint8Array {
  const { hi, lo } = positionOf(key)
  const cursor = new Uint8Array(8)
  const view = new DataView(cursor.buffer)
  view.setUint32(0, hi)
  view.setUint32(4, lo)
  return cursor
}

function unexpected(answer: Answer): CoterieError {
  return new CoterieError('protocol', `the node answered "${answer.type}", which is no answer to this`)
}
