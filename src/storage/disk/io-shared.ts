/**
 * The memory that an I/O thread shares with the main thread: one batch of requests at a time, and its bytes. The main
 * thread fills the rows, then raises BATCH; the thread claims row after row, then raises DONE to the same number. The
 * atomic operations on these words are what makes the plain writes before them visible to the other side.
 */

/** Requests in a batch. */
export const MAX_REQUESTS = 1024
/** Bytes of a batch. */
export const MAX_BYTES = 1 << 20

/** Words of `control`; those that different sides write lie on different cache lines. */
export const BATCH = 0
export const COUNT = 1
export const DONE = 16
/** How long the thread took for the batch, in µs: tells a slow disk from a busy main thread. */
export const ELAPSED = 17
/** The next row to be claimed, by the thread to work on it, or by the main thread to take the rest away. */
export const NEXT = 32

/** What DONE is before the thread listens. */
export const NOT_READY = -1

/** Columns of a row of `requests`; RESULT is the thread's: the bytes read or written, or FAILED. */
export const ROW = 5
export const FD = 0
export const OFFSET = 1
export const LENGTH = 2
export const POSITION = 3
export const RESULT = 4

export const FAILED = -1

export type IoKind = 'read' | 'write'

/** What the worker is started with. */
export interface IoWorkerData {
  kind: IoKind
  buffer: SharedArrayBuffer
}

const CONTROL_BYTES = 256
const REQUEST_BYTES = MAX_REQUESTS * ROW * Float64Array.BYTES_PER_ELEMENT

export class IoShared {
  readonly buffer: SharedArrayBuffer
  readonly control: Int32Array<SharedArrayBuffer>
  readonly requests: Float64Array<SharedArrayBuffer>
  readonly data: Uint8Array<SharedArrayBuffer>

  constructor(buffer = new SharedArrayBuffer(CONTROL_BYTES + REQUEST_BYTES + MAX_BYTES)) {
    this.buffer = buffer
    this.control = new Int32Array(buffer, 0, CONTROL_BYTES / Int32Array.BYTES_PER_ELEMENT)
    this.requests = new Float64Array(buffer, CONTROL_BYTES, MAX_REQUESTS * ROW)
    this.data = new Uint8Array(buffer, CONTROL_BYTES + REQUEST_BYTES)
  }
}
