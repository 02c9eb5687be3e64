/** Bytes of the compare session's messages, as `wire/sync.proto` describes them. */
import protobuf from 'protobufjs/minimal.js'
import { LIMITS } from '../config.ts'
import { CoterieError } from '../errors.ts'
import type { CopyStatus } from '../messages.ts'
import type { Outgoing } from '../ports.ts'
import { BUCKET_BYTES, BUCKETS } from '../replica/bucket-sums.ts'
import { decodeDots, encodeDots } from '../version/codec.ts'
import type { Dot } from '../version/dot.ts'
import type { ClockEntries } from '../version/range-clock.ts'
import { decodeFileMessage, encodeFileMessage, encodePiece, type FileMessage, type FilePiece } from './file-codec.ts'
import { bytes, fields, fixed32, varint } from './sync-fields.ts'

export interface StateItem {
  key: Uint8Array
  state: Uint8Array
  more: boolean
}

/** Dots of a key that were deleted and reaped. */
export interface DeadItem {
  key: Uint8Array
  dots: readonly Dot[]
}

export type SyncMessage =
  | { type: 'open'; ranges: { range: number; hi: number; lo: number }[]; pushOnly: boolean; durable: boolean }
  | { type: 'status'; range: number; status: CopyStatus; keys: number; buckets?: Uint8Array }
  | { type: 'endOfStatus' }
  | { type: 'entries'; range: number; buckets: number[]; entries: Uint8Array }
  | { type: 'endOfEntries' }
  | { type: 'states'; range: number; items: StateItem[] }
  | { type: 'want'; range: number; positions: Uint8Array }
  | { type: 'endOfStates' }
  | { type: 'finish' }
  | { type: 'done' }
  | { type: 'clock'; range: number; entries: ClockEntries; synced: boolean }
  | { type: 'dead'; range: number; items: DeadItem[] }
  | FileMessage
  | { type: 'fetched' }

export const ENTRY_BYTES = 12
export const POSITION_BYTES = 8

const STATUSES: CopyStatus[] = ['none', 'syncing', 'synced', 'frozen']
const FIELDS: Record<SyncMessage['type'], number> = {
  open: 1,
  status: 2,
  endOfStatus: 3,
  entries: 4,
  endOfEntries: 5,
  states: 6,
  want: 7,
  endOfStates: 8,
  finish: 9,
  done: 10,
  clock: 11,
  dead: 12,
  fetch: 13,
  files: 14,
  bytes: 15,
  fetched: 16
}
const TYPES = new Map(Object.entries(FIELDS).map(([type, field]) => [field, type as SyncMessage['type']]))

export function encodeSync(message: SyncMessage): Outgoing {
  if (message.type === 'bytes') return encodePiece(FIELDS.bytes, message)
  const w = protobuf.Writer.create()
  w.uint32(bytes(FIELDS[message.type])).fork()
  encodeBody(w, message)
  return w.ldelim().finish()
}

function encodeBody(w: protobuf.Writer, message: Exclude<SyncMessage, FilePiece>): void {
  switch (message.type) {
    case 'open':
      for (const { range, hi, lo } of message.ranges) {
        w.uint32(bytes(1)).fork()
        w.uint32(varint(1)).uint32(range).uint32(fixed32(2)).fixed32(hi).uint32(fixed32(3)).fixed32(lo)
        w.ldelim()
      }
      if (message.pushOnly) w.uint32(varint(2)).bool(true)
      if (message.durable) w.uint32(varint(3)).bool(true)
      break
    case 'status':
      w.uint32(varint(1)).uint32(message.range)
      w.uint32(varint(2)).uint32(STATUSES.indexOf(message.status))
      w.uint32(varint(3)).uint32(message.keys)
      if (message.buckets !== undefined) w.uint32(bytes(4)).bytes(message.buckets)
      break
    case 'entries':
      w.uint32(varint(1)).uint32(message.range)
      w.uint32(bytes(2)).fork()
      for (const bucket of message.buckets) w.uint32(bucket)
      w.ldelim()
      w.uint32(bytes(3)).bytes(message.entries)
      break
    case 'states':
      w.uint32(varint(1)).uint32(message.range)
      for (const { key, state, more } of message.items) {
        w.uint32(bytes(2)).fork()
        w.uint32(bytes(1)).bytes(key).uint32(bytes(2)).bytes(state)
        if (more) w.uint32(varint(3)).bool(true)
        w.ldelim()
      }
      break
    case 'want':
      w.uint32(varint(1)).uint32(message.range).uint32(bytes(2)).bytes(message.positions)
      break
    case 'clock':
      w.uint32(varint(1)).uint32(message.range)
      w.uint32(bytes(2)).bytes(encodeDots(message.entries.map(([actor, counter]) => ({ actor, counter }))))
      if (message.synced) w.uint32(varint(3)).bool(true)
      break
    case 'dead':
      w.uint32(varint(1)).uint32(message.range)
      for (const { key, dots } of message.items) {
        w.uint32(bytes(2)).fork()
        w.uint32(bytes(1)).bytes(key).uint32(bytes(2)).bytes(encodeDots(dots))
        w.ldelim()
      }
      break
    case 'fetch':
    case 'files':
      encodeFileMessage(w, message)
      break
  }
}

/** Throws `protocol` for bytes that are no message of ours. */
export function decodeSync(encoded: Uint8Array): SyncMessage {
  try {
    const r = protobuf.Reader.create(encoded)
    const tag = r.uint32()
    const type = TYPES.get(tag >>> 3)
    if (type === undefined || (tag & 7) !== 2)
      throw new CoterieError('protocol', `a sync message of unknown kind ${tag >>> 3}`)
    return decodeBody(r, type, r.uint32() + r.pos)
  } catch (error) {
    if (error instanceof CoterieError) throw error
    throw new CoterieError('protocol', `a sync message of ${encoded.length} bytes cannot be read`, { cause: error })
  }
}

