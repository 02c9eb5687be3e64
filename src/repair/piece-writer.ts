/**
 * Pieces of range files on their way to the disk: while some are written, the next ones come, so that a transfer waits for the
 * network or the disk, whichever is slower, and not for one after the other. Bounded.
 */
import type { RangeReceiver } from '../replica/copy-files.ts'

/** What waits, at most about; as much again is being written. */
const WAITING_BYTES = 1024 * 1024

/** Pieces of one file, one after another. */
interface Run {
  receiver: RangeReceiver
  fileId: string
  offset: number
  pieces: Uint8Array[]
  bytes: number
}

export class PieceWriter {
  readonly #onWritten: (bytes: number) => void
  #waiting: Run | undefined
  #writing: Promise<void> | undefined
  #failure: { error: unknown } | undefined

  constructor(onWritten: (bytes: number) => void) {
    this.#onWritten = onWritten
  }

  /** Resolves when there is room for the next one. Throws what an earlier one met. */
  async add(receiver: RangeReceiver, fileId: string, offset: number, piece: Uint8Array): Promise<void> {
    while (this.#waiting !== undefined && !isNext(this.#waiting, receiver, fileId, offset)) await this.#writing
    this.#mustBeWell()
    if (this.#waiting === undefined) this.#waiting = { receiver, fileId, offset, pieces: [piece], bytes: piece.length }
    else {
      this.#waiting.pieces.push(piece)
      this.#waiting.bytes += piece.length
    }
    this.#start()
  }

  /** Everything has been written. Throws what one of them met. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
    this.#mustBeWell()
  }

  #start(): void {
    if (this.#writing !== undefined || this.#waiting === undefined) return
    const { receiver, fileId, offset, pieces, bytes } = this.#waiting
    this.#waiting = undefined
    this.#writing = receiver
      .append(fileId, offset, pieces)
      .then(
        () => this.#onWritten(bytes),
        error => {
          this.#failure ??= { error }
          this.#waiting = undefined
        }
      )
      .finally(() => {
        this.#writing = undefined
        this.#start()
      })
  }

  #mustBeWell(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

const isNext = (run: Run, receiver: RangeReceiver, fileId: string, offset: number): boolean =>
  run.receiver === receiver && run.fileId === fileId && run.offset + run.bytes === offset && run.bytes < WAITING_BYTES
