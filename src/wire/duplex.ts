/**
 * A libp2p stream as whole messages, with back-pressure both ways and two halves that end on their own. The stock adapter
 * buffers without bound and can hang when the other side half-closed before it was attached; this one pauses the stream
 * whenever nobody waits for a message, so that at most a window (1 MiB) and a message lie unread.
 *
 * @example
 *   const duplex = duplexOf(stream)
 *   await pipe(duplex, decode, handle, encode, duplex)     // it-pipe
 */
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { lengthOf } from '../bytes.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Duplex, Outgoing } from '../ports.ts'
import { FrameReader, frameOf, MAX_MESSAGE_BYTES, prefixOf } from './framing.ts'
import { type Source, type SourceIterator, sinkAll } from './sink.ts'
import { brokenStream, drained, piecesOf, setPaused } from './streams.ts'

export function duplexOf(stream: Stream, maxMessageBytes: number = MAX_MESSAGE_BYTES): Duplex {
  const framed = new FramedStream(stream, maxMessageBytes)
  return {
    source: framed.messages(),
    sink: source => framed.writeAll(source),
    abort: reason => framed.abort(reason)
  }
}

/** One reader and one writer at a time. */
export class FramedStream {
  readonly #stream: Stream
  readonly #reader: FrameReader
  readonly #maxBytes: number
  /** Messages that came, and how many of them were read: `shift` would move them all, and a chunk may hold a million. */
  #queue: Uint8Array[] = []
  #taken = 0
  #wake?: () => void
  #failure?: Error
  /** The other side closed its half: what follows the last message is an end, not a loss. */
  #finished: boolean
  #closed = false
  #resuming = false
  /** Nobody will read any more: what still comes is thrown away. */
  #ignored = false
  #sent = false
  #rejectNext?: (error: Error) => void

  constructor(stream: Stream, maxMessageBytes: number = MAX_MESSAGE_BYTES) {
    this.#stream = stream
    this.#maxBytes = maxMessageBytes
    this.#reader = new FrameReader(maxMessageBytes)
    // A connection that dies closes the half too, but without `remoteCloseWrite`, and the stream with it.
    this.#finished = stream.remoteWriteStatus === 'closed' && (stream.status === 'open' || stream.status === 'closing')
    setPaused(stream, true)
    stream.addEventListener('message', event => this.#onMessage(event))
    stream.addEventListener('remoteCloseWrite', () => {
      this.#finished = true
    })
    stream.addEventListener('end', () => this.#changed())
    stream.addEventListener('close', event => this.#onClose(event))
    if (stream.status !== 'open' && stream.status !== 'closing') this.#closed = true
  }

  /** The next message; undefined when the other side has closed its half. Throws when the stream broke. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#taken < this.#queue.length) return this.#queue[this.#taken++]
      this.#clear()
      if (this.#failure) throw this.#failure
      if (this.#exhausted) return this.#endOfReading()
      const woken = new Promise<void>(resolve => {
        this.#wake = resolve
      })
      this.#resume()
      await woken
    }
  }

  async *messages(): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (let message = await this.read(); message !== undefined; message = await this.read()) yield message
    } finally {
      this.#ignoreRest()
    }
  }

  /** Resolves when the stream can take another message. Throws `too-large`, or what the stream broke with. */
  async write(message: Outgoing): Promise<void> {
    const length = lengthOf(message)
    if (length > this.#maxBytes)
      throw new CoterieError('too-large', `a message of ${length} bytes; at most ${this.#maxBytes} fit a stream`)
    try {
      const pieces = message instanceof Uint8Array ? [frameOf(message)] : [prefixOf(length), ...message]
      let hasRoom = true
      for (const piece of pieces) hasRoom = this.#stream.send(piece)
      if (!hasRoom) await drained(this.#stream)
    } catch (error) {
      throw this.#failure ?? (isCoterieError(error) ? error : brokenStream(this.#stream, error))
    }
  }

  /** Sends what is queued, then closes our half. */
  async end(): Promise<void> {
    try {
      await this.#stream.close()
    } catch (error) {
      throw this.#failure ?? brokenStream(this.#stream, error instanceof Error ? error : undefined)
    }
    this.#sent = true
    if (this.#ignored) this.abort(nobodyReads())
  }

  writeAll(source: Source): Promise<void> {
    return sinkAll(source, {
      next: iterator => this.#nextOf(iterator),
      write: message => this.write(message),
      end: () => this.end(),
      abort: reason => this.abort(reason)
    })
  }

  abort(reason: Error): void {
    if (!this.#closed) this.#failure ??= reason
    this.#clear()
    // Without effect on a stream that is closed.
    this.#stream.abort(reason)
    this.#changed()
  }

  get #exhausted(): boolean {
    return this.#stream.readableEnded || (this.#closed && this.#stream.readBufferLength === 0)
  }

  #endOfReading(): undefined {
    if (!this.#finished) throw brokenStream(this.#stream)
    if (this.#reader.pendingBytes > 0) throw new CoterieError('protocol', 'the stream ended in the middle of a message')
  }

  #resume(): void {
    this.#resuming = true
    setPaused(this.#stream, false)
    this.#resuming = false
    // Only now: pausing while `resume` hands over its buffer is undone when it then tells the muxer to go on.
    if (this.#queue.length > 0) setPaused(this.#stream, true)
    if (this.#exhausted) this.#changed()
  }

  #onMessage(event: StreamMessageEvent): void {
    if (this.#ignored || this.#failure) return
    try {
      // Piece by piece: a message that lies in several is put together once.
      for (const piece of piecesOf(event.data)) {
        const messages = this.#reader.push(piece)
        this.#queue = this.#queue.length === 0 ? messages : this.#queue.concat(messages)
      }
    } catch (error) {
      this.abort(error as Error)
      return
    }
    if (this.#queue.length === 0) return
    if (!this.#resuming) setPaused(this.#stream, true)
    this.#changed()
  }

  #onClose(event: StreamCloseEvent): void {
    this.#closed = true
    // A reset by the other side: what had arrived before it is still handed out.
    if (event.error && this.#stream.readBufferLength === 0 && this.#queue.length === 0 && !this.#finished) {
      this.#failure ??= brokenStream(this.#stream, event.error)
    }
    this.#rejectNext?.(this.#failure ?? brokenStream(this.#stream, event.error))
    this.#changed()
  }

  #clear(): void {
    if (this.#queue.length > 0) this.#queue = []
    this.#taken = 0
  }

  #changed(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** The next item to send, or the stream's end, whichever comes first. */
  #nextOf(iterator: SourceIterator): Promise<IteratorResult<Outgoing>> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#failure ?? brokenStream(this.#stream))
      this.#rejectNext = reject
      Promise.resolve(iterator.next()).then(resolve, reject)
    })
  }

  #ignoreRest(): void {
    if (this.#ignored || this.#exhausted) return
    this.#ignored = true
    this.#clear()
    if (this.#sent) this.abort(nobodyReads())
    else {
      setPaused(this.#stream, false)
      // Yamux has no message for this; it only makes the stream drop what comes. Never rejects without a signal.
      void this.#stream.closeRead()
    }
  }
}

const nobodyReads = () => new CoterieError('closed', 'nobody reads this stream any more')
