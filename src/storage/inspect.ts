/** What `coterie inspect FILE` finds out of a range file: read only, and also of a file that a node would not open. */
import type { FileHandle, FileIo } from '../ports.ts'
import {
  continuesNone,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHeader,
  hexOf,
  hintPathOf,
  shortFileId
} from './format/file-header.ts'
import { align, decodeHead, MAX_HEAD_BYTES, RECORD_HEADER_BYTES, RECORD_TYPES } from './format/record.ts'
import { type ScanVisitor, type Span, scanRecords } from './format/scan.ts'
import type { IndexEntry, KeyIndex, Position } from './index/key-index.ts'
import { readHint } from './log/hint-reader.ts'
import { IndexBuilder } from './log/index-builder.ts'
import { slotOf } from './log/log-file.ts'

export interface InspectedKey {
  /** When the key is valid UTF-8. */
  text?: string
  base64: string
  /** 16 hex digits. */
  position: string
  offset: number
  valueBytes: number
  tag: number
}

export interface InspectedSpan {
  offset: number
  length: number
  detail: string
  /** Of the record, if that much of it checks; base64. */
  key?: string
}

/** Plain values only: fit for JSON as it is. */
export interface Inspection {
  path: string
  fileBytes: number
  header?: {
    version: number
    range: number
    q: number
    generation: number
    fileId: string
    /** The id of the older file that this one continues; absent: none. */
    continues?: string
  }
  /** Why the file is no range log; then nothing below was counted. */
  problem?: string
  /** Good ones, superseded ones included. */
  records: number
  /** Of those, how many remove a key. */
  removals: number
  keys: number
  /** Bytes of the latest record of each key, padding included. */
  liveBytes: number
  /** Bytes of superseded records. */
  deadBytes: number
  /** Bytes at the end that a start of the node would cut off (or that a running node is writing now). */
  tornBytes: number
  /** It says that it holds all of the file that it continues. */
  settled: boolean
  damages: InspectedSpan[]
  /** Of the hint beside it: `none`, `good`, or in words why it is of no use. */
  hint: string
  /** Records that check and yet make no sense, where asked to verify. */
  nonsense?: InspectedSpan[]
  /** In order of position; only when asked for. */
  keyList?: InspectedKey[]
}

export interface InspectOptions {
  keys?: boolean
  /** In words what is wrong with a record that checks; undefined: nothing. `value` is absent where it is very long. */
  verify?: (
    record: Position & { key: Uint8Array; value: Uint8Array | undefined; tag: number },
    header: FileHeader
  ) => string | undefined
}

/** Throws what opening and reading throw (`ENOENT`, `EACCES`, …). */
export async function inspectFile(files: FileIo, path: string, options: InspectOptions = {}): Promise<Inspection> {
  const handle = await files.open(path, 'r')
  try {
    const fileBytes = await handle.size()
    const headerBytes = new Uint8Array(FILE_HEADER_BYTES)
    const header = decodeFileHeader(headerBytes.subarray(0, await handle.read(headerBytes, 0)))
    const counts = { records: 0, removals: 0, keys: 0, liveBytes: 0, deadBytes: 0, tornBytes: 0, settled: false }
    if (typeof header === 'string') return { path, fileBytes, problem: header, ...counts, damages: [], hint: 'none' }
    return {
      path,
      fileBytes,
      header: shownHeader(header),
      ...(await inspectRecords(files, handle, path, header, options))
    }
  } finally {
    await handle.close()
  }
}

