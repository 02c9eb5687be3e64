/**
 * Admission as values: the messages of `hello.proto`, the proof that a side holds the cluster secret, and the comparison
 * of what both sides say they are. No I/O; `admission.ts` runs the exchange.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import protobuf from 'protobufjs/minimal.js'
import type { ClusterParams } from '../config.ts'
import { CoterieError, ERROR_CODES, type ErrorCode } from '../errors.ts'
import type { Caller } from '../ports.ts'
import {
  EMPTY,
  eachField,
  malformed,
  nestedEnd,
  putBytes,
  putFlag,
  putMessage,
  putNumber,
  putOptional,
  putText,
  type Reader,
  readBytes,
  readText,
  type Writer
} from './kv-fields.ts'

export const PROTOCOL_VERSION = 1
/** How keys become positions; fixed for every cluster of this version. */
export const HASH_NAME = 'sha256'
export const NONCE_BYTES = 32
export const SECRET_BYTES = 32
/** A hello is a few hundred bytes; a stranger gets to send no more than this. */
export const MAX_STEP_BYTES = 4096

const MAX_TEXT_BYTES = 1024
const PROOF_BYTES = 32
const ROLES: Caller['role'][] = ['node', 'client']

export interface Hello {
  version: number
  clusterId: string
  role: Caller['role']
  nonce: Uint8Array
  /** No secret held, and none wanted. */
  open: boolean
  /** Absent: adopts the other side's. */
  params?: HelloParams
}

export type HelloParams = Omit<ClusterParams, 'clusterId'> & { hash: string }

export interface Step {
  hello?: Uint8Array
  proof?: Uint8Array
  refusal?: CoterieError
  admitted: boolean
}

// ---- bytes

export function encodeHello(hello: Hello): Uint8Array {
  const w = protobuf.Writer.create()
  putNumber(w, 1, hello.version)
  putText(w, 2, hello.clusterId)
  putNumber(w, 3, ROLES.indexOf(hello.role))
  putBytes(w, 4, hello.nonce)
  putFlag(w, 5, hello.open)
  if (hello.params) putMessage(w, 6, hello.params, writeParams)
  return new Uint8Array(w.finish())
}

function writeParams(w: Writer, params: HelloParams): void {
  putText(w, 1, params.name)
  putNumber(w, 2, params.q)
  putNumber(w, 3, params.n)
  putNumber(w, 4, params.r)
  putNumber(w, 5, params.w)
  putText(w, 6, params.hash)
}

/** Throws `protocol`. */
export function decodeHello(bytes: Uint8Array): Hello {
  const hello: Hello = { version: 0, clusterId: '', role: 'node', nonce: EMPTY, open: false }
  readAll(bytes, r => field => {
    if (field === 1) hello.version = r.uint32()
    else if (field === 2) hello.clusterId = readText(r, MAX_TEXT_BYTES, 'a cluster id')
    else if (field === 3) hello.role = readRole(r)
    else if (field === 4) hello.nonce = readBytes(r, NONCE_BYTES, 'a nonce')
    else if (field === 5) hello.open = r.bool()
    else if (field === 6) hello.params = readParams(r)
    else return false
    return true
  })
  if (hello.nonce.length !== NONCE_BYTES) throw malformed(`a nonce of ${hello.nonce.length} bytes`)
  return hello
}

function readRole(r: Reader): Caller['role'] {
  const role = ROLES[r.uint32()]
  if (!role) throw malformed('an unknown role')
  return role
}

function readParams(r: Reader): HelloParams {
  const params: HelloParams = { name: '', q: 0, n: 0, r: 0, w: 0, hash: '' }
  eachField(r, nestedEnd(r), field => {
    if (field === 1) params.name = readText(r, MAX_TEXT_BYTES, 'a name')
    else if (field === 2) params.q = r.uint32()
    else if (field === 3) params.n = r.uint32()
    else if (field === 4) params.r = r.uint32()
    else if (field === 5) params.w = r.uint32()
    else if (field === 6) params.hash = readText(r, MAX_TEXT_BYTES, 'a hash name')
    else return false
    return true
  })
  return params
}

export function encodeStep({ hello, proof, refusal, admitted = false }: Partial<Step>): Uint8Array {
  const w = protobuf.Writer.create()
  putOptional(w, 1, hello)
  putOptional(w, 2, proof)
  if (refusal) {
    putMessage(w, 3, refusal, (w, error) => {
      putText(w, 1, error.code)
      putText(w, 2, error.message.slice(0, MAX_TEXT_BYTES / 4))
    })
  }
  putFlag(w, 4, admitted)
  return new Uint8Array(w.finish())
}

