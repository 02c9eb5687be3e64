/**
 * Writes the hint of a log: its index as it is, slice by slice, while puts go on. An entry that a put changes meanwhile
 * may be the old one or the new one: a reader replays the records from where the snapshot began, and demands the file to
 * be whole as far as it ended.
 */
import { crc32 } from 'node:zlib'
import type { FileHandle, FileIo } from '../../ports.ts'
import { unlinkIfThere } from '../disk/faults.ts'
import {
  crcOfFiles,
  encodeHintHeader,
  HINT_ENTRY_BYTES,
  HINT_HEADER_BYTES,
  type HintEntry,
  writeHintEntry
} from '../format/hint.ts'
import { viewOf } from '../format/record.ts'
import type { Position } from '../index/key-index.ts'
import type { RangeLog } from '../log/range-log.ts'

/** Entries written at once: about a millisecond of work. */
const SLICE_ENTRIES = 4096

/** True for a log whose index a hint can tell: a sound one, with no two keys at one position. */
export function mayHaveHint(log: RangeLog): boolean {
  return !log.damaged && !log.index.collides && !log.fenced
}

/**
 * `breathe` comes between slices. Returns up to where the file is hinted, undefined if the log did not stay fit for a
 * hint. Throws what the disk or `breathe` throws; the hint that was there stays then.
 */
export async function writeHint(
  log: RangeLog,
  files: FileIo,
  q: number,
  breathe: () => Promise<void>
): Promise<number | undefined> {
  const file = log.newest
  if (!mayHaveHint(log)) return undefined
  const older = log.files.slice(0, -1).map(({ fileId, writer }) => ({ fileId, end: writer.written }))
  const temporary = `${file.hintPath}.tmp`
  await unlinkIfThere(files, temporary)
  const handle = await files.open(temporary, 'wx+')
  let published = false
  try {
    const from = file.writer.written
    const before = log.takenBack
    const { entries, crc, complete } = await writeEntries(log, handle, breathe)
    await log.quiet()
    const to = file.writer.written
    await log.sync()
    // A refused put may stand in the entries, and its place in the file be another record's by now.
    if (!complete || log.takenBack !== before || !mayHaveHint(log) || log.newest !== file || from === 0)
      return undefined
    const { generation, fileId } = file
    const header = {
      range: log.range,
      q,
      generation,
      fileId,
      from,
      to,
      entries,
      settled: log.settled,
      entriesCrc: crc,
      olderCrc: crcOfFiles(older)
    }
    await handle.write([encodeHintHeader(header)], 0)
    await handle.sync()
    await files.rename(temporary, file.hintPath)
    published = true
    return to
  } finally {
    await handle.close()
    if (!published) await unlinkIfThere(files, temporary)
  }
}

async function writeEntries(
  log: RangeLog,
  handle: FileHandle,
  breathe: () => Promise<void>
): Promise<{ entries: number; crc: number; complete: boolean }> {
  const buffer = Buffer.allocUnsafeSlow(SLICE_ENTRIES * HINT_ENTRY_BYTES)
  const view = viewOf(buffer)
  const entry: HintEntry = { file: 0, hi: 0, lo: 0, offset: 0, length: 0, tag: 0 }
  let entries = 0
  let crc = 0
  let complete = true
  let after: Position | undefined
  do {
    let at = 0
    after = log.index.walk(after, SLICE_ENTRIES, (hi, lo, file, offset, length, tag) => {
      // Only entries that share a position come in larger numbers than asked for.
      complete &&= at < buffer.length
      if (!complete) return
      entry.file = file
      entry.hi = hi
      entry.lo = lo
      entry.offset = offset
      entry.length = length
      entry.tag = tag
      writeHintEntry(view, at, entry)
      at += HINT_ENTRY_BYTES
    })
    const piece = buffer.subarray(0, at)
    crc = crc32(piece, crc)
    if (at > 0) await handle.write([piece], HINT_HEADER_BYTES + entries * HINT_ENTRY_BYTES)
    entries += at / HINT_ENTRY_BYTES
    await breathe()
  } while (after)
  return { entries, crc, complete }
}
