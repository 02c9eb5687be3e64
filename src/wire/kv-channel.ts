/**
 * The calling end of `/coterie/kv/1`: one long-lived stream to a peer, many requests in flight, each with an id and a
 * deadline. Life of a request: encoded; counted against the bounds; sent at once when nothing else is in flight, else with
 * all others of this turn; answered, timed out, aborted, or lost with the stream. Late answers are dropped.
 */
import type { Stream } from '@libp2p/interface'
import { CoterieError } from '../errors.ts'
import type { Answer, Request } from '../messages.ts'
import type { Clock, RequestOptions, Timer, Timers } from '../ports.ts'
import { Assembler } from './assembler.ts'
import { Cork, type Outgoing } from './cork.ts'
import { FrameReader } from './framing.ts'
import { type DecodedFrame, decodeFrame, encodeFrame } from './kv-codec.ts'
import { bytesOf, setPaused } from './streams.ts'

export interface KvLimits {
  /** Requests under way to, and taken from, one peer at a time. */
  maxInFlight: number
  /** Bytes queued for one peer while its stream is full; one frame alone may be longer. */
  maxQueuedBytes: number
}

export const DEFAULT_KV_LIMITS: KvLimits = { maxInFlight: 1024, maxQueuedBytes: 32 * 1024 * 1024 }

export interface KvChannelInit {
  stream: Stream
  /** For messages only. */
  peerId: string
  clock: Clock
  timers: Timers
  limits?: KvLimits
  /** Something came from the peer. */
  onHeard?: () => void
  /** A request ran into its deadline. */
  onTimeout?: () => void
  /** The stream is gone; everything in flight has been rejected. */
  onClosed?: () => void
}

interface Waiting {
  frame: Outgoing
  deadlineMs: number
  resolve(answer: Answer): void
  reject(error: unknown): void
}

const MAX_ID = 2 ** 32 - 1

export class KvChannel {
  readonly #init: KvChannelInit
  readonly #limits: KvLimits
  readonly #cork: Cork
  readonly #reader = new FrameReader()
  readonly #assembler = new Assembler()
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  #closed?: CoterieError
  #sweep?: { timer: Timer; atMs: number }

