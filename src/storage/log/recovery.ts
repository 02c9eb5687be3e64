/**
 * From the files of a range on disk to an index: what a log knows when it opens. Nothing is guessed: a torn tail is cut, a
 * bad record in the middle is left out and reported, a file with a bad header is left for the caller to set aside.
 */
import type { FileHandle, FileIo } from '../../ports.ts'
import {
  continuesNone,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHeader,
  fileName,
  hintPathOf,
  shortFileId
} from '../format/file-header.ts'
import { sameBytes } from '../format/record.ts'
import { type Span, scanRecords } from '../format/scan.ts'
import type { KeyIndex } from '../index/key-index.ts'
import { type ReadHint, readHint } from './hint-reader.ts'
import { IndexBuilder } from './index-builder.ts'
import { slotOf } from './log-file.ts'

export interface FoundFile {
  path: string
  generation: number
  bytes: number
  /** A string: in words why it is no file of this range. Undefined: its creation was cut short; it never held a record. */
  header: FileHeader | string | undefined
}

export interface RecoveredFile {
  generation: number
  fileId: Uint8Array
  continues: Uint8Array
  /** Where the next record goes. */
  end: number
}

export interface RecoveredLog {
  index: KeyIndex
  liveBytes: number
  files: RecoveredFile[]
  /** All of the oldest file stands in it, whatever it continues. */
  settled: boolean
  tornBytes: number
  damages: (Span & { path: string; slot: number })[]
  /** Why a hint was of no use, in words. */
  badHints: { path: string; problem: string }[]
  /** Up to where the hint of the newest file reaches; 0: it has none of use. */
  hintedTo: number
  /** Bytes of all files that it has spared reading. */
  hintedBytes: number
}

/** Throws what opening and reading throw, want of file handles included. */
export async function findFile(
  files: FileIo,
  dir: string,
  expected: { range: number; q: number; generation: number; kind: 'log' | 'part' }
): Promise<FoundFile> {
  const { range, q, generation, kind } = expected
  const path = `${dir}/${fileName(range, generation, kind)}`
  const handle = await files.open(path, 'r')
  try {
    const bytes = await handle.size()
    const headerBytes = new Uint8Array(FILE_HEADER_BYTES)
    const read = await handle.read(headerBytes, 0)
    if (read < FILE_HEADER_BYTES) return { path, generation, bytes, header: undefined }
    let header = decodeFileHeader(headerBytes)
    // Where nothing stands behind a bad header, nothing ever did.
    if (typeof header === 'string' && bytes === FILE_HEADER_BYTES) return { path, generation, bytes, header: undefined }
    // Not the generation: a file that was received from another node keeps the one it was made with.
    if (typeof header !== 'string' && (header.range !== range || header.q !== q))
      header = `the file says that it is of range ${header.range} of ${header.q}; here it would have to be of ${range} of ${q}`
    return { path, generation, bytes, header }
  } finally {
    await handle.close()
  }
}

/** A file and those that it continues, link by link, oldest first. */
export function chainFrom<T extends { header: FileHeader }>(newest: T, others: T[]): T[] {
  const chain = [newest]
  for (;;) {
    const { continues } = chain[0]!.header
    const older = others.find(({ header }) => sameBytes(header.fileId, continues))
    if (!older || chain.includes(older)) return chain
    chain.unshift(older)
  }
}

/** What is recovered from no file. */
export function emptyLog(index: KeyIndex): RecoveredLog {
  return {
    index,
    liveBytes: 0,
    files: [],
    settled: false,
    tornBytes: 0,
    damages: [],
    badHints: [],
    hintedTo: 0,
    hintedBytes: 0
  }
}

/**
 * Opens, reads and, where the tail is torn, truncates the files of a chain; `sync`: and syncs them. Throws what the file
 * system throws.
 */
