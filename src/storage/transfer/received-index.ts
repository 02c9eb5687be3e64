/**
 * The index of a log that is being received, built as its records come: nothing is read again when all of them are here. That
 * takes the files in the order of the log, each from its start. Where an earlier transfer goes on, or files were rewritten
 * meanwhile, there is none, and the log is recovered from its files.
 */
import { continuesNone, FILE_HEADER_BYTES, shortFileId } from '../format/file-header.ts'
import type { RecordHead } from '../format/record.ts'
import { IndexBuilder } from '../log/index-builder.ts'
import { slotOf } from '../log/log-file.ts'
import { emptyLog, type RecoveredLog } from '../log/recovery.ts'
import type { PartFile } from './part-file.ts'

export class ReceivedIndex {
  /** Undefined: something did not come in its turn. */
  #builder: IndexBuilder | undefined
  readonly #parts: PartFile[] = []
  /** The oldest file holds all that was live in what it continues. */
  #isSettled = false

  constructor(q: number) {
    this.#builder = new IndexBuilder(q)
  }

  /** The next record of a file, which has been written. A promise is to be awaited before the next one; it never rejects. */
  take(part: PartFile, head: RecordHead, key: Uint8Array): void | Promise<void> {
    if (this.#builder && this.#parts.at(-1) !== part) this.#begin(part, head)
    const taken = this.#builder?.record(head, key)
    return taken?.catch(() => {
      // A record that it had to look at cannot be read: nobody relies on an index that lacks one.
      this.#builder = undefined
    })
  }

  /** What the files make up, if it is known: these, oldest first, as far as they are verified. */
  log(parts: readonly PartFile[]): RecoveredLog | undefined {
    const builder = this.#builder
    const [oldest] = parts
    const isAll = parts.length === this.#parts.length && parts.every((part, i) => part === this.#parts[i])
    if (!builder || !oldest || !isAll || builder.strange.length > 0) return undefined
    const isSettled = parts.length === 1 ? builder.settled : this.#isSettled
    // What it continues is missing: whoever reads the files says so.
    if (!continuesNone(oldest.header!) && !isSettled) return undefined
    const files = parts.map(({ generation, header, verified: end }) => ({ generation, ...idsOf(header!), end }))
    return { ...emptyLog(builder.index), liveBytes: builder.liveBytes, files }
  }

  #begin(part: PartFile, first: RecordHead): void {
    if (first.offset !== FILE_HEADER_BYTES || this.#parts.includes(part)) {
      this.#builder = undefined
      return
    }
    if (this.#parts.length === 1) this.#isSettled = this.#builder!.settled
    this.#parts.push(part)
    const { handle, generation, header } = part
    this.#builder!.begin({ slot: slotOf(generation), handle, fileId32: shortFileId(header!.fileId) })
  }
}

const idsOf = ({ fileId, continues }: { fileId: Uint8Array; continues: Uint8Array }) => ({ fileId, continues })
