/**
 * CRC-32 as in zlib, of a part of a buffer. A call of `node:zlib` costs some 200 ns before it looks at a byte, and a view
 * of the part as much again; up to a few hundred bytes, tables of our own are faster (slicing by 8, Kounavis and Berry
 * 2008).
 */
import { crc32 } from 'node:zlib'

/** More is faster in zlib. */
const MAX_OWN_BYTES = 256
const POLYNOMIAL = 0xedb88320

/** Eight tables of 256: what a byte does to the checksum that far ahead. */
const TABLES = new Int32Array(8 * 256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
  TABLES[byte] = crc
}
for (let i = 256; i < TABLES.length; i++) {
  const before = TABLES[i - 256]!
  TABLES[i] = (before >>> 8) ^ TABLES[before & 0xff]!
}

/** Of the bytes from `from` up to `to`. */
export function crcOf(bytes: Uint8Array, from = 0, to = bytes.length): number {
  if (to - from > MAX_OWN_BYTES) return crc32(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to))
  const t = TABLES
  let crc = -1
  let i = from
  for (; i + 8 <= to; i += 8) {
    const low = crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
    crc =
      t[1792 + (low & 0xff)]! ^
      t[1536 + ((low >>> 8) & 0xff)]! ^
      t[1280 + ((low >>> 16) & 0xff)]! ^
      t[1024 + (low >>> 24)]! ^
      t[768 + bytes[i + 4]!]! ^
      t[512 + bytes[i + 5]!]! ^
      t[256 + bytes[i + 6]!]! ^
      t[bytes[i + 7]!]!
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ t[(crc ^ bytes[i]!) & 0xff]!
  return ~crc >>> 0
}
