/**
 * Where a request goes. One switch for all kinds, from other nodes, from clients and from this node itself; with the
 * bound on how many are worked on at once, and what a client may not ask for.
 */
import type { Coordinator } from './coordinator/coordinator.ts'
import { CoterieError, isCoterieError } from './errors.ts'
import type { Info } from './info.ts'
import type { LoopLag } from './loop-lag.ts'
import type { Manager } from './manager.ts'
import type { Answer, Request } from './messages.ts'
import type { Caller, Clock, RequestOptions } from './ports.ts'
import type { Reconciler } from './reconciler.ts'
import type { Merged } from './replica/incoming.ts'
import type { RangeLoads } from './replica/range-loads.ts'
import type { Replicas } from './replica/replicas.ts'
import type { StandIns } from './replica/stand-ins.ts'
import { checkStoredKey } from './replica/stored-key.ts'
import { checkValue } from './store.ts'
import type { Topology } from './topology.ts'
import { encodeState } from './version/codec.ts'

export interface DispatchParts {
  clock: Clock
  coordinator: Coordinator
  replicas: Replicas
  standIns: StandIns
  topology: Topology
  reconciler: Reconciler
  info: Info
  manager: Manager
  rangeLoads: RangeLoads
  lag: LoopLag
  self: string
}

/** Weight of the newest second in the moving average of load. */
const RATE_WEIGHT = 0.1
/** The position of the last key of a page. */
const CURSOR_BYTES = 8
const CLIENT_REQUESTS: Request['type'][] = ['get', 'put', 'keys', 'info', 'manage']
/** Whole operations: each makes this node ask several others. */
const OPERATIONS: Request['type'][] = ['get', 'put', 'keys']
/** Whoever may have waited this long has most likely asked another node meanwhile. */
const MAX_BEHIND_MS = 400
/** Steps of other nodes' operations are small, and to refuse one wastes all that was done for it: as many more are taken. */
const STEPS_PER_OPERATION = 8

export class Dispatch {
  readonly #parts: DispatchParts
  readonly #maxInFlight: number
  #inFlight = 0
  #operations = 0
  #ops = 0
  #opsPerSecond = 0
  #measuredMs: number
  #closing = false
  #idle: () => void = () => {}

