/** Requests as protobuf: one writer and one reader a kind, by the field number that `Frame` has for it (`kv.proto`). */
import { LIMITS, MAX_RANGES } from '../config.ts'
import { MANAGE_ACTIONS, type Request, type Tombstone } from '../messages.ts'
import {
  append,
  EMPTY,
  eachField,
  malformed,
  needKey,
  nestedEnd,
  putBytes,
  putClaims,
  putFixed32,
  putFlag,
  putLevel,
  putMessage,
  putNumber,
  putOptional,
  putRanges,
  putText,
  type Reader,
  readBytes,
  readClaim,
  readContext,
  readKey,
  readLevel,
  readName,
  readNumber,
  readRange,
  readRanges,
  readState,
  WIRE_LIMITS,
  type Writer
} from './kv-fields.ts'

type Kind = Request['type']
type Of<K extends Kind> = Extract<Request, { type: K }>

const WRITE_ID_BYTES = 8
const TOPICS = ['cluster', 'members', 'ring', 'stats', 'where', 'transfers', 'copies', 'status'] as const

interface Codec<K extends Kind> {
  /** Field of `Frame`. */
  field: number
  write(w: Writer, request: Of<K>): void
  read(r: Reader, end: number): Of<K>
}

const get: Codec<'get'> = {
  field: 6,
  write(w, { key, r, forwarded }) {
    putBytes(w, 1, key)
    putLevel(w, 2, r)
    putFlag(w, 3, forwarded)
  },
  read(r, end) {
    const request: Of<'get'> = { type: 'get', key: EMPTY, r: 'default', forwarded: false }
    eachField(r, end, field => {
      if (field === 1) request.key = readKey(r)
      else if (field === 2) request.r = readLevel(r)
      else if (field === 3) request.forwarded = r.bool()
      else return false
      return true
    })
    needKey(request.key)
    return request
  }
}

const put: Codec<'put'> = {
  field: 7,
  write(w, request) {
    putBytes(w, 1, request.key)
    putOptional(w, 2, request.value)
    putOptional(w, 3, request.context)
    putLevel(w, 4, request.w)
    putNumber(w, 5, request.expiresAtMs)
    putBytes(w, 6, request.writeId)
    putFlag(w, 7, request.forwarded)
  },
  read(r, end) {
    const request: Of<'put'> = {
      type: 'put',
      key: EMPTY,
      w: 'default',
      expiresAtMs: 0,
      writeId: EMPTY,
      forwarded: false
    }
    eachField(r, end, field => {
      if (field === 1) request.key = readKey(r)
      else if (field === 2) request.value = readBytes(r, LIMITS.maxStateBytes, 'a value')
      else if (field === 3) request.context = readContext(r)
      else if (field === 4) request.w = readLevel(r)
      else if (field === 5) request.expiresAtMs = readNumber(r)
      else if (field === 6) request.writeId = readBytes(r, WRITE_ID_BYTES, 'a write id')
      else if (field === 7) request.forwarded = r.bool()
      else return false
      return true
    })
    needKey(request.key)
    if (request.writeId.length !== WRITE_ID_BYTES) throw malformed(`a write id of ${request.writeId.length} bytes`)
    return request
  }
}

const read: Codec<'read'> = {
  field: 8,
  write(w, { range, key, standIn }) {
    putNumber(w, 1, range)
    putBytes(w, 2, key)
    putFlag(w, 3, standIn)
  },
  read(r, end) {
    const request: Of<'read'> = { type: 'read', range: 0, key: EMPTY, standIn: false }
    eachField(r, end, field => {
      if (field === 1) request.range = readRange(r)
      else if (field === 2) request.key = readKey(r)
      else if (field === 3) request.standIn = r.bool()
      else return false
      return true
    })
    needKey(request.key)
    return request
  }
}

