/**
 * A small file that is always replaced whole: one write at a time, and changes made during one share the next. For what a
 * node keeps of its own view (`ring.bin`, `copies.json`).
 */
import type { FileIo } from './ports.ts'

export class WholeFile {
  readonly #files: FileIo
  readonly #content: () => Uint8Array
  readonly path: string
  #last: Promise<void> = Promise.resolve()
  #pending: Promise<void> | undefined
  /** The last write failed: what is on disk is older than what was asked for. */
  #behind = false

  /** `content` is asked for when a write begins. */
  constructor(files: FileIo, path: string, content: () => Uint8Array) {
    this.#files = files
    this.path = path
    this.#content = content
  }

  /** Resolves when all that was changed before this call is on disk. */
  write(): Promise<void> {
    this.#pending ??= this.inTurn(async () => {
      this.#pending = undefined
      this.#behind = true
      await this.#files.replaceFile(this.path, this.#content())
      this.#behind = false
    })
    return this.#pending
  }

  /** Resolves when all that was changed so far is on disk. A write that failed is done again: there may be room by now. */
  written(): Promise<void> {
    return this.#behind && this.#pending === undefined ? this.write() : this.#last
  }

  /** Runs `work` when the writes before it have ended; those after it wait. */
  inTurn(work: () => Promise<void>): Promise<void> {
    // Whoever waited for an earlier write that failed was told; every write holds the whole content.
    const done = this.#last.catch(() => undefined).then(work)
    // A caller that does not wait must not turn a full disk into an unhandled rejection.
    done.catch(() => undefined)
    this.#last = done
    return done
  }
}
