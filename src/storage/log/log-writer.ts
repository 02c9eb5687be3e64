/**
 * Group commit for one file. Appends of one turn share a write, and those that come while a write is in flight gather
 * for the next. Nothing is acknowledged before the file's tail is known good. Offsets are given out when an append is
 * queued; a refused append takes everything queued after it along, so that the file never has a gap.
 *
 * 1. `append` queues and schedules. 2. `#flush` writes batch after batch; in `disk` mode it first waits for its turn to
 * sync, and all that has gathered until then shares the sync: alone, nobody waits. 3. The batches settle. On failure: cut
 * the partial write off and take the records back, newest first; or fence the file.
 */
import type { Durability } from '../../config.ts'
import { CoterieError } from '../../errors.ts'
import type { Clock, FileHandle, Timers } from '../../ports.ts'
import { isDiskFull } from '../../system-error.ts'
import { diskFull, fenced, isShortOfResources, shortOfResources } from '../disk/faults.ts'
import type { PooledFile } from '../disk/handle-pool.ts'
import { FILE_HEADER_BYTES } from '../format/file-header.ts'
import { type NewRecord, recordBytes } from '../format/record.ts'
import { FileSync, type FileSyncShared } from './file-sync.ts'
import { type BatchBuffers, type Undo, WriteBatch } from './write-batch.ts'

export interface WriterShared extends FileSyncShared {
  timers: Timers
  buffers: BatchBuffers
  clock: Clock
  latency: { note(ms: number): void }
  /** Bytes that wait to be written, over all files. */
  queued: { bytes: number }
  durability: Durability
}

export interface LogWriterInit {
  range: number
  file: PooledFile
  fileId32: number
  header: Uint8Array
  /** 0: the header is written with the first batch. */
  end: number
  /** All of it survives a power cut, its name included. */
  synced: boolean
  /** Writes nothing before that one has settled all of its own: a file goes on where an older one ended. */
  after?: LogWriter
  /** A record did not happen. Called newest first. */
  takeBack(undo: Undo): void
  /** A batch was acknowledged and is not synced. */
  onUnsynced(): void
  onFence(error: CoterieError): void
}

export class LogWriter {
  readonly #shared: WriterShared
  readonly #init: LogWriterInit
  /** Where the next append will lie. */
  #tail: number
  #written: number
  readonly #sync: FileSync
  /** Oldest first. */
  #queue: WriteBatch[] = []
  /** Off the queue, on their way to the file. */
  #leaving: WriteBatch[] = []
  #lastBatchBytes = 0
  /** From the first append of a batch until the queue is empty again. */
  #busy = false
  #whenIdle: (() => void)[] = []
  #writing = false
  /** The latest write reached the file: it may have left a part of itself there. */
  #touched = false
  #refusal: CoterieError | undefined
  #fenced = false
  #after: LogWriter | undefined
  #successor: LogWriter | undefined