async function inspectRecords(
  files: FileIo,
  handle: FileHandle,
  path: string,
  header: FileHeader,
  { keys, verify }: InspectOptions
): Promise<Omit<Inspection, 'path' | 'fileBytes' | 'header'>> {
  const fileId32 = shortFileId(header.fileId)
  const builder = new IndexBuilder(header.q)
  builder.begin({ slot: 0, handle, fileId32 })
  const nonsense: Span[] = []
  const visitor: ScanVisitor = {
    record(head, key, value) {
      const isKeyed = head.type === RECORD_TYPES.put || head.type === RECORD_TYPES.remove
      const wrong = isKeyed
        ? verify?.({ ...head, key, value: head.type === RECORD_TYPES.put ? value : undefined }, header)
        : undefined
      if (wrong !== undefined) {
        const length = align(RECORD_HEADER_BYTES + head.keyLength + head.valueLength)
        nonsense.push({ offset: head.offset, length, detail: wrong, key: key.slice() })
      }
      return builder.record(head, key)
    }
  }
  const scan = await scanRecords(handle, fileId32, visitor)
  const entries = builder.index.after(undefined, Number.POSITIVE_INFINITY)
  const liveBytes = entries.reduce((sum, entry) => sum + align(entry.length), 0)
  const damages = [...scan.damages, ...builder.strange]
  const damagedBytes = damages.reduce((sum, span) => sum + span.length, 0)
  return {
    records: builder.records,
    removals: builder.removed,
    keys: builder.index.size,
    liveBytes,
    deadBytes: Math.max(0, scan.end - FILE_HEADER_BYTES - liveBytes - damagedBytes),
    tornBytes: scan.tornBytes,
    settled: builder.settled,
    damages: damages.map(shownSpan),
    hint: await inspectHint(files, path, header, scan.end, verify ? builder.index : undefined),
    ...(verify ? { nonsense: nonsense.map(shownSpan) } : {}),
    ...(keys ? { keyList: await listKeys(handle, entries, fileId32) } : {})
  }
}

/** `index`: what the file says; a hint that reaches its end is held against it. */
async function inspectHint(
  files: FileIo,
  path: string,
  header: FileHeader,
  end: number,
  index: KeyIndex | undefined
): Promise<string> {
  if (!path.endsWith('.log')) return 'none'
  // Older files are not looked at: a hint for several of them counts as another one's.
  const hint = await readHint(files, hintPathOf(path), header, [
    { slot: slotOf(header.generation), fileId: header.fileId, end }
  ])
  if (hint === undefined) return 'none'
  if ('problem' in hint) return hint.otherOlder ? 'not checked: it covers older files as well' : hint.problem
  if (index && hint.from === end && !sameEntries(hint.index, index)) return 'it says something else than the file'
  return 'good'
}

function sameEntries(a: KeyIndex, b: KeyIndex): boolean {
  const entries = b.after(undefined, Number.POSITIVE_INFINITY)
  const others = a.after(undefined, Number.POSITIVE_INFINITY)
  return (
    others.length === entries.length &&
    others.every(({ offset, tag }, i) => offset === entries[i]!.offset && tag === entries[i]!.tag)
  )
}

function shownHeader({ fileId, continues, ...rest }: FileHeader): Inspection['header'] {
  return { ...rest, fileId: hexOf(fileId), ...(continuesNone({ continues }) ? {} : { continues: hexOf(continues) }) }
}

function shownSpan({ offset, length, detail, key }: Span): InspectedSpan {
  const shown = { offset, length, detail }
  return key === undefined ? shown : { ...shown, key: Buffer.from(key).toString('base64') }
}

async function listKeys(
  handle: FileHandle,
  entries: (IndexEntry & Position)[],
  fileId32: number
): Promise<InspectedKey[]> {
  const keys: InspectedKey[] = []
  const bytes = new Uint8Array(MAX_HEAD_BYTES)
  for (const { hi, lo, offset, tag } of entries) {
    const head = decodeHead(bytes.subarray(0, await handle.read(bytes, offset)), offset, fileId32)
    // It did check a moment ago; a disk that changes its mind shows in the next inspection.
    if (typeof head === 'string') continue
    const key = Buffer.from(bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + head.keyLength))
    keys.push({ ...shownKey(key), position: hex(hi) + hex(lo), offset, valueBytes: head.valueLength, tag })
  }
  return keys
}

export function shownKey(key: Buffer): { text?: string; base64: string } {
  const text = key.toString('utf8')
  return { ...(Buffer.from(text, 'utf8').equals(key) ? { text } : {}), base64: key.toString('base64') }
}

export function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
