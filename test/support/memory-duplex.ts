/** Two `Duplex` ends joined in memory: whole messages, a bound on what is under way, half-close and abort. */
import { joined } from '../../src/bytes.ts'
import { asCoterieError, CoterieError } from '../../src/errors.ts'
import type { Duplex } from '../../src/ports.ts'

/** As on the real wire (design §4). */
export const MAX_MESSAGE_BYTES = 1024 * 1024
/** Messages under way in one direction before the sender waits; small, so that tests meet back-pressure. */
const WINDOW = 4

export interface MemoryPipe {
  left: Duplex
  right: Duplex
  abort(reason: Error): void
  /** What a network does with the answering side: a handler that has returned has said all it will, and its half is closed. */
  serve(handler: (stream: Duplex) => Promise<void>): Promise<void>
  /** Resolves when both halves are closed or the pipe was aborted. */
  closed: Promise<void>
}

/** One direction: a bounded queue of messages. */
class Lane {
  readonly #queue: Uint8Array[] = []
  readonly #deliver: (fn: () => void) => void
  #wake = Promise.withResolvers<void>()
  #flying = 0
  #ended = false
  #ignored = false
  #error?: Error
  readonly finished = Promise.withResolvers<void>()

  constructor(deliver: (fn: () => void) => void) {
    this.#deliver = deliver
  }

  #changed(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers<void>()
  }

  fail(error: Error): void {
    this.#error ??= error
    this.#queue.length = 0
    this.finished.resolve()
    this.#changed()
  }

  async write(message: Uint8Array): Promise<void> {
    if (message.length > MAX_MESSAGE_BYTES) throw new CoterieError('too-large', `a message of ${message.length} bytes`)
    while (!this.#error && this.#queue.length + this.#flying >= WINDOW) await this.#wake.promise
    if (this.#error) throw this.#error
    if (this.#ended) throw new CoterieError('unreachable', 'this half of the stream is closed')
    this.#flying++
    const copy = message.slice()
    this.#deliver(() => {
      this.#flying--
      if (!this.#error && !this.#ignored) this.#queue.push(copy)
      this.#changed()
    })
  }

  async end(): Promise<void> {
    while (!this.#error && this.#flying > 0) await this.#wake.promise
    if (this.#error) throw this.#error
    this.#ended = true
    this.finished.resolve()
    this.#changed()
  }

  async *read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        if (this.#error) throw this.#error
        const message = this.#queue.shift()
        if (message) {
          this.#changed()
          yield message
        } else if (this.#ended) return
        else await this.#wake.promise
      }
    } finally {
      // The reader is gone: what still comes is dropped, so that the writer does not wait for ever.
      this.#ignored = true
      this.#queue.length = 0
      this.#changed()
    }
  }
}

/** Messages written before an end arrive before it; `deliver` decides when each one arrives. */
export function duplexPair(deliver: (fn: () => void) => void = setImmediate): MemoryPipe {
  const [there, back] = [new Lane(deliver), new Lane(deliver)]
  const abort = (reason: Error) => {
    there.fail(reason)
    back.fail(reason)
  }
  const side = (out: Lane, into: Lane): Duplex => ({
    source: into.read(),
    async sink(source) {
      try {
        for await (const message of source) await out.write(joined(message))
        await out.end()
      } catch (error) {
        abort(error as Error)
        throw error
      }
    },
    abort
  })
  const [left, right] = [side(there, back), side(back, there)]
  const serve = async (handler: (stream: Duplex) => Promise<void>) => {
    try {
      await handler(right)
      await back.end()
    } catch (error) {
      abort(asCoterieError(error))
      throw error
    }
  }
  const closed = Promise.all([there.finished.promise, back.finished.promise]).then(() => undefined)
  return { left, right, abort, serve, closed }
}