  constructor(shared: WriterShared, init: LogWriterInit) {
    this.#shared = shared
    this.#init = init
    this.#written = init.end
    this.#sync = new FileSync(shared, {
      ...init,
      // A killed process may have left unsynced what it wrote: the first sync covers it.
      synced: init.synced ? init.end : 0,
      lasts: init.synced,
      written: () => this.#written,
      isWriting: () => this.#writing,
      fence: error => this.#fence(error)
    })
    this.#tail = Math.max(init.end, FILE_HEADER_BYTES)
    this.#after = init.after
    if (init.after) init.after.#successor = this
  }

  get tail(): number {
    return this.#tail
  }

  /** Appended and not in the file yet. */
  get queuedBytes(): number {
    return this.#tail - Math.max(this.#written, FILE_HEADER_BYTES)
  }

  /** Bytes in the file. */
  get written(): number {
    return this.#written
  }

  /** Bytes in the file that survive a power cut. */
  get synced(): number {
    return this.#sync.bytes
  }

  /** True once the file itself, whatever is in it, survives a power cut. */
  get lasts(): boolean {
    return this.#sync.lasts
  }

  /** Why nothing is taken any more: `range-fenced` or `closed`. */
  get refusal(): CoterieError | undefined {
    return this.#refusal
  }

  /** Queues at `tail`; resolves when it is as durable as promised. Must not be called after a refusal. */
  append(record: NewRecord, undo: Undo): Promise<void> {
    const bytes = recordBytes(record.key.length, record.value.length)
    let batch = this.#queue.at(-1)
    if (!batch?.hasRoomFor(bytes)) {
      const isFirst = this.#tail === FILE_HEADER_BYTES && this.#written === 0
      const start = isFirst ? 0 : this.#tail
      const expected = Math.max(bytes, this.#lastBatchBytes)
      batch = new WriteBatch(this.#shared.buffers, start, expected, isFirst ? this.#init.header : undefined)
      batch.sinceMs = this.#shared.clock.monotonicMs()
      this.#queue.push(batch)
    }
    batch.add(record, this.#init.fileId32, undo)
    this.#tail += bytes
    this.#shared.queued.bytes += bytes
    if (!this.#busy) {
      this.#busy = true
      this.#shared.timers.soon(this.#begin)
    }
    return batch.settled
  }

  /** A copy of a record that is not in the file yet; undefined: it is, or was refused. */
  unwritten(offset: number, length: number): Uint8Array | undefined {
    if (offset < this.#written) return undefined
    const holds = (batch: WriteBatch) => offset >= batch.start && offset + length <= batch.end
    const batch = this.#leaving.find(holds) ?? this.#queue.find(holds)
    return batch?.copy(offset, length)
  }

  /** What becomes of the newest record that has not settled; undefined: all have. */
  pending(): Promise<void> | undefined {
    return (this.#queue.at(-1) ?? this.#leaving.at(-1))?.settled
  }

  /** Resolves when all that was appended so far has settled, well or not. */
  async settled(): Promise<void> {
    await this.pending()?.catch(() => undefined)
  }

  /**
   * Everything written when this is called survives a power cut. Throws `range-fenced`, or `overloaded` when it
   * may be tried again.
   */
  async sync(): Promise<void> {
    if (this.#fenced) throw this.#refusal
    await this.#sync.all()
  }

  /** Refuses new appends with `error`; those queued are written first, or, if `abandon`, fail with it. */
  async stop(error: CoterieError, abandon: boolean): Promise<void> {
    this.#refusal ??= error
    if (abandon) this.fail(error)
    await this.#idle()
  }

  /** Takes nothing any more, and takes back what is queued; a batch that is being written fails when it is done. */
  fail(error: CoterieError): void {
    this.#refusal ??= error
    if (error.code === 'range-fenced') this.#fenced = true
    this.#failAll([], error)
  }

  async #idle(): Promise<void> {
    if (this.#busy) await new Promise<void>(resolve => this.#whenIdle.push(resolve))
  }

  #begin = (): void => {
    if (this.#after || this.#shared.durability === 'disk') void this.#flush()
    else this.#next()
  }

  /** The common case, without a promise a step: the next batch goes to a file that is open. */
  #next = (): void => {
    const { file } = this.#init
    const isDone = this.#queue.length === 0
    const handle = this.#written > 0 && !isDone ? this.#shared.pool.hold(file) : undefined
    if (isDone) this.#rest()
    else if (handle) this.#writeTo(handle, this.#take())
    else void this.#flush()
  }

  #writeTo(handle: FileHandle, batch: WriteBatch): void {
    const { file } = this.#init
    if (this.#shared.durability === 'interval') file.keepOpen = true
    this.#writing = true
    this.#touched = true
    const written = () => {
      this.#writing = false
      this.#shared.pool.release(file)
      if (this.#fenced) {
        void this.#refuse([batch], this.#refusal).then(this.#next)
        return
      }
      this.#written = batch.end
      this.#acknowledge(batch)
      this.#next()
    }
    handle.write(batch.bytes(), batch.start).then(written, error => {
      this.#writing = false
      this.#shared.pool.release(file)
      void this.#refuse([batch], error).then(this.#next)
    })
  }

  #rest(): void {
    this.#busy = false
    const waiting = this.#whenIdle
    this.#whenIdle = []
    for (const resolve of waiting) resolve()
  }

  async #flush(): Promise<void> {
    if (this.#after) {
      await this.#after.#idle()
      this.#after.#successor = undefined
      this.#after = undefined
    }
    while (this.#queue.length > 0) {
      if (this.#shared.durability === 'disk') await this.#commit()
      else {
        const batch = this.#take()
        if (await this.#writeOrRefuse(batch)) this.#acknowledge(batch)
      }
    }
    this.#rest()
  }

  /** Writes all that has gathered when it is its turn, then syncs once for all of it. */
  async #commit(): Promise<void> {
    await this.#shared.gate.enter()
    const written: WriteBatch[] = []
    try {
      for (let left = this.#queue.length; left > 0 && this.#queue.length > 0; left--) {
        const batch = this.#take()
        if (await this.#writeOrRefuse(batch)) written.push(batch)
      }
      if (written.length === 0) return
      await this.#sync.once()
      if (this.#fenced) throw this.#refusal
    } catch (error) {
      // Unless somebody else's sync has made it last: then it may not be taken back.
      if (written.length > 0 && this.#sync.bytes < written.at(-1)!.end) return await this.#refuse(written, error)
    } finally {
      this.#shared.gate.leave()
    }
    for (const batch of written) this.#done(batch)
  }

  #acknowledge(batch: WriteBatch): void {
    this.#done(batch)
    if (this.#shared.durability === 'interval') this.#init.onUnsynced()
  }

  #take(): WriteBatch {
    const batch = this.#queue.shift()!
    this.#leaving.push(batch)
    this.#lastBatchBytes = batch.length
    return batch
  }

  #done(batch: WriteBatch): void {
    this.#forget(batch)
    this.#shared.latency.note(this.#shared.clock.monotonicMs() - batch.sinceMs)
    batch.done()
  }

  #forget(batch: WriteBatch): void {
    if (this.#leaving[0] === batch) this.#leaving.shift()
    else this.#leaving = this.#leaving.filter(other => other !== batch)
    this.#shared.queued.bytes -= batch.length - (batch.start === 0 ? FILE_HEADER_BYTES : 0)
  }

  async #writeOrRefuse(batch: WriteBatch): Promise<boolean> {
    try {
      await this.#writeBytes(batch)
      // The sync of earlier writes may have failed meanwhile: no ack after that.
      if (this.#fenced) throw this.#refusal
      return true
    } catch (error) {
      await this.#refuse([batch], error)
      return false
    }
  }

  async #writeBytes(batch: WriteBatch): Promise<void> {
    const { file } = this.#init
    // With `os` nobody promised a sync, so such a file may be closed with unsynced writes.
    if (this.#shared.durability !== 'os') file.keepOpen = true
    this.#touched = false
    this.#writing = true
    try {
      await this.#shared.pool.use(file, async handle => {
        this.#touched = true
        if (batch.start === 0) await this.#beginFile(handle)
        await handle.write(batch.bytes(), batch.start)
      })
      this.#written = batch.end
    } finally {
      this.#writing = false
    }
  }

  /** The file may just have been created. */
  async #beginFile(handle: FileHandle): Promise<void> {
    this.#sync.begin()
    if (this.#shared.durability !== 'disk') return
    // Nothing may stand behind a header that a power cut has torn: it would look like a file that has rotted.
    await handle.write([this.#init.header], 0)
    await handle.sync()
  }

  /** These batches, next to one another, failed: back to a known good tail, or no further. */
  async #refuse(batches: WriteBatch[], error: unknown): Promise<void> {
    const { range, file } = this.#init
    const given = error instanceof CoterieError ? error : undefined
    if (given && given.code !== 'overloaded') return this.#failAll(batches, given)
    const full = isDiskFull(error)
    if (!given && !full && !isShortOfResources(error)) {
      return this.#failAll(batches, this.#fence(fenced(range, 'a write to', file.path, error)))
    }
    const { start } = batches[0]!
    try {
      if (this.#touched) await this.#shared.pool.use(file, handle => handle.truncate(start))
    } catch (truncateError) {
      return this.#failAll(batches, this.#fence(fenced(range, 'cutting a partial write off', file.path, truncateError)))
    }
    this.#written = start
    this.#sync.cutTo(start)
    this.#sync.spareHandle()
    this.#failAll(batches, given ?? (full ? diskFull(file.path, error) : shortOfResources(file.path, error)))
  }

  /** What an older file refuses takes what was to go to a newer one along: it was put later. */
  #failAll(batches: WriteBatch[], error: CoterieError): void {
    if (this.#successor) this.#successor.#failAll([], error)
    const refused = [...batches, ...this.#queue]
    this.#queue = []
    for (const batch of refused.reverse()) {
      this.#forget(batch)
      for (let i = batch.undos.length - 1; i >= 0; i--) this.#init.takeBack(batch.undos[i]!)
      batch.failed(error)
    }
    const first = refused.at(-1)
    if (first) this.#tail = Math.max(first.start, FILE_HEADER_BYTES)
  }

  #fence(error: CoterieError): CoterieError {
    if (this.#fenced) return this.#refusal ?? error
    this.#fenced = true
    this.#refusal = error
    // What was unsynced is lost to us: no sync will tell.
    this.#init.file.keepOpen = false
    this.#init.onFence(error)
    return error
  }
}
