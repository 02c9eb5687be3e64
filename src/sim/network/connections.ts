/**
 * Connections of the simulated network: each has two ends, which learn of one another's fate by messages only, so that one
 * may believe in it for long after the other has given it up. Requests, answers and streams travel on them.
 */
import { CoterieError } from '../../errors.ts'
import type { Caller, Log, RequestHandler, StreamHandler, StreamProtocol } from '../../ports.ts'
import { SILENCE_MS } from '../../wire/liveness.ts'
import type { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'
import { Calls } from './calls.ts'
import type { Link } from './links.ts'
import { Lane, SimStream } from './stream.ts'

/** A stream handler that is done waits this long for the other side to close its half. */
const LINGER_MS = 5000
/** libp2p pings its connections: one that the other side has given up is found out by then, once its machine is reached. */
const PROBE_MS = 5000

/** What an end of a connection needs of the port that it belongs to. */
export interface Host {
  readonly world: World
  readonly process: SimProcess
  readonly caller: Caller
  /** False when the process is dead or has left the network. */
  readonly attached: boolean
  readonly requestHandler: RequestHandler | undefined
  streamHandler(protocol: StreamProtocol): StreamHandler | undefined
  sent(kind: 'request' | StreamProtocol, bytes: number): void
  /** The end may be used from now on. */
  opened(end: End): void
  closed(end: End, wasOpen: boolean): void
  readonly log: Pick<Log, 'error'> | undefined
}

export class End {
  readonly host: Host
  /** Who is at the other end. */
  readonly peer: Caller
  /** What this end sends. */
  readonly link: Link
  readonly calls: Calls
  /** `opening`: the other side has not accepted yet. */
  state: 'opening' | 'open' | 'closed' = 'opening'
  /** Called when the end leaves `opening`. */
  onDecided: (() => void) | undefined
  /** Undefined until the other side has accepted. */
  #other: End | undefined
  readonly #streams = new Set<SimStream>()
  /** When the first thing was asked since anything came (`wire/liveness.ts`). */
  #askedMs: number | undefined

  constructor(host: Host, peer: Caller, link: Link) {
    this.host = host
    this.peer = peer
    this.link = link
    this.calls = new Calls(this)
  }

  get isIdle(): boolean {
    return this.#streams.size === 0 && this.calls.isIdle
  }

  get openStreams(): number {
    return this.#streams.size
  }

  /** `dialler` is the end of whoever asked for the connection; this one is open from now on, that one when it hears so. */
  accept(dialler: End): void {
    this.#other = dialler
    dialler.#other = this
    this.open()
    this.post('accept', this.link.reliableDelayMs(), () => undefined)
  }

  open(): void {
    if (this.state !== 'opening') return
    this.state = 'open'
    this.onDecided?.()
    this.host.opened(this)
  }

  /** Rejects and breaks whatever is under way here. `tell`: the other end hears of it, if the link lets it. */
  close(reason: CoterieError, tell: boolean): void {
    if (this.state === 'closed') return
    const wasOpen = this.state === 'open'
    this.state = 'closed'
    this.onDecided?.()
    this.calls.end(reason)
    if (this.host.process.alive) for (const stream of [...this.#streams]) stream.break(reason)
    this.#streams.clear()
    if (tell) this.#sayClosed()
    this.host.closed(this, wasOpen)
  }

  /** Something between the two breaks it; both learn of it at once, each in an event of its own. */
  reset(): void {
    for (const end of [this, this.#other!]) {
      const { world, process } = end.host
      const reason = new CoterieError('unreachable', 'the connection was reset')
      world.after(0, process, `net ${end.link.name} reset`, () => end.close(reason, false))
    }
  }

  // ---- streams

  /** Opens a stream; `opened` settles when the other side has it. */
  openStream(protocol: StreamProtocol): SimStream {
    const other = this.#other!
    const mine = this.#makeStream(protocol, piece => there.send(piece))
    let theirs: SimStream | undefined
    const there = this.#laneTo(other, protocol, piece => {
      if (piece.kind === 'open') theirs = other.#takeStream(protocol, back)
      else theirs?.receive(piece)
    })
    const back = other.#laneTo(this, protocol, piece => mine.receive(piece))
    there.send({ kind: 'open' })
    return mine
  }

  #takeStream(protocol: StreamProtocol, back: Lane): SimStream {
    const stream = this.#makeStream(protocol, piece => back.send(piece))
    back.send({ kind: 'opened' })
    const handler = this.host.streamHandler(protocol)
    if (this.peer.role !== 'node') {
      stream.abort(new CoterieError('refused', `${protocol} streams are for members of the cluster, not for clients`))
    } else if (handler === undefined) {
      stream.abort(new CoterieError('closed', `this node takes no ${protocol} streams`))
    } else void this.#serveStream(handler, stream)
    return stream
  }

  /** Never rejects. A handler that returned has said all it will: both halves are closed, or the stream is given up. */
  async #serveStream(handler: StreamHandler, stream: SimStream): Promise<void> {
    try {
      await handler(stream.duplex, this.peer)
      stream.end()
    } catch (error) {
      stream.abort(error as Error)
    }
    if (stream.isClosed || !this.host.attached) return
    const { world, process } = this.host
    const timer = world.after(LINGER_MS, process, `net ${this.link.name} linger`, () => {
      stream.abort(new CoterieError('timeout', `closing a stream took longer than ${LINGER_MS} ms`))
    })
    await stream.closed
    timer.cancel()
  }

  #makeStream(protocol: StreamProtocol, send: Lane['send']): SimStream {
    const stream = new SimStream({
      what: `${protocol} stream with ${this.peer.peerId}`,
      send,
      sentBytes: bytes => this.host.sent(protocol, bytes),
      onClosed: closed => this.#streams.delete(closed)
    })
    this.#streams.add(stream)
    return stream
  }

  #laneTo(other: End, label: string, deliver: Lane['send']): Lane {
    const { link, host } = this
    return new Lane({
      world: host.world,
      link,
      receiver: other.host.process,
      label,
      mayLeave: () => {
        if (this.state === 'closed' || !host.attached) return false
        if (!other.host.attached) this.#refused(link.reliableDelayMs())
        return other.host.attached
      },
      deliver: piece => {
        if (other.#arrived()) deliver(piece)
      }
    })
  }

  // ---- is anybody there?

  asked(): void {
    this.#askedMs ??= this.host.world.nowMs
  }

  heard(): void {
    this.#askedMs = undefined
  }

  /** Something timed out. One slow answer means nothing; a long silence means that the connection is dead. */
  timedOut(): void {
    if (this.#askedMs === undefined || this.host.world.nowMs - this.#askedMs < SILENCE_MS) return
    this.close(new CoterieError('timeout', `nothing came from ${this.peer.peerId} for ${SILENCE_MS / 1000} s`), true)
  }

  /** Carries something to the other end, unless the link is cut when it leaves or when it would arrive. */
  post(what: string, delayMs: number, deliver: (other: End) => void): void {
    const other = this.#other!
    if (this.link.isCut) this.lost(what)
    else if (!other.host.attached) this.#refused(delayMs)
    else {
      this.host.world.after(delayMs, other.host.process, `net ${this.link.name} ${what}`, () => {
        if (this.link.isCut) this.lost(what)
        else if (other.#arrived()) deliver(other)
      })
    }
  }

  /** Something has come to this end: whether there is still anybody to take it. */
  #arrived(): boolean {
    if (!this.host.attached) return false
    // The other side has accepted: what it sent afterwards may come first.
    this.open()
    if (this.state === 'open') return true
    this.#sayClosed()
    return false
  }

  /** What is sent to a process that is no more is answered by its machine: there is no such connection. */
  #refused(delayMs: number): void {
    const { link, host } = this
    const back = this.#other!.link
    if (link.isCut) return
    host.world.after(delayMs + back.reliableDelayMs(), host.process, `net ${back.name} reset`, () => {
      if (back.isCut) return
      this.close(
        new CoterieError('unreachable', `the connection to ${this.peer.peerId} is lost: nobody is there`),
        false
      )
    })
  }

  /** Over a cut link nobody hears it; whoever probes the connection when that is mended is told then. */
  #sayClosed(afterMs = 0): void {
    const other = this.#other
    if (other === undefined || other.state === 'closed' || !other.host.attached) return
    const { world, caller } = this.host
    const arrive = () => {
      if (this.link.isCut) say()
      else other.close(new CoterieError('unreachable', `${caller.peerId} has closed the connection`), false)
    }
    const say = () => {
      if (this.link.isCut) {
        this.lost('close')
        this.link.onceMended(() => this.#sayClosed(PROBE_MS))
      } else {
        const delayMs = afterMs + this.link.reliableDelayMs()
        world.after(delayMs, other.host.process, `net ${this.link.name} close`, arrive)
      }
    }
    say()
  }

  lost(what: string): void {
    const { world } = this.host
    world.log.add(world.nowMs, 'world', 'net lost', `${this.link.name} ${what}`)
  }
}
