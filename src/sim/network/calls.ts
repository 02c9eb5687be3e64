/**
 * Requests and answers on one end of a simulated connection: what `wire/kv-channel.ts` and `wire/kv-server.ts` do on a
 * stream. They pass through the real codec, so that nothing is shared by reference; each is lost, repeated and late on its own.
 */
import { DEFAULT_SETTINGS } from '../../config.ts'
import { asCoterieError, CoterieError } from '../../errors.ts'
import type { Answer, Request } from '../../messages.ts'
import type { RequestHandler, RequestOptions } from '../../ports.ts'
import { DEFAULT_KV_LIMITS } from '../../wire/kv-channel.ts'
import { type DecodedFrame, decodeFrame, encodeFrame } from '../../wire/kv-codec.ts'
import type { End } from './connections.ts'

const { maxInFlight } = DEFAULT_KV_LIMITS

interface Waiting {
  settle(): void
  resolve(answer: Answer): void
  reject(error: unknown): void
}

export class Calls {
  readonly #end: End
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  #serving = 0

  constructor(end: End) {
    this.#end = end
  }

  get isIdle(): boolean {
    return this.#waiting.size + this.#serving === 0
  }

  /** The connection is closed: rejects what waits for an answer. */
  end(reason: CoterieError): void {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const request of waiting) {
      request.settle()
      // A killed process never learns what became of its requests.
      if (this.#end.host.process.alive) request.reject(unknownOutcome(reason))
    }
  }

  /** As `KvChannel.request`. */
  request(request: Request, { timeoutMs, signal }: RequestOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#end.state !== 'open')
        throw new CoterieError('unreachable', `the connection to ${this.#end.peer.peerId} is lost`)
      if (this.#waiting.size >= maxInFlight) {
        const what = `${maxInFlight} requests wait for ${this.#end.peer.peerId} already`
        throw new CoterieError('overloaded', `${what}; try again later`)
      }
      const bytes = encodeFrame({ id: 1, timeoutMs: Math.max(1, Math.ceil(timeoutMs)), request })
      const id = ++this.#lastId
      const { world, process } = this.#end.host
      const timer = world.after(timeoutMs, process, `net ${this.#end.link.name} ${request.type} timeout`, () => {
        this.#settle(id)?.reject(
          new CoterieError(
            'timeout',
            `${this.#end.peer.peerId} did not answer in time; whether it took effect is unknown`
          )
        )
        this.#end.timedOut()
      })
      const onAbort = () => this.#settle(id)?.reject(signal?.reason)
      const settle = () => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.set(id, { settle, resolve, reject })
      this.#end.asked()
      this.#ask(id, request.type, bytes)
    })
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.settle()
    return waiting
  }

  #ask(id: number, kind: string, bytes: Uint8Array): void {
    this.#end.host.sent('request', bytes.length)
    const what = `${kind} ${bytes.length}`
    const delayMs = this.#end.link.delayMs()
    if (this.#end.link.loses()) this.#end.lost(what)
    else this.#end.post(what, delayMs, other => other.calls.#serve(id, bytes))
    const againMs = this.#end.link.replaysAfterMs()
    if (againMs === undefined) return
    const copy = bytes.slice()
    this.#end.post(`${what} again`, delayMs + againMs, other => other.calls.#serve(undefined, copy))
  }

  /** Without an id, the answer goes nowhere. */
  #serve(id: number | undefined, bytes: Uint8Array): void {
    const { request, timeoutMs, problem } = decodeFrame(bytes)
    const handler = this.#end.host.requestHandler
    if (problem !== undefined || request === undefined)
      this.#fail(id, problem ?? new CoterieError('protocol', 'no request'))
    else if (handler === undefined) this.#fail(id, new CoterieError('closed', 'this node takes no requests'))
    else if (this.#serving >= maxInFlight) {
      this.#fail(id, new CoterieError('overloaded', `${this.#serving} requests of yours are under way here`))
    } else void this.#run(id, handler, request, timeoutMs > 0 ? timeoutMs : DEFAULT_SETTINGS.requestTimeoutMs)
  }

  /** Never rejects: what the handler throws travels as its code and message. */
  async #run(id: number | undefined, handler: RequestHandler, request: Request, timeoutMs: number): Promise<void> {
    const { world } = this.#end.host
    const deadlineMs = world.nowMs + timeoutMs
    this.#serving++
    try {
      const answer = await handler(request, this.#end.peer, { timeoutMs })
      const bytes = encodeFrame({ id: 1, answer })
      if (world.nowMs < deadlineMs) this.#answer(id, answer.type, bytes)
    } catch (error) {
      if (world.nowMs < deadlineMs) this.#fail(id, asCoterieError(error))
    }
    this.#serving--
  }

  #fail(id: number | undefined, error: CoterieError): void {
    if (error.code === 'internal')
      this.#end.host.log?.error('a request failed', { error: error.cause ?? error.message })
    this.#answer(id, `error ${error.code}`, encodeFrame({ id: 1, error }))
  }

  #answer(id: number | undefined, kind: string, bytes: Uint8Array): void {
    if (id === undefined || this.#end.state === 'closed' || !this.#end.host.attached) return
    this.#end.host.sent('request', bytes.length)
    const what = `${kind} ${bytes.length}`
    if (this.#end.link.loses()) this.#end.lost(what)
    else this.#end.post(what, this.#end.link.delayMs(), other => other.calls.#answered(id, decodeFrame(bytes)))
  }

  #answered(id: number, { answer, error, problem }: DecodedFrame): void {
    this.#end.heard()
    // Late: the caller has gone.
    const waiting = this.#settle(id)
    if (answer !== undefined) waiting?.resolve(answer)
    else waiting?.reject(error ?? problem)
  }
}

/** `unreachable` promises that nothing was sent; a request that was on its way may have taken effect. */
function unknownOutcome(reason: CoterieError): CoterieError {
  if (reason.code === 'closed') return reason
  return new CoterieError('timeout', `${reason.message}; whether the request took effect is unknown`, { cause: reason })
}
