/** How a stream of messages takes what it is to send: one after another, until the source ends or either side breaks. */

import type { Outgoing } from '../ports.ts'

export type Source = AsyncIterable<Outgoing> | Iterable<Outgoing>
export type SourceIterator = AsyncIterator<Outgoing> | Iterator<Outgoing>

/** The writing half of a stream. */
export interface Sink {
  /** The next of the source; rejects as soon as the stream breaks, however long the source takes. */
  next(iterator: SourceIterator): Promise<IteratorResult<Outgoing>>
  write(message: Outgoing): Promise<void>
  /** Closes our half; throws when the stream is broken. */
  end(): void | Promise<void>
  abort(reason: Error): void
}

/** Writes every message and ends. When the stream breaks, gives `source` up; when `source` throws, gives the stream up. */
export async function sinkAll(source: Source, sink: Sink): Promise<void> {
  const iterator =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : (source[Symbol.iterator]() as Iterator<Outgoing>)
  try {
    for (let next = await sink.next(iterator); !next.done; next = await sink.next(iterator))
      await sink.write(next.value)
    await sink.end()
  } catch (error) {
    sink.abort(error as Error)
    // Not awaited: a generator that is stuck in its own await returns only when that is over.
    Promise.resolve(iterator.return?.()).catch(() => {
      // The error that ended the pipeline is thrown below; a second one from the clean-up adds nothing.
    })
    throw error
  }
}
