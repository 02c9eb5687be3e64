/**
 * Open handles of many range files, bounded: Q = 4096 ranges must not need 4096 of them (failures 21). A file is opened
 * when it is used, and closed when others need the place. A file with unsynced writes stays open: a sync through
 * another handle might not hear of their errors (fsync, ATC'20).
 */
import { CoterieError } from '../../errors.ts'
import type { FileHandle, FileIo, Log } from '../../ports.ts'
import { codeOf, isShortOfResources } from './faults.ts'

/** Under the soft limit of 1024 that many systems have, with room for connections. */
export const MAX_OPEN_FILES = 512

export class PooledFile {
  readonly path: string
  /** False: the next use creates it. */
  exists: boolean
  /** True while it has writes that are not synced. */
  keepOpen = false
  handle: Promise<FileHandle> | undefined
  uses = 0
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
  /** Files with a handle, least recently used first. */
  readonly #open = new Set<PooledFile>()
  /** Handles open, or being opened or closed. */
  #handles = 0
  /** Resolved when a use, an opening or a closing ends, for those who wait for a handle. */
  #change: PromiseWithResolvers<void> | undefined

  constructor(ports: { files: FileIo; log: Log }, maxOpen = MAX_OPEN_FILES) {
    this.#files = ports.files
    this.#log = ports.log
    this.#maxOpen = maxOpen
  }

  get openFiles(): number {
    return this.#open.size
  }

  /**
   * Runs `work` on the file's handle, opening (or creating) it first. Throws what opening or `work` throws, or
   * `closed`.
   */
  async use<T>(file: PooledFile, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    if (file.closed) throw new CoterieError('closed', `${file.path} is closed`)
    file.uses++
    try {
      file.handle ??= this.#openFile(file)
      const handle = await file.handle
      this.#open.delete(file)
      this.#open.add(file)
      return await work(handle)
    } finally {
      file.uses--
      if (file.uses === 0) file.whenIdle?.()
      this.#changed()
      if (this.#open.size > this.#maxOpen) void this.#closeIdle()
    }
  }

  /** Closes the file for good, once nobody uses it. Throws what closing throws. */
  async close(file: PooledFile): Promise<void> {
    file.closed = true
    if (file.uses > 0) await new Promise<void>(resolve => (file.whenIdle = resolve))
    const handle = file.handle
    file.handle = undefined
    this.#open.delete(file)
    if (handle) await this.#closeHandle(await handle)
  }

  async #openFile(file: PooledFile): Promise<FileHandle> {
    for (;;) {
      this.#handles++
      try {
        const handle = await this.#files.open(file.path, file.exists ? 'r+' : 'wx+')
        file.exists = true
        return handle
      } catch (error) {
        this.#handles--
        this.#changed()
        if (isShortOfResources(error) && (await this.#makeRoom())) continue
        file.handle = undefined
        throw error
      }
    }
  }

  /** Closes a file, or waits for something to be let go. False when there is nothing to wait for. */
  async #makeRoom(): Promise<boolean> {
    if (await this.#closeIdle()) return true
    let stuck = 0
    for (const file of this.#open) {
      if (file.uses > 0) continue
      // Let go of just now.
      if (!file.keepOpen) return true
      stuck++
    }
    if (this.#handles === stuck) return false
    this.#change ??= Promise.withResolvers()
    await this.#change.promise
    return true
  }

  /** Closes the file that was used least recently and can be spared. False when there is none. */
  async #closeIdle(): Promise<boolean> {
    for (const file of this.#open) {
      if (file.uses > 0 || file.keepOpen || !file.handle) continue
      const handle = file.handle
      // At once: who uses the file from now on opens it again.
      file.handle = undefined
      this.#open.delete(file)
      try {
        await this.#closeHandle(await handle)
      } catch (error) {
        // Nothing in it was unsynced, so nothing is lost with it.
        this.#log.warn('closing a range file failed', { path: file.path, code: codeOf(error) })
      }
      return true
    }
    return false
  }

  async #closeHandle(handle: FileHandle): Promise<void> {
    try {
      await handle.close()
    } finally {
      this.#handles--
      this.#changed()
    }
  }

  #changed(): void {
    this.#change?.resolve()
    this.#change = undefined
  }
}
