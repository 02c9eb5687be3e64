/** The first bytes of a range file, and its name. Pure; the picture is in `docs/storage-format.md`. */
import { crcOf } from './crc.ts'
import { viewOf } from './record.ts'

export const FORMAT_VERSION = 1
/** 0x89 first: no text file starts so; the line feed last: a transfer in text mode breaks it. */
const MAGIC = new Uint8Array([0x89, 0x63, 0x6f, 0x74, 0x65, 0x72, 0x69, 0x0a])
export const FILE_ID_BYTES = 8
export const FILE_HEADER_BYTES = 48
const CRC_AT = 44

export interface FileHeader {
  version: number
  range: number
  q: number
  generation: number
  /** 8 random bytes, drawn when the file is made. */
  fileId: Uint8Array
  /** The id of the older file that this one continues, of the same range; zeros: it continues none. */
  continues: Uint8Array
}

export const NO_FILE = new Uint8Array(FILE_ID_BYTES)

export function continuesNone({ continues }: Pick<FileHeader, 'continues'>): boolean {
  return continues.every(byte => byte === 0)
}

/** 16 hex digits. */
export function hexOf(fileId: Uint8Array): string {
  return Buffer.from(fileId).toString('hex')
}

/** The part of the file id that every record carries. */
export function shortFileId(fileId: Uint8Array): number {
  return viewOf(fileId).getUint32(0, true)
}

export function encodeFileHeader(header: Omit<FileHeader, 'version'>): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER_BYTES)
  const view = viewOf(bytes)
  bytes.set(MAGIC, 0)
  view.setUint16(8, FORMAT_VERSION, true)
  view.setUint16(10, FILE_HEADER_BYTES, true)
  view.setUint32(12, header.range, true)
  view.setUint32(16, header.q, true)
  view.setUint32(20, header.generation, true)
  bytes.set(header.fileId, 24)
  bytes.set(header.continues, 32)
  view.setUint32(CRC_AT, crcOf(bytes, 0, CRC_AT), true)
  return bytes
}

/** The header, or in words why these bytes are none. */
export function decodeFileHeader(bytes: Uint8Array): FileHeader | string {
  if (bytes.length < FILE_HEADER_BYTES) return `the file has ${bytes.length} bytes, a header has ${FILE_HEADER_BYTES}`
  const view = viewOf(bytes)
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) return 'the file does not start with the mark of a range log'
  const version = view.getUint16(8, true)
  if (view.getUint32(CRC_AT, true) !== crcOf(bytes, 0, CRC_AT)) {
    return 'the checksum of the file header does not match'
  }
  if (version !== FORMAT_VERSION || view.getUint16(10, true) !== FILE_HEADER_BYTES) {
    return `the file has format version ${version}; this program reads version ${FORMAT_VERSION}`
  }
  return {
    version,
    range: view.getUint32(12, true),
    q: view.getUint32(16, true),
    generation: view.getUint32(20, true),
    fileId: bytes.slice(24, 24 + FILE_ID_BYTES),
    continues: bytes.slice(32, 32 + FILE_ID_BYTES)
  }
}

const NAME = /^(\d{4,10})-(\d{10})\.(?:(log)(\.damaged(?:\.\d+)?)?|(hint)(\.tmp)?|(part))$/

/** Of the hint of a log file. */
export function hintPathOf(logPath: string): string {
  return logPath.replace(/log$/, 'hint')
}

export interface ParsedName {
  range: number
  generation: number
  /** `log`: records. `hint`: a snapshot of the index of the log of the same name. `part`: a log that is being received. */
  kind: 'log' | 'hint' | 'part'
  /** `damaged`: set aside. `temporary`: whoever wrote it did not finish. */
  state: 'whole' | 'damaged' | 'temporary'
}

/** `0123-0000000001.log`: from integers alone, so no key can reach a path. */
export function fileName(range: number, generation: number, kind: ParsedName['kind'] = 'log'): string {
  return `${String(range).padStart(4, '0')}-${String(generation).padStart(10, '0')}.${kind}`
}

export function parseFileName(name: string): ParsedName | undefined {
  const match = NAME.exec(name)
  if (!match) return undefined
  const [, range, generation, log, damaged, hint, temporary] = match
  return {
    range: Number(range),
    generation: Number(generation),
    kind: log ? 'log' : hint ? 'hint' : 'part',
    state: damaged ? 'damaged' : temporary ? 'temporary' : 'whole'
  }
}
