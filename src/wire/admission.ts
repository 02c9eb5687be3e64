/**
 * Who may talk to us. Every connection is admitted on its own, by one exchange on `/coterie/hello/1` (`hello.ts`); no other
 * protocol of ours is served on it before. Normally the dialler runs the exchange; either side may.
 */
import type { Connection, Stream } from '@libp2p/interface'
import type { ClusterParams } from '../config.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Caller, Log, Random, Timers } from '../ports.ts'
import { FramedStream } from './duplex.ts'
import {
  decodeHello,
  decodeStep,
  type Exchange,
  encodeHello,
  encodeStep,
  HASH_NAME,
  type Hello,
  MAX_STEP_BYTES,
  NONCE_BYTES,
  PROTOCOL_VERSION,
  proofOf,
  provesSecret,
  type Step,
  whyNot
} from './hello.ts'
import { openStream, withDeadline } from './streams.ts'

export const HELLO_PROTOCOL = '/coterie/hello/1'
/** A whole exchange, and how long the other protocols wait for it. */
export const HELLO_TIMEOUT_MS = 3000
/** Two at a time on one connection (both sides may have begun one), this many at a time on all. */
export const MAX_HELLO_STREAMS = 2
const MAX_PENDING_HELLOS = 128
/** The same refusal of the same peer is logged again after this long. */
const REPEAT_LOG_MS = 10 * 60_000
const MAX_REMEMBERED_REFUSALS = 1024

export interface AdmissionInit {
  peerId: string
  role: Caller['role']
  clusterId: string
  /** Undefined until the cluster's parameters are known. */
  params: () => ClusterParams | undefined
  /** Keeps the parameters of the cluster that admits this node. Called again with the same ones at worst. */
  adopt: (params: ClusterParams) => void | Promise<void>
  /** 32 bytes; absent: an open cluster, which asks nobody for proof. */
  secret?: Uint8Array
  banned?: (peerId: string) => boolean
  onRefused?: (error: CoterieError, peerId: string) => void
  random: Random
  timers: Timers
  log: Log
}

interface Entry {
  caller?: Caller
  running?: Promise<Caller>
  refused?: CoterieError
  waiters: Set<{ resolve(caller: Caller): void; reject(error: Error): void }>
}

type ConnectionListener = (peer: Caller, connected: boolean, connection: Connection) => void

export class Admission {
  readonly #init: AdmissionInit
  readonly #entries = new WeakMap<Connection, Entry>()
  readonly #admitted = new Map<string, Set<Connection>>()
  readonly #listeners = new Set<ConnectionListener>()
  readonly #refusals = new Map<string, string>()
  #pending = 0
  #adopting: Promise<void> = Promise.resolve()

  constructor(init: AdmissionInit) {
    this.#init = init
  }

  /** An open, admitted connection to this peer: the oldest, when simultaneous dials have made two. */
  connectionTo(peerId: string): Connection | undefined {
    for (const connection of this.#admitted.get(peerId) ?? []) {
      if (connection.status === 'open') return connection
    }
    return undefined
  }

  /** Nodes with an admitted connection; clients are left out: nobody calls them. */
  nodes(): string[] {
    return [...this.#admitted.keys()].filter(peerId => this.isNode(peerId))
  }

  isNode(peerId: string): boolean {
    const connection = this.connectionTo(peerId)
    return connection !== undefined && this.#entries.get(connection)?.caller?.role === 'node'
  }

  /** Called with every peer's first admitted connection, and when its last one is gone. */
  onChange(listener: ConnectionListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Who is at the other end, as soon as the connection is admitted. Rejects after `HELLO_TIMEOUT_MS`, or when it is refused. */
  async whenAdmitted(connection: Connection): Promise<Caller> {
    const entry = this.#entryOf(connection)
    if (entry.caller) return entry.caller
    if (entry.refused) throw entry.refused
    const { promise, resolve, reject } = Promise.withResolvers<Caller>()
    const waiter = { resolve, reject }
    entry.waiters.add(waiter)
    const what = `the admission of ${connection.remotePeer}`
    try {
      return await withDeadline(this.#init.timers, HELLO_TIMEOUT_MS, what, () => promise)
    } finally {
      entry.waiters.delete(waiter)
    }
  }

  /**
   * Runs the exchange from this side, once, whoever asks. Rejects with `refused` or `not-available` (by either side, with
   * the reason), `timeout`, `unreachable`, `protocol`.
   */
  admit(connection: Connection): Promise<Caller> {
    const entry = this.#entryOf(connection)
    if (entry.caller) return Promise.resolve(entry.caller)
    entry.running ??= this.#initiate(connection).finally(() => {
      entry.running = undefined
    })
    return entry.running
  }

  /** The handler of `HELLO_PROTOCOL`. */
  async serve(stream: Stream, connection: Connection): Promise<void> {
    if (this.#pending >= MAX_PENDING_HELLOS) {
      stream.abort(new CoterieError('overloaded', `${this.#pending} hellos are under way here`))
      return
    }
    this.#pending++
    const framed = new FramedStream(stream, MAX_STEP_BYTES)
    const peerId = connection.remotePeer.toString()
    try {
      await withDeadline(this.#init.timers, HELLO_TIMEOUT_MS, `the hello of ${peerId}`, async () => {
        await this.#accept(framed, connection, peerId)
        await framed.end()
        await framed.read()
      })
    } catch (error) {
      framed.abort(error as Error)
      this.#failed(connection, peerId, error)
    } finally {
      this.#pending--
    }
  }

