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

  /** `content` is asked for when a write begins. */
  constructor(files: FileIo, path: string, content: () => Uint8Array) {
    this.#files = files
    this.path = path
    this.#content = content
  }

  /** Resolves when all that was changed before this call is on disk. */
  write(): Promise<void> {
    this.#pending ??= this.inTurn(() => {
      this.#pending = undefined
      return this.#files.replaceFile(this.path, this.#content())
    })
    return this.#pending
  }

  /** Resolves when the writes asked for so far have ended. */
  written(): Promise<void> {
    return this.#last
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
