/**
 * The keys of the storage benchmarks: 'key' and nine digits, with the first 64 bits of their SHA-256. Hashing is the
 * caller's work, not storage's, so it is done once for all cells, into a file that the children read.
 */
import { hash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { StoredKey } from '../../../src/storage/range-store.ts'

const KEY_BYTES = 12
const POSITION_BYTES = 8
/** Coprime to any count of keys that is used: a step through all of them in no order. */
const STEP = 618_033_989

export const keyText = (i: number): string => `key${String(i).padStart(9, '0')}`

/** The `i`th of `count` keys in a shuffled order that meets each once. */
export const shuffled = (i: number, count: number): number => (i * STEP) % count

export const randomIndex = (count: number): number => Math.floor(Math.random() * count)

/** Positions of all keys, then their bytes. */
export function writeKeys(path: string, count: number): void {
  const file = Buffer.alloc(count * (POSITION_BYTES + KEY_BYTES))
  for (let i = 0; i < count; i++) {
    const text = keyText(i)
    const digest = hash('sha256', text, 'buffer')
    file.writeUInt32LE(digest.readUInt32BE(0), i * POSITION_BYTES)
    file.writeUInt32LE(digest.readUInt32BE(4), i * POSITION_BYTES + 4)
    file.write(text, count * POSITION_BYTES + i * KEY_BYTES, 'latin1')
  }
  writeFileSync(path, file)
}

/** Which ranges the keys fall into: `count` ranges from `first`, of `q`. With all of them, positions are the keys' own. */
export interface Layout {
  q: number
  first: number
  count: number
}

export const ONE_RANGE: Layout = { q: 8, first: 3, count: 1 }
export const ALL_RANGES: Layout = { q: 256, first: 0, count: 256 }

/** The keys of a file, laid into ranges: the upper bits of a position are replaced, the rest stays well spread. */
export class LaidKeys {
  readonly #hi: Uint32Array
  readonly #lo: Uint32Array
  readonly #bytes: Uint8Array
  readonly #shift: number

  constructor(path: string, count: number, { q, first, count: ranges }: Layout) {
    const file = readFileSync(path)
    const all = file.length / (POSITION_BYTES + KEY_BYTES)
    const positions = new Uint32Array(file.buffer.slice(file.byteOffset, file.byteOffset + count * POSITION_BYTES))
    this.#bytes = file.subarray(all * POSITION_BYTES, all * POSITION_BYTES + count * KEY_BYTES)
    this.#shift = 32 - Math.log2(q)
    this.#hi = new Uint32Array(count)
    this.#lo = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      const hi = positions[2 * i]!
      const range = first + ((hi >>> this.#shift) % ranges)
      this.#hi[i] = (range << this.#shift) | (hi & (2 ** this.#shift - 1))
      this.#lo[i] = positions[2 * i + 1]!
    }
  }

  key(i: number): StoredKey {
    return {
      bytes: this.#bytes.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES),
      hi: this.#hi[i]!,
      lo: this.#lo[i]!
    }
  }

  rangeOf(i: number): number {
    return this.#hi[i]! >>> this.#shift
  }
}
