/**
 * A `Store` without storage: a program, a command or the REPL that holds the cluster's secret. It learns the ring and
 * talks to the nodes that hold a key; any one member that answers is enough to begin with.
 *
 * @example
 *   const client = await connect({ seeds: ['/ip4/127.0.0.1/tcp/4270'], secret })
 *   const { values, context } = await client.get('cart:7')
 *   await client.put('cart:7', merge(values), { context })
 *   await client.close()
 */
import { createLibp2p } from 'libp2p'
import { type ClusterParams, DEFAULT_SETTINGS } from '../config.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import { HedgeBudget } from '../hedge-budget.ts'
import { decodeInvite, parseSecret, type Secret } from '../invite.ts'
import type { Answer, ManageAction, Request } from '../messages.ts'
import type { Log, RequestOptions, Timer } from '../ports.ts'
import { silentLog, systemClock, systemRandom, systemTimers } from '../runtime.ts'
import type { Store } from '../store.ts'
import { rangeOfKey, StoreRequests } from '../store-requests.ts'
import type { NetworkComponents } from '../wire/components.ts'
import { hostConfig } from '../wire/host.ts'
import { createIdentity } from '../wire/identity.ts'
import { Libp2pNetwork } from '../wire/libp2p-network.ts'
import { type MemberDocument, type RingDocument, Routes } from './routes.ts'
import { askInTurn } from './tries.ts'

export interface ConnectOptions {
  /** All of it in one text: addresses, cluster id, secret. */
  invite?: string
  /** Or: multiaddrs of members, and the line of the cluster's secret file. */
  seeds?: string[]
  secret?: string
  /** For the first connection, and the default deadline of each operation. */
  timeoutMs?: number
  /** False: everything goes through the one node connected to, for diagnosis; default true, to the nodes that hold the key. */
  route?: boolean
  log?: Log
}

export interface CoterieClient extends Store {
  readonly cluster: ClusterParams
  /** The JSON document of the command of that name. */
  info(what: InfoRequest['what'], key?: Uint8Array): Promise<unknown>
  /** An operator's word to the node that was connected to, for it or for the cluster (`Request`). Throws `refused`. */
  manage(action: ManageAction, options?: ManageOptions): Promise<void>
}

export interface ManageOptions {
  peerId?: string
  ranges?: number[]
  force?: boolean
  timeoutMs?: number
}

type InfoRequest = Extract<Request, { type: 'info' }>

/** How often the ring is asked for again while the client lives. */
const REFRESH_MS = 10_000
/** Throws `bad-usage`, `refused` with the cluster's reason, or `unreachable` when no seed answers within `timeoutMs`. */
export async function connect(options: ConnectOptions): Promise<CoterieClient> {
  const { secret, seeds } = target(options)
  const client = new RemoteClient(secret, seeds, options)
  try {
    await client.open()
  } catch (error) {
    await client.close()
    throw error
  }
  return client
}

function target({ invite, seeds, secret }: ConnectOptions): { secret: Secret; seeds: string[] } {
  if (invite !== undefined) {
    const { addresses, ...rest } = decodeInvite(invite)
    return { secret: rest, seeds: [...addresses, ...(seeds ?? [])] }
  }
  if (secret === undefined || seeds === undefined || seeds.length === 0) {
    throw new CoterieError('bad-usage', 'connect takes an invite, or seeds and a secret')
  }
  return { secret: parseSecret(secret), seeds }
}

class RemoteClient extends StoreRequests implements CoterieClient {
  readonly #secret: Secret
  readonly #seeds: string[]
  readonly #timeoutMs: number
  readonly #log: Log
  readonly #routes = new Routes()
  readonly #hedges = new HedgeBudget()
  #params: ClusterParams | undefined
  #host: { stop(): void | Promise<void> } | undefined
  #network: Libp2pNetwork | undefined
  #timer: Timer | undefined
  readonly #route: boolean
  #refreshing = false
  #home: string | undefined
  #closed = false

  constructor(
    secret: Secret,
    seeds: string[],
    { timeoutMs = DEFAULT_SETTINGS.requestTimeoutMs, log = silentLog, route = true }: ConnectOptions
  ) {
    super({
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      q: () => this.cluster.q,
      timeoutMs,
      send: (request, options) => this.#send(request, options)
    })
    this.#secret = secret
    this.#seeds = seeds
    this.#timeoutMs = timeoutMs
    this.#log = log
    this.#route = route
  }

