/** The kv channels of this side: one to each peer that is asked something, opened on the first request, shared by all. */
import type { Connection } from '@libp2p/interface'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Answer, Request } from '../messages.ts'
import type { Clock, RequestOptions, Timers } from '../ports.ts'
import { KvChannel, type KvLimits } from './kv-channel.ts'
import type { Liveness } from './liveness.ts'
import { openStream, withDeadline } from './streams.ts'

export const KV_PROTOCOL = '/coterie/kv/1'
/** One stream each way between two peers; a little more while one replaces another. */
export const KV_STREAMS = 4
/** Longer than the other side waits for the connection's admission. */
const OPEN_TIMEOUT_MS = 4000

export interface KvCallersInit {
  /** An admitted connection to a peer, dialling if need be. */
  connect: (peerId: string) => Promise<Connection>
  liveness: Liveness
  limits: KvLimits
  clock: Clock
  timers: Timers
}

interface Line {
  channel: KvChannel
  connection: Connection
}

export class KvCallers {
  readonly #init: KvCallersInit
  readonly #lines = new Map<string, Line>()
  readonly #opening = new Map<string, Promise<Line>>()
  #closed?: CoterieError

  constructor(init: KvCallersInit) {
    this.#init = init
  }

  /** As `KvChannel.request`; what goes wrong before the stream is open is `unreachable` (or the reason of a refusal). */
  request(peerId: string, request: Request, options: RequestOptions): Promise<Answer> {
    const line = this.#lines.get(peerId)
    return line ? this.#ask(line, request, options) : this.#askSoon(peerId, request, options)
  }

  /** The peer is gone. */
  lost(peerId: string): void {
    this.#lines.get(peerId)?.channel.close(new CoterieError('unreachable', `${peerId} has gone`))
  }

  close(reason: CoterieError): void {
    this.#closed = reason
    for (const { channel } of this.#lines.values()) channel.close(reason)
  }

  #ask({ channel, connection }: Line, request: Request, options: RequestOptions): Promise<Answer> {
    this.#init.liveness.asked(connection)
    return channel.request(request, options)
  }

  async #askSoon(peerId: string, request: Request, { timeoutMs, signal }: RequestOptions): Promise<Answer> {
    const { clock, timers } = this.#init
    const startMs = clock.monotonicMs()
    const what = `the kv stream to ${peerId}`
    let line: Line
    try {
      line = await withDeadline(timers, timeoutMs, what, () => this.#lineTo(peerId), signal)
    } catch (error) {
      throw signal?.aborted ? signal.reason : unreachable(what, error)
    }
    const leftMs = timeoutMs - (clock.monotonicMs() - startMs)
    return this.#ask(line, request, { timeoutMs: Math.max(1, leftMs), signal })
  }

  /** Shared by all requests that wait for it, and not bound to the deadline of any. */
  #lineTo(peerId: string): Promise<Line> {
    const existing = this.#lines.get(peerId)
    if (existing) return Promise.resolve(existing)
    const opening = this.#opening.get(peerId) ?? this.#open(peerId).finally(() => this.#opening.delete(peerId))
    this.#opening.set(peerId, opening)
    return opening
  }

  async #open(peerId: string): Promise<Line> {
    const { connect, liveness, limits, clock, timers } = this.#init
    const connection = await connect(peerId)
    liveness.asked(connection)
    const stream = await withDeadline(timers, OPEN_TIMEOUT_MS, `opening a kv stream to ${peerId}`, signal =>
      openStream(connection, KV_PROTOCOL, KV_STREAMS, signal)
    ).catch(error => {
      if (isCoterieError(error, 'timeout')) liveness.timedOut(connection)
      throw error
    })
    let line: Line | undefined
    const channel = new KvChannel({
      stream,
      peerId,
      clock,
      timers,
      limits,
      onHeard: () => liveness.heard(connection),
      onTimeout: () => liveness.timedOut(connection),
      onClosed: () => {
        if (line && this.#lines.get(peerId) === line) this.#lines.delete(peerId)
      }
    })
    line = { channel, connection }
    if (this.#closed) channel.close(this.#closed)
    if (!channel.isClosed) this.#lines.set(peerId, line)
    return line
  }
}

/** Nothing was sent yet, whatever went wrong. Refusals keep their code: trying on is of no use. */
export function unreachable(what: string, cause: unknown): CoterieError {
  if (isCoterieError(cause, 'refused', 'unreachable', 'closed', 'internal', 'overloaded', 'bad-usage')) return cause
  const message = cause instanceof Error ? cause.message : 'the connection closed'
  return new CoterieError('unreachable', `${what}: ${message}`, { cause })
}