  constructor(parts: DispatchParts, init: { maxInFlight: number }) {
    this.#parts = parts
    this.#maxInFlight = init.maxInFlight
    this.#measuredMs = parts.clock.monotonicMs()
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Requests of clients and replicas a second, averaged over about the last ten calls of this. */
  opsPerSecond(): number {
    const nowMs = this.#parts.clock.monotonicMs()
    const elapsedMs = nowMs - this.#measuredMs
    if (elapsedMs > 0) {
      const rate = (this.#ops * 1000) / elapsedMs
      this.#opsPerSecond += RATE_WEIGHT * (rate - this.#opsPerSecond)
      this.#ops = 0
      this.#measuredMs = nowMs
    }
    return Math.round(this.#opsPerSecond)
  }

  async handle(request: Request, from: Caller, options: RequestOptions): Promise<Answer> {
    if (this.#closing) throw new CoterieError('closed', 'this node is stopping; ask another')
    const isOperation = OPERATIONS.includes(request.type)
    this.#mustHaveTime(isOperation, options)
    if (from.role === 'client' && !CLIENT_REQUESTS.includes(request.type))
      throw new CoterieError('refused', `"${request.type}" is for members of the cluster, not for clients`)
    this.#inFlight++
    this.#ops++
    if (isOperation) this.#operations++
    try {
      return await this.#handle(request, from, options)
    } catch (error) {
      // To the caller these would mean that this node cannot be reached, and count against it.
      if (isCoterieError(error, 'unreachable', 'timeout'))
        throw new CoterieError('not-available', error.message, { cause: error })
      throw error
    } finally {
      this.#inFlight--
      if (isOperation) this.#operations--
      if (this.#inFlight === 0) this.#idle()
    }
  }

  /**
   * Too many at once, or too late already: refused at once, which costs little, rather than done for nobody (failures 24,
   * 33). What was tried elsewhere meanwhile must not be done here after all.
   */
  #mustHaveTime(isOperation: boolean, { timeoutMs }: RequestOptions): void {
    const { lag } = this.#parts
    const many = isOperation ? this.#operations : this.#inFlight
    if (many >= this.#maxInFlight * (isOperation ? 1 : STEPS_PER_OPERATION))
      throw new CoterieError('overloaded', `this node works on ${many} requests already; try again in a moment`)
    const behindMs = isOperation ? lag.behindMs : 0
    if (behindMs >= timeoutMs || behindMs > MAX_BEHIND_MS)
      throw new CoterieError('overloaded', `this node is ${Math.round(behindMs)} ms behind; try again in a moment`)
  }

  /** A step of an operation that was taken in already: it counts against no bound, and goes on while the node closes. */
  step(request: Request, from: Caller, options: RequestOptions): Promise<Answer> {
    return this.#handle(request, from, options)
  }

  /** Takes no more requests; resolves when those in flight are answered. */
  async close(): Promise<void> {
    this.#closing = true
    if (this.#inFlight === 0) return
    await new Promise<void>(resolve => {
      this.#idle = resolve
    })
  }

  /** After `close`. */
  reopen(): void {
    this.#closing = false
  }

  async #handle(request: Request, from: Caller, options: RequestOptions): Promise<Answer> {
    const { coordinator, topology, reconciler, manager, replicas, info } = this.#parts
    const { mirrors, prepared, handover, reaper, hints, keeper, accepted } = reconciler
    this.#check(request)
    switch (request.type) {
      case 'get':
      case 'put':
      case 'keys':
        return coordinator.serve(request, options)
      case 'info':
        return { type: 'info', json: JSON.stringify(await info.about(request.what, request.key)) }
      case 'read':
        return this.#read(request)
      case 'merge':
        return this.#merge(request, from)
      case 'claims':
        await topology.apply(request.claims)
        return { type: 'ok' }
      case 'ask':
        return handover.ask(from.peerId, request.ranges)
      case 'pull':
        return prepared.pull(request.ranges, request.sources, options.timeoutMs)
      case 'mirror':
        return mirrors.mirror(from.peerId, request.ranges)
      case 'seal':
        mirrors.seal(request.member, request.ranges)
        return { type: 'ok' }
      case 'copies':
        return { type: 'copies', copies: request.ranges.map(range => ({ range, status: replicas.status(range) })) }
      case 'reap':
        return reaper.answer(request)
      case 'deliver':
        await keeper.ensure(request.ranges)
        await hints.deliver(request.ranges)
        return { type: 'ok' }
      case 'accept':
        await accepted.accept(request.ranges, request.holders)
        return { type: 'ok' }
      case 'manage':
        await manager.manage(request, options.timeoutMs)
        return { type: 'ok' }
    }
  }

  /** Nothing that a caller sends may look like a defect of ours: ranges exist, keys belong to theirs, sizes are within limits. */
  #check(request: Request): void {
    const { topology, replicas } = this.#parts
    const { q } = topology.params
    const ranges = 'ranges' in request ? request.ranges : 'range' in request ? [request.range] : []
    const unknown = ranges.find(range => !(range < q))
    if (unknown !== undefined)
      throw new CoterieError('bad-usage', `range ${unknown} does not exist; this cluster has 0 to ${q - 1}`)
    if ('key' in request && request.key !== undefined) {
      checkStoredKey(request.key)
      if ('range' in request && replicas.rangeOf(request.key) !== request.range)
        throw new CoterieError('bad-usage', `the key does not belong to range ${request.range}`)
    }
    if (request.type === 'put' && request.value !== undefined) checkValue(request.value)
    if (request.type !== 'keys') return
    if (request.limit < 1) throw new CoterieError('bad-usage', 'a listing takes a limit of at least 1')
    if (request.after.length !== 0 && request.after.length !== CURSOR_BYTES) {
      throw new CoterieError(
        'bad-usage',
        `a cursor of ${request.after.length} bytes; it is the position of a key, ${CURSOR_BYTES} bytes`
      )
    }
  }

  async #read({ range, key, standIn }: Extract<Request, { type: 'read' }>): Promise<Answer> {
    if (standIn && !this.#isMember(range)) {
      const kept = await this.#parts.standIns.read(range, key)
      return { type: 'state', state: kept && encodeState(kept), synced: false }
    }
    if (!(await this.#holds(range))) return this.#moved(range)
    const { replicas } = this.#parts
    const state = await replicas.read(range, key)
    const status = replicas.status(range)
    if (status === 'frozen' || status === 'none') return this.#moved(range)
    const bytes = state && encodeState(state)
    this.#parts.rangeLoads.answered(range, bytes?.length ?? 0)
    // A node that may not know who holds the range by now is no vote for "no such key", whoever asks.
    const isVote = status === 'synced' && this.#parts.reconciler.majority.isCurrent
    return { type: 'state', state: bytes, synced: isVote }
  }

  async #merge({ range, key, state, standIn }: Extract<Request, { type: 'merge' }>, from: Caller): Promise<Answer> {
    if (standIn && !this.#isMember(range)) {
      await this.#parts.standIns.hold(range, key, state)
      return { type: 'merged', synced: false, siblings: 0 }
    }
    if (!(await this.#holds(range))) return this.#moved(range)
    const { replicas } = this.#parts
    let merged: Merged
    try {
      merged = await replicas.merge(range, key, state, from.peerId)
    } catch (error) {
      if (isCoterieError(error, 'wrong-node')) return this.#moved(range)
      throw error
    }
    this.#parts.rangeLoads.answered(range, state.length)
    return { type: 'merged', synced: replicas.status(range) === 'synced', siblings: merged.siblings }
  }

  #isMember(range: number): boolean {
    return this.#parts.topology.view.isMember(range, this.#parts.self)
  }

  /** True when there is a copy that answers: a list member's, or one that is being prepared. */
  async #holds(range: number): Promise<boolean> {
    const { replicas, reconciler } = this.#parts
    if (replicas.status(range) === 'none') await reconciler.keeper.ensure([range])
    const status = replicas.status(range)
    return status === 'synced' || status === 'syncing'
  }

  #moved(range: number): Answer {
    return { type: 'moved', claims: this.#parts.topology.claimsAround(range) }
  }
}
