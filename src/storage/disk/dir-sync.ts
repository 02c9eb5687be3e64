/**
 * Directory syncs, shared: hundreds of range files may be made at once, and one sync covers all made before it began.
 */
import type { FileIo } from '../../ports.ts'

export class DirSync {
  readonly #files: FileIo
  readonly #dir: string
  #changes = 0
  /** The last change that is known to survive a power cut. */
  #synced = 0
  #running: Promise<void> | undefined

  /** Runs a sync, which needs a file handle. Set by the store. */
  withRoom: (work: () => Promise<void>) => Promise<void> = work => work()

  constructor(files: FileIo, dir: string) {
    this.#files = files
    this.#dir = dir
  }

  /** An entry was created, renamed or unlinked: its number, for `sync`. */
  changed(): number {
    return ++this.#changes
  }

  /** That change and all before it survive a power cut. Throws what the sync throws. */
  async sync(change: number): Promise<void> {
    while (this.#synced < change) {
      // One that is under way may have begun before the change: then it takes another.
      this.#running ??= this.#syncOnce().finally(() => (this.#running = undefined))
      await this.#running
    }
  }

  async #syncOnce(): Promise<void> {
    const covered = this.#changes
    await this.withRoom(() => this.#files.syncDir(this.#dir))
    this.#synced = covered
  }
}
