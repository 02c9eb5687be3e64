/**
 * Serves one client operation: coordinates it when this node is on the key's preference list, else hands it to the
 * healthiest node that is, once; and where none of them can be reached, coordinates it as a stand-in (design §6, §8).
 */
import type { Background } from '../background.ts'
import type { NodeSettings } from '../config.ts'
import { CoterieError, isCoterieError, RETRY_CODES } from '../errors.ts'
import { HedgeBudget } from '../hedge-budget.ts'
import type { Answer, Request, SiblingView } from '../messages.ts'
import type { Clock, RequestOptions, Timers } from '../ports.ts'
import type { RangeLoads } from '../replica/range-loads.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { StandIns } from '../replica/stand-ins.ts'
import { staggered } from '../staggered.ts'
import type { Topology } from '../topology.ts'
import { type CausalContext, EMPTY_CONTEXT, withDot } from '../version/causal-context.ts'
import { formatDot } from '../version/dot.ts'
import { deletedAtMs, type KeyState, liveSiblings } from '../version/key-state.ts'
import { decodeContext, encodeContext } from '../version/token.ts'
import { Deadline } from './deadline.ts'
import type { Peers } from './peers.ts'
import { answersNeeded } from './quorum.ts'
import { type ReadResult, readKey } from './read.ts'
import { callMember, StaleView } from './replica-calls.ts'
import { PATIENCE, writeKey } from './write.ts'

type Get = Extract<Request, { type: 'get' }>
type Put = Extract<Request, { type: 'put' }>
type Keys = Extract<Request, { type: 'keys' }>
type ClientRequest = Get | Put | Keys

/** A ring that moves under an operation is planned on afresh this often before the operation gives up. */
const MAX_REPLANS = 5
/** Keys in one answer of a listing, whatever was asked for: at most 1 MiB of the longest keys. */
const MAX_PAGE = 512
export interface CoordinatorParts {
  clock: Clock
  timers: Timers
  background: Background
  peers: Peers
  topology: Topology
  replicas: Replicas
  standIns: StandIns
  rangeLoads: RangeLoads
  /** Members of the cluster that may own ranges, this node included. */
  members: () => string[]
  /** False: this node may go by a ring that is no more; what it takes for list members may be none. */
  isCurrent: () => boolean
}

export class Coordinator {
  readonly #parts: CoordinatorParts
  readonly #settings: Pick<NodeSettings, 'hedgeDelayMs'>
  readonly #hedges = new HedgeBudget()
  readonly #counts = { gets: 0, puts: 0, deletes: 0, forwarded: 0, failed: 0, sloppy: 0 }

  constructor(parts: CoordinatorParts, init: { settings: Pick<NodeSettings, 'hedgeDelayMs'> }) {
    this.#parts = parts
    this.#settings = init.settings
  }

  stats(): Readonly<{
    gets: number
    puts: number
    deletes: number
    forwarded: number
    failed: number
    sloppy: number
  }> {
    return this.#counts
  }

  hedgeStats(): Readonly<{ spent: number; refused: number }> {
    return this.#hedges.stats()
  }

  /** Throws `not-available`, `bad-usage`, `bad-context`, `too-large`, `too-many-siblings`. */
  async serve(request: ClientRequest, options: RequestOptions): Promise<Answer> {
    const deadline = new Deadline(this.#parts.clock, options)
    try {
      return await this.#replanned(deadline, () => this.#route(request, deadline))
    } catch (error) {
      if (isCoterieError(error, 'not-available', 'timeout', 'unreachable')) this.#counts.failed++
      throw error
    }
  }

  /** Runs an attempt again whenever it found that the ring had moved. */
  async #replanned(deadline: Deadline, attempt: () => Promise<Answer>): Promise<Answer> {
    for (let replans = 0; ; replans++) {
      deadline.check('the operation')
      try {
        return await attempt()
      } catch (error) {
        if (!(error instanceof StaleView)) throw error
        if (replans >= MAX_REPLANS)
          throw new CoterieError('not-available', 'the ring kept moving under this operation; try again')
      }
    }
  }

  #route(request: ClientRequest, deadline: Deadline): Promise<Answer> {
    const { topology, replicas } = this.#parts
    if (!topology.complete)
      throw new CoterieError('not-available', 'this node has not learnt the ring yet; try again in a moment')
    const range = request.type === 'keys' ? request.range : replicas.rangeOf(request.key)
    if (range >= topology.params.q)
      throw new CoterieError(
        'bad-usage',
        `range ${range} does not exist; this cluster has 0 to ${topology.params.q - 1}`
      )
    if (this.#holds(range, request)) return this.#coordinateOrHandOn(range, request, deadline)
    // Handed on once already: a read needs no copy of our own, a write and a listing do.
    if (request.forwarded && request.type === 'get') return this.#get(range, request, deadline)
    if (request.forwarded) return Promise.resolve({ type: 'moved', claims: topology.claimsAround(range) })
    return this.#handOn(range, request, deadline)
  }

