/**
 * Takes a range in as files: `*.part` while it comes, the range's log once it is whole. Survives restarts; resumes at a
 * verified offset. The files keep their ids, so that a transfer may go on from another node that has them; what is put
 * later goes to a file of our own.
 *
 * @example
 *   const receiver = await store.receive(7)
 *   await receiver.append(fileId, receiver.endOf(fileId), bytes)      // again and again, file after file
 *   await receiver.commit(files)                                      // by `refresh`; `store.state(7)` is `open` now
 */
import { CoterieError } from '../../errors.ts'
import type { FileIo } from '../../ports.ts'
import { isDiskFull } from '../../system-error.ts'
import type { DirSync } from '../disk/dir-sync.ts'
import { diskFull, isShortOfResources, shortOfResources, unlinkIfThere } from '../disk/faults.ts'
import {
  encodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHeader,
  fileName,
  hexOf,
  parseFileName
} from '../format/file-header.ts'
import { sameBytes } from '../format/record.ts'
import { chainFrom, type FoundFile, type RecoveredFile, type RecoveredLog, recoverLog } from '../log/recovery.ts'
import { PartFile } from './part-file.ts'
import { ReceivedIndex } from './received-index.ts'

export interface ReceiverParts {
  files: FileIo
  dirSync: DirSync
  newGeneration(): number
  newFileId(): Uint8Array
  /** The files are about to be put in place. Throws when the range has records of its own by now. */
  beginAdopting(): void
  /** They were not: all is as before. */
  stopAdopting(): void
  /** The files are in place under their final names: they are the range's log from now on. */
  adopt(log: RecoveredLog): Promise<void>
  /** The receiver ends. */
  onEnd(): void
}

export interface ReceiverInit {
  dir: string
  range: number
  q: number
}

export class RangeReceiver {
  readonly #parts: ReceiverParts
  readonly #init: ReceiverInit
  /** By file id, in hex; oldest first. */
  readonly #received = new Map<string, PartFile>()
  readonly #index: ReceivedIndex
  #ended = false

  constructor(parts: ReceiverParts, init: ReceiverInit) {
    this.#parts = parts
    this.#init = init
    this.#index = new ReceivedIndex(init.q)
  }

  /** What an earlier process left, as far as it is good. */
  async open(): Promise<void> {
    const { files } = this.#parts
    const { dir, range } = this.#init
    for (const name of (await files.list(dir)).sort()) {
      const parsed = parseFileName(name)
      if (parsed?.kind !== 'part' || parsed.range !== range) continue
      const part = await this.#openPart(`${dir}/${name}`, parsed.generation, 'r+')
      try {
        await part.resume()
      } catch (error) {
        await part.close()
        throw error
      }
      if (part.header) this.#received.set(hexOf(part.header.fileId), part)
      else await this.#giveUp(part)
    }
  }

