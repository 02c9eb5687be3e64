/** Bytes of the messages in which range files travel, as `wire/sync.proto` describes them. */
import protobuf from 'protobufjs/minimal.js'
import { CoterieError } from '../errors.ts'
import { bytes, fields, varint } from './sync-fields.ts'

/** A file by its id (16 hex digits), and how far it reaches. */
export interface FileLength {
  fileId: string
  bytes: number
}

export type FileMessage =
  | { type: 'fetch'; ranges: { range: number; have: FileLength[] }[] }
  | { type: 'files'; range: number; files: FileLength[]; last: boolean }
  | FilePiece

export interface FilePiece {
  type: 'bytes'
  range: number
  fileId: string
  offset: number
  bytes: Uint8Array
}

const FILE_ID_BYTES = 8

export function encodeFileMessage(w: protobuf.Writer, message: Exclude<FileMessage, FilePiece>): void {
  switch (message.type) {
    case 'fetch':
      for (const { range, have } of message.ranges) {
        w.uint32(bytes(1)).fork()
        w.uint32(varint(1)).uint32(range)
        encodeFiles(w, have)
        w.ldelim()
      }
      break
    case 'files':
      w.uint32(varint(1)).uint32(message.range)
      encodeFiles(w, message.files)
      if (message.last) w.uint32(varint(3)).bool(true)
      break
  }
}

/** All of such a message, of this number: what stands before its bytes, and those as they are. */
export function encodePiece(type: number, { range, fileId, offset, bytes: piece }: FilePiece): Uint8Array[] {
  const body = protobuf.Writer.create().uint32(varint(1)).uint32(range)
  body.uint32(bytes(2)).bytes(Buffer.from(fileId, 'hex')).uint32(varint(3)).uint64(offset)
  const head = body.uint32(bytes(4)).uint32(piece.length).finish()
  const start = protobuf.Writer.create()
    .uint32(bytes(type))
    .uint32(head.length + piece.length)
    .finish()
  return [Buffer.concat([start, head]), piece]
}

export function decodeFileMessage(r: protobuf.Reader, type: FileMessage['type'], end: number): FileMessage {
  return type === 'fetch' ? decodeFetch(r, end) : type === 'files' ? decodeFiles(r, end) : decodeBytes(r, end)
}

/** As field 2. */
function encodeFiles(w: protobuf.Writer, files: readonly FileLength[]): void {
  for (const { fileId, bytes: length } of files) {
    w.uint32(bytes(2)).fork()
    w.uint32(bytes(1)).bytes(Buffer.from(fileId, 'hex')).uint32(varint(2)).uint64(length)
    w.ldelim()
  }
}

function decodeFetch(r: protobuf.Reader, end: number): FileMessage {
  const message: Extract<FileMessage, { type: 'fetch' }> = { type: 'fetch', ranges: [] }
  fields(r, end, field => {
    if (field !== 1) return false
    const wanted = { range: 0, have: [] as FileLength[] }
    fields(r, r.uint32() + r.pos, f =>
      f === 1 ? (wanted.range = r.uint32()) : f === 2 ? wanted.have.push(decodeFile(r)) : false
    )
    message.ranges.push(wanted)
  })
  return message
}

function decodeFiles(r: protobuf.Reader, end: number): FileMessage {
  const message: Extract<FileMessage, { type: 'files' }> = { type: 'files', range: 0, files: [], last: false }
  fields(r, end, field => {
    if (field === 1) message.range = r.uint32()
    else if (field === 2) message.files.push(decodeFile(r))
    else if (field === 3) message.last = r.bool()
    else return false
  })
  return message
}

function decodeFile(r: protobuf.Reader): FileLength {
  const file = { fileId: '', bytes: 0 }
  fields(r, r.uint32() + r.pos, f =>
    f === 1 ? (file.fileId = readFileId(r)) : f === 2 ? (file.bytes = readLength(r)) : false
  )
  return file
}

function decodeBytes(r: protobuf.Reader, end: number): FileMessage {
  const message: FilePiece = { type: 'bytes', range: 0, fileId: '', offset: 0, bytes: new Uint8Array() }
  fields(r, end, field => {
    if (field === 1) message.range = r.uint32()
    else if (field === 2) message.fileId = readFileId(r)
    else if (field === 3) message.offset = readLength(r)
    else if (field === 4) message.bytes = r.bytes()
    else return false
  })
  return message
}

function readFileId(r: protobuf.Reader): string {
  const id = r.bytes()
  if (id.length !== FILE_ID_BYTES) throw new CoterieError('protocol', `a file id of ${id.length} bytes`)
  return Buffer.from(id).toString('hex')
}

function readLength(r: protobuf.Reader): number {
  const length = Number(r.uint64())
  if (!Number.isSafeInteger(length)) throw new CoterieError('protocol', 'a length beyond any file')
  return length
}
