/**
 * Records that leave in one write: encoded where they will lie, one behind the other, as they are put. All of a batch
 * settle together, so they share one promise. A record too large to be worth copying makes a batch of its own.
 */
import type { CoterieError } from '../../errors.ts'
import {
  MAX_KEY_BYTES,
  type NewRecord,
  RECORD_HEADER_BYTES,
  recordBytes,
  viewOf,
  writeHead,
  writeRecord
} from '../format/record.ts'
import type { IndexEntry, Position } from '../index/key-index.ts'

/** Large enough to keep a disk streaming, small enough that the first of a batch does not wait long. */
export const MAX_BATCH_BYTES = 1024 * 1024
/** Copying more costs more than a write of several buffers. */
const MAX_COPIED_BYTES = 64 * 1024

/** What a record was for the index, to take it back with if it is refused. */
export interface Undo extends IndexEntry, Position {
  /** It is a record that the index points at: a put. */
  indexed: boolean
  replaced: IndexEntry | undefined
}

/** Buffers of batches that are done, by size: a new one would have to be allocated for each write. */
export class BatchBuffers {
  readonly #spare = new Map<number, Buffer[]>()
  #spareBytes = 0

  take(bytes: number): Buffer {
    const size = bytes <= MIN_BUFFER_BYTES ? MIN_BUFFER_BYTES : 2 ** (32 - Math.clz32(bytes - 1))
    const spare = this.#spare.get(size)?.pop()
    if (spare === undefined) return Buffer.allocUnsafeSlow(size)
    this.#spareBytes -= size
    return spare
  }

  give(buffer: Buffer): void {
    if (this.#spareBytes + buffer.length > MAX_SPARE_BYTES) return
    this.#spareBytes += buffer.length
    const list = this.#spare.get(buffer.length)
    if (list) list.push(buffer)
    else this.#spare.set(buffer.length, [buffer])
  }
}

const MIN_BUFFER_BYTES = 1024
/** Over all files; more is given back to the process. */
const MAX_SPARE_BYTES = 8 * 1024 * 1024

export class WriteBatch {
  /** Where it begins in the file. */
  readonly start: number
  length = 0
  /** When it was begun, monotonic. */
  sinceMs = 0
  readonly undos: Undo[] = []
  /** Resolves when all of it is as durable as promised. */
  readonly settled: Promise<void>
  readonly #buffers: BatchBuffers
  #packed: Buffer
  #view: DataView
  /** Key, value and padding of the one record that was not copied, with its header. */
  #large: Uint8Array[] | undefined
  #resolve!: () => void
  #reject!: (error: CoterieError) => void

  /** `expectedBytes`: how large it may get, from experience. */
  constructor(buffers: BatchBuffers, start: number, expectedBytes: number, header?: Uint8Array) {
    this.start = start
    this.#buffers = buffers
    this.#packed = buffers.take(Math.max(expectedBytes, header?.length ?? 0))
    this.#view = viewOf(this.#packed)
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (header) {
      this.#packed.set(header)
      this.length = header.length
    }
  }

  get end(): number {
    return this.start + this.length
  }

  hasRoomFor(bytes: number): boolean {
    return (
      this.undos.length === 0 || (!this.#large && bytes <= MAX_COPIED_BYTES && this.length + bytes <= MAX_BATCH_BYTES)
    )
  }

  add(record: NewRecord, fileId32: number, undo: Undo): void {
    const bytes = recordBytes(record.key.length, record.value.length)
    const copied = bytes <= MAX_COPIED_BYTES
    this.#reserve(this.length + (copied ? bytes : RECORD_HEADER_BYTES + MAX_KEY_BYTES))
    if (copied) {
      this.length = writeRecord(this.#packed, this.#view, this.length, record, fileId32)
    } else {
      const valueAt = writeHead(this.#packed, this.#view, this.length, record, fileId32)
      const padding = this.length + bytes - valueAt - record.value.length
      this.#large = [this.#packed.subarray(0, valueAt), record.value, new Uint8Array(padding)]
      this.length += bytes
    }
    this.undos.push(undo)
  }

  /** Its bytes, to be written one after another at `start`. */
  bytes(): Uint8Array[] {
    return this.#large ?? [this.#packed.subarray(0, this.length)]
  }

  /** A copy of what lies at a file offset; of a large record its whole. `slice` of a Buffer would be a view of what is used again. */
  copy(offset: number, length: number): Uint8Array {
    const from = offset - this.start
    if (!this.#large) return new Uint8Array(this.#packed.subarray(from, from + length))
    return Buffer.concat(this.#large).subarray(from, from + length)
  }

  /** Its buffer is free for another batch from here on. */
  done(): void {
    this.#release()
    this.#resolve()
  }

  failed(error: CoterieError): void {
    this.#release()
    // Whoever asked for a record hears of it; nobody needs to hear it of the batch.
    this.settled.catch(() => undefined)
    this.#reject(error)
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#packed.length) return
    const larger = this.#buffers.take(bytes)
    larger.set(this.#packed.subarray(0, this.length))
    this.#buffers.give(this.#packed)
    this.#packed = larger
    this.#view = viewOf(larger)
  }

  #release(): void {
    this.#buffers.give(this.#packed)
  }
}
