/** From a hint file to an index, in bounded memory. A hint that does not check in every respect is as good as none. */
import { crc32 } from 'node:zlib'
import type { FileHandle, FileIo } from '../../ports.ts'
import { codeOf } from '../../system-error.ts'
import { isShortOfResources } from '../disk/faults.ts'
import {
  crcOfFiles,
  decodeHintHeader,
  HINT_ENTRY_BYTES,
  HINT_HEADER_BYTES,
  type HintEntry,
  type HintHeader,
  isPlausible,
  readHintEntry
} from '../format/hint.ts'
import { sameBytes, viewOf } from '../format/record.ts'
import { KeyIndex } from '../index/key-index.ts'

const PIECE_ENTRIES = 32_768

export interface ReadHint {
  index: KeyIndex
  liveBytes: number
  from: number
  to: number
  settled: boolean
}

export interface BadHint {
  /** In words why it is of no use. */
  problem: string
  /** So far the file had been synced when the hint was written, if its header tells. */
  to: number
  /** The older files of the log were others, or of other lengths, then. */
  otherOlder: boolean
}

export interface HintedFile {
  slot: number
  fileId: Uint8Array
  /** Bytes of the file. */
  end: number
}

/**
 * `files`: those of the log, oldest first; the hint belongs to the newest. Undefined: there is none. Throws want of file
 * handles only.
 */
export async function readHint(
  io: FileIo,
  path: string,
  expected: { range: number; q: number; generation: number },
  files: HintedFile[]
): Promise<ReadHint | BadHint | undefined> {
  let handle: FileHandle
  try {
    handle = await io.open(path, 'r')
  } catch (error) {
    if (isShortOfResources(error)) throw error
    return codeOf(error) === 'ENOENT' ? undefined : bad(`it cannot be opened (${codeOf(error)})`)
  }
  let to = 0
  try {
    const bytes = new Uint8Array(HINT_HEADER_BYTES)
    const header = decodeHintHeader(bytes.subarray(0, await handle.read(bytes, 0)))
    if (!header) return bad('its header does not check')
    const { range, q, generation } = expected
    const newest = files.at(-1)!
    const isOurs = header.range === range && header.q === q && header.generation === generation
    if (!isOurs || !sameBytes(header.fileId, newest.fileId)) return bad('it describes another file')
    to = header.to
    if (to > newest.end || header.from > to) return bad('the file is shorter than it was', to)
    if (header.olderCrc !== crcOfFiles(files.slice(0, -1))) return bad('it goes with other older files', to, true)
    const bytesExpected = HINT_HEADER_BYTES + header.entries * HINT_ENTRY_BYTES
    if ((await handle.size()) !== bytesExpected) return bad('it has another length', to)
    const hint = await readEntries(handle, header, files)
    return typeof hint === 'string' ? bad(hint, to) : hint
  } catch (error) {
    if (isShortOfResources(error)) throw error
    return bad(`it cannot be read (${codeOf(error)})`, to)
  } finally {
    await handle.close()
  }
}

const bad = (problem: string, to = 0, otherOlder = false): BadHint => ({ problem, to, otherOlder })

async function readEntries(handle: FileHandle, header: HintHeader, files: HintedFile[]): Promise<ReadHint | string> {
  const ends = new Map(files.map(({ slot, end }) => [slot, end]))
  ends.set(files.at(-1)!.slot, header.to)
  const index = new KeyIndex(header.q)
  index.reserve(header.entries)
  const entry: HintEntry = { file: 0, hi: 0, lo: 0, offset: 0, length: 0, tag: 0 }
  const buffer = Buffer.allocUnsafe(Math.min(header.entries, PIECE_ENTRIES) * HINT_ENTRY_BYTES)
  let crc = 0
  let liveBytes = 0
  let hi = -1
  let lo = -1
  for (let done = 0; done < header.entries; done += PIECE_ENTRIES) {
    const count = Math.min(PIECE_ENTRIES, header.entries - done)
    const piece = buffer.subarray(0, count * HINT_ENTRY_BYTES)
    const read = await handle.read(piece, HINT_HEADER_BYTES + done * HINT_ENTRY_BYTES)
    if (read < piece.length) return 'it is cut short'
    crc = crc32(piece, crc)
    const view = viewOf(piece)
    for (let at = 0; at < piece.length; at += HINT_ENTRY_BYTES) {
      readHintEntry(view, at, entry)
      const isNext = entry.hi > hi || (entry.hi === hi && entry.lo > lo)
      if (!isNext || !isPlausible(entry, ends.get(entry.file) ?? 0)) return 'an entry of it makes no sense'
      hi = entry.hi
      lo = entry.lo
      index.insert(hi, lo, entry)
      liveBytes += entry.length
    }
  }
  if (crc !== header.entriesCrc) return 'the checksum of its entries does not match'
  return { index, liveBytes, from: header.from, to: header.to, settled: header.settled }
}

/** Up to where the file of a hint had been synced when it was written; 0: nobody knows. Never throws. */
export async function readSyncedTo(io: FileIo, path: string): Promise<number> {
  try {
    const bytes = await io.readFile(path)
    return (bytes && decodeHintHeader(bytes)?.to) ?? 0
  } catch {
    // It tells nothing then, as a hint that is not there.
    return 0
  }
}