  constructor(init: KvChannelInit) {
    const { stream, timers } = init
    this.#init = init
    this.#limits = init.limits ?? DEFAULT_KV_LIMITS
    this.#cork = new Cork({ stream, schedule: fn => timers.soon(fn) })
    stream.addEventListener('message', event => this.#onChunk(bytesOf(event.data)))
    stream.addEventListener('remoteCloseWrite', () => this.#lost('the other side ended the stream'))
    stream.addEventListener('close', event => this.#lost(event.error?.message ?? 'the connection closed'))
    if (stream.status !== 'open') this.#lost(`the stream is ${stream.status}`)
    setPaused(stream, false)
  }

  get inFlight(): number {
    return this.#waiting.size
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /**
   * Rejects with `unreachable` (nothing was sent), `timeout` (it may have taken effect), `overloaded`, `too-large`,
   * `protocol`, what the other side answered, or the signal's reason.
   */
  request(request: Request, { timeoutMs, signal }: RequestOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new CoterieError('unreachable', this.#closed.message)
      signal?.throwIfAborted()
      if (this.#waiting.size >= this.#limits.maxInFlight) throw this.#overloaded(`${this.#waiting.size} requests`)
      const id = this.#nextId()
      const bytes = encodeFrame({ id, timeoutMs: Math.max(1, Math.ceil(timeoutMs)), request })
      const queued = this.#cork.queuedBytes
      if (queued > 0 && queued + bytes.length > this.#limits.maxQueuedBytes) throw this.#overloaded(`${queued} bytes`)
      const alone = this.#waiting.size === 0
      const deadlineMs = this.#init.clock.monotonicMs() + timeoutMs
      const waiting: Waiting = { frame: this.#cork.write(id, bytes), deadlineMs, resolve, reject }
      this.#waiting.set(id, waiting)
      this.#sweepBy(deadlineMs)
      if (signal) this.#obey(signal, id, waiting)
      if (alone) this.#cork.flush()
    })
  }

  /** Rejects what is in flight and ends the stream. */
  close(reason: CoterieError): void {
    if (this.#closed) return
    this.#fail(reason)
    this.#init.stream.abort(reason)
  }

  #nextId(): number {
    do this.#lastId = this.#lastId >= MAX_ID ? 1 : this.#lastId + 1
    while (this.#waiting.has(this.#lastId))
    return this.#lastId
  }

  #overloaded(what: string): CoterieError {
    return new CoterieError('overloaded', `${what} wait for ${this.#init.peerId} already; try again later`)
  }

  #obey(signal: AbortSignal, id: number, waiting: Waiting): void {
    const onAbort = () => {
      this.#forget(id, waiting)
      waiting.reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const { resolve, reject } = waiting
    waiting.resolve = answer => {
      signal.removeEventListener('abort', onAbort)
      resolve(answer)
    }
    waiting.reject = error => {
      signal.removeEventListener('abort', onAbort)
      reject(error)
    }
  }

  #forget(id: number, waiting: Waiting): void {
    this.#waiting.delete(id)
    this.#assembler.forget(id)
    this.#cork.drop(waiting.frame)
  }

  #onChunk(chunk: Uint8Array): void {
    if (this.#closed) return
    this.#init.onHeard?.()
    try {
      for (const message of this.#reader.push(chunk)) this.#onFrame(decodeFrame(message))
    } catch (error) {
      this.close(error as CoterieError)
    }
  }

  #onFrame(frame: DecodedFrame): void {
    const waiting = this.#waiting.get(frame.id)
    // Late: the caller has gone. What is left of a large answer goes the same way.
    if (!waiting) return
    if (frame.part) {
      const whole = this.#assembler.add(frame.id, frame.part, frame.more)
      if (whole) this.#onFrame({ ...decodeFrame(whole), id: frame.id })
      return
    }
    this.#forget(frame.id, waiting)
    if (frame.answer) waiting.resolve(frame.answer)
    else
      waiting.reject(frame.error ?? frame.problem ?? new CoterieError('protocol', 'a request came back as an answer'))
  }

  /** One timer for all: it looks at every deadline when the nearest that it was set for has passed. */
  #sweepBy(deadlineMs: number): void {
    if (this.#sweep && this.#sweep.atMs <= deadlineMs) return
    this.#sweep?.timer.cancel()
    const { clock, timers } = this.#init
    const delayMs = Math.max(0, deadlineMs - clock.monotonicMs())
    this.#sweep = { atMs: deadlineMs, timer: timers.after(delayMs, () => this.#expire()) }
  }

  #expire(): void {
    this.#sweep = undefined
    const nowMs = this.#init.clock.monotonicMs()
    let nearestMs = Number.POSITIVE_INFINITY
    let expired = 0
    for (const [id, waiting] of this.#waiting) {
      if (waiting.deadlineMs > nowMs) nearestMs = Math.min(nearestMs, waiting.deadlineMs)
      else {
        expired++
        this.#forget(id, waiting)
        const sent = waiting.frame.state === 'sent' ? 'whether it took effect is unknown' : 'it was never sent'
        waiting.reject(new CoterieError('timeout', `${this.#init.peerId} did not answer in time; ${sent}`))
      }
    }
    if (nearestMs < Number.POSITIVE_INFINITY) this.#sweepBy(nearestMs)
    if (expired > 0) this.#init.onTimeout?.()
  }

  #lost(why: string): void {
    if (this.#closed) return
    this.#fail(new CoterieError('unreachable', `the connection to ${this.#init.peerId} is lost: ${why}`))
    // Ends our half of a stream that only the other side ended.
    this.#init.stream.abort(this.#closed!)
  }

  #fail(reason: CoterieError): void {
    this.#closed = reason
    this.#sweep?.timer.cancel()
    this.#cork.close()
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { frame, reject } of waiting) {
      const { code, message } = reason
      // `unreachable` promises that nothing was sent; a request that was on its way may have taken effect.
      const unknown = code === 'unreachable' && frame.state === 'sent'
      reject(
        unknown
          ? new CoterieError('timeout', `${message}; whether the request took effect is unknown`, { cause: reason })
          : new CoterieError(code, message, { cause: reason })
      )
    }
    this.#init.onClosed?.()
  }
}
