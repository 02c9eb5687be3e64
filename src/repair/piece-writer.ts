/**
 * Pieces of range files on their way to the disk: while one is written, the next ones come, so that a transfer waits for the
 * network or the disk, whichever is slower, and not for one after the other. Bounded.
 */
import type { RangeReceiver } from '../replica/copy-files.ts'

/** What waits, at most about. */
const WAITING_BYTES = 1024 * 1024

interface Piece {
  receiver: RangeReceiver
  fileId: string
  offset: number
  bytes: Uint8Array
}

export class PieceWriter {
  readonly #onWritten: (bytes: number) => void
  readonly #waiting: Piece[] = []
  #waitingBytes = 0
  #writing: Promise<void> | undefined
  #failure: { error: unknown } | undefined

  constructor(onWritten: (bytes: number) => void) {
    this.#onWritten = onWritten
  }

  /** Resolves when there is room for the next one. Throws what an earlier one met. */
  async add(receiver: RangeReceiver, fileId: string, offset: number, bytes: Uint8Array): Promise<void> {
    while (this.#waitingBytes >= WAITING_BYTES) await this.#writing
    this.#mustBeWell()
    this.#waiting.push({ receiver, fileId, offset, bytes })
    this.#waitingBytes += bytes.length
    this.#start()
  }

  /** Everything has been written. Throws what one of them met. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
    this.#mustBeWell()
  }

  #start(): void {
    if (this.#writing !== undefined) return
    const piece = this.#waiting.shift()
    if (piece === undefined) return
    const { receiver, fileId, offset, bytes } = piece
    this.#waitingBytes -= bytes.length
    this.#writing = receiver
      .append(fileId, offset, bytes)
      .then(
        () => this.#onWritten(bytes.length),
        error => {
          this.#failure ??= { error }
          this.#waiting.length = 0
          this.#waitingBytes = 0
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