export async function recoverLog(
  files: FileIo,
  chain: (FoundFile & { header: FileHeader })[],
  expected: { range: number; q: number; sync: boolean }
): Promise<RecoveredLog> {
  const builder = new IndexBuilder(expected.q)
  const handles: FileHandle[] = []
  const log = emptyLog(builder.index)
  try {
    for (const found of chain) handles.push(await files.open(found.path, 'r+'))
    const { hint, syncedTo, otherOlder } = await findHint(files, chain, handles, expected, log)
    if (hint) {
      builder.adopt(hint)
      log.hintedTo = hint.from
      log.hintedBytes = chain.slice(0, -1).reduce((sum, { bytes }) => sum + bytes, hint.from)
    }
    for (const [i, found] of chain.entries()) {
      const handle = handles[i]!
      const isNewest = i === chain.length - 1
      builder.begin({ slot: slotOf(found.generation), handle, fileId32: shortFileId(found.header.fileId) })
      if (hint && isNewest) builder.settled = hint.settled
      const from = hint ? (isNewest ? hint.from : found.bytes) : FILE_HEADER_BYTES
      await readFile(handle, found, { from, syncedTo: isNewest ? syncedTo : 0, sync: expected.sync }, builder, log)
      log.settled = builder.settled
      // Where there is a hint, the log was whole when it was written.
      if (i === 0 && !hint) reportLostPredecessor(found, builder, log)
      if (isNewest && otherOlder && !builder.settled) reportOtherOlder(found, log)
    }
    for (const span of builder.strange)
      log.damages.push({ ...span, path: chain.find(({ generation }) => slotOf(generation) === span.slot)!.path })
    return { ...log, index: builder.index, liveBytes: builder.liveBytes }
  } finally {
    for (const handle of handles) await handle.close()
  }
}

/** The hint of the newest file, if it is of use, and up to where that file is known to have been synced. */
async function findHint(
  files: FileIo,
  chain: (FoundFile & { header: FileHeader })[],
  handles: FileHandle[],
  { range, q }: { range: number; q: number },
  log: RecoveredLog
): Promise<{ hint?: ReadHint; syncedTo: number; otherOlder: boolean }> {
  const { path, generation, header } = chain.at(-1)!
  const hintPath = hintPathOf(path)
  const hinted = chain.map(file => ({ slot: slotOf(file.generation), fileId: file.header.fileId, end: file.bytes }))
  const hint = await readHint(files, hintPath, { range, q, generation }, hinted)
  if (hint === undefined) return { syncedTo: 0, otherOlder: false }
  const problem =
    'problem' in hint ? hint.problem : await whyNotWhole(handles.at(-1)!, shortFileId(header.fileId), hint)
  if (problem !== undefined) log.badHints.push({ path: hintPath, problem })
  const otherOlder = 'problem' in hint && hint.otherOlder
  return { syncedTo: hint.to, otherOlder, ...(problem === undefined ? { hint: hint as ReadHint } : {}) }
}

/** Entries of a hint may point at records between `from` and `to`: each of them must be there. */
async function whyNotWhole(
  handle: FileHandle,
  fileId32: number,
  { from, to }: { from: number; to: number }
): Promise<string | undefined> {
  if (from === to) return undefined
  const scan = await scanRecords(handle, fileId32, { record: () => {} }, { from, to })
  return scan.damages.length === 0 && scan.tornBytes === 0 ? undefined : 'the file is not whole as far as it was'
}

/** What stands in a file from an offset on; a torn tail is cut off. */
async function readFile(
  handle: FileHandle,
  { path, generation, header: { fileId, continues } }: FoundFile & { header: FileHeader },
  { from, syncedTo, sync }: { from: number; syncedTo: number; sync: boolean },
  builder: IndexBuilder,
  log: RecoveredLog
): Promise<void> {
  const { damages, end, tornBytes } = await scanRecords(handle, shortFileId(fileId), builder, { from })
  if (tornBytes > 0) await handle.truncate(end)
  // A killed process may have left unsynced records; what is read from now on has to stay.
  if (sync) await handle.sync()
  const spans: Span[] = damages
  if (end < syncedTo) spans.push({ offset: end, length: syncedTo - end, detail: 'it had been synced, and is gone' })
  for (const span of spans) log.damages.push({ ...span, path, slot: slotOf(generation) })
  log.tornBytes += tornBytes
  log.files.push({ generation, fileId, continues, end })
}

/** A file that continues another one and does not say that it holds all of it: some of it is lost. */
function reportLostPredecessor(
  { path, generation, header }: { path: string; generation: number; header: FileHeader },
  builder: IndexBuilder,
  log: RecoveredLog
): void {
  if (continuesNone(header) || builder.settled) return
  const detail = 'the file continues an older one, which is missing, and does not hold all of it'
  log.damages.push({ offset: 0, length: 0, detail, path, slot: slotOf(generation) })
}

/** An older file never changes, and goes only when the newer one holds all of it. */
function reportOtherOlder({ path, generation }: FoundFile, log: RecoveredLog): void {
  const detail = 'the older files of the range are not as they were when its hint was written: something is gone'
  log.damages.push({ offset: 0, length: 0, detail, path, slot: slotOf(generation) })
}
