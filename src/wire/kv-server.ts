/**
 * The answering end of `/coterie/kv/1`: decodes requests, hands them to the one handler, sends each answer when it is
 * there, in any order. Every bound is answered `overloaded`, at once; a slow reader of answers is not read from.
 */
import type { Stream } from '@libp2p/interface'
import { DEFAULT_SETTINGS } from '../config.ts'
import { asCoterieError, CoterieError } from '../errors.ts'
import type { Request } from '../messages.ts'
import type { Caller, Clock, Log, RequestHandler, Timers } from '../ports.ts'
import { Assembler } from './assembler.ts'
import { Cork } from './cork.ts'
import { FrameReader } from './framing.ts'
import { DEFAULT_KV_LIMITS, type KvLimits } from './kv-channel.ts'
import { type DecodedFrame, decodeFrame, encodeFrame } from './kv-codec.ts'
import { bytesOf, setPaused } from './streams.ts'

export interface KvServerInit {
  stream: Stream
  caller: Caller
  /** Undefined while nothing answers requests yet, or any more. */
  handler: () => RequestHandler | undefined
  clock: Clock
  timers: Timers
  log: Log
  limits?: KvLimits
}

/** Requests are not read while more than this waits to be taken by their sender. */
const PAUSE_BYTES = 4 * 1024 * 1024

export class KvServer {
  readonly #init: KvServerInit
  readonly #limits: KvLimits
  readonly #cork: Cork
  readonly #reader = new FrameReader()
  readonly #assembler = new Assembler()
  readonly #closed = Promise.withResolvers<void>()
  #inFlight = 0
  #paused = false
  #isClosed = false
  #idle?: () => void

  constructor(init: KvServerInit) {
    const { stream, timers } = init
    this.#init = init
    this.#limits = init.limits ?? DEFAULT_KV_LIMITS
    this.#cork = new Cork({ stream, schedule: fn => timers.afterIo(fn), onEmpty: () => this.#onEmpty() })
    stream.addEventListener('message', event => this.#onChunk(bytesOf(event.data)))
    // The caller keeps its half open for as long as it wants answers.
    stream.addEventListener('remoteCloseWrite', () => this.abort(new CoterieError('closed', 'the caller has gone')))
    stream.addEventListener('close', () => this.#onClose())
    if (stream.status !== 'open' || stream.remoteWriteStatus === 'closed') {
      this.abort(new CoterieError('closed', 'the caller has gone'))
    }
    setPaused(stream, false)
  }

  /** Resolves when the stream is gone. */
  get closed(): Promise<void> {
    return this.#closed.promise
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Resolves when no request is being worked on and all answers have been handed to the stream. */
  async drained(): Promise<void> {
    while (!this.#isClosed && (this.#inFlight > 0 || this.#cork.queuedBytes > 0)) {
      await new Promise<void>(resolve => {
        this.#idle = resolve
      })
    }
  }

  abort(reason: CoterieError): void {
    this.#init.stream.abort(reason)
    this.#onClose()
  }

  #onChunk(chunk: Uint8Array): void {
    if (this.#isClosed) return
    try {
      for (const message of this.#reader.push(chunk)) this.#onFrame(decodeFrame(message))
    } catch (error) {
      this.#init.log.warn(`garbled kv stream of ${this.#init.caller.peerId}; closing it`, { error: String(error) })
      this.abort(asCoterieError(error))
    }
    this.#cork.flush()
  }

  #onFrame(frame: DecodedFrame): void {
    const { id, request } = frame
    if (frame.part) {
      const whole = this.#assembler.add(id, frame.part, frame.more)
      if (whole) this.#onFrame({ ...decodeFrame(whole), id })
    } else if (request && !frame.problem) this.#take(id, request, frame.timeoutMs)
    else this.#fail(id, frame.problem ?? new CoterieError('protocol', 'an answer came as a request'))
  }

  #take(id: number, request: Request, timeoutMs: number): void {
    const handler = this.#init.handler()
    if (!handler) this.#fail(id, new CoterieError('closed', 'this node takes no requests'))
    else if (this.#inFlight >= this.#limits.maxInFlight) {
      this.#fail(id, new CoterieError('overloaded', `${this.#inFlight} requests of yours are under way here`))
    } else void this.#run(handler, id, request, timeoutMs > 0 ? timeoutMs : DEFAULT_SETTINGS.requestTimeoutMs)
  }

  /** Never rejects: what the handler throws travels as its code and message. */
  async #run(handler: RequestHandler, id: number, request: Request, timeoutMs: number): Promise<void> {
    const deadlineMs = this.#init.clock.monotonicMs() + timeoutMs
    // Nobody waits for an answer after its deadline.
    const isWanted = () => !this.#isClosed && this.#init.clock.monotonicMs() < deadlineMs
    this.#inFlight++
    try {
      const answer = await handler(request, this.#init.caller, { timeoutMs })
      if (isWanted()) this.#send(id, encodeFrame({ id, answer }))
    } catch (error) {
      if (isWanted()) this.#fail(id, asCoterieError(error))
    }
    this.#inFlight--
    // Nobody else's answer is on its way: waiting for company would only cost this one time.
    if (this.#inFlight === 0) this.#cork.flush()
    this.#maybeIdle()
  }

  #fail(id: number, error: CoterieError): void {
    if (error.code === 'internal') this.#init.log.error('a request failed', { error: error.cause ?? error.message })
    this.#send(id, encodeFrame({ id, error }))
  }

  #send(id: number, bytes: Uint8Array): void {
    const queued = this.#cork.queuedBytes
    const over = queued > 0 && queued + bytes.length > this.#limits.maxQueuedBytes
    const error = () => new CoterieError('overloaded', `${queued} bytes of answers wait for you already`)
    this.#cork.write(id, over ? encodeFrame({ id, error: error() }) : bytes)
    if (!this.#paused && this.#cork.queuedBytes > PAUSE_BYTES) {
      this.#paused = true
      setPaused(this.#init.stream, true)
    }
  }

  #onEmpty(): void {
    this.#maybeIdle()
    if (!this.#paused) return
    this.#paused = false
    setPaused(this.#init.stream, false)
    // Answers to what was buffered may have filled the queue again while it was handed over.
    if (this.#paused) setPaused(this.#init.stream, true)
  }

  #maybeIdle(): void {
    if (this.#inFlight === 0 && this.#cork.queuedBytes === 0) this.#idle?.()
  }

  #onClose(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#cork.close()
    this.#idle?.()
    this.#closed.resolve()
  }
}