  // ---- the two sides of the exchange

  async #initiate(connection: Connection): Promise<Caller> {
    const peerId = connection.remotePeer.toString()
    let framed: FramedStream | undefined
    try {
      return await withDeadline(this.#init.timers, HELLO_TIMEOUT_MS, `the hello to ${peerId}`, async signal => {
        const stream = await openStream(connection, HELLO_PROTOCOL, MAX_HELLO_STREAMS, signal)
        framed = new FramedStream(stream, MAX_STEP_BYTES)
        const caller = await this.#introduce(framed, connection, peerId)
        // Only closes our half: whether the other side hears it changes nothing any more.
        framed.end().catch(error => this.#init.log.debug('closing a hello failed', { error: String(error) }))
        return caller
      })
    } catch (cause) {
      const error = helloError(cause, peerId)
      framed?.abort(error)
      this.#failed(connection, peerId, error)
      throw error
    }
  }

  async #introduce(framed: FramedStream, connection: Connection, peerId: string): Promise<Caller> {
    const { peerId: self, secret } = this.#init
    const ours = this.#hello()
    const initiatorHello = encodeHello(ours)
    await framed.write(encodeStep({ hello: initiatorHello }))
    const answer = await this.#readStep(framed, peerId)
    if (!answer.hello) throw new CoterieError('protocol', 'the second step of the hello brought none')
    const theirs = decodeHello(answer.hello)
    const exchange: Exchange = { initiator: self, acceptor: peerId, initiatorHello, acceptorHello: answer.hello }
    await this.#check(framed, ours, theirs, peerId, 'acceptor', answer.proof, exchange)
    await framed.write(encodeStep({ proof: secret && proofOf(secret, 'initiator', exchange) }))
    const last = await this.#readStep(framed, peerId)
    if (!last.admitted) throw new CoterieError('protocol', 'the last step of the hello says nothing')
    return this.#admit(connection, { peerId, role: theirs.role })
  }

  async #accept(framed: FramedStream, connection: Connection, peerId: string): Promise<void> {
    const { peerId: self, secret } = this.#init
    const first = await this.#readStep(framed, peerId)
    if (!first.hello) throw new CoterieError('protocol', 'the first step of the hello brought none')
    const theirs = decodeHello(first.hello)
    const ours = this.#hello()
    const acceptorHello = encodeHello(ours)
    const exchange: Exchange = { initiator: peerId, acceptor: self, initiatorHello: first.hello, acceptorHello }
    const reason = this.#whyNot(ours, theirs, peerId)
    if (reason) await this.#refuse(framed, peerId, reason)
    await framed.write(encodeStep({ hello: acceptorHello, proof: secret && proofOf(secret, 'acceptor', exchange) }))
    const third = await this.#readStep(framed, peerId)
    await this.#check(framed, ours, theirs, peerId, 'initiator', third.proof, exchange)
    this.#admit(connection, { peerId, role: theirs.role })
    await framed.write(encodeStep({ admitted: true }))
  }

  /** Refuses a side that does not fit or has not proved the secret; adopts its parameters when we have none. */
  async #check(
    framed: FramedStream,
    ours: Hello,
    theirs: Hello,
    peerId: string,
    side: 'initiator' | 'acceptor',
    proof: Uint8Array | undefined,
    exchange: Exchange
  ): Promise<void> {
    const { secret, clusterId } = this.#init
    let reason = this.#whyNot(ours, theirs, peerId)
    if (!reason && secret && !provesSecret(proof, secret, side, exchange)) {
      reason = new CoterieError('refused', 'your proof does not fit: we do not hold the same cluster secret')
    }
    if (!reason && !ours.params && theirs.params) {
      const { hash, ...params } = theirs.params
      try {
        if (hash !== HASH_NAME) throw new CoterieError('refused', `hash ${hash} is not known here`)
        await this.#adopt({ clusterId, ...params })
      } catch (error) {
        reason = new CoterieError('refused', `your parameters cannot be taken: ${(error as Error).message}`)
      }
      // Two members may have been met at once: what the first brought counts.
      reason ??= this.#whyNot(this.#hello(), theirs, peerId)
    }
    if (reason) await this.#refuse(framed, peerId, reason)
  }

  /** One adoption at a time: a fresh node may meet several members at once. */
  async #adopt(params: ClusterParams): Promise<void> {
    const adopted = this.#adopting.then(async () => {
      if (!this.#init.params()) await this.#init.adopt(params)
    })
    this.#adopting = adopted.catch(() => {
      // Reported by whoever awaits `adopted`; the next one tries again.
    })
    await adopted
  }

  #hello(): Hello {
    const { role, clusterId, random, secret } = this.#init
    const params = this.#init.params()
    const hello: Hello = {
      version: PROTOCOL_VERSION,
      clusterId,
      role,
      nonce: random.bytes(NONCE_BYTES),
      open: secret === undefined
    }
    if (params) {
      const { name, q, n, r, w } = params
      hello.params = { name, q, n, r, w, hash: HASH_NAME }
    }
    return hello
  }

  #whyNot(ours: Hello, theirs: Hello, peerId: string): CoterieError | undefined {
    if (this.#init.banned?.(peerId)) return new CoterieError('refused', 'you are banned from this cluster')
    return whyNot(ours, theirs)
  }

  async #refuse(framed: FramedStream, peerId: string, reason: CoterieError): Promise<never> {
    await framed.write(encodeStep({ refusal: reason }))
    await framed.end()
    // Until the other side has read it and closes too (or the deadline passes): aborting sooner might overtake it.
    await framed.read().catch(() => undefined)
    throw new CoterieError(reason.code, `we refused ${peerId}: "${reason.message}"`)
  }

  async #readStep(framed: FramedStream, peerId: string): Promise<Step> {
    const bytes = await framed.read()
    if (!bytes) throw new CoterieError('unreachable', `${peerId} ended the hello without a word`)
    const step = decodeStep(bytes)
    if (!step.refusal) return step
    await framed.end()
    throw new CoterieError(step.refusal.code, `${peerId} refuses us: "${step.refusal.message}"`)
  }

  // ---- what came of it

  #entryOf(connection: Connection): Entry {
    const known = this.#entries.get(connection)
    if (known) return known
    const entry: Entry = { waiters: new Set() }
    this.#entries.set(connection, entry)
    return entry
  }

  #admit(connection: Connection, caller: Caller): Caller {
    const { peerId } = caller
    if (connection.status !== 'open') throw new CoterieError('unreachable', `the connection to ${peerId} is closed`)
    const entry = this.#entryOf(connection)
    if (entry.caller) return entry.caller
    entry.caller = caller
    entry.refused = undefined
    this.#refusals.delete(peerId)
    const connections = this.#admitted.get(peerId) ?? new Set()
    connections.add(connection)
    this.#admitted.set(peerId, connections)
    connection.addEventListener('close', () => this.#closed(connection, caller), { once: true })
    for (const waiter of entry.waiters) waiter.resolve(caller)
    if (!this.#init.secret) this.#init.log.debug(`admitted ${peerId} without proof: the cluster is open`)
    if (connections.size === 1) this.#tell(caller, true, connection)
    return caller
  }

  #closed(connection: Connection, caller: Caller): void {
    const { peerId } = caller
    const connections = this.#admitted.get(peerId)
    connections?.delete(connection)
    if (connections?.size !== 0) return
    this.#admitted.delete(peerId)
    this.#tell(caller, false, connection)
  }

  #tell(peer: Caller, connected: boolean, connection: Connection): void {
    for (const listener of this.#listeners) listener(peer, connected, connection)
  }

  #failed(connection: Connection, peerId: string, error: unknown): void {
    if (!isCoterieError(error, 'refused', 'not-available')) {
      this.#init.log.debug(`the hello with ${peerId} failed`, { error: String(error) })
      return
    }
    const entry = this.#entryOf(connection)
    if (entry.caller) return
    entry.refused = error
    for (const waiter of entry.waiters) waiter.reject(error)
    this.#report(peerId, error)
  }

  #report(peerId: string, error: CoterieError): void {
    const { log, timers, onRefused } = this.#init
    if (this.#refusals.get(peerId) !== error.message) {
      if (this.#refusals.size >= MAX_REMEMBERED_REFUSALS) this.#refusals.delete(this.#refusals.keys().next().value!)
      this.#refusals.set(peerId, error.message)
      timers.after(REPEAT_LOG_MS, () => this.#refusals.delete(peerId))
      const write = error.code === 'refused' ? log.warn : log.info
      write.call(log, `no admission: ${error.message}`)
    }
    onRefused?.(error, peerId)
  }
}

function helloError(cause: unknown, peerId: string): CoterieError {
  if (isCoterieError(cause)) return cause
  // libp2p also rejects with the `close` event itself.
  const { name, message } = cause instanceof Error ? cause : new Error('the connection closed')
  if (name === 'UnsupportedProtocolError') {
    return new CoterieError('unreachable', `${peerId} does not speak ${HELLO_PROTOCOL}; it is no coterie node`, {
      cause
    })
  }
  return new CoterieError('unreachable', `the hello with ${peerId} broke: ${message}`, { cause })
}
