/**
 * Frames of `/coterie/kv/1`: an id, a deadline, and one request, answer, error or part of a large frame (`kv.proto`).
 * Written by hand over protobufjs' Writer and Reader: several times faster than the reflecting encoder. Byte fields of a
 * decoded message are views of what was decoded; who keeps one for long copies it.
 *
 * @example
 *   const bytes = encodeFrame({ id: 1, timeoutMs: 500, request })
 *   const frame = decodeFrame(bytes)          // frame.request, frame.answer, frame.error, frame.part or frame.problem
 */
import protobuf from 'protobufjs/minimal.js'
import { asCoterieError, CoterieError, ERROR_CODES, type ErrorCode } from '../errors.ts'
import type { Answer, Request } from '../messages.ts'
import { ANSWERS } from './kv-answers.ts'
import {
  eachField,
  malformed,
  nestedEnd,
  putBytes,
  putFlag,
  putMessage,
  putNumber,
  putText,
  type Reader,
  readText,
  WIRE_LIMITS,
  type Writer
} from './kv-fields.ts'
import { REQUESTS } from './kv-requests.ts'

/** One of the bodies, always with an id. */
export type Frame = { id: number } & (
  | { request: Request; timeoutMs: number }
  | { answer: Answer }
  | { error: CoterieError }
  | { part: Uint8Array; more: boolean }
)

export interface DecodedFrame {
  id: number
  timeoutMs: number
  request?: Request
  answer?: Answer
  /** The error that the other side answered with. */
  error?: CoterieError
  part?: Uint8Array
  more: boolean
  /** Why the body cannot be used, though the id could be read: what to answer. */
  problem?: CoterieError
}

/** The largest state that a copy holds, or its values, and what surrounds them. */
export const MAX_FRAME_BYTES = WIRE_LIMITS.maxStateBytes + 1024 * 1024

const ERROR_FIELD = 5
const PART_FIELD = 3

interface AnyCodec {
  field: number
  write(w: Writer, message: unknown): void
  read(r: Reader, end: number): unknown
}

const requestFields = new Map((Object.values(REQUESTS) as AnyCodec[]).map(codec => [codec.field, codec]))
const answerFields = new Map((Object.values(ANSWERS) as AnyCodec[]).map(codec => [codec.field, codec]))

/** Throws `too-large` for a frame that no peer would take, `bad-usage` for a level that does not exist. */
export function encodeFrame(frame: Frame): Uint8Array {
  const w = protobuf.Writer.create()
  putNumber(w, 1, frame.id)
  if ('request' in frame) {
    putNumber(w, 2, frame.timeoutMs)
    writeBody(w, REQUESTS[frame.request.type] as AnyCodec, frame.request)
  } else if ('answer' in frame) writeBody(w, ANSWERS[frame.answer.type] as AnyCodec, frame.answer)
  else if ('error' in frame) putMessage(w, ERROR_FIELD, frame.error, writeError)
  else {
    putBytes(w, PART_FIELD, frame.part)
    putFlag(w, 4, frame.more)
  }
  if (w.len > MAX_FRAME_BYTES) {
    const isValues = 'answer' in frame && frame.answer.type === 'got'
    const advice = isValues ? '; these are the values of one key in several copies: delete the key' : ''
    throw new CoterieError('too-large', `a message of ${w.len} bytes; at most ${MAX_FRAME_BYTES} travel${advice}`)
  }
  // Shared: the writer is done with, so its buffer needs no copy.
  return w.finish(true)
}

function writeBody(w: Writer, codec: AnyCodec, message: unknown): void {
  w.uint32((codec.field << 3) | 2).fork()
  codec.write(w, message)
  w.ldelim()
}

function writeError(w: Writer, error: CoterieError): void {
  putText(w, 1, error.code)
  const { message } = error
  putText(w, 2, message.length > MAX_MESSAGE_CHARS ? `${message.slice(0, MAX_MESSAGE_CHARS)}…` : message)
}
/** Three bytes at most for a UTF-16 unit, and room for the mark. */
const MAX_MESSAGE_CHARS = WIRE_LIMITS.maxErrorBytes / 4

/**
 * Throws `protocol` only when not even the id can be read; else a frame, with `problem` set when its body is malformed or
 * of an unknown kind.
 */
export function decodeFrame(bytes: Uint8Array): DecodedFrame {
  const r = new protobuf.Reader(plain(bytes))
  const frame: DecodedFrame = { id: 0, timeoutMs: 0, more: false }
  try {
    eachField(r, r.len, field => readField(r, field, frame))
    if (!(frame.request || frame.answer || frame.error || frame.part)) {
      frame.problem = new CoterieError(
        'protocol',
        'a message of an unknown kind; the sender may be newer than this node'
      )
    }
  } catch (error) {
    frame.problem = isRangeError(error) ? malformed('it is cut short or garbled') : asProtocolError(error)
  }
  if (frame.id === 0) throw frame.problem ?? malformed('it has no id')
  return frame
}

function readField(r: Reader, field: number, frame: DecodedFrame): boolean {
  switch (field) {
    case 1:
      frame.id = r.uint32()
      return true
    case 2:
      frame.timeoutMs = r.uint32()
      return true
    case PART_FIELD:
      frame.part = r.bytes()
      return true
    case 4:
      frame.more = r.bool()
      return true
    case ERROR_FIELD:
      frame.error = readError(r)
      return true
  }
  const request = requestFields.get(field)
  if (request) frame.request = request.read(r, nestedEnd(r)) as Request
  const answer = answerFields.get(field)
  if (answer) frame.answer = answer.read(r, nestedEnd(r)) as Answer
  return request !== undefined || answer !== undefined
}

function readError(r: Reader): CoterieError {
  let code = ''
  let message = ''
  eachField(r, nestedEnd(r), field => {
    if (field === 1) code = readText(r, WIRE_LIMITS.maxErrorBytes, 'an error code')
    else if (field === 2) message = readText(r, WIRE_LIMITS.maxErrorBytes, 'an error message')
    else return false
    return true
  })
  // A newer peer may know codes that this one does not.
  if (!ERROR_CODES.includes(code as ErrorCode)) return new CoterieError('internal', `${code}: ${message}`)
  return new CoterieError(code as ErrorCode, message)
}

const isRangeError = (error: unknown) => error instanceof RangeError
const asProtocolError = (error: unknown) =>
  error instanceof CoterieError ? error : malformed(asCoterieError(error).message)

/** protobufjs gives the byte fields of a Buffer as Buffers; callers expect plain arrays. */
function plain(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes
  return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}

/** One request alone, for whoever carries frames by other means (the simulator). */
export const encodeRequest = (request: Request): Uint8Array => encodeFrame({ id: 1, timeoutMs: 0, request })
export const encodeAnswer = (answer: Answer): Uint8Array => encodeFrame({ id: 1, answer })

/** Throws `protocol`. */
export function decodeRequest(bytes: Uint8Array): Request {
  const { request, problem } = decodeFrame(bytes)
  if (problem || !request) throw problem ?? malformed('no request in it')
  return request
}

/** Throws `protocol`, or the error that was answered. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const { answer, error, problem } = decodeFrame(bytes)
  if (problem || error || !answer) throw problem ?? error ?? malformed('no answer in it')
  return answer
}
