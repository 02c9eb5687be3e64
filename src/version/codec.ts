/**
 * Key states and contexts as bytes: proto3, described by `wire/state.proto`, written by hand over protobufjs' reader
 * and writer. Canonical: the same state gives the same bytes, since replicas compare checksums of them; lists that are
 * unsorted or repeat are refused. Unknown fields are skipped, so that later versions may add some.
 */
import { crc32 } from 'node:zlib'
import protobuf from 'protobufjs/minimal.js'
import { CoterieError } from '../errors.ts'
import { type CausalContext, covers, normalise } from './causal-context.ts'
import { ACTOR_BYTES, compareDots, type Dot, formatDot } from './dot.ts'
import type { KeyState, Replaced, Sibling } from './key-state.ts'

export const WRITE_ID_BYTES = 8

/** A field's mark on the wire: its number and its type, 0 varint or 2 length-prefixed. */
const varintField = (id: number) => (id << 3) | 0
const bytesField = (id: number) => (id << 3) | 2

const DOT = { actor: bytesField(1), counter: varintField(2) }
const CONTEXT = { vector: bytesField(1), cloud: bytesField(2) }
const SIBLING = {
  dot: bytesField(1),
  value: bytesField(2),
  writeId: bytesField(3),
  expiresAtMs: varintField(4),
  writtenAtMs: varintField(5)
}
const REPLACED = { writeId: bytesField(1), dot: bytesField(2), atMs: varintField(3) }
const DOTS = { dots: bytesField(1) }
const STATE = { context: bytesField(1), siblings: bytesField(2), replaced: bytesField(3) }

export function encodeState(state: KeyState): Uint8Array {
  const writer = new protobuf.Writer()
  writeVersions(writer, state)
  for (const { id, dot, atMs } of state.replaced) {
    writer.uint32(STATE.replaced).fork()
    writer.uint32(REPLACED.writeId).bytes(Buffer.from(id, 'hex'))
    writeDot(writer.uint32(REPLACED.dot), dot)
    if (atMs !== 0) writer.uint32(REPLACED.atMs).uint64(atMs)
    writer.ldelim()
  }
  return writer.finish()
}

/** The values are views of `bytes`. Throws `protocol` for anything that `encodeState` does not write. */
export function decodeState(bytes: Uint8Array): KeyState {
  return decoding('key state', bytes, (reader, end) => {
    let context = normalise([], [])
    const siblings: Sibling[] = []
    const replaced: Replaced[] = []
    readFields(reader, end, tag => {
      if (tag === STATE.context) context = nested(reader, readContext)
      else if (tag === STATE.siblings) siblings.push(nested(reader, readSibling))
      else if (tag === STATE.replaced) replaced.push(nested(reader, readReplaced))
      else return false
      return true
    })
    mustRise('siblings', siblings, (a, b) => compareDots(a.dot, b.dot))
    mustRise('replaced ids', replaced, (a, b) => (a.id < b.id ? -1 : a.id === b.id ? 0 : 1))
    for (const { dot } of siblings) must(covers(context, dot), `sibling ${formatDot(dot)} is not in its context`)
    return { context, siblings, replaced }
  })
}

/**
 * CRC-32 (unsigned) of the encoding without `replaced`: replicas with the same versions have the same tag. Its lowest bit
 * says whether the state may be dead, now or once it has expired (`mayBeDead`): an index finds those by it.
 */
export function stateTag(state: KeyState): number {
  const writer = new protobuf.Writer()
  writeVersions(writer, state)
  const lasts = state.siblings.some(({ value, expiresAtMs }) => value !== undefined && expiresAtMs === 0)
  return ((crc32(writer.finish()) & ~1) | (lasts ? 0 : 1)) >>> 0
}

/** False: the state of this tag holds a value that never expires. */
export function mayBeDead(tag: number): boolean {
  return (tag & 1) === 1
}

/** The message `Context` alone; `token.ts` binds it to its key and cluster. */
export function encodeBareContext(context: CausalContext): Uint8Array {
  const writer = new protobuf.Writer()
  writeContext(writer, context)
  return writer.finish()
}

/** Throws `protocol`. */
export function decodeBareContext(bytes: Uint8Array): CausalContext {
  return decoding('context', bytes, readContext)
}

/** The message `Dots`: range clocks (every dot of an actor up to this one), and lists of dots. */
export function encodeDots(dots: Iterable<Dot>): Uint8Array {
  const writer = new protobuf.Writer()
  for (const dot of dots) writeDot(writer.uint32(DOTS.dots), dot)
  return writer.finish()
}

/** Throws `protocol`. */
export function decodeDots(bytes: Uint8Array): Dot[] {
  return decoding('list of dots', bytes, (reader, end) => {
    const dots: Dot[] = []
    readFields(reader, end, tag => {
      if (tag === DOTS.dots) dots.push(nested(reader, readDot))
      return tag === DOTS.dots
    })
    mustRise('dots', dots, compareDots)
    return dots
  })
}

function writeVersions(writer: protobuf.Writer, state: KeyState): void {
  writer.uint32(STATE.context).fork()
  writeContext(writer, state.context)
  writer.ldelim()
  for (const { dot, value, writeId, expiresAtMs, writtenAtMs } of state.siblings) {
    writer.uint32(STATE.siblings).fork()
    writeDot(writer.uint32(SIBLING.dot), dot)
    if (value !== undefined) writer.uint32(SIBLING.value).bytes(value)
    writer.uint32(SIBLING.writeId).bytes(Buffer.from(writeId, 'hex'))
    if (expiresAtMs !== 0) writer.uint32(SIBLING.expiresAtMs).uint64(expiresAtMs)
    if (writtenAtMs !== 0) writer.uint32(SIBLING.writtenAtMs).uint64(writtenAtMs)
    writer.ldelim()
  }
}

