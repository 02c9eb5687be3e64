/** The files of one range's log, oldest first: rolled, synced, closed, dropped together. */
import type { CoterieError } from '../../errors.ts'
import type { FileIo, Log } from '../../ports.ts'
import { codeOf } from '../../system-error.ts'
import { unlinkIfThere } from '../disk/faults.ts'
import { LogFile, type LogFileInit } from './log-file.ts'
import type { LogWriterInit, WriterShared } from './log-writer.ts'

export interface FilesShared extends WriterShared {
  files: FileIo
  log: Log
  nextFileId(): number
  newFileId(): Uint8Array
  newGeneration(range: number): number
}

export interface LogFilesInit {
  dir: string
  range: number
  q: number
  /** Oldest first, at least one; the last one is written to. */
  files: Omit<LogFileInit, 'dir' | 'range' | 'q' | 'id'>[]
}

/** Well below `MAX_FILE`: what names them in the index has to be told apart. */
const MAX_FILES = 16

export class LogFiles {
  readonly #shared: FilesShared
  readonly #init: LogFilesInit
  readonly #hooks: Pick<LogWriterInit, 'takeBack' | 'onUnsynced' | 'onFence'>
  #files: LogFile[] = []
  #retiring: Promise<void> = Promise.resolve()

  constructor(
    shared: FilesShared,
    init: LogFilesInit,
    hooks: Pick<LogWriterInit, 'takeBack' | 'onUnsynced' | 'onFence'>
  ) {
    this.#shared = shared
    this.#init = init
    this.#hooks = hooks
    for (const file of init.files) this.#add(file)
  }

  /** Another array whenever there are other files. */
  get all(): readonly LogFile[] {
    return this.#files
  }

  /** The one that is written to. */
  get newest(): LogFile {
    return this.#files[this.#files.length - 1]!
  }

  at(slot: number): LogFile | undefined {
    const { newest } = this
    return newest.slot === slot ? newest : this.#files.find(file => file.slot === slot)
  }

  /** Starts a file that continues the newest one; from now on records go there. */
  roll(): void {
    this.#add({ ...this.#newFile(), continues: this.newest.fileId })
  }

  /**
   * Goes on in a new file after one has failed: those that never came to be are left out, for a file continues one that a
   * start will find. False: too many have failed since the last one that could be rewritten.
   */
  renew(): boolean {
    if (this.#files.length >= MAX_FILES) return false
    const failed = this.newest
    if (failed.writer.written > 0) this.roll()
    else {
      const { continues, generation } = failed
      this.#add({ ...this.#newFile(), continues })
      // Nothing is in it, whatever the disk made of its header.
      this.retire(failed).catch(error =>
        this.#shared.log.warn('a range file that failed cannot be removed', { generation, code: codeOf(error) })
      )
    }
    return true
  }

  /** Takes nothing any more, in any of them: one file that cannot be trusted makes the log one. Newest records go first. */
  fail(error: CoterieError): void {
    for (const { writer } of this.#files.toReversed()) writer.fail(error)
  }

  /** All of them, though one may fail: what was put since goes to another. */
  async sync(): Promise<void> {
    const failures = new Map<LogFile, unknown>()
    for (const file of this.#files) await file.writer.sync().catch(error => failures.set(file, error))
    // What has been rewritten meanwhile stands, synced, in another one.
    for (const [file, error] of failures) if (this.#files.includes(file)) throw error
  }

  /** What becomes of the newest record that has not settled. */
  pending(): Promise<void> {
    for (const { writer } of this.#files.toReversed()) {
      const pending = writer.pending()
      if (pending) return pending
    }
    return Promise.resolve()
  }

  /** All that was put so far has settled, well or not. */
  async quiet(): Promise<void> {
    for (const file of this.#files) await file.writer.settled()
  }

  /** Writes what was put, and takes nothing any more. */
  async stop(error: CoterieError): Promise<void> {
    for (const { writer } of this.#files) await writer.stop(error, false)
  }

  async close(): Promise<void> {
    await this.#retiring
    for (const file of this.#files) await this.#shared.pool.close(file.pooled)
  }

  /** Lets go of an older file that no entry points into any more, and unlinks it with its hint, for good. */
  retire(file: LogFile): Promise<void> {
    this.#files = this.#files.filter(other => other !== file)
    const retired = this.#retiring.then(() => this.#unlink(file)).then(() => this.#syncDir())
    this.#retiring = retired.catch(() => undefined)
    return retired
  }

  /** Refuses what is queued, lets go of the files and unlinks them for good. */
  async drop(error: CoterieError): Promise<void> {
    this.fail(error)
    await this.#retiring
    for (const file of this.#files) {
      await file.writer.stop(error, true)
      await this.#unlink(file)
      // An older file must not outlive the newer one: alone it would be taken for all there is.
      await this.#syncDir()
    }
  }

  async #unlink(file: LogFile): Promise<void> {
    try {
      await this.#shared.pool.close(file.pooled)
    } catch (error) {
      // It is going away; a failure to write its rest concerns nobody.
      this.#shared.log.warn('closing a dropped range file failed', { path: file.path, code: codeOf(error) })
    }
    if (!file.pooled.exists) return
    // First: a hint without its file is nothing, a file with an old hint is read for nothing.
    await unlinkIfThere(this.#shared.files, file.hintPath)
    await this.#shared.files.unlink(file.path)
  }

  #syncDir(): Promise<void> {
    return this.#shared.dirSync.sync(this.#shared.dirSync.changed())
  }

  #newFile(): Omit<LogFilesInit['files'][number], 'continues'> {
    return {
      generation: this.#shared.newGeneration(this.#init.range),
      fileId: this.#shared.newFileId(),
      end: 0,
      exists: false,
      synced: false
    }
  }

  #add(init: LogFilesInit['files'][number]): void {
    const { dir, range, q } = this.#init
    const after = this.#files.at(-1)?.writer
    const id = this.#shared.nextFileId()
    this.#files = [...this.#files, new LogFile(this.#shared, { ...init, id, dir, range, q }, { ...this.#hooks, after })]
  }
}
