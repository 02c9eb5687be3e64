/**
 * Length-prefixed messages: an unsigned varint (protobuf's), then as many bytes. Every stream of ours carries these and
 * nothing else (docs/protocol.md).
 */
import { joined, unfilled } from '../bytes.ts'
import { CoterieError } from '../errors.ts'

/** The longest message on any stream; anything larger travels in parts. libp2p resets a stream at 4 MiB unread. */
export const MAX_MESSAGE_BYTES = 1024 * 1024
/** A prefix of more bytes than this is longer than any limit that fits 32 bits. */
const MAX_PREFIX_BYTES = 5

export function prefixBytes(length: number): number {
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4
}

/** Writes prefix and message at `at` of `into`; returns where the next one goes. */
export function writeMessage(into: Uint8Array, at: number, message: Uint8Array): number {
  const start = writePrefix(into, at, message.length)
  into.set(message, start)
  return start + message.length
}

function writePrefix(into: Uint8Array, at: number, length: number): number {
  let rest = length
  for (; rest >= 0x80; rest >>>= 7) into[at++] = (rest & 0x7f) | 0x80
  into[at++] = rest
  return at
}

/** The prefix of a message of that length. */
export function prefixOf(length: number): Uint8Array {
  const prefix = new Uint8Array(prefixBytes(length))
  writePrefix(prefix, 0, length)
  return prefix
}

/** One message with its prefix. */
export function frameOf(message: Uint8Array): Uint8Array {
  const framed = unfilled(prefixBytes(message.length) + message.length)
  writeMessage(framed, 0, message)
  return framed
}

/**
 * Cuts a stream of chunks into messages. Messages are views of the chunks where they lie in one piece. Keeps at most one
 * message that is not complete, and allocates for what has come, never for what a prefix promises.
 */
export class FrameReader {
  readonly #maxBytes: number
  #rest: Uint8Array[] = []
  #restBytes = 0
  /** Bytes, prefix included, that the first message in `#rest` needs; 0 while its prefix is not complete. */
  #need = 0

  constructor(maxMessageBytes = MAX_MESSAGE_BYTES) {
    this.#maxBytes = maxMessageBytes
  }

  /** Bytes of a message that is not complete. */
  get pendingBytes(): number {
    return this.#restBytes
  }

  /** The messages that `chunk` completes. Throws `protocol` as soon as a prefix over the limit is seen. */
  push(chunk: Uint8Array): Uint8Array[] {
    let data = chunk
    if (this.#restBytes > 0) {
      this.#rest.push(chunk)
      this.#restBytes += chunk.length
      if (this.#restBytes < this.#need) return []
      data = joined(this.#rest)
      this.#rest = []
    }
    const messages: Uint8Array[] = []
    let at = 0
    this.#need = 0
    while (at < data.length) {
      const start = this.#readPrefix(data, at)
      if (start === 0) break
      const end = start + this.#length
      if (end > data.length) {
        this.#need = end - at
        break
      }
      messages.push(data.subarray(start, end))
      at = end
    }
    this.#restBytes = data.length - at
    if (this.#restBytes > 0) this.#rest.push(data.subarray(at))
    return messages
  }

  /** The length that the last complete prefix said. */
  #length = 0

  /** Where the message begins whose prefix is at `at`; 0 when the prefix is not complete yet. */
  #readPrefix(data: Uint8Array, at: number): number {
    let length = 0
    for (let i = 0; i < MAX_PREFIX_BYTES; i++) {
      if (at + i >= data.length) return 0
      const byte = data[at + i]!
      length += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) {
        if (length > this.#maxBytes) throw tooLong(`${length} bytes`, this.#maxBytes)
        this.#length = length
        return at + i + 1
      }
    }
    throw tooLong('more than 4 GiB', this.#maxBytes)
  }
}

const tooLong = (length: string, limit: number) =>
  new CoterieError('protocol', `the other side announced a message of ${length}; at most ${limit} bytes are taken`)
