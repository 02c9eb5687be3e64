/**
 * A peer of a coterie cluster made of libp2p, full protobufjs and docs/protocol.md: nothing here imports from `src`. It
 * has no identify, no mDNS and no limits; it shows that the page is enough, not how a good implementation looks.
 */
import { timingSafeEqual } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import type { Connection, Libp2p, PrivateKey, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { codec, framed, proofOf, unframed } from './rules.ts'

export function foreignHost(privateKey?: PrivateKey): Promise<Libp2p> {
  return createLibp2p({
    ...(privateKey && { privateKey }),
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false }
  })
}

/** A stream as messages. */
export class Messages {
  readonly #stream: Stream
  readonly #chunks: AsyncIterator<Uint8Array | { subarray(): Uint8Array }>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(stream: Stream) {
    this.#stream = stream
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /** The library queues what the other side cannot take yet. */
  send(message: Uint8Array): void {
    this.#stream.send(framed(message))
  }

  /** Undefined once the other side has ended its half. Rejects when the stream broke. */
  async receive(): Promise<Uint8Array | undefined> {
    for (;;) {
      const found = unframed(this.#rest)
      if (found) {
        this.#rest = found.rest
        return found.message
      }
      const next = await this.#chunks.next()
      if (next.done) return undefined
      this.#rest = Buffer.concat([this.#rest, next.value.subarray()])
    }
  }

  async end(): Promise<void> {
    await this.#stream.close()
  }

  abort(reason: Error): void {
    this.#stream.abort(reason)
  }
}

// ---- hello

export interface Params {
  name: string
  q: number
  n: number
  r: number
  w: number
  hash: string
}
interface Hello {
  version: number
  clusterId: string
  params?: Params
}
interface Step {
  hello?: Uint8Array
  proof?: Uint8Array
  refusal?: { code: string; message: string }
  admitted: boolean
}
export interface HelloInit {
  clusterId: string
  secret: Uint8Array
  role: 'NODE' | 'CLIENT'
  version?: number
  params?: Params
  /** Believes whatever the other side proves: to hear what it says about our own proof. */
  gullible?: boolean
}

/** The other side's words. */
export class Refused extends Error {
  readonly code: string

  constructor({ code, message }: { code: string; message: string }) {
    super(message)
    this.code = code
  }
}

const helloCodec = codec<Hello>('hello.Hello')
const stepCodec = codec<Step>('hello.Step')

/** Introduces us as the initiator; gives the parameters of the cluster once we are admitted. */
export async function introduce(connection: Connection, self: string, init: HelloInit): Promise<Params> {
  const { clusterId, secret, role, version = 1, params, gullible = false } = init
  const stream = new Messages(await connection.newStream('/coterie/hello/1'))
  const nonce = crypto.getRandomValues(new Uint8Array(32))
  const initiatorHello = helloCodec.encode({ version, clusterId, role, nonce, ...(params && { params }) })
  stream.send(stepCodec.encode({ hello: initiatorHello }))
  const answer = await step(stream)
  const exchange = {
    initiator: self,
    acceptor: connection.remotePeer.toString(),
    initiatorHello,
    acceptorHello: answer.hello!
  }
  const due = proofOf(secret, 'acceptor', exchange)
  if (!gullible && !(answer.proof?.length === due.length && timingSafeEqual(answer.proof, due))) {
    stream.send(stepCodec.encode({ refusal: { code: 'refused', message: 'your proof does not fit' } }))
    await stream.end()
    throw new Error('the acceptor does not hold the secret')
  }
  stream.send(stepCodec.encode({ proof: proofOf(secret, 'initiator', exchange) }))
  if (!(await step(stream)).admitted) throw new Error('neither admitted nor refused')
  await stream.end()
  return params ?? helloCodec.decode(answer.hello!).params!
}

async function step(stream: Messages): Promise<Step> {
  const message = await stream.receive()
  if (message === undefined) throw new Error('the hello ended early')
  const decoded = stepCodec.decode(message)
  if (!decoded.refusal) return decoded
  await stream.end()
  throw new Refused(decoded.refusal)
}

// ---- kv

/** A decoded frame; `body` names the field that is set. */
export interface Frame {
  id: number
  timeoutMs: number
  part: Uint8Array
  more: boolean
  body?: string
  error?: { code: string; message: string }
  [answerOrRequest: string]: unknown
}

const WHOLE_BYTES = 256 * 1024
const PART_BYTES = 128 * 1024
const frameCodec = codec<Frame>('kv.Frame')

/** Cuts what is too long, puts together what came in parts. */
class Frames {
  readonly #stream: Messages
  readonly #parts = new Map<number, Uint8Array[]>()