  get cluster(): ClusterParams {
    if (this.#params === undefined) throw new CoterieError('not-available', 'the client is not connected')
    return this.#params
  }

  async open(): Promise<void> {
    const { privateKey } = await createIdentity()
    const factory = (components: NetworkComponents) => {
      this.#network = this.#makeNetwork(components)
      return this.#network
    }
    const config = hostConfig({
      privateKey,
      listen: [],
      clusterId: this.#secret.clusterId,
      client: true,
      services: { network: factory }
    })
    this.#host = await createLibp2p(config)
    await this.#firstConnection()
    this.#refreshSoon(0)
  }

  async info(what: InfoRequest['what'], key?: Uint8Array): Promise<unknown> {
    const answer = await this.#send({ type: 'info', what, key }, { timeoutMs: this.#timeoutMs })
    if (answer.type !== 'info') throw new CoterieError('protocol', `a node answered "${answer.type}" to "info"`)
    return JSON.parse(answer.json)
  }

  async manage(action: ManageAction, options: ManageOptions = {}): Promise<void> {
    const { peerId = '', ranges = [], force = false, timeoutMs = this.#timeoutMs } = options
    await this.#send({ type: 'manage', action, peerId, ranges, force }, { timeoutMs })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#network?.stop()
    await this.#host?.stop()
  }

  #makeNetwork(components: NetworkComponents): Libp2pNetwork {
    return new Libp2pNetwork(components, {
      role: 'client',
      clusterId: this.#secret.clusterId,
      secret: this.#secret.secret,
      params: () => this.#params,
      adopt: params => {
        this.#params = params
      },
      seeds: [],
      wanted: () => [],
      addressesOf: peerId => this.#routes.addressesOf(peerId),
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log: this.#log
    })
  }

  /** All seeds at once; the first that admits us will do. */
  async #firstConnection(): Promise<void> {
    const dials = this.#seeds.map(seed => this.#network!.peers.dialAddress(seed))
    const late = systemTimers.sleep(this.#timeoutMs).then(() => {
      throw new CoterieError('unreachable', `no answer within ${this.#timeoutMs} ms from ${this.#seeds.join(', ')}`)
    })
    try {
      this.#home = await Promise.race([Promise.any(dials), late])
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error
      // What a node said weighs more than what another did not say.
      const refusal = error.errors.find(one => isCoterieError(one, 'refused', 'bad-usage'))
      const reasons = error.errors.map(
        (one, i) => `${this.#seeds[i]}: ${one instanceof Error ? one.message : String(one)}`
      )
      throw (
        refusal ??
        new CoterieError(
          'unreachable',
          `no node of the cluster answers (${reasons.join('; ')}); check the address, and that a node runs there`
        )
      )
    }
  }

  /** To the best node, and on to the next while there is time. */
  async #send(request: Request, options: RequestOptions): Promise<Answer> {
    const network = this.#network
    if (this.#closed || network === undefined) throw new CoterieError('closed', 'the client is closed')
    const range =
      'key' in request && request.key !== undefined
        ? rangeOfKey(request.key, this.cluster.q)
        : request.type === 'keys'
          ? request.range
          : undefined
    return askInTurn(
      {
        clock: systemClock,
        timers: systemTimers,
        hedges: this.#hedges,
        order: () => this.#order(request, range),
        ask: (peerId, each) => network.request(peerId, request, each),
        onTry: (peerId, outcome) => this.#learnOf(peerId, outcome)
      },
      options
    )
  }

  #learnOf(peerId: string, outcome: { ms: number } | { lateMs: number } | { error: CoterieError }): void {
    if ('lateMs' in outcome) {
      this.#routes.failed(peerId, systemClock.monotonicMs())
      return
    }
    if ('ms' in outcome) {
      this.#routes.answered(peerId, outcome.ms, systemClock.monotonicMs())
      return
    }
    // A node that answers from a newer ring is well; only the ring is to be learnt.
    if (outcome.error.code !== 'wrong-node') this.#routes.failed(peerId, systemClock.monotonicMs())
    this.#refreshSoon(0)
  }

  /** Questions about a node go to the one that was connected to, as long as it is there: its answers are what was asked for. */
  #order(request: Request, range: number | undefined): string[] {
    const connected = this.#network!.connected()
    const order = this.#routes.order(range, connected, systemClock.monotonicMs())
    const home = this.#home
    // Another node must not leave instead.
    if ((!this.#route || request.type === 'manage') && home !== undefined) return [home]
    if (request.type !== 'info' || home === undefined || !connected.includes(home)) return order
    return [home, ...order.filter(peerId => peerId !== home)]
  }

  #refreshSoon(delayMs: number): void {
    if (this.#refreshing || this.#closed) return
    this.#timer?.cancel()
    this.#timer = systemTimers.after(delayMs, () => this.#refresh())
  }

  #refresh(): void {
    this.#refreshing = true
    const done = (ok: boolean) => {
      this.#refreshing = false
      this.#refreshSoon(ok ? REFRESH_MS : REFRESH_MS / 10)
    }
    Promise.all([this.info('ring'), this.info('members')])
      .then(([ring, members]) => this.#routes.learn(ring as RingDocument, members as MemberDocument[]))
      .then(
        () => done(true),
        error => {
          this.#log.debug('the ring could not be learnt', { error: String(error) })
          done(false)
        }
      )
  }
}
