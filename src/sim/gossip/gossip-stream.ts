/** Streams of the lean gossip network: whole messages in order, each as late as its link makes it. */
import { joined } from '../../bytes.ts'
import { CoterieError } from '../../errors.ts'
import type { Duplex, Outgoing } from '../../ports.ts'
import type { GossipNet, GossipPeer } from './gossip-net.ts'

/** Both ends of a new stream, the first `from`'s. */
export function streamPair(net: GossipNet, from: GossipPeer, to: GossipPeer): [StreamEnd, StreamEnd] {
  const ours = new StreamEnd(net, from, to)
  const theirs = new StreamEnd(net, to, from)
  ours.other = theirs
  theirs.other = ours
  return [ours, theirs]
}

/** One end of a stream: what has arrived and was not read, and the way to the other end. */
export class StreamEnd implements Duplex {
  readonly remote: GossipPeer
  readonly source: AsyncIterable<Uint8Array>
  other!: StreamEnd
  readonly #net: GossipNet
  readonly #peer: GossipPeer
  readonly #arrived: Uint8Array[] = []
  #wake: (() => void) | undefined
  #sentAll = false
  #ended = false
  #error: Error | undefined
  /** No message overtakes an earlier one. */
  #lastArrivalMs = 0

  constructor(net: GossipNet, peer: GossipPeer, remote: GossipPeer) {
    this.#net = net
    this.#peer = peer
    this.remote = remote
    this.source = this.#read()
    peer.streams.add(this)
  }

  async sink(source: AsyncIterable<Outgoing> | Iterable<Outgoing>): Promise<void> {
    try {
      for await (const outgoing of source) {
        const message = joined(outgoing)
        if (this.#error) throw this.#error
        this.#send('message', message.length, () => this.other.#take(message))
      }
      if (this.#error) throw this.#error
      this.#sentAll = true
      this.#send('end', 0, () => this.other.#end())
      this.#closeIfDone()
    } catch (error) {
      this.abort(error as Error)
      throw error
    }
  }

  abort(reason: Error): void {
    if (this.#error || (this.#sentAll && this.#ended)) return
    this.fail(reason)
    const broken = new CoterieError('unreachable', `${this.#peer.peerId} gave the stream up`)
    this.#net.world.after(this.#net.delayMs(), this.remote.process, 'reset', () => this.other.fail(broken))
  }

  fail(error: Error): void {
    this.#error ??= error
    this.#peer.streams.delete(this)
    this.#wake?.()
  }

  #send(what: string, bytes: number, arrive: () => void): void {
    const { world } = this.#net
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, world.nowMs + this.#net.delayMs(bytes))
    world.after(this.#lastArrivalMs - world.nowMs, this.remote.process, what, arrive)
  }

  #take(message: Uint8Array): void {
    if (this.#error) return
    this.#arrived.push(message)
    this.#wake?.()
  }

  #end(): void {
    this.#ended = true
    this.#wake?.()
    this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (this.#sentAll && this.#ended) this.#peer.streams.delete(this)
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#error) throw this.#error
      const message = this.#arrived.shift()
      if (message) yield message
      else if (this.#ended) return
      else await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }
}
