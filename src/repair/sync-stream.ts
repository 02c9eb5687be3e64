/** Both directions of a session of `/coterie/sync/1`, whatever it is about. */
import { pipe } from 'it-pipe'
import { CoterieError } from '../errors.ts'
import type { Duplex, Network, Outgoing, Timer, Timers } from '../ports.ts'
import type { Outbox } from './outbox.ts'
import { decodeSync, encodeSync, type SyncMessage } from './sync-codec.ts'

/** A session in which nothing arrives for this long is given up; its work so far stays (failures 48). */
const PROGRESS_TIMEOUT_MS = 20_000
const OPEN_TIMEOUT_MS = 5000

/** Opens a stream and holds a session on it; one that fails before it has begun leaves no stream behind. */
export async function withStream<T>(
  network: Network,
  peer: string,
  signal: AbortSignal | undefined,
  session: (stream: Duplex) => Promise<T>
): Promise<T> {
  const stream = await network.open(peer, 'sync', { timeoutMs: OPEN_TIMEOUT_MS, signal })
  try {
    return await session(stream)
  } catch (error) {
    // A copy that went away while the stream was opened fails the session before it has begun.
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

/** Aborts the stream when nothing arrives in time, or when the caller gives up. */
export class Watch {
  readonly #timers: Timers
  readonly #stream: Duplex
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = () => this.#stream.abort(new CoterieError('closed', 'the session was given up'))
  #timer: Timer | undefined

  constructor(timers: Timers, stream: Duplex, signal?: AbortSignal) {
    this.#timers = timers
    this.#stream = stream
    this.#signal = signal
    if (signal?.aborted) this.#onAbort()
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    this.progress()
  }

  progress(): void {
    this.#timer?.cancel()
    this.#timer = this.#timers.after(PROGRESS_TIMEOUT_MS, () => {
      this.#stream.abort(new CoterieError('timeout', `nothing arrived on a sync stream for ${PROGRESS_TIMEOUT_MS} ms`))
    })
  }

  end(): void {
    this.#timer?.cancel()
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }
}

/**
 * Both directions of a session at once, each with its own back-pressure; over when both have ended. Where the other side has
 * said all it will, what the outbox still holds is sent: whoever answers a question may have much to say after it.
 */
export async function converse(
  stream: Duplex,
  outbox: Outbox<SyncMessage>,
  watch: Watch,
  take: (message: SyncMessage) => Promise<void> | void
): Promise<void> {
  let sending: Promise<void> | undefined
  const sink = (frames: AsyncIterable<Outgoing>) => (sending = stream.sink(frames))
  try {
    await pipe(
      outbox,
      async function* (messages) {
        for await (const message of messages) {
          yield encodeSync(message)
          watch.progress()
        }
      },
      { source: stream.source, sink },
      async function* (frames: AsyncIterable<Uint8Array>) {
        for await (const frame of frames) yield decodeSync(frame)
      },
      async messages => {
        for await (const message of messages) {
          watch.progress()
          await take(message)
          watch.progress()
        }
      }
    )
    outbox.end()
    await sending
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  } finally {
    outbox.end()
    watch.end()
  }
}