/** Throws `protocol`. */
export function decodeStep(bytes: Uint8Array): Step {
  const step: Step = { admitted: false }
  readAll(bytes, r => field => {
    if (field === 1) step.hello = readBytes(r, MAX_STEP_BYTES, 'a hello')
    else if (field === 2) step.proof = readBytes(r, MAX_STEP_BYTES, 'a proof')
    else if (field === 3) step.refusal = readRefusal(r)
    else if (field === 4) step.admitted = r.bool()
    else return false
    return true
  })
  return step
}

function readRefusal(r: Reader): CoterieError {
  let code = ''
  let message = ''
  eachField(r, nestedEnd(r), field => {
    if (field === 1) code = readText(r, MAX_TEXT_BYTES, 'a code')
    else if (field === 2) message = readText(r, MAX_TEXT_BYTES, 'a message')
    else return false
    return true
  })
  return new CoterieError(ERROR_CODES.includes(code as ErrorCode) ? (code as ErrorCode) : 'refused', message)
}

function readAll(bytes: Uint8Array, take: (r: Reader) => (field: number) => boolean): void {
  // Not `Reader.create`: byte fields shall be plain arrays, whatever came in.
  const r = new protobuf.Reader(bytes)
  try {
    eachField(r, r.len, take(r))
  } catch (error) {
    throw error instanceof CoterieError ? error : malformed(String(error))
  }
}

// ---- decisions

/** The two hellos of an exchange, as they were sent, and between whom. */
export interface Exchange {
  initiator: string
  acceptor: string
  initiatorHello: Uint8Array
  acceptorHello: Uint8Array
}

/** What only a holder of the secret can say, in this exchange, on this side. */
export function proofOf(secret: Uint8Array, side: 'initiator' | 'acceptor', exchange: Exchange): Uint8Array {
  const hmac = createHmac('sha256', secret)
  const text = (value: string) => new TextEncoder().encode(value)
  const { initiator, acceptor, initiatorHello, acceptorHello } = exchange
  const parts = [text('coterie-hello-1'), text(side), text(initiator), text(acceptor), initiatorHello, acceptorHello]
  for (const part of parts) {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, part.length)
    hmac.update(length).update(part)
  }
  return new Uint8Array(hmac.digest())
}

export function provesSecret(
  proof: Uint8Array | undefined,
  secret: Uint8Array,
  side: 'initiator' | 'acceptor',
  exchange: Exchange
): boolean {
  return proof?.length === PROOF_BYTES && timingSafeEqual(proof, proofOf(secret, side, exchange))
}

/**
 * Why two sides cannot be of one cluster, in words that `ours` says to `theirs`; undefined when they can. Two sides that
 * both lack the parameters are told to wait (`not-available`): one of them has to meet a member first.
 */
export function whyNot(ours: Hello, theirs: Hello): CoterieError | undefined {
  const refuse = (message: string) => new CoterieError('refused', message)
  if (theirs.version !== ours.version) {
    return refuse(`you speak protocol version ${theirs.version}, I speak ${ours.version}; run the same release`)
  }
  if (theirs.clusterId !== ours.clusterId) {
    return refuse(`you belong to cluster ${short(theirs.clusterId)}, I belong to cluster ${short(ours.clusterId)}`)
  }
  if (theirs.open !== ours.open) {
    const [holder, other] = ours.open ? ['you hold', 'I hold'] : ['I hold', 'you hold']
    return refuse(
      `${holder} a cluster secret and ${other} none; it takes the same on both sides, or none (an open cluster)`
    )
  }
  if (ours.params && theirs.params) return whyNotParams(ours.params, theirs.params)
  if (!ours.params && !theirs.params) {
    return new CoterieError('not-available', 'neither of us knows the parameters of the cluster yet; try again later')
  }
  return undefined
}

function whyNotParams(ours: HelloParams, theirs: HelloParams): CoterieError | undefined {
  const compared = { ranges: [ours.q, theirs.q], replicas: [ours.n, theirs.n], hash: [ours.hash, theirs.hash] } as const
  for (const [name, [mine, yours]] of Object.entries(compared)) {
    if (mine !== yours) {
      const message = `${name}: you have ${yours}, I have ${mine}; it is fixed when a cluster is made`
      return new CoterieError('refused', message)
    }
  }
  return undefined
}

const short = (clusterId: string) => (clusterId === '' ? '(none)' : `${clusterId.slice(0, 12)}…`)
