/** Every way in which the tests of damage spoil a file: flips, truncations, blocks that are zeroed, copied, swapped. */
import type { SimRandom } from '../../../src/sim/world/random.ts'

export interface Spoiled {
  /** In words, to do it again. */
  how: string
  bytes: Uint8Array
}

const BLOCK_BYTES = [8, 16, 56, 64, 512]
const GRID_BYTES = 8
/** Where a copied block may land, of all places: so many are drawn. */
const TARGETS = 1

/** Every byte, with each of these. */
export function* flips(bytes: Uint8Array, masks: number[]): Generator<Spoiled> {
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of masks) {
      const spoiled = new Uint8Array(bytes)
      spoiled[at]! ^= mask
      yield { how: `byte ${at} xor ${mask}`, bytes: spoiled }
    }
  }
}

export const EVERY_BIT = [1, 2, 4, 8, 16, 32, 64, 128]
export const TWO_MASKS = [0xff, 0x10]

/** Every shorter length. */
export function* truncations(bytes: Uint8Array): Generator<Spoiled> {
  for (let length = 0; length < bytes.length; length++)
    yield { how: `cut off at ${length}`, bytes: bytes.slice(0, length) }
}

/** Every block of the grid, zeroed, copied over its neighbour and some others, and changed for them. */
export function* blocks(bytes: Uint8Array, random: SimRandom): Generator<Spoiled> {
  for (const size of BLOCK_BYTES) {
    for (let at = 0; at + GRID_BYTES <= bytes.length; at += GRID_BYTES) {
      const length = Math.min(size, bytes.length - at)
      yield { how: `${length} bytes at ${at} zeroed`, bytes: new Uint8Array(bytes).fill(0, at, at + length) }
      const places = Array.from({ length: TARGETS }, () => GRID_BYTES * random.below(bytes.length / GRID_BYTES))
      for (const to of [at + size, ...places]) {
        if (to + length > bytes.length || to === at) continue
        const copied = new Uint8Array(bytes)
        copied.set(bytes.subarray(at, at + length), to)
        yield { how: `${length} bytes at ${at} copied to ${to}`, bytes: copied }
        if (Math.abs(to - at) < length) continue
        const swapped = new Uint8Array(copied)
        swapped.set(bytes.subarray(to, to + length), at)
        yield { how: `${length} bytes at ${at} and at ${to} swapped`, bytes: swapped }
      }
    }
  }
}
