/**
 * Group commit for one log file: appends of one turn share a write, and those that come while a write is in flight
 * gather for the next. Nothing is acknowledged before the file's tail is known good. Offsets are given out when an
 * append is queued; a refused append takes everything queued after it along, so that the file never has a gap.
 *
 * 1. `append` queues and schedules; 2. `#flush` writes batch after batch; 3. in `disk` mode each batch is synced;
 * 4. `done` of each append. On failure: cut the partial write, `failed` of each in reverse order; or fence the file.
 */
import type { Durability } from '../../config.ts'
import { CoterieError } from '../../errors.ts'
import type { Timers } from '../../ports.ts'
import type { DirSync } from '../disk/dir-sync.ts'
import { diskFull, fenced, isDiskFull, isShortOfResources, shortOfResources } from '../disk/faults.ts'
import type { HandlePool, PooledFile } from '../disk/handle-pool.ts'
import { FILE_HEADER_BYTES } from '../format/record.ts'

/** Large enough to keep a disk streaming, small enough that the first of a batch does not wait long. */
const MAX_BATCH_BYTES = 1024 * 1024

export interface Append {
  buffers: Uint8Array[]
  bytes: number
  /** It is durable as the mode says. */
  done(): void
  /** It did not happen. Called newest first, so that each can undo what it did. */
  failed(error: CoterieError): void
}

export interface LogWriterInit {
  range: number
  file: PooledFile
  header: Uint8Array
  /** 0: the header is written with the first batch. */
  end: number
  /** All of it survives a power cut, its name included. */
  synced: boolean
  durability: Durability
  /** A batch was acknowledged and is not synced. */
  onUnsynced(): void
  onFence(error: CoterieError): void
}

export class LogWriter {
  readonly #timers: Timers
  readonly #dirSync: DirSync
  readonly #pool: HandlePool
  readonly #init: LogWriterInit
  /** Where the next append will lie. */
  #tail: number
  #written: number
  #synced: number
  /** Number of the change that made the file's directory entry. */
  #entry: number
  #entrySynced = false
  #queue: Append[] = []
  #flushing: Promise<void> | undefined
  #writing = false
  /** The latest write reached the file: it may have left a part of itself there. */
  #touched = false
  #syncing: Promise<void> | undefined
  #refusal: CoterieError | undefined
  #fenced = false

  constructor(ports: { timers: Timers; dirSync: DirSync; pool: HandlePool }, init: LogWriterInit) {
    this.#timers = ports.timers
    this.#dirSync = ports.dirSync
    this.#pool = ports.pool
    this.#init = init
    this.#written = init.end
    // A killed process may have left unsynced what it wrote: the first sync covers it.
    this.#synced = init.synced ? init.end : 0
    this.#entrySynced = init.synced
    this.#entry = init.synced ? 0 : ports.dirSync.changed()
    this.#tail = Math.max(init.end, FILE_HEADER_BYTES)
  }

  get tail(): number {
    return this.#tail
  }

  /** Bytes in the file. */
  get written(): number {
    return this.#written
  }

  /** True once the file itself, whatever is in it, survives a power cut. */
  get lasts(): boolean {
    return this.#entrySynced
  }

  /** Why nothing is taken any more: `range-fenced` or `closed`. */
  get refusal(): CoterieError | undefined {
    return this.#refusal
  }