  /** Of each file that has been begun, up to where it is good, on disk. */
  progress(): { fileId: string; verifiedBytes: number }[] {
    return [...this.#received].map(([fileId, part]) => ({ fileId, verifiedBytes: part.verified }))
  }

  /** Where the next bytes of a file belong. */
  endOf(fileId: string): number {
    return this.#received.get(fileId)?.end ?? 0
  }

  /**
   * The next bytes of a file, in one piece or several; a file that was not begun begins. Calls for one receiver must not
   * overlap. Throws `damaged` (send again from `endOf`), `disk-full`, `overloaded` (both worth a retry from `endOf`),
   * `internal`, `closed`.
   */
  async append(fileId: string, offset: number, bytes: Uint8Array | readonly Uint8Array[]): Promise<void> {
    this.#mustBeOpen()
    const part = this.#received.get(fileId) ?? (await this.#begin(fileId))
    if (offset !== part.end)
      throw new CoterieError('internal', `bytes for offset ${offset} of ${part.path}, which has ${part.end}`)
    try {
      await part.append(bytes, (head, file) => this.#index.take(part, file, head))
    } catch (error) {
      this.#index.spoil()
      if (isDiskFull(error)) throw diskFull(part.path, error)
      throw error
    }
  }

  /**
   * Makes what was received the range's log, durably: all of it or nothing, whenever the power fails. The range must have
   * none here. `wanted`: the files that make up the source's log, by its latest `refresh`; what else was received (of files
   * that have been rewritten since) is dropped. Default: all that was received. Throws `damaged` when the files do not make
   * up a whole log, and `disk-full`: then nothing has changed.
   */
  async commit(wanted?: readonly { fileId: string; bytes: number }[]): Promise<void> {
    this.#mustBeOpen()
    const { files, dirSync } = this.#parts
    const { dir, range } = this.#init
    const ids = new Set(wanted?.map(({ fileId }) => fileId) ?? this.#received.keys())
    const parts = [...this.#received].flatMap(([fileId, part]) => (ids.has(fileId) ? [part] : []))
    const isShort = wanted?.some(({ fileId, bytes }) => (this.#received.get(fileId)?.verified ?? 0) < bytes)
    const chain = isShort || parts.length < ids.size ? undefined : chainOf(parts)
    const log = chain && (await this.#recover(chain))
    if (!chain || !log || log.damages.length > 0)
      throw new CoterieError('damaged', `what was received of range ${range} is not the whole of a log`)
    this.#parts.beginAdopting()
    try {
      // The names of what is about to be continued have to last first.
      await dirSync.sync(dirSync.changed())
      const own = await this.#beginOwnFile(chain.at(-1)!.header.fileId)
      this.#ended = true
      // From here on it is committed: an opening store puts in place what its newest file continues.
      for (const part of this.#received.values()) if (!parts.includes(part)) await this.#giveUp(part)
      for (const part of parts) {
        await part.close()
        await files.rename(part.path, `${dir}/${fileName(range, part.generation)}`)
      }
      await dirSync.sync(dirSync.changed())
      await this.#parts.adopt({ ...log, settled: false, files: [...log.files, own] })
    } finally {
      if (this.#ended) this.#parts.onEnd()
      else this.#parts.stopAdopting()
    }
  }

  /** Lets go of the files, which stay for a later `receive`. */
  async close(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    for (const part of this.#received.values()) await part.close()
    this.#parts.onEnd()
  }

  /** Forgets all that was received. */
  async abandon(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    for (const part of this.#received.values()) await this.#giveUp(part)
    await this.#parts.dirSync.sync(this.#parts.dirSync.changed())
    this.#parts.onEnd()
  }

  async #begin(fileId: string): Promise<PartFile> {
    const { dir, range } = this.#init
    const generation = this.#parts.newGeneration()
    const part = await this.#openPart(`${dir}/${fileName(range, generation, 'part')}`, generation, 'wx+', fileId)
    this.#received.set(fileId, part)
    return part
  }

  /** What is put here goes to a file of our own: what was received stays as its source has it. Durable. */
  async #beginOwnFile(continues: Uint8Array): Promise<RecoveredFile> {
    const { files, dirSync } = this.#parts
    const { dir, range, q } = this.#init
    const file = { generation: this.#parts.newGeneration(), fileId: this.#parts.newFileId(), continues }
    const path = `${dir}/${fileName(range, file.generation)}`
    let begun = false
    try {
      const handle = await files.open(path, 'wx+')
      try {
        await handle.write([encodeFileHeader({ range, q, ...file })], 0)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await dirSync.sync(dirSync.changed())
      begun = true
      return { ...file, end: FILE_HEADER_BYTES }
    } catch (error) {
      throw isDiskFull(error)
        ? diskFull(path, error)
        : isShortOfResources(error)
          ? shortOfResources(path, error)
          : error
    } finally {
      if (!begun) await unlinkIfThere(files, path)
    }
  }

  /** All of it has been synced then. What the index could not follow is read once more. */
  async #recover(chain: Chain): Promise<RecoveredLog> {
    const { range, q } = this.#init
    try {
      const log = this.#index.log(chain.map(({ part }) => part))
      if (log === undefined) return await recoverLog(this.#parts.files, chain, { range, q, sync: true })
      for (const { part } of chain) await part.sync()
      return log
    } catch (error) {
      throw isShortOfResources(error) ? shortOfResources(chain[0]!.path, error) : error
    }
  }

  async #openPart(path: string, generation: number, mode: 'r+' | 'wx+', fileId?: string): Promise<PartFile> {
    try {
      return new PartFile(await this.#parts.files.open(path, mode), path, generation, { ...this.#init, fileId })
    } catch (error) {
      if (isDiskFull(error)) throw diskFull(path, error)
      if (isShortOfResources(error)) throw shortOfResources(path, error)
      throw error
    }
  }

  async #giveUp(part: PartFile): Promise<void> {
    await part.close()
    await unlinkIfThere(this.#parts.files, part.path)
  }

  #mustBeOpen(): void {
    if (this.#ended) throw new CoterieError('closed', `receiving range ${this.#init.range} has ended`)
  }
}

type Chain = (FoundFile & { header: FileHeader; part: PartFile })[]

/** The received files in the order of the log; undefined: they do not make up one. */
function chainOf(parts: PartFile[]): Chain | undefined {
  const found = parts.flatMap(part => {
    const { path, generation, verified, header } = part
    return header ? [{ path, generation, bytes: verified, header, part }] : []
  })
  const isContinued = (id: Uint8Array) => found.some(({ header }) => sameBytes(header.continues, id))
  const [newest, ...others] = found.filter(({ header }) => !isContinued(header.fileId))
  if (!newest || others.length > 0 || found.length < parts.length) return undefined
  const chain = chainFrom(newest, found)
  return chain.length === parts.length ? chain : undefined
}
