/** Which ranges are being received: one receiver a range, and none where there are records already. */
import { CoterieError } from '../../errors.ts'
import { unlinkIfThere } from '../disk/faults.ts'
import { parseFileName } from '../format/file-header.ts'
import type { FilesShared } from '../log/log-files.ts'
import type { FoundLog } from '../opening.ts'
import { RangeReceiver } from './range-receiver.ts'

export interface ReceiversHooks {
  /** Throws when the range has records here. */
  mustBeEmpty(range: number): void
  adopt(found: FoundLog): Promise<void>
}

export class Receivers {
  readonly #shared: FilesShared
  readonly #init: { dir: string; q: number }
  readonly #hooks: ReceiversHooks
  /** True while its files are put in place. */
  readonly #receiving = new Map<number, boolean>()

  constructor(shared: FilesShared, init: { dir: string; q: number }, hooks: ReceiversHooks) {
    this.#shared = shared
    this.#init = init
    this.#hooks = hooks
  }

  /** Throws `overloaded`: nothing may be put into such a range. */
  mustNotAdopt(range: number): void {
    if (this.#receiving.get(range) !== true) return
    throw new CoterieError('overloaded', `range ${range} is just being put in place; try again`)
  }

  /** Goes on with what an earlier process left. Throws `internal`, `overloaded`, `disk-full`, `closed`. */
  async begin(range: number): Promise<RangeReceiver> {
    const { mustBeEmpty, adopt } = this.#hooks
    mustBeEmpty(range)
    if (this.#receiving.has(range)) throw new CoterieError('internal', `range ${range} is being received already`)
    this.#receiving.set(range, false)
    const receiver = new RangeReceiver(
      {
        files: this.#shared.files,
        dirSync: this.#shared.dirSync,
        newGeneration: () => this.#shared.newGeneration(range),
        newFileId: () => this.#shared.newFileId(),
        beginAdopting: () => {
          mustBeEmpty(range)
          this.#receiving.set(range, true)
        },
        stopAdopting: () => this.#receiving.set(range, false),
        adopt: log => adopt({ ...log, range, empty: false }),
        onEnd: () => this.#receiving.delete(range)
      },
      { dir: this.#init.dir, range, q: this.#init.q }
    )
    try {
      await receiver.open()
      return receiver
    } catch (error) {
      await receiver.close()
      throw error
    }
  }

  /** Forgets what was received of a range, unless it is being received now. */
  async discard(range: number): Promise<void> {
    const { files, dirSync } = this.#shared
    if (this.#receiving.has(range)) return
    this.#receiving.set(range, false)
    try {
      for (const name of await files.list(this.#init.dir)) {
        const parsed = parseFileName(name)
        if (parsed?.kind === 'part' && parsed.range === range) await unlinkIfThere(files, `${this.#init.dir}/${name}`)
      }
      await dirSync.sync(dirSync.changed())
    } finally {
      this.#receiving.delete(range)
    }
  }
}
