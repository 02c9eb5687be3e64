/**
 * How many streams of a protocol we open at once on one connection. A stream over the other side's limit is reset after
 * its opening succeeded (failures 30), so the calling side waits here instead.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { openStream, raceSignal } from './streams.ts'

interface Lane {
  used: number
  waiting: (() => void)[]
}

export class StreamSlots {
  readonly #limit: number
  readonly #lanes = new WeakMap<Connection, Map<string, Lane>>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Opens a stream as soon as there is room; the slot is free again when the stream is closed. */
  async open(connection: Connection, protocol: string, signal: AbortSignal): Promise<Stream> {
    const lane = this.#laneOf(connection, protocol)
    await this.#take(lane, signal)
    try {
      const stream = await openStream(connection, protocol, this.#limit + 1, signal)
      const release = once(() => this.#release(lane))
      stream.addEventListener('close', release, { once: true })
      if (stream.status !== 'open' && stream.status !== 'closing') release()
      return stream
    } catch (error) {
      this.#release(lane)
      throw error
    }
  }

  #laneOf(connection: Connection, protocol: string): Lane {
    const lanes = this.#lanes.get(connection) ?? new Map<string, Lane>()
    this.#lanes.set(connection, lanes)
    const lane = lanes.get(protocol) ?? { used: 0, waiting: [] }
    lanes.set(protocol, lane)
    return lane
  }

  async #take(lane: Lane, signal: AbortSignal): Promise<void> {
    if (lane.used < this.#limit) {
      lane.used++
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    lane.waiting.push(resolve)
    try {
      // Whoever releases hands its slot over without counting down.
      await raceSignal(promise, signal)
    } catch (error) {
      const at = lane.waiting.indexOf(resolve)
      if (at >= 0) lane.waiting.splice(at, 1)
      else this.#release(lane)
      throw error
    }
  }

  #release(lane: Lane): void {
    const next = lane.waiting.shift()
    if (next) next()
    else lane.used--
  }
}

function once(fn: () => void): () => void {
  let called = false
  return () => {
    if (called) return
    called = true
    fn()
  }
}
