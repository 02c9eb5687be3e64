/**
 * Rewrites a log without what has been replaced (bitcask's merge). New records, live old ones and new puts alike, go to a
 * newer file from the start; so puts never wait for it, and at any moment older file and newer file together are the
 * log.
 *
 * 1. Roll: the log goes on in a new file, which names the older one. 2. Every live record of the older file is appended
 * to the newer one, through the same group commit as puts. 3. A `settled` record says so; the newer file is synced. 4. The
 * older one is unlinked. A crash in between leaves both, and the next pass goes on where the index says.
 */
import { CoterieError, isCoterieError } from '../../errors.ts'
import type { FileHandle, FileIo } from '../../ports.ts'
import { isDiskFull } from '../../system-error.ts'
import { isShortOfResources } from '../disk/faults.ts'
import { RECORD_HEADER_BYTES, RECORD_TYPES, type RecordHead } from '../format/record.ts'
import { type ScanVisitor, scanRecords } from '../format/scan.ts'
import type { IndexEntry, Position } from '../index/key-index.ts'
import type { LogFile } from '../log/log-file.ts'
import type { RangeLog } from '../log/range-log.ts'
import type { Pace } from './pace.ts'

/** Of the old file, read or moved in one slice: about a millisecond of work. */
const SLICE_BYTES = 64 * 1024
/** What is read at once. */
const PIECE_BYTES = 256 * 1024
/**
 * What the newer file may have unsynced before it is synced in between: a write to a file waits while the file is synced, and
 * one sync of all in the end would hold up puts for as long as the disk takes for hundreds of megabytes.
 */
const SYNC_BYTES = 2 * 1024 * 1024
/** Of the live bytes, what the files take when a rewriting begins, and where it waits for nobody any more. */
const BEGIN_FACTOR = 2
const MAX_FACTOR = 4
/** Entries looked at in one slice, where the index is searched for what was left behind. */
const WALK_ENTRIES = 4096

/** Throws what stops it (`disk-full`, `overloaded`, `range-fenced`, `closed`): what was moved stays moved. */
export async function compact(log: RangeLog, files: FileIo, pace: Pace): Promise<void> {
  if (log.files.length === 1) log.roll()
  const older = log.files.slice(0, -1)
  for (const file of older) await new Rewrite(log, file, pace).run(files)
  await log.settle()
  await log.quiet()
  await log.newest.writer.sync()
  for (const file of older) if (log.index.entriesIn(file.slot) > 0) throw left(log)
  for (const file of older) await log.retire(file)
}

class Rewrite {
  readonly #log: RangeLog
  readonly #file: LogFile
  readonly #pace: Pace
  #moves: Promise<void>[] = []
  #sliceStart = 0

  constructor(log: RangeLog, file: LogFile, pace: Pace) {
    this.#log = log
    this.#file = file
    this.#pace = pace
  }

  async run(files: FileIo): Promise<void> {
    await this.#file.writer.settled()
    this.#pace.begin()
    if (this.#file.writer.written > 0 && !this.#isEmpty) await this.#moveInOrder(files)
    // What a refused put has brought back after it was passed over, and what the disk did not read well.
    while (!this.#isEmpty) {
      await this.#moveTheRest()
      await this.#log.quiet()
    }
  }

  get #isEmpty(): boolean {
    return this.#log.index.entriesIn(this.#file.slot) === 0
  }

  /** With a handle of its own: reading in order is no use of the file that should keep others from it. */
  async #moveInOrder(files: FileIo): Promise<void> {
    let handle: FileHandle
    try {
      handle = await files.open(this.#file.path, 'r')
    } catch (error) {
      throw stoppedBy(error, this.#file.path)
    }
    try {
      const visitor: ScanVisitor = { record: (head, key, value) => this.#visit(head, key, value) }
      await scanRecords(handle, this.#file.fileId32, visitor, { pieceBytes: PIECE_BYTES })
      await this.#settleMoves()
      await this.#log.quiet()
    } finally {
      await handle.close()
    }
  }

  #visit(head: RecordHead, key: Uint8Array, value: Uint8Array | undefined): Promise<void> | undefined {
    const { hi, lo, offset, tag } = head
    if (head.type === RECORD_TYPES.put && value && this.#log.isLive(head, this.#file, offset)) {
      const length = RECORD_HEADER_BYTES + key.length + value.length
      const entry = { file: this.#file.slot, offset, length, tag }
      // Out of the window of the scan, which moves on.
      this.#track(this.#log.move({ bytes: key.slice(), hi, lo }, value.slice(), entry))
    }
    if (offset - this.#sliceStart < SLICE_BYTES) return undefined
    this.#sliceStart = offset
    return this.#endSlice()
  }

  async #moveTheRest(): Promise<void> {
    const { index } = this.#log
    let after: Position | undefined
    do {
      const found: (Position & { entry: IndexEntry })[] = []
      after = index.walk(after, WALK_ENTRIES, (hi, lo, file, offset, length, tag) => {
        if (file === this.#file.slot) found.push({ hi, lo, entry: { file, offset, length, tag } })
      })
      for (const { hi, lo, entry } of found) await this.#moveOne({ hi, lo }, entry)
      await this.#endSlice()
    } while (after)
  }

  async #moveOne(position: Position, entry: IndexEntry): Promise<void> {
    try {
      const record = await this.#log.read(position, entry)
      if (!record || !this.#log.isLive(position, this.#file, entry.offset)) return
      await this.#log.move({ bytes: record.key, ...position }, record.value, entry)
    } catch (error) {
      // It has been set aside and reported.
      if (!isCoterieError(error, 'damaged')) throw error
    }
  }

  #track(move: Promise<void>): void {
    // Waited for at the end of the slice, unless something else ends it first.
    move.catch(() => undefined)
    this.#moves.push(move)
  }

  async #endSlice(): Promise<void> {
    await this.#settleMoves()
    const { writer } = this.#log.newest
    if (writer.written - writer.synced > SYNC_BYTES) await writer.sync()
    await this.#pace.breathe(this.#urgency())
  }

  /** 0 where the files take twice the live bytes, as when it begins; 1 where they take `MAX_FACTOR` times. */
  #urgency(): number {
    const { liveBytes, fileBytes } = this.#log.stats()
    return Math.max(0, (fileBytes / Math.max(1, liveBytes) - BEGIN_FACTOR) / (MAX_FACTOR - BEGIN_FACTOR))
  }

  async #settleMoves(): Promise<void> {
    const moves = this.#moves
    this.#moves = []
    await Promise.all(moves)
  }
}

function stoppedBy(error: unknown, path: string): Error {
  if (isDiskFull(error) || isShortOfResources(error) || !(error instanceof Error))
    return new CoterieError('overloaded', `cannot open ${path} now; its rewriting goes on later`, { cause: error })
  return error
}

function left(log: RangeLog): CoterieError {
  return new CoterieError(
    'overloaded',
    `records of range ${log.range} came back while its file was rewritten; again later`
  )
}
