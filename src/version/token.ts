/**
 * The opaque context that a read returns and a write brings back: a causal context bound to its key and cluster, with
 * a checksum. It is no secret and no seal: admitted clients are trusted (design §12); the checks are against mix-ups.
 *
 *     version 1 | cluster 8 | key 8 | length 4 | context (wire/state.proto) | CRC-32 of all before 4
 *
 * Cluster and key are the first 8 bytes of the SHA-256 of the cluster id and of the key; integers are big-endian.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { CoterieError } from '../errors.ts'
import type { CausalContext } from './causal-context.ts'
import { decodeBareContext, encodeBareContext } from './codec.ts'

/** What a token is bound to. */
export interface TokenScope {
  clusterId: string
  key: Uint8Array
}

const VERSION = 1
const MARK_BYTES = 8
const AT_CLUSTER = 1
const AT_KEY = AT_CLUSTER + MARK_BYTES
const AT_LENGTH = AT_KEY + MARK_BYTES
const AT_CONTEXT = AT_LENGTH + 4
const CRC_BYTES = 4

export function encodeContext(context: CausalContext, scope: TokenScope): Uint8Array {
  const body = encodeBareContext(context)
  const token = new Uint8Array(AT_CONTEXT + body.length + CRC_BYTES)
  const view = new DataView(token.buffer)
  token[0] = VERSION
  token.set(clusterMark(scope.clusterId), AT_CLUSTER)
  token.set(mark(scope.key), AT_KEY)
  view.setUint32(AT_LENGTH, body.length)
  token.set(body, AT_CONTEXT)
  view.setUint32(AT_CONTEXT + body.length, crc32(token.subarray(0, AT_CONTEXT + body.length)))
  return token
}

/** Throws `bad-context` with the reason: cut short, changed, of another key or cluster, of a newer version. */
export function decodeContext(bytes: Uint8Array, scope: TokenScope): CausalContext {
  if (bytes.length < AT_CONTEXT + CRC_BYTES) throw bad('is cut short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const end = AT_CONTEXT + view.getUint32(AT_LENGTH)
  if (bytes[0] !== VERSION) throw bad(`has the unknown version ${bytes[0]}`)
  if (bytes.length < end + CRC_BYTES) throw bad('is cut short')
  if (bytes.length > end + CRC_BYTES || view.getUint32(end) !== crc32(bytes.subarray(0, end))) {
    throw bad('was changed on its way: its checksum does not match')
  }
  if (!isMark(bytes, AT_CLUSTER, clusterMark(scope.clusterId))) throw bad('belongs to another cluster')
  if (!isMark(bytes, AT_KEY, mark(scope.key))) throw bad('belongs to another key')
  try {
    return decodeBareContext(bytes.subarray(AT_CONTEXT, end))
  } catch (error) {
    throw bad('is none that coterie writes', error)
  }
}

/** base64url without padding: fit for a command line, a header and a query. */
export function tokenToString(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}

/** Throws `bad-context` for anything that is not base64url; says nothing yet about what the bytes mean. */
export function tokenFromString(text: string): Uint8Array {
  // A length of 1 modulo 4 cannot come from whole bytes; Buffer would drop the rest without a word.
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw bad('is not written in base64url')
  if (text.length % 4 === 1) throw bad('is cut short')
  return new Uint8Array(Buffer.from(text, 'base64url'))
}

function mark(of: string | Uint8Array): Uint8Array {
  return hash('sha256', of, 'buffer').subarray(0, MARK_BYTES)
}

/** A process serves one cluster, or few: its mark need not be worked out for every token. */
let latest = { clusterId: '', mark: mark('') }
function clusterMark(clusterId: string): Uint8Array {
  if (latest.clusterId !== clusterId) latest = { clusterId, mark: mark(clusterId) }
  return latest.mark
}

function isMark(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  return expected.every((byte, index) => bytes[at + index] === byte)
}

function bad(what: string, cause?: unknown): CoterieError {
  return new CoterieError('bad-context', `the context ${what}; read the key again and use the context of that read`, {
    cause
  })
}
