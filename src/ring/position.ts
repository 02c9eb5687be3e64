/** Where a key lies on the ring: the first 64 bits of its SHA-256, and which of the Q equal slices that is. */
import { hash } from 'node:crypto'

/** 64 bits as two unsigned 32-bit halves, since a number cannot hold them. */
export interface Position {
  readonly hi: number
  readonly lo: number
}

export function positionOf(key: Uint8Array): Position {
  const digest = hash('sha256', key, 'buffer')
  return { hi: digest.readUInt32BE(0), lo: digest.readUInt32BE(4) }
}

/** The range, 0 … q − 1: the position's highest log2(q) bits. `q` is a power of two up to 2^31. */
export function rangeOf(position: Position, q: number): number {
  const bits = 31 - Math.clz32(q)
  // A shift by 32 would be a shift by 0.
  return bits === 0 ? 0 : position.hi >>> (32 - bits)
}

/** 16 hex digits. */
export function formatPosition(position: Position): string {
  return hex32(position.hi) + hex32(position.lo)
}

const hex32 = (half: number) => half.toString(16).padStart(8, '0')
