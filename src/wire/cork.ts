/**
 * What leaves on a kv stream. One `send` costs about 60 µs over both ends whatever it carries up to 64 KiB, so frames are
 * corked: `flush()` sends at once, otherwise all that was queued in one turn of the event loop leaves together. A frame
 * over `WHOLE_BYTES` goes in parts, between which small frames pass. When the stream is full, the queue waits for `drain`.
 */
import type { Stream } from '@libp2p/interface'
import type { Timers } from '../ports.ts'
import { prefixBytes, writeMessage } from './framing.ts'
import { encodeFrame } from './kv-codec.ts'
import { drained } from './streams.ts'

/** A send carries at most this much, unless one frame alone is longer (a Noise message holds 64 KiB). */
const SEND_BYTES = 64 * 1024
/** Frames up to this length travel whole. */
export const WHOLE_BYTES = 256 * 1024
/** Length of the parts of longer ones: what a small frame may have to wait for. */
export const PART_BYTES = 128 * 1024

/** A frame that was handed to `write`. */
export interface Outgoing {
  readonly id: number
  readonly bytes: Uint8Array
  /** `sent`: at least its beginning was handed to the stream. */
  state: 'queued' | 'sent' | 'dropped'
}

export interface CorkInit {
  stream: Stream
  schedule: Timers['soon']
  onEmpty?: () => void
}

export class Cork {
  readonly #stream: Stream
  readonly #schedule: (fn: () => void) => void
  /** Called when the queue has become empty after it was not. */
  readonly #onEmpty: () => void
  #small: Outgoing[] = []
  #large: Outgoing[] = []
  /** How much of `#large[0]` has been sent. */
  #offset = 0
  #queuedBytes = 0
  #armed = false
  #blocked = false
  #closed = false

  /** `schedule` says when a queue that nobody flushes leaves: `timers.soon` or `timers.afterIo`. */
  constructor({ stream, schedule, onEmpty = () => {} }: CorkInit) {
    this.#stream = stream
    this.#schedule = schedule
    this.#onEmpty = onEmpty
  }

  /** Bytes that wait to be handed to the stream. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Queues an encoded frame with this id. It leaves when it is scheduled to, or with `flush()`. */
  write(id: number, bytes: Uint8Array): Outgoing {
    const frame: Outgoing = { id, bytes, state: 'queued' }
    if (this.#closed) {
      frame.state = 'dropped'
      return frame
    }
    if (bytes.length > WHOLE_BYTES) this.#large.push(frame)
    else this.#small.push(frame)
    this.#queuedBytes += bytes.length
    if (this.#queuedBytes >= SEND_BYTES) this.flush()
    else if (!this.#armed) {
      this.#armed = true
      this.#schedule(() => {
        this.#armed = false
        this.flush()
      })
    }
    return frame
  }

  /** Takes back a frame that nobody wants any more; without effect once it has begun to leave. */
  drop(frame: Outgoing): void {
    if (frame.state !== 'queued') return
    frame.state = 'dropped'
    this.#queuedBytes -= frame.bytes.length
  }

  flush(): void {
    while (!this.#blocked && !this.#closed) {
      const chunk = this.#nextChunk()
      if (!chunk) return
      let more: boolean
      try {
        more = this.#stream.send(chunk)
      } catch {
        // The stream closed between its event and this turn; its owner hears `close` and rejects what waits.
        this.close()
        return
      }
      if (!more) this.#waitForDrain()
      if (this.#queuedBytes === 0) this.#onEmpty()
    }
  }

  /** Forgets what is queued. */
  close(): void {
    this.#closed = true
    this.#small = []
    this.#large = []
    this.#queuedBytes = 0
  }

  #waitForDrain(): void {
    this.#blocked = true
    drained(this.#stream).then(
      () => {
        this.#blocked = false
        this.flush()
      },
      () => this.close()
    )
  }

  /** Small frames first, and with them at most one part of a large one. */
  #nextChunk(): Uint8Array | undefined {
    const messages: Uint8Array[] = []
    let bytes = 0
    let count = 0
    for (; count < this.#small.length && bytes < SEND_BYTES; count++) {
      const frame = this.#small[count]!
      if (frame.state === 'dropped') continue
      if (bytes > 0 && bytes + frame.bytes.length > SEND_BYTES) break
      frame.state = 'sent'
      this.#queuedBytes -= frame.bytes.length
      bytes += prefixBytes(frame.bytes.length) + frame.bytes.length
      messages.push(frame.bytes)
    }
    if (count > 0) this.#small = count === this.#small.length ? [] : this.#small.slice(count)
    const part = this.#nextPart()
    if (part) {
      messages.push(part)
      bytes += prefixBytes(part.length) + part.length
    }
    if (messages.length === 0) return undefined
    const chunk = new Uint8Array(bytes)
    let at = 0
    for (const message of messages) at = writeMessage(chunk, at, message)
    return chunk
  }

  #nextPart(): Uint8Array | undefined {
    while (this.#large[0]?.state === 'dropped') this.#large.shift()
    const frame = this.#large[0]
    if (!frame) return undefined
    frame.state = 'sent'
    const part = frame.bytes.subarray(this.#offset, this.#offset + PART_BYTES)
    this.#offset += part.length
    this.#queuedBytes -= part.length
    const more = this.#offset < frame.bytes.length
    if (!more) {
      this.#large.shift()
      this.#offset = 0
    }
    return encodeFrame({ id: frame.id, part, more })
  }
}
