/**
 * Small helpers over protobufjs readers and writers that the gossip codecs share: safe integers, packed lists, 64-bit
 * words, and the reading loop that skips what it does not know.
 */
import protobuf from 'protobufjs/minimal.js'
import { CoterieError } from '../errors.ts'

export type Writer = protobuf.Writer
export type Reader = protobuf.Reader

export const newWriter = (): Writer => protobuf.Writer.create()

/** Wire type of length-delimited fields; a tag is `(field << 3) | wire type`. */
export const BYTES = 2
const VARINT = 0
const FIXED64 = 1

export const tagOf = {
  varint: (field: number) => ((field << 3) | VARINT) >>> 0,
  fixed64: (field: number) => ((field << 3) | FIXED64) >>> 0,
  bytes: (field: number) => ((field << 3) | BYTES) >>> 0
}

/** Throws `protocol`, the one way that every reader here refuses its input. */
export function garbled(what: string): never {
  throw new CoterieError('protocol', `gossip: ${what}`)
}

/** The writer's bytes as a plain Uint8Array (protobufjs gives a Buffer under Node). */
export function finish(writer: Writer): Uint8Array {
  const bytes = writer.finish()
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** An unsigned varint below 2^53. Throws `protocol` above. */
export function readSafe(reader: Reader): number {
  const value = reader.uint64() as unknown as number | { toNumber(): number }
  const number = typeof value === 'number' ? value : value.toNumber()
  if (!Number.isSafeInteger(number) || number < 0) garbled('a number is over 2^53')
  return number
}

/**
 * Reads one message: `onField` is called with each field's tag and says whether it read the value; what it leaves is
 * skipped. Throws `protocol` for bytes that are no proto3 message.
 */
export function readMessage(bytes: Uint8Array, onField: (tag: number, reader: Reader) => boolean): void {
  const reader = protobuf.Reader.create(bytes)
  try {
    while (reader.pos < reader.len) {
      const tag = reader.uint32()
      if (!onField(tag, reader)) reader.skipType(tag & 7)
    }
  } catch (error) {
    if (error instanceof CoterieError) throw error
    throw new CoterieError('protocol', 'gossip: bytes that are no message', { cause: error })
  }
}

/** A bare sequence (no tags), read until its end. Throws `protocol`. */
export function readSequence(bytes: Uint8Array, onItem: (reader: Reader) => void): void {
  const reader = protobuf.Reader.create(bytes)
  try {
    while (reader.pos < reader.len) onItem(reader)
  } catch (error) {
    if (error instanceof CoterieError) throw error
    throw new CoterieError('protocol', 'gossip: a cut-off list', { cause: error })
  }
}

/** Repeated numbers, packed or one by one, as proto3 allows both. */
export function readPacked(tag: number, reader: Reader, into: number[], limit: number): void {
  const add = (value: number) => {
    if (into.length >= limit) garbled('a list is over its limit')
    into.push(value)
  }
  if ((tag & 7) === VARINT) {
    add(readSafe(reader))
    return
  }
  const end = reader.uint32() + reader.pos
  if (end > reader.len) garbled('a list runs over the end')
  while (reader.pos < end) add(readSafe(reader))
}

/** A 64-bit word, little-endian, as two halves: protobufjs has no bigints. */
export function writeWord(writer: Writer, word: bigint): void {
  writer.fixed32(Number(word & 0xffff_ffffn)).fixed32(Number(word >> 32n))
}

export function readWord(reader: Reader): bigint {
  const low = BigInt(reader.fixed32())
  return low | (BigInt(reader.fixed32()) << 32n)
}
