/** How far a file survives a power cut, its name included, and how to get further. */
import { CoterieError } from '../../errors.ts'
import type { DirSync } from '../disk/dir-sync.ts'
import { fenced, isShortOfResources, shortOfResources } from '../disk/faults.ts'
import type { Gate } from '../disk/gate.ts'
import type { HandlePool, PooledFile } from '../disk/handle-pool.ts'

export interface FileSyncShared {
  dirSync: DirSync
  pool: HandlePool
  gate: Gate
}

export interface FileSyncInit {
  range: number
  file: PooledFile
  /** Bytes of the file that are known to last. */
  synced: number
  /** Its name does, too. */
  lasts: boolean
  /** Bytes in the file now. */
  written: () => number
  isWriting: () => boolean
  /** Nothing of the file can be trusted any more: what is to be thrown. */
  fence: (error: CoterieError) => CoterieError
}

export class FileSync {
  readonly #shared: FileSyncShared
  readonly #init: FileSyncInit
  #synced: number
  /** Number of the change that made the file's directory entry. */
  #entry: number
  #lasts: boolean
  #running: Promise<void> | undefined

  constructor(shared: FileSyncShared, init: FileSyncInit) {
    this.#shared = shared
    this.#init = init
    this.#synced = init.synced
    this.#lasts = init.lasts
    this.#entry = init.lasts ? 0 : shared.dirSync.changed()
    init.file.sync = () => this.#guard(() => this.#content())
  }

  /** True once the file itself, whatever is in it, survives a power cut. */
  get lasts(): boolean {
    return this.#lasts
  }

  /** Bytes of the file that survive a power cut. */
  get bytes(): number {
    return this.#lasts ? this.#synced : 0
  }

  /** The file may just have been created. */
  begin(): void {
    this.#entry = this.#shared.dirSync.changed()
    this.#lasts = false
  }

  /** What was behind this is cut off. */
  cutTo(end: number): void {
    this.#synced = Math.min(this.#synced, end)
  }

  /** Everything written when this is called survives a power cut. Throws `range-fenced`, `overloaded`. */
  async all(): Promise<void> {
    const { written } = this.#init
    const target = written()
    // What is refused meanwhile may take the end back below the target.
    while (this.#synced < Math.min(target, written()) || (written() > 0 && !this.#lasts)) {
      // One that is under way began before our last write, perhaps: then it takes another.
      this.#running ??= this.#inTurn().finally(() => (this.#running = undefined))
      await this.#running
    }
  }

  /** One sync, at once; who calls it has a turn at the gate. */
  async once(): Promise<void> {
    const name = this.#entry
    await this.#guard(async () => {
      await this.#content()
      if (!this.#lasts) await this.#shared.dirSync.sync(name)
    })
    if (name === this.#entry) this.#lasts = true
  }

  async #content(): Promise<void> {
    const { file, written } = this.#init
    const covered = written()
    await this.#shared.pool.use(file, handle => handle.sync())
    this.#synced = Math.min(covered, written())
    this.spareHandle()
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    const { file, range, fence } = this.#init
    try {
      await work()
    } catch (error) {
      if (isShortOfResources(error)) throw shortOfResources(file.path, error)
      // After a failed sync the kernel may hold the lost pages for clean: a second try would lie (fsync, ATC'20).
      throw error instanceof CoterieError ? error : fence(fenced(range, 'the sync of', file.path, error))
    }
  }

  /** Where nothing is unsynced, the file may be closed. */
  spareHandle(): void {
    const { file, written, isWriting } = this.#init
    if (this.#synced >= written() && !isWriting()) file.keepOpen = false
  }

  async #inTurn(): Promise<void> {
    await this.#shared.gate.enter()
    try {
      await this.once()
    } finally {
      this.#shared.gate.leave()
    }
  }
}