  constructor(stream: Messages) {
    this.#stream = stream
  }

  send(frame: { id: number } & Record<string, unknown>): void {
    const bytes = frameCodec.encode(frame)
    if (bytes.length <= WHOLE_BYTES) {
      this.#stream.send(bytes)
      return
    }
    for (let at = 0; at < bytes.length; at += PART_BYTES) {
      const more = at + PART_BYTES < bytes.length
      this.#stream.send(frameCodec.encode({ id: frame.id, part: bytes.subarray(at, at + PART_BYTES), more }))
    }
  }

  async receive(): Promise<Frame | undefined> {
    for (;;) {
      const message = await this.#stream.receive()
      if (message === undefined) return undefined
      const frame = frameCodec.decode(message)
      if (frame.part.length === 0) return frame
      const parts = [...(this.#parts.get(frame.id) ?? []), frame.part]
      this.#parts.set(frame.id, parts)
      if (frame.more) continue
      this.#parts.delete(frame.id)
      return { ...frameCodec.decode(Buffer.concat(parts)), id: frame.id }
    }
  }
}

/** An error that a node answered with. */
export class Answered extends Refused {}

/** The calling end of a kv stream. */
export class Kv {
  readonly #stream: Messages
  readonly #frames: Frames
  readonly #waiting = new Map<number, { resolve(frame: Frame): void; reject(error: Error): void }>()
  #lastId = 0

  private constructor(stream: Messages) {
    this.#stream = stream
    this.#frames = new Frames(stream)
  }

  static async open(connection: Connection): Promise<Kv> {
    const kv = new Kv(new Messages(await connection.newStream('/coterie/kv/1')))
    void kv.#listen()
    return kv
  }

  /** The answer of the kind that is due. Throws `Answered`. */
  async request<T>(request: string, content: object, answer: string, timeoutMs = 5000): Promise<T> {
    const id = ++this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<Frame>()
    this.#waiting.set(id, { resolve, reject })
    // Late: the node says nothing once the deadline has passed.
    const late = setTimeout(() => reject(new Error(`no answer to ${request} within ${timeoutMs} ms`)), timeoutMs)
    try {
      this.#frames.send({ id, timeoutMs, [request]: content })
      const frame = await promise
      if (frame.error) throw new Answered(frame.error)
      if (frame.body !== answer) throw new Error(`${frame.body} answers ${request}`)
      return frame[answer] as T
    } finally {
      clearTimeout(late)
      this.#waiting.delete(id)
    }
  }

  async close(): Promise<void> {
    await this.#stream.end()
  }

  async #listen(): Promise<void> {
    let reason = new Error('the kv stream ended')
    try {
      for (let frame = await this.#frames.receive(); frame; frame = await this.#frames.receive()) {
        this.#waiting.get(frame.id)?.resolve(frame)
      }
    } catch (error) {
      reason = error as Error
    }
    for (const { reject } of this.#waiting.values()) reject(reason)
  }
}

/** The answering end: `handle` gives the answer's name and content, or throws. */
export async function serveKv(
  stream: Stream,
  handle: (frame: Frame) => Promise<[answer: string, content: object]>
): Promise<void> {
  const messages = new Messages(stream)
  const frames = new Frames(messages)
  const answerTo = async (frame: Frame) => {
    try {
      const [answer, content] = await handle(frame)
      frames.send({ id: frame.id, [answer]: content })
    } catch (error) {
      frames.send({ id: frame.id, error: { code: 'internal', message: String(error) } })
    }
  }
  for (let frame = await frames.receive(); frame; frame = await frames.receive()) void answerTo(frame)
  await messages.end()
}

export async function dial(host: Libp2p, address: string): Promise<Connection> {
  return host.dial(multiaddr(address))
}
