/**
 * A client of the simulated cluster: the real `Store` methods and the real retries over the simulated network. It keeps
 * what it saw last of each key, as a session would, and writes every operation into the history.
 */
import { askInTurn } from '../client/tries.ts'
import { CoterieError } from '../errors.ts'
import { HedgeBudget } from '../hedge-budget.ts'
import { StoreRequests } from '../store-requests.ts'
import { type History, type ReadRecord, type WriteRecord, writeOf } from './history.ts'
import type { SimNetwork, SimPort } from './network/network.ts'
import { keyName, type Operation } from './plan/plan.ts'
import { EPOCH_MS, SimProcess } from './world/process.ts'
import type { SimRandom } from './world/random.ts'
import type { World } from './world/world.ts'

export interface ClientInit {
  world: World
  network: SimNetwork
  history: History
  name: string
  id: number
  q: number
  timeoutMs: number
  /** Names of all nodes that have ever been started. */
  nodes: () => string[]
}

/** What a client saw last of a key: a context, and the writes that it covers. */
interface Seen {
  context: string
  covers: number[]
}

export class SimClient {
  readonly #init: ClientInit
  readonly #hedges = new HedgeBudget()
  readonly #random: SimRandom
  readonly #port: SimPort
  readonly #process: SimProcess
  readonly #seen = new Map<string, Seen>()
  readonly #busy = new Map<string, Promise<void>>()

  constructor(init: ClientInit) {
    const { world, network, name } = init
    this.#init = init
    this.#process = new SimProcess(world, name)
    this.#port = network.attach(this.#process, { peerId: name, role: 'client', wanted: () => [] })
    this.#random = world.random.fork(`client ${name}`)
  }

  /** Resolves when the operation has been answered or given up; never rejects for what a cluster may refuse. */
  async run(operation: Operation): Promise<void> {
    const key = keyName(operation.key)
    // One at a time of a key: a session.
    const turn = (this.#busy.get(key) ?? Promise.resolve()).then(() => this.#do(operation, key))
    this.#busy.set(key, turn)
    await turn
  }

  /** The same through one node only, at the cluster's own level: for looking at the cluster after a run. */
  async readVia(key: string, node: string): Promise<ReadRecord> {
    return this.#read(key, { via: this.#init.nodes().indexOf(node) })
  }

  async #do(operation: Operation, key: string): Promise<void> {
    switch (operation.kind) {
      case 'get':
        await this.#read(key, operation)
        return
      case 'put':
      case 'expiring-put':
        await this.#put(key, this.#seen.get(key), operation)
        return
      case 'blind-put':
        await this.#put(key, undefined, operation)
        return
      case 'blind-delete':
        await this.#write(key, undefined, operation, 'unknown')
        return
      case 'delete': {
        if (!this.#seen.has(key)) await this.#read(key, operation)
        const seen = this.#seen.get(key)
        if (seen !== undefined) await this.#write(key, seen, operation, seen.covers)
        return
      }
      case 'update': {
        const read = await this.#read(key, operation)
        if (read.outcome === 'answered') await this.#put(key, this.#seen.get(key), operation)
        return
      }
      case 'list':
        await this.#list(operation)
        return
    }
  }

  async #read(key: string, { r, via }: Pick<Operation, 'r' | 'via'>): Promise<ReadRecord> {
    const { world, history, id } = this.#init
    const trip = this.#trip(via)
    const record = history.beginRead({ key, client: id, startMs: world.nowMs })
    try {
      const result = await trip.store.get(key, { r: r ?? 'default' })
      record.outcome = 'answered'
      record.values = result.values.map(writeOf)
      record.dots = result.siblings.map(({ dot }) => dot)
      record.replies = result.replies
      record.via = trip.answeredBy()
      this.#seen.set(key, { context: result.context, covers: [...new Set(record.values)] })
    } catch (error) {
      record.outcome = 'failed'
      record.error = expected(error)
    }
    record.endMs = world.nowMs
    world.log.add(world.nowMs, this.#init.name, 'read', `${key} ${record.values.join(',')} ${record.error ?? ''}`)
    return record
  }

  async #put(key: string, seen: Seen | undefined, operation: Operation): Promise<void> {
    await this.#write(key, seen, operation, seen?.covers ?? [])
  }

  async #write(
    key: string,
    seen: Seen | undefined,
    { kind, ttlMs, w, via }: Operation,
    covers: WriteRecord['covers']
  ): Promise<void> {
    const { world, history, id } = this.#init
    const expiresAtMs = ttlMs === undefined ? undefined : this.#process.clock.wallMs() + ttlMs - EPOCH_MS
    const isDelete = kind === 'delete' || kind === 'blind-delete'
    const record = history.beginWrite({ key, client: id, covers, startMs: world.nowMs, expiresAtMs }, isDelete)
    const trip = this.#trip(via)
    const options = { w: w ?? 'default', context: seen?.context } as const
    try {
      const result = isDelete
        ? await trip.store.delete(key, options)
        : await trip.store.put(key, record.value!, { ...options, ttlMs })
      record.outcome = 'acked'
      record.acks = result.acks
      record.sloppy = result.sloppy
      record.readReplies = trip.replies()
      record.dot = result.dot
      record.via = trip.answeredBy()
      if (covers === 'unknown') this.#seen.delete(key)
      else this.#seen.set(key, { context: result.context, covers: [...covers, record.id] })
    } catch (error) {
      record.outcome = 'unknown'
      record.error = expected(error)
    }
    record.endMs = world.nowMs
    world.log.add(
      world.nowMs,
      this.#init.name,
      isDelete ? 'delete' : 'put',
      `${key} #${record.id} ${record.outcome} ${record.acks} ${record.error ?? ''}`
    )
  }

  async #list({ via }: Operation): Promise<void> {
    const { world, name } = this.#init
    let keys = 0
    try {
      for await (const _ of this.#trip(via).store.keys()) keys++
    } catch (error) {
      world.log.add(world.nowMs, name, 'list-failed', expected(error))
      return
    }
    world.log.add(world.nowMs, name, 'list', keys)
  }

  /** The store for one operation: asks the given node first, and tells who answered. */
  #trip(first: number): { store: StoreRequests; answeredBy: () => string | undefined; replies: () => number } {
    const { q, timeoutMs } = this.#init
    const { clock, timers } = this.#process
    let answeredBy: string | undefined
    let replies = 0
    const store = new StoreRequests({
      clock,
      timers,
      random: this.#random,
      q: () => q,
      timeoutMs,
      send: async (request, options) => {
        const answer = await askInTurn(
          {
            clock,
            timers,
            hedges: this.#hedges,
            order: () => this.#order(first),
            ask: (peerId, each) => this.#port.request(peerId, request, each),
            onTry: (peerId, outcome) => {
              if ('ms' in outcome) answeredBy = peerId
            }
          },
          options
        )
        if (answer.type === 'got') replies = answer.replies
        return answer
      }
    })
    return { store, answeredBy: () => answeredBy, replies: () => replies }
  }

  /** The node given first, then the others. */
  #order(first: number): string[] {
    const nodes = this.#init.nodes()
    const at = nodes.length === 0 ? 0 : first % nodes.length
    return [...nodes.slice(at), ...nodes.slice(0, at)]
  }
}

/** A cluster may refuse; anything else is a fault of the code under test and ends the run. */
function expected(error: unknown): string {
  if (error instanceof CoterieError && error.code !== 'internal' && error.code !== 'protocol')
    return `${error.code}: ${error.message}`
  throw error
}
