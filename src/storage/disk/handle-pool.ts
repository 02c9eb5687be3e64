/**
 * Open handles of many range files, bounded: Q = 4096 ranges must not need 4096 of them (failures 21). A file is opened
 * when it is used, and closed when others need the place. A file with unsynced writes stays open: a sync through
 * another handle might not hear of their errors (fsync, ATC'20).
 */
import { CoterieError } from '../../errors.ts'
import type { FileHandle, FileIo, Log } from '../../ports.ts'
import { codeOf, isShortOfResources } from './faults.ts'

/** Under the soft limit of 1,024 that many systems have, with room for connections. */
export const MAX_OPEN_FILES = 512

export class PooledFile {
  readonly path: string
  /** False: the next use creates it. */
  exists: boolean
  /** True while it has writes that are not synced. */
  keepOpen = false
  /** Open now. */
  handle: FileHandle | undefined
  opening: Promise<FileHandle> | undefined
  uses = 0
  /** Number of its latest use, in the pool's count. */
  usedAt = 0
  closed = false
  whenIdle: (() => void) | undefined

  constructor(path: string, exists: boolean) {
    this.path = path
    this.exists = exists
  }
}

export class HandlePool {
  readonly #files: FileIo
  readonly #log: Log
  readonly #maxOpen: number
  readonly #open = new Set<PooledFile>()
  /** Handles open, or being opened or closed. */
  #handles = 0
  /** Handles closed so far. */
  #closed = 0
  #uses = 0
  /** Resolved when a use, an opening or a closing ends, for those who wait for a handle. */
  #change: PromiseWithResolvers<void> | undefined
  /** Syncs, soon, every file with unsynced writes; never rejects. Set by the store. */
  syncAll: () => Promise<void> = async () => {}

  constructor(ports: { files: FileIo; log: Log }, maxOpen = MAX_OPEN_FILES) {
    this.#files = ports.files
    this.#log = ports.log
    this.#maxOpen = maxOpen
  }

  get openFiles(): number {
    return this.#open.size
  }

  /** The handle of a file that is open, at once; the caller must `release`. Undefined: it is not; `use` opens it. */
  hold(file: PooledFile): FileHandle | undefined {
    if (file.handle === undefined || file.closed) return undefined
    file.uses++
    file.usedAt = ++this.#uses
    return file.handle
  }

  release(file: PooledFile): void {
    file.uses--
    if (file.uses === 0) file.whenIdle?.()
    if (this.#change) this.#changed()
    if (this.#open.size > this.#maxOpen) void this.#closeIdle()
  }

  /**
   * Runs `work` on the file's handle, opening (or creating) it first. Throws what opening or `work` throws, or
   * `closed`.
   */
  async use<T>(file: PooledFile, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    if (file.closed) throw new CoterieError('closed', `${file.path} is closed`)
    file.uses++
    file.usedAt = ++this.#uses
    try {
      if (!file.handle) {
        file.opening ??= this.#openFile(file)
        await file.opening
      }
      return await work(file.handle!)
    } finally {
      this.release(file)
    }
  }

  /** Runs `work`, which needs a handle of its own, again and again while others are closed to make room for it. */
  async withRoom(work: () => Promise<void>): Promise<void> {
    for (;;) {
      const closed = this.#closed
      try {
        return await work()
      } catch (error) {
        if (isShortOfResources(error) && (await this.#makeRoom(closed))) continue
        throw error
      }
    }
  }

  /** Closes the file for good, once nobody uses it. Throws what closing throws. */
  async close(file: PooledFile): Promise<void> {
    file.closed = true
    if (file.uses > 0) await new Promise<void>(resolve => (file.whenIdle = resolve))
    const handle = file.handle
    file.handle = undefined
    this.#open.delete(file)
    if (handle) await this.#closeHandle(handle)
  }

  async #openFile(file: PooledFile): Promise<FileHandle> {
    for (;;) {
      this.#handles++
      const closed = this.#closed
      try {
        const handle = await this.#files.open(file.path, file.exists ? 'r+' : 'wx+')
        file.exists = true
        file.handle = handle
        file.opening = undefined
        this.#open.add(file)
        return handle
      } catch (error) {
        this.#handles--
        this.#changed()
        if (isShortOfResources(error) && (await this.#makeRoom(closed))) continue
        file.opening = undefined
        throw error
      }
    }
  }

  /**
   * Closes a file, or waits for something to be let go. False when there is nothing to wait for. `closed`: how many
   * had been closed when there was no room.
   */
  async #makeRoom(closed: number): Promise<boolean> {
    if (await this.#closeIdle()) return true
    let stuck = 0
    for (const file of this.#open) {
      if (file.uses > 0) continue
      // Let go of just now.
      if (!file.keepOpen) return true
      stuck++
    }
    if (this.#handles > stuck) {
      await this.#nextChange()
      return true
    }
    return this.#closed > closed || (stuck > 0 && this.#syncForRoom(closed))
  }

  /** All handles belong to files with unsynced writes: they are synced now, and the first to be done is closed. */
  async #syncForRoom(closed: number): Promise<boolean> {
    let over = false
    void this.syncAll().finally(() => {
      over = true
      this.#changed()
    })
    while (!over) {
      await this.#nextChange()
      if (await this.#closeIdle()) return true
    }
    // Others may have taken what was closed: then it is worth another round.
    return (await this.#closeIdle()) || this.#closed > closed
  }

  #nextChange(): Promise<void> {
    this.#change ??= Promise.withResolvers()
    return this.#change.promise
  }

  /** Closes the file that was used least recently and can be spared. False when there is none. */
  async #closeIdle(): Promise<boolean> {
    let idle: PooledFile | undefined
    for (const file of this.#open) {
      if (file.uses > 0 || file.keepOpen) continue
      if (!idle || file.usedAt < idle.usedAt) idle = file
    }
    if (!idle) return false
    const handle = idle.handle!
    // At once: who uses the file from now on opens it again.
    idle.handle = undefined
    this.#open.delete(idle)
    try {
      await this.#closeHandle(handle)
    } catch (error) {
      // Nothing in it was unsynced, so nothing is lost with it.
      this.#log.warn('closing a range file failed', { path: idle.path, code: codeOf(error) })
    }
    return true
  }

  async #closeHandle(handle: FileHandle): Promise<void> {
    try {
      await handle.close()
    } finally {
      this.#handles--
      this.#closed++
      this.#changed()
    }
  }

  #changed(): void {
    this.#change?.resolve()
    this.#change = undefined
  }
}