const merge: Codec<'merge'> = {
  field: 9,
  write(w, { range, key, state, standIn }) {
    putNumber(w, 1, range)
    putBytes(w, 2, key)
    putBytes(w, 3, state)
    putFlag(w, 4, standIn)
  },
  read(r, end) {
    const request: Of<'merge'> = { type: 'merge', range: 0, key: EMPTY, state: EMPTY, standIn: false }
    eachField(r, end, field => {
      if (field === 1) request.range = readRange(r)
      else if (field === 2) request.key = readKey(r)
      else if (field === 3) request.state = readState(r)
      else if (field === 4) request.standIn = r.bool()
      else return false
      return true
    })
    needKey(request.key)
    return request
  }
}

const keys: Codec<'keys'> = {
  field: 16,
  write(w, { range, after, limit, prefix, forwarded }) {
    putNumber(w, 1, range)
    putBytes(w, 2, after)
    putNumber(w, 3, limit)
    putBytes(w, 4, prefix)
    putFlag(w, 5, forwarded)
  },
  read(r, end) {
    const request: Of<'keys'> = { type: 'keys', range: 0, after: EMPTY, limit: 0, prefix: EMPTY, forwarded: false }
    eachField(r, end, field => {
      if (field === 1) request.range = readRange(r)
      else if (field === 2) request.after = readKey(r)
      else if (field === 3) request.limit = r.uint32()
      else if (field === 4) request.prefix = readKey(r)
      else if (field === 5) request.forwarded = r.bool()
      else return false
      return true
    })
    if (request.limit > WIRE_LIMITS.maxKeys) throw malformed(`a limit of ${request.limit} keys`)
    return request
  }
}

const info: Codec<'info'> = {
  field: 17,
  write(w, { what, key }) {
    putNumber(w, 1, TOPICS.indexOf(what))
    putOptional(w, 2, key)
  },
  read(r, end) {
    const request: Of<'info'> = { type: 'info', what: 'cluster' }
    eachField(r, end, field => {
      if (field === 1) request.what = readOneOf(r, TOPICS, 'topic of "info"')
      else if (field === 2) request.key = readKey(r)
      else return false
      return true
    })
    return request
  }
}

const claims: Codec<'claims'> = {
  field: 18,
  write: (w, { claims }) => putClaims(w, 1, claims),
  read(r, end) {
    const request: Of<'claims'> = { type: 'claims', claims: [] }
    eachField(r, end, field => {
      if (field !== 1) return false
      append(request.claims, readClaim(r), MAX_RANGES, 'claims')
      return true
    })
    return request
  }
}

function rangesCodec<K extends 'ask' | 'mirror' | 'copies' | 'deliver'>(type: K, field: number): Codec<K> {
  return {
    field,
    write: (w, request: Of<'ask' | 'mirror' | 'copies' | 'deliver'>) => putRanges(w, 1, request.ranges),
    read(r, end) {
      const ranges: number[] = []
      eachField(r, end, field => {
        if (field === 1) readRanges(r, ranges)
        return field === 1
      })
      return { type, ranges } as Of<K>
    }
  }
}

const pull: Codec<'pull'> = {
  field: 20,
  write(w, { ranges, sources }) {
    putRanges(w, 1, ranges)
    putNames(w, 2, sources)
  },
  read(r, end) {
    const request: Of<'pull'> = { type: 'pull', ranges: [], sources: [] }
    eachField(r, end, field => {
      if (field === 1) readRanges(r, request.ranges)
      else if (field === 2) append(request.sources, readName(r), WIRE_LIMITS.maxSources, 'sources')
      else return false
      return true
    })
    return request
  }
}

const seal: Codec<'seal'> = {
  field: 22,
  write(w, { ranges, member }) {
    putRanges(w, 1, ranges)
    putText(w, 2, member)
  },
  read(r, end) {
    const request: Of<'seal'> = { type: 'seal', ranges: [], member: '' }
    eachField(r, end, field => {
      if (field === 1) readRanges(r, request.ranges)
      else if (field === 2) request.member = readName(r)
      else return false
      return true
    })
    return request
  }
}

