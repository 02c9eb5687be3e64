/** What a log does not take: too large, no room in the file, or too much waiting for the disk already. */
import { CoterieError } from '../../errors.ts'
import { MAX_FILE_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, recordBytes } from '../format/record.ts'

/**
 * What may wait to be written, over all ranges and to one; more is answered `overloaded` (failures 24: a stalled disk
 * sheds load, and one stalled range leaves room for the others). Room for a few of the largest key states, and for tens
 * of thousands of ordinary ones.
 */
const MAX_QUEUED_BYTES = 256 * 1024 * 1024
const MAX_QUEUED_BYTES_OF_ONE = 64 * 1024 * 1024

interface BoundedFile {
  path: string
  writer: { tail: number; queuedBytes: number }
}

export class QueueBound {
  readonly #queued: { bytes: number }
  /** Of puts that look for their place. */
  #seeking = 0

  /** `queued`: over all logs. */
  constructor(queued: { bytes: number }) {
    this.#queued = queued
  }

  /** Why a record of this size may not be appended to a file. */
  refusal(keyBytes: number, valueBytes: number, { path, writer }: BoundedFile): CoterieError | undefined {
    if (keyBytes > MAX_KEY_BYTES || valueBytes > MAX_VALUE_BYTES) {
      const sizes = `a key of ${keyBytes} bytes with a state of ${valueBytes} bytes`
      return new CoterieError('too-large', `${sizes} fits no record; at most ${MAX_KEY_BYTES} and ${MAX_VALUE_BYTES}`)
    }
    if (writer.tail + recordBytes(keyBytes, valueBytes) > MAX_FILE_BYTES)
      return new CoterieError('disk-full', `${path} is at its limit of ${MAX_FILE_BYTES} bytes`)
    const waiting = writer.queuedBytes + this.#seeking
    if (waiting <= MAX_QUEUED_BYTES_OF_ONE && this.#queued.bytes <= MAX_QUEUED_BYTES) return undefined
    const detail = `${waiting} bytes wait for ${path}, ${this.#queued.bytes} for the disk`
    return new CoterieError('overloaded', `${detail} already; try again later`)
  }

  /** Bytes that wait until the returned function is called, once or more. */
  seek(bytes: number): () => void {
    const count = (sign: number) => {
      this.#queued.bytes += sign * bytes
      this.#seeking += sign * bytes
    }
    count(1)
    let seeking = true
    return () => {
      if (seeking) count(-1)
      seeking = false
    }
  }
}
