/** Answers as protobuf: one writer and one reader a kind, by the field number that `Frame` has for it (`kv.proto`). */
import { MAX_RANGES } from '../config.ts'
import type { Answer, CopyStatus, SiblingView } from '../messages.ts'
import {
  append,
  EMPTY,
  eachField,
  malformed,
  nestedEnd,
  putBytes,
  putClaims,
  putFlag,
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
  readName,
  readNumber,
  readRange,
  readRanges,
  readState,
  readText,
  WIRE_LIMITS,
  type Writer
} from './kv-fields.ts'

type Kind = Answer['type']
type Of<K extends Kind> = Extract<Answer, { type: K }>

const STATUSES: CopyStatus[] = ['none', 'syncing', 'synced', 'frozen']

interface Codec<K extends Kind> {
  /** Field of `Frame`. */
  field: number
  write(w: Writer, answer: Of<K>): void
  read(r: Reader, end: number): Of<K>
}

const got: Codec<'got'> = {
  field: 10,
  write(w, { siblings, context, replies, deletedAtMs }) {
    for (const sibling of siblings) putMessage(w, 1, sibling, writeSibling)
    putBytes(w, 2, context)
    putNumber(w, 3, replies)
    putNumber(w, 4, deletedAtMs)
  },
  read(r, end) {
    const answer: Of<'got'> = { type: 'got', siblings: [], context: EMPTY, replies: 0, deletedAtMs: 0 }
    eachField(r, end, field => {
      if (field === 1) append(answer.siblings, readSibling(r), WIRE_LIMITS.maxSiblings, 'siblings')
      else if (field === 2) answer.context = readContext(r)
      else if (field === 3) answer.replies = r.uint32()
      else if (field === 4) answer.deletedAtMs = readNumber(r)
      else return false
      return true
    })
    return answer
  }
}

function writeSibling(w: Writer, sibling: SiblingView): void {
  putBytes(w, 1, sibling.value)
  putText(w, 2, sibling.dot)
  putNumber(w, 3, sibling.expiresAtMs)
  putNumber(w, 4, sibling.writtenAtMs)
}

function readSibling(r: Reader): SiblingView {
  const sibling: SiblingView = { value: EMPTY, dot: '', expiresAtMs: 0, writtenAtMs: 0 }
  eachField(r, nestedEnd(r), field => {
    if (field === 1) sibling.value = readBytes(r, WIRE_LIMITS.maxStateBytes, 'a value')
    else if (field === 2) sibling.dot = readName(r)
    else if (field === 3) sibling.expiresAtMs = readNumber(r)
    else if (field === 4) sibling.writtenAtMs = readNumber(r)
    else return false
    return true
  })
  return sibling
}

const stored: Codec<'stored'> = {
  field: 11,
  write(w, answer) {
    putBytes(w, 1, answer.context)
    putText(w, 2, answer.dot)
    putNumber(w, 3, answer.acks)
    putFlag(w, 4, answer.sloppy)
    putNumber(w, 5, answer.siblings)
    putNumber(w, 6, answer.replaced)
  },
  read(r, end) {
    const answer: Of<'stored'> = {
      type: 'stored',
      context: EMPTY,
      dot: '',
      acks: 0,
      sloppy: false,
      siblings: 0,
      replaced: 0
    }
    eachField(r, end, field => {
      if (field === 1) answer.context = readContext(r)
      else if (field === 2) answer.dot = readName(r)
      else if (field === 3) answer.acks = r.uint32()
      else if (field === 4) answer.sloppy = r.bool()
      else if (field === 5) answer.siblings = r.uint32()
      else if (field === 6) answer.replaced = r.uint32()
      else return false
      return true
    })
    return answer
  }
}

const state: Codec<'state'> = {
  field: 12,
  write(w, { state, synced }) {
    putOptional(w, 1, state)
    putFlag(w, 2, synced)
  },
  read(r, end) {
    const answer: Of<'state'> = { type: 'state', synced: false }
    eachField(r, end, field => {
      if (field === 1) answer.state = readState(r)
      else if (field === 2) answer.synced = r.bool()
      else return false
      return true
    })
    return answer
  }
}

const merged: Codec<'merged'> = {
  field: 13,
  write(w, { synced, siblings }) {
    putFlag(w, 1, synced)
    putNumber(w, 2, siblings)
  },
  read(r, end) {
    const answer: Of<'merged'> = { type: 'merged', synced: false, siblings: 0 }
    eachField(r, end, field => {
      if (field === 1) answer.synced = r.bool()
      else if (field === 2) answer.siblings = r.uint32()
      else return false
      return true
    })
    return answer
  }
}

