/**
 * The index of a log that is being received, built as its records come: nothing is read again when all of them are here. That
 * takes the files in the order of the log, each from its start. Where an earlier transfer goes on, or files were rewritten
 * meanwhile, there is none, and the log is recovered from its files.
 */
import { continuesNone, FILE_HEADER_BYTES, type FileHeader, shortFileId } from '../format/file-header.ts'
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

  /** The next record of a file that will be written. */
  take(part: PartFile, file: FileHeader, head: RecordHead): void {
    if (this.#builder && this.#parts.at(-1) !== part) this.#begin(part, file, head)
    // Where keys would have to be compared, too, the files are read.
    if (this.#builder?.take(head) === false) this.#builder = undefined
  }

  /** Something that was taken was not written. */
  spoil(): void {
    this.#builder = undefined
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

  #begin(part: PartFile, { fileId }: FileHeader, first: RecordHead): void {
    if (first.offset !== FILE_HEADER_BYTES || this.#parts.includes(part)) {
      this.#builder = undefined
      return
    }
    if (this.#parts.length === 1) this.#isSettled = this.#builder!.settled
    this.#parts.push(part)
    const { handle, generation } = part
    this.#builder!.begin({ slot: slotOf(generation), handle, fileId32: shortFileId(fileId) })
  }
}

const idsOf = ({ fileId, continues }: FileHeader) => ({ fileId, continues })