function writeContext(writer: protobuf.Writer, { vector, cloud }: CausalContext): void {
  const entries = Array.from(vector, ([actor, counter]) => ({ actor, counter })).sort(compareDots)
  for (const dot of entries) writeDot(writer.uint32(CONTEXT.vector), dot)
  for (const dot of cloud) writeDot(writer.uint32(CONTEXT.cloud), dot)
}

function writeDot(writer: protobuf.Writer, { actor, counter }: Dot): void {
  writer.fork().uint32(DOT.actor).bytes(Buffer.from(actor, 'hex')).uint32(DOT.counter).uint64(counter).ldelim()
}

function readContext(reader: protobuf.Reader, end: number): CausalContext {
  const vector: Dot[] = []
  const cloud: Dot[] = []
  readFields(reader, end, tag => {
    if (tag === CONTEXT.vector) vector.push(nested(reader, readDot))
    else if (tag === CONTEXT.cloud) cloud.push(nested(reader, readDot))
    else return false
    return true
  })
  mustRise('vector', vector, (a, b) => (a.actor === b.actor ? 0 : compareDots(a, b)))
  mustRise('cloud', cloud, compareDots)
  const entries = vector.map(({ actor, counter }) => [actor, counter] as const)
  const context = normalise(entries, cloud)
  must(context.cloud.length === cloud.length, 'the cloud holds dots of the vector')
  return context
}

function readDot(reader: protobuf.Reader, end: number): Dot {
  let actor = ''
  let counter = 0
  readFields(reader, end, tag => {
    if (tag === DOT.actor) actor = readHex(reader, ACTOR_BYTES, 'actor')
    else if (tag === DOT.counter) counter = readInteger(reader)
    else return false
    return true
  })
  must(actor !== '' && counter > 0, 'a dot without actor or counter')
  return { actor, counter }
}

function readSibling(reader: protobuf.Reader, end: number): Sibling {
  let dot: Dot | undefined
  let value: Uint8Array | undefined
  let writeId = ''
  let expiresAtMs = 0
  let writtenAtMs = 0
  readFields(reader, end, tag => {
    if (tag === SIBLING.dot) dot = nested(reader, readDot)
    else if (tag === SIBLING.value) value = reader.bytes()
    else if (tag === SIBLING.writeId) writeId = readHex(reader, WRITE_ID_BYTES, 'write id')
    else if (tag === SIBLING.expiresAtMs) expiresAtMs = readInteger(reader)
    else if (tag === SIBLING.writtenAtMs) writtenAtMs = readInteger(reader)
    else return false
    return true
  })
  if (!dot || writeId === '') throw new RangeError('a sibling without dot or write id')
  return { dot, value, writeId, expiresAtMs, writtenAtMs }
}

function readReplaced(reader: protobuf.Reader, end: number): Replaced {
  let id = ''
  let dot: Dot | undefined
  let atMs = 0
  readFields(reader, end, tag => {
    if (tag === REPLACED.writeId) id = readHex(reader, WRITE_ID_BYTES, 'write id')
    else if (tag === REPLACED.dot) dot = nested(reader, readDot)
    else if (tag === REPLACED.atMs) atMs = readInteger(reader)
    else return false
    return true
  })
  if (!dot || id === '') throw new RangeError('a replaced write without dot or id')
  return { id, dot, atMs }
}

/** Runs a read over all of `bytes`. Here and in the readers a RangeError means bad input, as in protobufjs. */
function decoding<T>(what: string, bytes: Uint8Array, read: (reader: protobuf.Reader, end: number) => T): T {
  try {
    // Not Reader.create: given a Buffer, it would hand out values that are Buffers.
    return read(new protobuf.Reader(plain(bytes)), bytes.length)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CoterieError('protocol', `${bytes.length} bytes are no ${what}: ${reason}`, { cause: error })
  }
}

/** Reads fields up to `end`; `take` reads the field of a tag, or says that it does not know it. */
function readFields(reader: protobuf.Reader, end: number, take: (tag: number) => boolean): void {
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (!take(tag)) reader.skipType(tag & 7)
  }
  must(reader.pos === end, 'a field runs over the end of its message')
}

function nested<T>(reader: protobuf.Reader, read: (reader: protobuf.Reader, end: number) => T): T {
  const length = reader.uint32()
  const end = reader.pos + length
  must(end <= reader.len, `a length of ${length} runs over the end`)
  return read(reader, end)
}

function readHex(reader: protobuf.Reader, length: number, what: string): string {
  const bytes = reader.bytes()
  must(bytes.length === length, `${what} of ${bytes.length} bytes instead of ${length}`)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

/** A varint below 2^53, without the Long object that `reader.uint64` makes. */
function readInteger(reader: protobuf.Reader): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    must(reader.pos < reader.len, 'cut short')
    const byte = reader.buf[reader.pos++]
    value += (byte & 127) * scale
    must(value <= Number.MAX_SAFE_INTEGER, 'an integer from 2^53 up')
    if (byte < 128) return value
    must(scale < 2 ** 49, 'an integer of more than 8 bytes')
  }
}

function plain(bytes: Uint8Array): Uint8Array {
  return Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes
}

function mustRise<T>(what: string, list: readonly T[], compare: (a: T, b: T) => number): void {
  for (let index = 1; index < list.length; index++) {
    must(compare(list[index - 1], list[index]) < 0, `${what} are not sorted, or repeat`)
  }
}

function must(holds: boolean, message: string): void {
  if (!holds) throw new RangeError(message)
}
