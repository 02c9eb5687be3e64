/**
 * Streams of the simulated network: whole messages, in order, none lost while the connection lives, a bound on what is
 * under way, two halves that end on their own. Their behaviour is that of `wire/duplex.ts` on a Yamux stream.
 */
import { joined } from '../../bytes.ts'
import { CoterieError } from '../../errors.ts'
import type { Duplex, Outgoing } from '../../ports.ts'
import { MAX_MESSAGE_BYTES } from '../../wire/framing.ts'
import { type Source, type SourceIterator, sinkAll } from '../../wire/sink.ts'
import type { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'
import type { Link } from './links.ts'

/**
 * Bytes that may be under way unread, and one message more. Less than Yamux's, so that small histories meet a full
 * window too.
 */
export const WINDOW_BYTES = 64 * 1024
/** The reader says what it has read in pieces of this size. */
const CREDIT_BYTES = WINDOW_BYTES / 4

export type Piece =
  | { kind: 'open' | 'opened' | 'end' | 'reset' }
  | { kind: 'message'; message: Uint8Array }
  | { kind: 'credit'; bytes: number }

export interface LaneInit {
  world: World
  link: Link
  /** Whose event an arrival is. */
  receiver: SimProcess
  /** Of the stream, for the event log. */
  label: string
  /** False when nobody is there any more: what is sent is dropped. */
  mayLeave: () => boolean
  deliver: (piece: Piece) => void
}

/** One direction of a stream: in order, and while the link is cut nothing moves. */
export class Lane {
  readonly #init: LaneInit
  readonly #flying: Piece[] = []
  #lastMs = 0
  /** Arrivals that were planned before the lane stalled count no more. */
  #stalls = 0
  #stalled = false

  constructor(init: LaneInit) {
    this.#init = init
  }

  send(piece: Piece): void {
    if (!this.#init.mayLeave()) return
    this.#flying.push(piece)
    if (this.#init.link.isCut) this.#stall()
    else if (!this.#stalled) this.#plan(piece)
  }

  #plan(piece: Piece): void {
    const { world, link, receiver, label } = this.#init
    this.#lastMs = Math.max(this.#lastMs, world.nowMs + link.reliableDelayMs())
    const stalls = this.#stalls
    const what = `net ${link.name} ${label} ${nameOf(piece)}`
    world.after(this.#lastMs - world.nowMs, receiver, what, () => {
      if (stalls !== this.#stalls) return
      if (link.isCut) this.#stall()
      // The first one, whichever this event was made for: two may fall on the same moment.
      else this.#init.deliver(this.#flying.shift()!)
    })
  }

  #stall(): void {
    if (this.#stalled) return
    this.#stalled = true
    this.#stalls++
    this.#init.link.onceMended(() => {
      this.#stalled = false
      if (this.#init.mayLeave()) for (const piece of this.#flying) this.#plan(piece)
      else this.#flying.length = 0
    })
  }
}

function nameOf(piece: Piece): string {
  if (piece.kind === 'message') return String(piece.message.length)
  return piece.kind === 'credit' ? `credit ${piece.bytes}` : piece.kind
}

export interface StreamInit {
  /** For messages: `gossip stream with n2`. */
  what: string
  send: (piece: Piece) => void
  sentBytes: (bytes: number) => void
  /** Both halves have ended, or the stream is broken. */
  onClosed: (stream: SimStream) => void
}

export class SimStream {
  /** What the stream's user sees of it. */
  readonly duplex: Duplex
  readonly #init: StreamInit
  readonly #opened = Promise.withResolvers<void>()
  readonly #done = Promise.withResolvers<void>()
  readonly #queue: Uint8Array[] = []
  #creditBytes = 0
  #underWayBytes = 0
  /** Our half, and theirs. */
  #ended = false
  #finished = false
  #closed = false
  /** Nobody will read any more: what still comes is thrown away. */
  #ignored = false
  #failure: Error | undefined
  #givenUp = false
  #wakeReader: (() => void) | undefined
  #wakeWriter: (() => void) | undefined
  #rejectNext: ((error: Error) => void) | undefined

  constructor(init: StreamInit) {
    this.#init = init
    this.duplex = {
      source: this.#messages(),
      sink: source => this.#sink(source),
      abort: reason => this.abort(reason)
    }
    this.#opened.promise.catch(() => {
      // Only the side that opens waits for it.
    })
  }

  /** Resolves when the other side has the stream; rejects when it broke first. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** Resolves when both halves have ended, or the stream is broken. */
  get closed(): Promise<void> {
    return this.#done.promise
  }

  #sink(source: Source): Promise<void> {
    return sinkAll(source, {
      next: iterator => this.#nextOf(iterator),
      write: message => this.#write(joined(message)),
      end: () => {
        if (this.#closed) throw this.#broken()
        this.end()
      },
      abort: reason => this.abort(reason)
    })
  }

  /** Closes our half, once. */
  end(): void {
    if (this.#ended || this.#closed) return
    this.#ended = true
    this.#init.send({ kind: 'end' })
    if (this.#finished) this.#close()
    else if (this.#ignored) this.abort(nobodyReads())
  }

  abort(reason: Error): void {
    if (!this.#closed) {
      this.#givenUp = true
      this.#failure = reason
      this.#init.send({ kind: 'reset' })
      this.#close()
    }
    this.#queue.length = 0
    this.#wake()
  }

  /** The connection is gone, or the other side has given the stream up. What has arrived can still be read. */
  break(error: Error): void {
    if (this.#closed) return
    this.#failure = error
    this.#close()
  }

  receive(piece: Piece): void {
    if (this.#closed) return
    switch (piece.kind) {
      case 'message':
        if (this.#ignored) this.#credit(piece.message.length)
        else this.#queue.push(piece.message)
        break
      case 'credit':
        this.#underWayBytes -= piece.bytes
        break
      case 'end':
        this.#finished = true
        if (this.#ended) this.#close()
        break
      case 'reset':
        this.break(new CoterieError('unreachable', `the ${this.#init.what} broke: the other side gave it up`))
        break
      case 'opened':
        this.#opened.resolve()
        break
    }
    this.#wake()
  }

  async *#messages(): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const message = this.#queue.shift()
        if (message !== undefined) {
          this.#credit(message.length)
          yield message
        } else if (this.#finished && !this.#givenUp) return
        else if (this.#closed) throw this.#broken()
        else await new Promise<void>(resolve => (this.#wakeReader = resolve))
      }
    } finally {
      this.#ignoreRest()
    }
  }

  async #write(message: Uint8Array): Promise<void> {
    if (message.length > MAX_MESSAGE_BYTES) {
      throw new CoterieError('too-large', `a message of ${message.length} bytes; at most ${MAX_MESSAGE_BYTES} fit`)
    }
    while (!this.#closed && this.#underWayBytes >= WINDOW_BYTES) {
      await new Promise<void>(resolve => (this.#wakeWriter = resolve))
    }
    if (this.#closed || this.#ended) throw this.#broken()
    this.#underWayBytes += message.length
    this.#init.sentBytes(message.length)
    this.#init.send({ kind: 'message', message: message.slice() })
  }

  /** The next item to send, or the stream's end, whichever comes first. */
  #nextOf(iterator: SourceIterator): Promise<IteratorResult<Outgoing>> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#broken())
      this.#rejectNext = reject
      Promise.resolve(iterator.next()).then(resolve, reject)
    })
  }

  #credit(bytes: number): void {
    this.#creditBytes += bytes
    if (this.#creditBytes < CREDIT_BYTES || this.#finished || this.#closed) return
    this.#init.send({ kind: 'credit', bytes: this.#creditBytes })
    this.#creditBytes = 0
  }

  #ignoreRest(): void {
    if (this.#ignored) return
    this.#ignored = true
    for (const message of this.#queue.splice(0)) this.#credit(message.length)
    if (this.#ended && !this.#finished) this.abort(nobodyReads())
  }

  #broken(): Error {
    return this.#failure ?? new CoterieError('unreachable', `the ${this.#init.what} has ended`)
  }

  #close(): void {
    this.#closed = true
    // A stream that has ended well has no error: making one that nobody reads would be most of its cost.
    if (this.#failure !== undefined) {
      this.#opened.reject(this.#failure)
      this.#rejectNext?.(this.#failure)
    }
    this.#wake()
    this.#done.resolve()
    this.#init.onClosed(this)
  }

  #wake(): void {
    this.#wakeReader?.()
    this.#wakeWriter?.()
    this.#wakeReader = undefined
    this.#wakeWriter = undefined
  }
}

const nobodyReads = () => new CoterieError('closed', 'nobody reads this stream any more')
