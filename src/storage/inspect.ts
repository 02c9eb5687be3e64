/** What `coterie inspect FILE` shows of a range file: read only, and also of a file that a node would not open. */
import type { FileHandle, FileIo } from '../ports.ts'
import {
  align,
  decodeFileHeader,
  decodeHead,
  FILE_HEADER_BYTES,
  MAX_HEAD_BYTES,
  RECORD_HEADER_BYTES,
  shortFileId
} from './format/record.ts'
import { type Span, scanRecords } from './format/scan.ts'
import { IndexBuilder } from './log/recovery.ts'

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

/** Plain values only: fit for JSON as it is. */
export interface Inspection {
  path: string
  fileBytes: number
  header?: { version: number; range: number; q: number; generation: number; fileId: string }
  /** Why the file is no range log; then nothing below was counted. */
  problem?: string
  /** Good ones, superseded ones included. */
  records: number
  keys: number
  /** Bytes of the latest record of each key, padding included. */
  liveBytes: number
  /** Bytes of superseded records. */
  deadBytes: number
  /** Bytes at the end that a start of the node would cut off (or that a running node is writing now). */
  tornBytes: number
  damages: Span[]
  /** In order of position; only when asked for. */
  keyList?: InspectedKey[]
}

/** Throws what opening and reading throw (`ENOENT`, `EACCES`, …). */
export async function inspectFile(files: FileIo, path: string, options: { keys?: boolean } = {}): Promise<Inspection> {
  const handle = await files.open(path, 'r')
  try {
    return await inspectHandle(handle, path, options.keys === true)
  } finally {
    await handle.close()
  }
}

async function inspectHandle(handle: FileHandle, path: string, withKeys: boolean): Promise<Inspection> {
  const fileBytes = await handle.size()
  const headerBytes = new Uint8Array(FILE_HEADER_BYTES)
  const header = decodeFileHeader(headerBytes.subarray(0, await handle.read(headerBytes, 0)))
  const empty = { records: 0, keys: 0, liveBytes: 0, deadBytes: 0, tornBytes: 0, damages: [] }
  if (typeof header === 'string') return { path, fileBytes, problem: header, ...empty }
  const fileId32 = shortFileId(header.fileId)
  const builder = new IndexBuilder(handle, header.q, fileId32)
  const scan = await scanRecords(handle, fileId32, builder)
  const entries = builder.index.after(undefined, Number.POSITIVE_INFINITY)
  const liveBytes = entries.reduce((sum, entry) => sum + align(entry.length), 0)
  const damages = [...scan.damages, ...builder.strange]
  const damagedBytes = damages.reduce((sum, span) => sum + span.length, 0)
  return {
    path,
    fileBytes,
    header: { ...header, fileId: Buffer.from(header.fileId).toString('hex') },
    records: builder.records,
    keys: builder.index.size,
    liveBytes,
    deadBytes: Math.max(0, scan.end - FILE_HEADER_BYTES - liveBytes - damagedBytes),
    tornBytes: scan.tornBytes,
    damages,
    ...(withKeys ? { keyList: await listKeys(handle, entries, fileId32) } : {})
  }
}

async function listKeys(
  handle: FileHandle,
  entries: { hi: number; lo: number; offset: number; tag: number }[],
  fileId32: number
): Promise<InspectedKey[]> {
  const keys: InspectedKey[] = []
  const bytes = new Uint8Array(MAX_HEAD_BYTES)
  for (const { hi, lo, offset, tag } of entries) {
    const head = decodeHead(bytes.subarray(0, await handle.read(bytes, offset)), offset, fileId32)
    // It did check a moment ago; a disk that changes its mind shows in the next inspection.
    if (typeof head === 'string') continue
    const key = Buffer.from(bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + head.keyLength))
    const text = key.toString('utf8')
    const position = hex(hi) + hex(lo)
    const shown = Buffer.from(text, 'utf8').equals(key) ? { text } : {}
    keys.push({ ...shown, base64: key.toString('base64'), position, offset, valueBytes: head.valueLength, tag })
  }
  return keys
}

/** Lines for a person. Keys are shown as JSON strings, or as `base64:…`: no key can move a terminal's cursor. */
export function formatInspection(inspection: Inspection): string {
  const { header } = inspection
  const lines = [`${inspection.path}: ${inspection.fileBytes} bytes`]
  if (inspection.problem !== undefined || !header) {
    return `${lines[0]}\nnot a range log that this program reads: ${inspection.problem}\n`
  }
  lines.push(
    `range       ${header.range} of ${header.q}, generation ${header.generation}, format ${header.version}`,
    `file id     ${header.fileId}`,
    `records     ${inspection.records}`,
    `keys        ${inspection.keys}`,
    `live bytes  ${inspection.liveBytes}`,
    `dead bytes  ${inspection.deadBytes}`,
    `torn bytes  ${inspection.tornBytes}`,
    `damages     ${inspection.damages.length}`
  )
  for (const { offset, length, detail } of inspection.damages) {
    lines.push(`  at ${offset}, ${length} bytes: ${detail}`)
  }
  for (const key of inspection.keyList ?? []) {
    // JSON leaves DEL and the C1 controls as they are; a terminal obeys them.
    const name = key.text === undefined ? `base64:${key.base64}` : escapeControls(JSON.stringify(key.text))
    lines.push(`${key.position}  at ${key.offset}  ${key.valueBytes} bytes  tag ${hex(key.tag)}  ${name}`)
  }
  return `${lines.join('\n')}\n`
}

function escapeControls(text: string): string {
  return text.replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, char => `\\u${hex(char.charCodeAt(0)).slice(4)}`)
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