  /** Queues at `tail`; the outcome comes through the callbacks. Must not be called after a refusal. */
  append(append: Append): void {
    this.#queue.push(append)
    this.#tail += append.bytes
    this.#flushing ??= new Promise(resolve => {
      this.#timers.soon(() => void this.#flush().finally(resolve))
    })
  }

  /**
   * Everything acknowledged when this is called survives a power cut. Throws `range-fenced`, or `overloaded` when it
   * may be tried again.
   */
  async sync(): Promise<void> {
    const target = this.#written
    // A refused batch may take `written` back below the target.
    while (this.#synced < Math.min(target, this.#written) || (this.#written > 0 && !this.#entrySynced)) {
      if (this.#fenced) throw this.#refusal
      // A sync that is under way began before our last write, perhaps: then it takes another.
      this.#syncing ??= this.#syncOnce().finally(() => (this.#syncing = undefined))
      await this.#syncing
    }
  }

  /** Refuses new appends with `error`; those queued are written first, or, if `abandon`, fail with it. */
  async stop(error: CoterieError, abandon: boolean): Promise<void> {
    this.#refusal ??= error
    if (abandon) this.#failAll([], error)
    await this.#flushing
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch()
      const start = this.#written
      try {
        await this.#write(batch)
        if (this.#init.durability === 'disk') await this.sync()
        // The sync of earlier writes may have failed meanwhile: no ack after that.
        if (this.#fenced) throw this.#refusal
      } catch (error) {
        await this.#refuse(batch, start, error)
        continue
      }
      for (const append of batch) append.done()
      if (this.#init.durability === 'interval') this.#init.onUnsynced()
    }
    this.#flushing = undefined
  }

  #takeBatch(): Append[] {
    let bytes = 0
    let count = 0
    while (count < this.#queue.length && (count === 0 || bytes + this.#queue[count]!.bytes <= MAX_BATCH_BYTES)) {
      bytes += this.#queue[count++]!.bytes
    }
    return this.#queue.splice(0, count)
  }

  async #write(batch: Append[]): Promise<void> {
    const { file, header, durability } = this.#init
    // With `os` nobody promised a sync, so such a file may be closed with unsynced writes.
    if (durability !== 'os') file.keepOpen = true
    const start = this.#written
    const buffers = batch.flatMap(append => append.buffers)
    if (start === 0) buffers.unshift(header)
    this.#touched = false
    this.#writing = true
    try {
      await this.#pool.use(file, handle => {
        // The file may just have been created.
        if (start === 0) {
          this.#entry = this.#dirSync.changed()
          this.#entrySynced = false
        }
        this.#touched = true
        return handle.write(buffers, start)
      })
      this.#written = start + buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    } finally {
      this.#writing = false
    }
  }

  async #syncOnce(): Promise<void> {
    const { file, range } = this.#init
    const covered = this.#written
    try {
      await this.#pool.use(file, handle => handle.sync())
      if (!this.#entrySynced) await this.#dirSync.sync(this.#entry)
    } catch (error) {
      if (isShortOfResources(error)) throw shortOfResources(file.path, error)
      // After a failed sync the kernel may hold the lost pages for clean: a second try would lie (fsync, ATC'20).
      throw error instanceof CoterieError ? error : this.#fence(fenced(range, 'the sync of', file.path, error))
    }
    this.#entrySynced = true
    this.#synced = Math.min(covered, this.#written)
    if (this.#synced === this.#written && !this.#writing) file.keepOpen = false
  }

  /** The batch that begins at `start` failed: back to a known good tail, or no further. */
  async #refuse(batch: Append[], start: number, error: unknown): Promise<void> {
    const { range, file } = this.#init
    const given = error instanceof CoterieError ? error : undefined
    if (given && given.code !== 'overloaded') return this.#failAll(batch, given)
    const full = isDiskFull(error)
    if (!given && !full && !isShortOfResources(error)) {
      return this.#failAll(batch, this.#fence(fenced(range, 'a write to', file.path, error)))
    }
    try {
      if (this.#touched) await this.#pool.use(file, handle => handle.truncate(start))
    } catch (truncateError) {
      return this.#failAll(batch, this.#fence(fenced(range, 'cutting a partial write off', file.path, truncateError)))
    }
    this.#written = start
    this.#synced = Math.min(this.#synced, start)
    this.#failAll(batch, given ?? (full ? diskFull(file.path, error) : shortOfResources(file.path, error)))
  }

  #failAll(batch: Append[], error: CoterieError): void {
    const refused = [...batch, ...this.#queue]
    this.#queue = []
    for (const append of refused) this.#tail -= append.bytes
    for (const append of refused.reverse()) append.failed(error)
  }

  #fence(error: CoterieError): CoterieError {
    if (this.#fenced) return this.#refusal ?? error
    this.#fenced = true
    this.#refusal = error
    this.#failAll([], error)
    this.#init.onFence(error)
    return error
  }
}
