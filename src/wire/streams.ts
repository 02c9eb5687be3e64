/**
 * What js-libp2p's v3 streams leave to their users (measured in libp2p 3.3, utils 7.4): waiting until one may send again,
 * telling a stream that the other side ended from one whose connection died, deadlines as signals.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { pEvent } from 'p-event'
import { CoterieError } from '../errors.ts'
import type { Timers } from '../ports.ts'

/**
 * Resolves when `send` may be called again after it returned false. Rejects with `unreachable` when the stream is closed.
 * Not `stream.onDrain()`, which waits only the first time. `drain` also fires when a window update frees less than is
 * queued, so the flag is looked at again.
 */
export async function drained(stream: Stream): Promise<void> {
  while (stream.writableNeedsDrain) {
    if (stream.writeStatus === 'closed') throw brokenStream(stream)
    await pEvent(stream, 'drain', { rejectionEvents: ['close'] }).catch(() => {
      throw brokenStream(stream)
    })
  }
}

export function brokenStream(stream: Stream, cause?: unknown): CoterieError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new CoterieError('unreachable', `the ${stream.protocol} stream broke (${stream.status})${why}`, { cause })
}

/** The bytes of a `message` event as one plain Uint8Array, without a copy where they lie in one piece. */
export function bytesOf(data: Uint8Array | { subarray(): Uint8Array }): Uint8Array {
  const bytes = data.subarray()
  return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}

/** The same, as the pieces that they lie in. */
export function piecesOf(data: Uint8Array | Iterable<Uint8Array>): Iterable<Uint8Array> {
  return data instanceof Uint8Array ? [data] : data
}

/** Starts or stops reading; no effect on a stream that is past it. */
export function setPaused(stream: Stream, paused: boolean): void {
  if (stream.readStatus === 'closed' || stream.readStatus === 'closing') return
  try {
    if (paused) stream.pause()
    else stream.resume()
  } catch {
    // Resuming hands over what was buffered first, then tells the muxer, which throws when the connection has just died:
    // the stream's own `close` event is what says so.
  }
}

/** Opens a stream; one that was opened just when `signal` aborted is given up, not left behind. */
export async function openStream(
  connection: Connection,
  protocol: string,
  maxOutboundStreams: number,
  signal: AbortSignal
): Promise<Stream> {
  const stream = await connection.newStream(protocol, { signal, maxOutboundStreams })
  if (signal.aborted) {
    stream.abort(signal.reason as Error)
    throw signal.reason
  }
  return stream
}

/** Runs `work` with a signal that aborts after `timeoutMs` or with `signal`, whichever comes first. */
export async function withDeadline<T>(
  timers: Timers,
  timeoutMs: number,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal
): Promise<T> {
  const controller = new AbortController()
  const timeout = () => new CoterieError('timeout', `${what} took longer than ${Math.round(timeoutMs)} ms`)
  const timer = timers.after(timeoutMs, () => controller.abort(timeout()))
  const onAbort = () => controller.abort(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await raceSignal(work(controller.signal), controller.signal)
  } catch (error) {
    // libp2p wraps aborts in errors of its own: the reason is what the caller needs.
    throw controller.signal.aborted ? controller.signal.reason : error
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
  }
}

/** `promise`, or the signal's reason as soon as it aborts; what `promise` does later is ignored. */
export function raceSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
