/**
 * Open handles of many range files, bounded: Q = 4096 ranges must not need 4096 of them (failures 21). A file is opened
 * when it is used, and closed when others need the place. A file with unsynced writes stays open: a sync through
 * another handle might not hear of their errors (fsync, ATC'20).
 */
import { CoterieError } from '../../errors.ts'
import type { FileHandle, FileIo, Log } from '../../ports.ts'
import { codeOf } from '../../system-error.ts'
import { isShortOfResources } from './faults.ts'

/** Beyond these, files that can be spared are closed. */
export const MAX_OPEN_FILES = 512
/** Of the handles that the system gives: the rest is for connections, small files, and whatever else the process does. */
const SHARE = 0.5

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
  /** Syncs it now, without waiting for a turn. Set by who writes to it. */
  sync: () => Promise<void> = async () => {}

  constructor(path: string, exists: boolean) {
    this.path = path
    this.exists = exists
  }
}

export class HandlePool {
  readonly #files: FileIo
  readonly #log: Log
  readonly #maxOpen: number
  /** No more than these, whatever is unsynced. */
  readonly #limit: number
  readonly #open = new Set<PooledFile>()
  #opening = 0
  /** Handles being closed. */
  #closing = 0
  /** Handles closed so far. */
  #closed = 0
  #uses = 0
  /** Resolved when a use, an opening or a closing ends, for those who wait for a handle. */
  #change: PromiseWithResolvers<void> | undefined
  #syncing: Promise<boolean> | undefined
  /** The end of the last turn of those who wait for a handle. */
  #queue: Promise<void> | undefined
  #shortage: unknown

  constructor(ports: { files: FileIo; log: Log }, maxOpen = MAX_OPEN_FILES) {
    this.#files = ports.files
    this.#log = ports.log
    this.#limit = Math.max(1, Math.floor((ports.files.maxHandles ?? Number.POSITIVE_INFINITY) * SHARE))
    this.#maxOpen = Math.min(maxOpen, this.#limit)
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

  /** Runs `work`, which needs a handle of its own, again while others are closed to make room for it. */
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
    // One at a time asks again and again where there is no handle: else each that is let go would wake all the others.
    const before = this.#queue
    const turn = Promise.withResolvers<void>()
    try {
      if (!before) {
        const handle = await this.#tryToOpen(file)
        if (handle) return handle
      }
      const last = this.#queue
      this.#queue = turn.promise
      await last
      for (;;) {
        const closed = this.#closed
        const handle = await this.#tryToOpen(file)
        if (handle) return handle
        if (!(await this.#makeRoom(closed))) throw this.#shortage
      }
    } finally {
      file.opening = undefined
      if (this.#queue === turn.promise) this.#queue = undefined
      turn.resolve()
    }
  }

  /** Undefined: there is no handle to be had. */
  async #tryToOpen(file: PooledFile): Promise<FileHandle | undefined> {
    if (this.#open.size + this.#opening + this.#closing >= this.#limit) {
      this.#shortage = Object.assign(new Error(`EMFILE: all ${this.#limit} handles of range files are in use`), {
        code: 'EMFILE'
      })
      return undefined
    }
    this.#opening++
    try {
      const handle = await this.#files.open(file.path, file.exists ? 'r+' : 'wx+')
      file.exists = true
      file.handle = handle
      this.#open.add(file)
      return handle
    } catch (error) {
      if (!isShortOfResources(error)) throw error
      this.#shortage = error
      return undefined
    } finally {
      this.#opening--
    }
  }

  /**
   * Closes a file, or waits for something to be let go. False when there is nothing to wait for. `closed`: how many
   * had been closed when there was no room.
   */
  async #makeRoom(closed: number): Promise<boolean> {
    if (this.#closed > closed || (await this.#closeIdle())) return true
    // Not one that is being opened: it has no handle yet, and says nothing when it gets none.
    let mayEnd = this.#closing > 0
    for (const file of this.#open) {
      if (file.uses > 0) mayEnd = true
      // Let go of just now.
      else if (!file.keepOpen) return true
    }
    if (!mayEnd) return this.#open.size > 0 && this.#syncForRoom(closed)
    await this.#nextChange()
    return true
  }

  /**
   * All handles belong to files with unsynced writes: one is synced now. Not in its turn: those whose turn it is may wait
   * for this very handle.
   */
  async #syncForRoom(closed: number): Promise<boolean> {
    this.#syncing ??= this.#syncOldest().finally(() => (this.#syncing = undefined))
    return (await this.#syncing) || this.#closed > closed
  }

  /** False: it failed. One that was written to meanwhile is spared, and the next is looked for. */
  async #syncOldest(): Promise<boolean> {
    let oldest: PooledFile | undefined
    for (const file of this.#open) {
      if (file.uses === 0 && file.keepOpen && (!oldest || file.usedAt < oldest.usedAt)) oldest = file
    }
    try {
      await oldest?.sync()
      return true
    } catch {
      // Its writer has said so.
      return oldest?.keepOpen === false
    }
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
    this.#closing++
    try {
      await handle.close()
    } finally {
      this.#closing--
      this.#closed++
      this.#changed()
    }
  }

  #changed(): void {
    this.#change?.resolve()
    this.#change = undefined
  }
}