const keys: Codec<'keys'> = {
  field: 32,
  write(w, { keys, done }) {
    for (const key of keys) putOptional(w, 1, key)
    putFlag(w, 2, done)
  },
  read(r, end) {
    const answer: Of<'keys'> = { type: 'keys', keys: [], done: false }
    eachField(r, end, field => {
      if (field === 1) append(answer.keys, readKey(r), WIRE_LIMITS.maxKeys, 'keys')
      else if (field === 2) answer.done = r.bool()
      else return false
      return true
    })
    return answer
  }
}

const info: Codec<'info'> = {
  field: 33,
  write: (w, { json }) => putText(w, 1, json),
  read(r, end) {
    const answer: Of<'info'> = { type: 'info', json: '' }
    eachField(r, end, field => {
      if (field === 1) answer.json = readText(r, WIRE_LIMITS.maxStateBytes, 'a document')
      return field === 1
    })
    return answer
  }
}

const moved: Codec<'moved'> = {
  field: 34,
  write: (w, { claims }) => putClaims(w, 1, claims),
  read(r, end) {
    const answer: Of<'moved'> = { type: 'moved', claims: [] }
    eachField(r, end, field => {
      if (field === 1) append(answer.claims, readClaim(r), MAX_RANGES, 'claims')
      return field === 1
    })
    return answer
  }
}

const ok: Codec<'ok'> = {
  field: 35,
  write: () => {},
  read(r, end) {
    eachField(r, end, () => false)
    return { type: 'ok' }
  }
}

const asked: Codec<'asked'> = {
  field: 36,
  write(w, { granted, pending, refused }) {
    putClaims(w, 1, granted)
    putRanges(w, 2, pending)
    putRanges(w, 3, refused)
  },
  read(r, end) {
    const answer: Of<'asked'> = { type: 'asked', granted: [], pending: [], refused: [] }
    eachField(r, end, field => {
      if (field === 1) append(answer.granted, readClaim(r), MAX_RANGES, 'claims')
      else if (field === 2) readRanges(r, answer.pending)
      else if (field === 3) readRanges(r, answer.refused)
      else return false
      return true
    })
    return answer
  }
}

const pulled: Codec<'pulled'> = {
  field: 37,
  write(w, { synced, keysDone, keysTotal }) {
    putRanges(w, 1, synced)
    putNumber(w, 2, keysDone)
    putNumber(w, 3, keysTotal)
  },
  read(r, end) {
    const answer: Of<'pulled'> = { type: 'pulled', synced: [], keysDone: 0, keysTotal: 0 }
    eachField(r, end, field => {
      if (field === 1) readRanges(r, answer.synced)
      else if (field === 2) answer.keysDone = readNumber(r)
      else if (field === 3) answer.keysTotal = readNumber(r)
      else return false
      return true
    })
    return answer
  }
}

const mirrored: Codec<'mirrored'> = {
  field: 39,
  write(w, { continued, started, absent }) {
    putRanges(w, 1, continued)
    putRanges(w, 2, started)
    putRanges(w, 3, absent)
  },
  read(r, end) {
    const answer: Of<'mirrored'> = { type: 'mirrored', continued: [], started: [], absent: [] }
    eachField(r, end, field => {
      if (field === 1) readRanges(r, answer.continued)
      else if (field === 2) readRanges(r, answer.started)
      else if (field === 3) readRanges(r, answer.absent)
      else return false
      return true
    })
    return answer
  }
}

type Copy = Of<'copies'>['copies'][number]

const copies: Codec<'copies'> = {
  field: 38,
  write(w, { copies }) {
    for (const copy of copies) {
      putMessage(w, 1, copy, (w, { range, status }) => {
        putNumber(w, 1, range)
        putNumber(w, 2, STATUSES.indexOf(status))
      })
    }
  },
  read(r, end) {
    const answer: Of<'copies'> = { type: 'copies', copies: [] }
    eachField(r, end, field => {
      if (field === 1) append(answer.copies, readCopy(r), MAX_RANGES, 'copies')
      return field === 1
    })
    return answer
  }
}

function readCopy(r: Reader): Copy {
  const copy: Copy = { range: 0, status: 'none' }
  eachField(r, nestedEnd(r), field => {
    if (field === 1) copy.range = readRange(r)
    else if (field === 2) {
      const status = STATUSES[r.uint32()]
      if (status === undefined) throw malformed('an unknown copy status')
      copy.status = status
    } else return false
    return true
  })
  return copy
}

const reapable: Codec<'reapable'> = {
  field: 40,
  write: (w, { places }) => putRanges(w, 1, places),
  read(r, end) {
    const answer: Of<'reapable'> = { type: 'reapable', places: [] }
    eachField(r, end, field => {
      if (field === 1) readRanges(r, answer.places)
      return field === 1
    })
    return answer
  }
}

export const ANSWERS: { [K in Kind]: Codec<K> } = {
  got,
  stored,
  state,
  merged,
  keys,
  info,
  moved,
  ok,
  asked,
  pulled,
  mirrored,
  copies,
  reapable
}