function decodeBody(r: protobuf.Reader, type: SyncMessage['type'], end: number): SyncMessage {
  switch (type) {
    case 'open':
      return decodeOpen(r, end)
    case 'status':
      return decodeStatus(r, end)
    case 'entries':
      return decodeEntries(r, end)
    case 'states':
      return decodeStates(r, end)
    case 'want': {
      const message = { type, range: 0, positions: new Uint8Array() as Uint8Array }
      fields(r, end, field =>
        field === 1 ? (message.range = r.uint32()) : field === 2 ? (message.positions = r.bytes()) : false
      )
      if (message.positions.length % POSITION_BYTES !== 0)
        throw new CoterieError('protocol', 'a list of positions of uneven length')
      return message
    }
    case 'clock':
      return decodeClock(r, end)
    case 'dead':
      return decodeDead(r, end)
    case 'fetch':
    case 'files':
    case 'bytes':
      return decodeFileMessage(r, type, end)
    default:
      fields(r, end, () => false)
      return { type }
  }
}

function decodeOpen(r: protobuf.Reader, end: number): SyncMessage {
  const message = {
    type: 'open' as const,
    ranges: [] as { range: number; hi: number; lo: number }[],
    pushOnly: false,
    durable: false
  }
  fields(r, end, field => {
    if (field === 1) {
      const total = { range: 0, hi: 0, lo: 0 }
      fields(r, r.uint32() + r.pos, f =>
        f === 1
          ? (total.range = r.uint32())
          : f === 2
            ? (total.hi = r.fixed32())
            : f === 3
              ? (total.lo = r.fixed32())
              : false
      )
      message.ranges.push(total)
    } else if (field === 2) message.pushOnly = r.bool()
    else if (field === 3) message.durable = r.bool()
    else return false
  })
  return message
}

function decodeStatus(r: protobuf.Reader, end: number): SyncMessage {
  const message: Extract<SyncMessage, { type: 'status' }> = { type: 'status', range: 0, status: 'none', keys: 0 }
  fields(r, end, field => {
    if (field === 1) message.range = r.uint32()
    else if (field === 2) message.status = STATUSES[r.uint32()] ?? 'none'
    else if (field === 3) message.keys = r.uint32()
    else if (field === 4) message.buckets = r.bytes()
    else return false
  })
  if (message.buckets !== undefined && message.buckets.length !== BUCKETS * BUCKET_BYTES) {
    throw new CoterieError(
      'protocol',
      `bucket sums of ${message.buckets.length} bytes; ${BUCKETS * BUCKET_BYTES} were due`
    )
  }
  return message
}

function decodeEntries(r: protobuf.Reader, end: number): SyncMessage {
  const message = {
    type: 'entries' as const,
    range: 0,
    buckets: [] as number[],
    entries: new Uint8Array() as Uint8Array
  }
  fields(r, end, field => {
    if (field === 1) message.range = r.uint32()
    else if (field === 2) {
      const listEnd = r.uint32() + r.pos
      while (r.pos < listEnd) message.buckets.push(r.uint32())
    } else if (field === 3) message.entries = r.bytes()
    else return false
  })
  if (message.entries.length % ENTRY_BYTES !== 0 || message.buckets.some(bucket => bucket >= BUCKETS)) {
    throw new CoterieError('protocol', 'a list of entries that cannot be read')
  }
  return message
}

function decodeStates(r: protobuf.Reader, end: number): SyncMessage {
  const message = { type: 'states' as const, range: 0, items: [] as StateItem[] }
  fields(r, end, field => {
    if (field === 1) message.range = r.uint32()
    else if (field === 2) {
      const item: StateItem = { key: new Uint8Array(), state: new Uint8Array(), more: false }
      fields(r, r.uint32() + r.pos, f => {
        if (f === 1) item.key = r.bytes()
        else if (f === 2) item.state = r.bytes()
        else if (f === 3) item.more = r.bool()
        else return false
      })
      mustBeKey(item.key)
      message.items.push(item)
    } else return false
  })
  return message
}

function decodeClock(r: protobuf.Reader, end: number): SyncMessage {
  const message = { type: 'clock' as const, range: 0, entries: [] as [string, number][], synced: false }
  fields(r, end, field => {
    if (field === 1) message.range = r.uint32()
    else if (field === 2) message.entries = decodeDots(r.bytes()).map(({ actor, counter }) => [actor, counter])
    else if (field === 3) message.synced = r.bool()
    else return false
  })
  if (message.entries.some(([actor], i) => actor === message.entries[i - 1]?.[0]))
    throw new CoterieError('protocol', 'a range clock that names an actor twice')
  return message
}

function decodeDead(r: protobuf.Reader, end: number): SyncMessage {
  const message = { type: 'dead' as const, range: 0, items: [] as DeadItem[] }
  fields(r, end, field => {
    if (field === 1) message.range = r.uint32()
    else if (field === 2) {
      let key: Uint8Array = new Uint8Array()
      let dots: Dot[] = []
      fields(r, r.uint32() + r.pos, f => {
        if (f === 1) key = r.bytes()
        else if (f === 2) dots = decodeDots(r.bytes())
        else return false
        return true
      })
      mustBeKey(key)
      message.items.push({ key, dots })
    } else return false
  })
  return message
}

function mustBeKey(key: Uint8Array): void {
  if (key.length === 0 || key.length > LIMITS.maxKeyBytes)
    throw new CoterieError('protocol', `a key of ${key.length} bytes`)
}
