/** Puts frames together that came in parts, within a bound for the whole stream. */
import { CoterieError } from '../errors.ts'
import { MAX_FRAME_BYTES } from './kv-codec.ts'

interface Partial {
  parts: Uint8Array[]
  bytes: number
}

export class Assembler {
  readonly #partial = new Map<number, Partial>()
  readonly #maxBytes: number
  #bytes = 0

  /** A sender finishes one large frame before it begins the next, so one frame's worth is enough for a stream. */
  constructor(maxBytes: number = MAX_FRAME_BYTES) {
    this.#maxBytes = maxBytes
  }

  /** The whole frame when this was its last part. Throws `protocol` over the bound. */
  add(id: number, part: Uint8Array, more: boolean): Uint8Array | undefined {
    // Empty parts would make the list grow without growing its bytes.
    if (part.length === 0) throw new CoterieError('protocol', 'an empty part of a large message')
    if (this.#bytes + part.length > this.#maxBytes) {
      throw new CoterieError('protocol', `large messages of more than ${this.#maxBytes} bytes on one stream`)
    }
    const partial = this.#partial.get(id) ?? { parts: [], bytes: 0 }
    this.#partial.set(id, partial)
    partial.parts.push(part)
    partial.bytes += part.length
    this.#bytes += part.length
    if (more) return undefined
    this.forget(id)
    return join(partial)
  }

  /** Drops what has come of a frame that nobody waits for. */
  forget(id: number): void {
    const partial = this.#partial.get(id)
    if (!partial) return
    this.#bytes -= partial.bytes
    this.#partial.delete(id)
  }
}

function join({ parts, bytes }: Partial): Uint8Array {
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
