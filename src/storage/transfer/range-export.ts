/**
 * Gives a range's files away while they are written to and rewritten: what is exported has been synced, so it is never
 * taken back, and whoever has received a file up to some offset may go on there later, from any node that has it.
 *
 * @example
 *   const source = await store.exportRange(7)
 *   for (const { fileId, bytes } of await source.refresh()) …  await source.read(fileId, 0, 65536)
 *   await source.breathe()      // between two reads, for whoever else uses the store
 *   await source.close()
 */
import { unfilled } from '../../bytes.ts'
import { CoterieError } from '../../errors.ts'
import type { FileHandle, FileIo } from '../../ports.ts'
import { codeOf } from '../../system-error.ts'
import { isShortOfResources, shortOfResources } from '../disk/faults.ts'
import { hexOf } from '../format/file-header.ts'
import type { LogFile } from '../log/log-file.ts'
import type { RangeLog } from '../log/range-log.ts'
import type { Pace } from '../upkeep/pace.ts'

export interface ExportedFile {
  /** 16 hex digits. */
  fileId: string
  /** What can be read of it now. */
  bytes: number
  /** No more will come. */
  sealed: boolean
}

interface Source {
  file: LogFile
  handle: FileHandle
  bytes: number
}

export class RangeExport {
  readonly #log: RangeLog
  readonly #files: FileIo
  readonly #pace: Pace
  /** By file id; in the order in which a receiver needs them. */
  readonly #sources = new Map<string, Source>()
  #closed = false

  constructor(log: RangeLog, files: FileIo, pace: Pace) {
    this.#log = log
    this.#files = files
    this.#pace = pace
    pace.begin()
  }

  /**
   * The files that make up the range now, oldest first, with all that was acknowledged before the call. One that an
   * earlier call has named stays readable, rewritten or not. Throws `range-fenced`, `overloaded`, `closed`.
   */
  async refresh(): Promise<ExportedFile[]> {
    this.#mustBeOpen()
    let ends: Map<string, number>
    let files: readonly LogFile[]
    do {
      files = this.#log.files
      for (const file of files) if (!this.#sources.has(idOf(file))) await this.#open(file)
      ends = new Map([...this.#sources].map(([id, { file }]) => [id, file.writer.written]))
      await this.#log.sync()
      // Rewriting may have begun or ended meanwhile.
    } while (files !== this.#log.files)
    const present = [...this.#sources].filter(([, { file }]) => this.#log.files.includes(file))
    for (const [id, source] of present) source.bytes = Math.min(ends.get(id)!, source.file.writer.synced)
    return present.map(([fileId, { bytes, file }]) => ({ fileId, bytes, sealed: file !== this.#log.newest }))
  }

  /** Bytes of a file that `refresh` has named, as many of `length` as there are. Throws `damaged`, `closed`. */
  async read(fileId: string, offset: number, length: number): Promise<Uint8Array> {
    this.#mustBeOpen()
    const source = this.#sources.get(fileId)
    if (!source) throw new CoterieError('internal', `this export has no file ${fileId}`)
    const bytes = unfilled(Math.max(0, Math.min(length, source.bytes - offset)))
    try {
      return bytes.subarray(0, await source.handle.read(bytes, offset))
    } catch (error) {
      const detail = `cannot be read at ${offset} (${codeOf(error)})`
      throw new CoterieError('damaged', `${source.file.path} ${detail}; receive it from another replica`, {
        cause: error
      })
    }
  }

  /** The slice ends that began with the last call: what others want of the store goes first. */
  breathe(): Promise<void> {
    return this.#pace.breathe()
  }

  async close(): Promise<void> {
    this.#closed = true
    const sources = [...this.#sources.values()]
    this.#sources.clear()
    for (const { handle } of sources) await handle.close()
  }

  /** With a handle of its own: it stays readable when the file is unlinked. */
  async #open(file: LogFile): Promise<void> {
    if (!file.pooled.exists || file.writer.written === 0) return
    try {
      const handle = await this.#files.open(file.path, 'r')
      this.#sources.set(idOf(file), { file, handle, bytes: 0 })
    } catch (error) {
      if (isShortOfResources(error)) throw shortOfResources(file.path, error)
      // It was rewritten in this moment: its records stand in the one after it.
      if (codeOf(error) === 'ENOENT' && !this.#log.files.includes(file)) return
      throw new CoterieError('damaged', `${file.path} cannot be opened (${codeOf(error)})`, { cause: error })
    }
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new CoterieError('closed', `the export of range ${this.#log.range} is closed`)
    if (this.#log.refusal) throw this.#log.refusal
  }
}

function idOf(file: LogFile): string {
  return hexOf(file.fileId)
}
