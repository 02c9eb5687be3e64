/**
 * Takes a range in as files: `*.part` while it comes, the range's log once it is whole. Survives restarts; resumes at a
 * verified offset. The files keep their ids, so that a transfer may go on from another node that has them; what is put
 * later goes to a file of our own.
 *
 * @example
 *   const receiver = await store.receive(7)
 *   await receiver.append(fileId, receiver.endOf(fileId), bytes)      // again and again, file after file
 *   await receiver.commit()                                           // `store.state(7)` is `open` now
 */
import { CoterieError } from '../../errors.ts'
import type { FileIo } from '../../ports.ts'
import type { DirSync } from '../disk/dir-sync.ts'
import { diskFull, isDiskFull, isShortOfResources, shortOfResources, unlinkIfThere } from '../disk/faults.ts'
import { type FileHeader, fileName, parseFileName } from '../format/file-header.ts'
import { chainOf, type FoundFile, type RecoveredLog, recoverLog } from '../log/recovery.ts'
import { PartFile } from './part-file.ts'

export interface ReceiverParts {
  files: FileIo
  dirSync: DirSync
  newGeneration(): number
  /** The files are about to be put in place. Throws when the range has records of its own by now. */
  beginAdopting(): void
  /** The files are in place under their final names: they are the range's log from now on. */
  adopt(log: RecoveredLog): void
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
  #ended = false

  constructor(parts: ReceiverParts, init: ReceiverInit) {
    this.#parts = parts
    this.#init = init
  }

  /** What an earlier process left, as far as it is good. */
  async open(): Promise<void> {
    const { files } = this.#parts
    const { dir, range } = this.#init
    for (const name of (await files.list(dir)).sort()) {
      const parsed = parseFileName(name)
      if (parsed?.kind !== 'part' || parsed.range !== range) continue
      const part = await this.#openPart(`${dir}/${name}`, parsed.generation, 'r+')
      await part.resume()
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
   * The next bytes of a file; a file that was not begun begins. Calls for one receiver must not overlap. Throws `damaged`
   * (send again from `endOf`), `disk-full`, `overloaded` (both worth a retry from `endOf`), `internal`, `closed`.
   */
  async append(fileId: string, offset: number, bytes: Uint8Array): Promise<void> {
    this.#mustBeOpen()
    const part = this.#received.get(fileId) ?? (await this.#begin(fileId))
    if (offset !== part.end)
      throw new CoterieError('internal', `bytes for offset ${offset} of ${part.path}, which has ${part.end}`)
    try {
      await part.append(bytes)
    } catch (error) {
      if (isDiskFull(error)) throw diskFull(part.path, error)
      throw error
    }
    if (part.header && hexOf(part.header.fileId) !== fileId)
      throw new CoterieError('damaged', `${part.path} was to be file ${fileId}, and is ${hexOf(part.header.fileId)}`)
  }

  /**
   * Makes what was received the range's log, durably. The range must have none here. Throws `damaged` when the files do
   * not make up a whole log, and then nothing has changed.
   */
  async commit(): Promise<void> {
    this.#mustBeOpen()
    const { files, dirSync } = this.#parts
    const { dir, range, q } = this.#init
    const parts = [...this.#received.values()].filter(part => part.header)
    const found = parts.map(part => ({ ...this.#finalPlace(part), part }))
    const chain = chainOf(found)
    const log = await recoverLog(files, chain, { range, q, sync: true })
    if (chain.length < this.#received.size || log.damages.length > 0 || chain.length === 0)
      throw new CoterieError('damaged', `what was received of range ${range} is not the whole of a log`)
    this.#parts.beginAdopting()
    this.#ended = true
    try {
      for (const part of parts) await part.close()
      // Oldest first: a newer one alone would be an incomplete log.
      for (const { part, generation } of chain) await files.rename(part.path, `${dir}/${fileName(range, generation)}`)
      await dirSync.sync(dirSync.changed())
      this.#parts.adopt(log)
    } finally {
      this.#parts.onEnd()
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
    const part = await this.#openPart(`${dir}/${fileName(range, generation, 'part')}`, generation, 'wx+')
    this.#received.set(fileId, part)
    return part
  }

  /**
   * Never under the generation it was made with: so an opening store knows a file that came from another node, and
   * appends nothing to it.
   */
  #finalPlace(part: PartFile): FoundFile & { header: FileHeader } {
    const header = part.header!
    let generation = this.#parts.newGeneration()
    if (generation === header.generation) generation = this.#parts.newGeneration()
    return { path: part.path, generation, bytes: part.verified, header }
  }

  async #openPart(path: string, generation: number, mode: 'r+' | 'wx+'): Promise<PartFile> {
    try {
      return new PartFile(await this.#parts.files.open(path, mode), path, generation, this.#init)
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

function hexOf(fileId: Uint8Array): string {
  return Buffer.from(fileId).toString('hex')
}