const reap: Codec<'reap'> = {
  field: 24,
  write(w, { range, tombstones, proven }) {
    putNumber(w, 1, range)
    for (const tombstone of tombstones) putMessage(w, 2, tombstone, writeTombstone)
    putFlag(w, 3, proven)
  },
  read(r, end) {
    const request: Of<'reap'> = { type: 'reap', range: 0, tombstones: [], proven: false }
    eachField(r, end, field => {
      if (field === 1) request.range = readRange(r)
      else if (field === 2) append(request.tombstones, readTombstone(r), WIRE_LIMITS.maxTombstones, 'tombstones')
      else if (field === 3) request.proven = r.bool()
      else return false
      return true
    })
    return request
  }
}

const manage: Codec<'manage'> = {
  field: 25,
  write(w, { action, peerId, force, ranges }) {
    putNumber(w, 1, MANAGE_ACTIONS.indexOf(action))
    putText(w, 2, peerId)
    putFlag(w, 3, force)
    putRanges(w, 4, ranges)
  },
  read(r, end) {
    const request: Of<'manage'> = { type: 'manage', action: 'leave', peerId: '', ranges: [], force: false }
    eachField(r, end, field => {
      if (field === 1) request.action = readOneOf(r, MANAGE_ACTIONS, 'action of "manage"')
      else if (field === 2) request.peerId = readName(r)
      else if (field === 3) request.force = r.bool()
      else if (field === 4) readRanges(r, request.ranges)
      else return false
      return true
    })
    return request
  }
}

const accept: Codec<'accept'> = {
  field: 26,
  write(w, { ranges, holders }) {
    putRanges(w, 1, ranges)
    putNames(w, 2, holders)
  },
  read(r, end) {
    const request: Of<'accept'> = { type: 'accept', ranges: [], holders: [] }
    eachField(r, end, field => {
      if (field === 1) readRanges(r, request.ranges)
      else if (field === 2) append(request.holders, readName(r), WIRE_LIMITS.maxSources, 'holders')
      else return false
      return true
    })
    return request
  }
}

/** Empty names are written too: a repeated field has no defaults to leave out. */
function putNames(w: Writer, field: number, names: readonly string[]): void {
  for (const name of names) w.uint32((field << 3) | 2).string(name)
}

/** The name of that number; `what`: of what, for who sends one that there is not. */
function readOneOf<T>(r: Reader, names: readonly T[], what: string): T {
  const name = names[r.uint32()]
  if (name === undefined) throw malformed(`an unknown ${what}; the other side may be newer than this one`)
  return name
}

function writeTombstone(w: Writer, { hi, lo, tag, context }: Tombstone): void {
  putFixed32(w, 1, hi)
  putFixed32(w, 2, lo)
  putFixed32(w, 3, tag)
  putBytes(w, 4, context)
}

function readTombstone(r: Reader): Tombstone {
  const tombstone: Tombstone = { hi: 0, lo: 0, tag: 0, context: EMPTY }
  eachField(r, nestedEnd(r), field => {
    if (field === 1) tombstone.hi = r.fixed32()
    else if (field === 2) tombstone.lo = r.fixed32()
    else if (field === 3) tombstone.tag = r.fixed32()
    else if (field === 4) tombstone.context = readContext(r)
    else return false
    return true
  })
  return tombstone
}

export const REQUESTS: { [K in Kind]: Codec<K> } = {
  get,
  put,
  read,
  merge,
  keys,
  info,
  claims,
  ask: rangesCodec('ask', 19),
  pull,
  mirror: rangesCodec('mirror', 21),
  seal,
  copies: rangesCodec('copies', 23),
  reap,
  manage,
  accept,
  deliver: rangesCodec('deliver', 27)
}