  #holds(range: number, request: ClientRequest): boolean {
    const { topology, replicas, peers } = this.#parts
    if (!topology.view.isMember(range, peers.self)) return false
    return request.type !== 'keys' || replicas.status(range) === 'synced'
  }

  /** A copy whose file has failed, or has no room, cannot coordinate; another member's can. */
  async #coordinateOrHandOn(range: number, request: ClientRequest, deadline: Deadline): Promise<Answer> {
    try {
      return await this.#coordinate(range, request, deadline)
    } catch (error) {
      if (request.forwarded || !isCoterieError(error, 'range-fenced', 'disk-full')) throw error
      return this.#handOn(range, request, deadline)
    }
  }

  #coordinate(range: number, request: ClientRequest, deadline: Deadline): Promise<Answer> {
    if (request.type === 'get') return this.#get(range, request, deadline)
    if (request.type === 'put') return this.#put(range, request, deadline)
    return this.#keys(request)
  }

  async #get(range: number, request: Get, deadline: Deadline): Promise<Answer> {
    this.#counts.gets++
    const { state, replies } = await this.#read(range, request, deadline)
    const nowMs = this.#parts.clock.wallMs()
    const siblings: SiblingView[] = liveSiblings(state, nowMs).map(({ value, dot, expiresAtMs, writtenAtMs }) => ({
      value: value!,
      dot: formatDot(dot),
      expiresAtMs,
      writtenAtMs
    }))
    this.#note(
      range,
      siblings.reduce((sum, { value }) => sum + value.length, 0)
    )
    const isCurrent = this.#parts.isCurrent()
    if (siblings.length === 0 && !isCurrent)
      throw new CoterieError(
        'not-available',
        'this node has not heard from most of the cluster for long: it cannot tell whether there is no such key'
      )
    const context = this.#token(state.context, request.key)
    return {
      type: 'got',
      siblings,
      context,
      // By a ring that may be out of date, nobody who answered is known to be a replica.
      replies: isCurrent ? replies : 0,
      deletedAtMs: deletedAtMs(state, nowMs)
    }
  }

  #read(
    range: number,
    { key, r }: Pick<Get, 'key' | 'r'>,
    deadline: Deadline,
    isForContext = false
  ): Promise<ReadResult> {
    const parts = { ...this.#parts, hedges: this.#hedges, fallbacks: (of: number) => this.#fallbacks(of) }
    return readKey(
      parts,
      { range, key, needed: this.#needed(r, this.#parts.topology.params.r), isForContext },
      deadline
    )
  }

  /** `asStandIn`: into the copy that is kept for list members, none of which could be asked. */
  async #put(range: number, request: Put, deadline: Deadline, asStandIn = false): Promise<Answer> {
    if (request.value === undefined) this.#counts.deletes++
    else this.#counts.puts++
    const { topology, replicas, standIns, clock } = this.#parts
    const needed = () => this.#needed(request.w, topology.params.w)
    needed() // A level that makes no sense is refused before anything is minted.
    const seen = await this.#seen(range, request, deadline)
    // The keeper makes and thaws copies too, but a write need not wait for its next look.
    if (!asStandIn && ['none', 'frozen'].includes(replicas.status(range))) await replicas.create([range])
    const intent = {
      value: request.value,
      context: seen,
      writeId: Buffer.from(request.writeId).toString('hex'),
      expiresAtMs: request.expiresAtMs
    }
    const parts = {
      ...this.#parts,
      fallbacks: (of: number) => this.#fallbacks(of),
      standInDelayMs: this.#settings.hedgeDelayMs,
      hedges: this.#hedges
    }
    const target = { range, key: request.key, needed, asStandIn }
    const copy = asStandIn ? standIns : replicas
    const { state, dot, replaced, acks, ...written } = await writeKey(parts, copy, target, intent, deadline)
    this.#note(range, request.value?.length ?? 0, 1)
    const sloppy = written.sloppy || !this.#parts.isCurrent()
    if (sloppy) this.#counts.sloppy++
    return {
      type: 'stored',
      context: this.#token(withDot(seen ?? EMPTY_CONTEXT, dot), request.key),
      dot: formatDot(dot),
      acks,
      sloppy,
      siblings: Math.max(liveSiblings(state, clock.wallMs()).length, written.siblings),
      replaced
    }
  }

  /** What the writer has seen: its context; for a delete without one, what a read finds now. */
  async #seen(range: number, request: Put, deadline: Deadline): Promise<CausalContext | undefined> {
    if (request.context !== undefined) return decodeContext(request.context, this.#scope(request.key))
    if (request.value !== undefined) return undefined
    const { state } = await this.#read(range, { key: request.key, r: 'default' }, deadline, true)
    return state.context
  }

  async #keys(request: Keys): Promise<Answer> {
    const after = request.after.length === 8 ? cursorPosition(request.after) : undefined
    const { keys, done } = await this.#parts.replicas.page(
      request.range,
      after,
      Math.min(request.limit, MAX_PAGE),
      request.prefix
    )
    this.#note(
      request.range,
      keys.reduce((sum, key) => sum + key.length, 0)
    )
    return { type: 'keys', keys, done }
  }

  /** What an operation has carried to or from its client, and answers of its own copy that were not asked for as of a replica. */
  #note(range: number, bytes: number, answers = 0): void {
    const { topology, peers, rangeLoads } = this.#parts
    // Else it is no work of the range's: it stays here wherever the range goes.
    if (topology.view.isMember(range, peers.self)) rangeLoads.coordinated(range, bytes, answers)
  }

  /**
   * To the members of the list, the healthiest first, the next when one fails or is late, until one answers; a write keeps
   * its id, so a second try mints nothing new. In the end to this node itself, as a stand-in.
   */
  async #handOn(range: number, request: ClientRequest, deadline: Deadline): Promise<Answer> {
    this.#counts.forwarded++
    this.#hedges.earn()
    const { peers, topology, timers } = this.#parts
    const members = peers.byHealth(topology.view.preferenceList(range)).filter(member => member !== peers.self)
    // Those that cannot be reached may be back before we know, but only a listing has nobody else to ask.
    const answering = members.filter(member => peers.isAnswering(member))
    const candidates = request.type === 'keys' ? members : [...answering, peers.self]
    if (candidates.length === 0) throw notReached(range, undefined)
    try {
      return await staggered(candidates, peer => this.#askOrStandIn(peer, range, request, deadline), {
        timers,
        delayMs: peer => (peer === peers.self ? deadline.remainingMs : this.#settings.hedgeDelayMs),
        onSlow: peer => {
          peers.slow(peer)
          return peers.isSilent(peer) || this.#hedges.spend()
        },
        patience: { ms: PATIENCE * this.#settings.hedgeDelayMs, mayEnd: () => this.#hedges.spendLong() },
        isFinal: error => error instanceof StaleView || !isCoterieError(error, ...RETRY_CODES)
      })
    } catch (error) {
      if (error instanceof StaleView || !isCoterieError(error, ...RETRY_CODES)) throw error
      throw notReached(range, error)
    }
  }

  async #askOrStandIn(peer: string, range: number, request: ClientRequest, deadline: Deadline): Promise<Answer> {
    deadline.check('the operation')
    if (peer !== this.#parts.peers.self)
      return callMember(this.#parts, peer, range, { ...request, forwarded: true }, deadline.options())
    if (request.type === 'get') return this.#get(range, request, deadline)
    if (request.type === 'put') return this.#put(range, request, deadline, true)
    throw new CoterieError('wrong-node', `this node does not hold range ${range}`)
  }

  /** Who may stand in: the owners after the list, then members that own nothing; those that answer first. */
  #fallbacks(range: number): string[] {
    const { topology, peers, members } = this.#parts
    const owners = topology.view.fallbacks(range)
    const list = topology.view.preferenceList(range)
    const others = members().filter(member => !owners.includes(member) && !list.includes(member))
    const all = [...owners, ...others]
    const answering = new Set(all.filter(peer => peers.isAnswering(peer)))
    return [...answering, ...all.filter(peer => !answering.has(peer))]
  }

  #needed(level: Get['r'], byDefault: number): number {
    const { topology } = this.#parts
    return answersNeeded(level, { n: topology.params.n, byDefault, owners: topology.view.owners().length })
  }

  #scope(key: Uint8Array): { clusterId: string; key: Uint8Array } {
    return { clusterId: this.#parts.topology.params.clusterId, key }
  }

  #token(context: KeyState['context'], key: Uint8Array): Uint8Array {
    return encodeContext(context, this.#scope(key))
  }
}

function notReached(range: number, cause: unknown): CoterieError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new CoterieError(
    'not-available',
    `no member of the preference list of range ${range} could be reached${why}`,
    {
      cause
    }
  )
}

function cursorPosition(cursor: Uint8Array): { hi: number; lo: number } {
  const view = new DataView(cursor.buffer, cursor.byteOffset, cursor.byteLength)
  return { hi: view.getUint32(0), lo: view.getUint32(4) }
}
