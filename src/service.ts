/**
 * coterie as a libp2p service: hand it to `createLibp2p` and the host's own identity, transports and connections carry
 * the store. `createNode` (node.ts) is this with the host included.
 *
 * @example
 *   const host = await createLibp2p({ transports, …, services: { identify: identify(), store: coterie({ dir, secret }) } })
 *   await host.services.store.ready()
 *   await host.services.store.put('cart:7', 'one apple')
 */
import { type PrivateKey, type Startable, serviceDependencies } from '@libp2p/interface'
import { type ClusterParams, checkClusterParams, checkSettings, DEFAULT_SETTINGS, type NodeSettings } from './config.ts'
import { Core } from './core.ts'
import {
  type DirectoryConfig,
  type DirectoryLock,
  layout,
  lockDirectory,
  makeDirectory,
  readConfig,
  readSecret,
  removeNodeFile,
  updateConfig,
  writeNodeFile,
  writeSecret
} from './directory.ts'
import { CoterieError } from './errors.ts'
import { formatSecret, parseSecret, type Secret } from './invite.ts'
import type { Request } from './messages.ts'
import type { Log } from './ports.ts'
import { silentLog, systemClock, systemRandom, systemTimers } from './runtime.ts'
import { nodeFiles } from './storage/disk/node-files.ts'
import type {
  Bytes,
  DeleteOptions,
  GetOptions,
  GetResult,
  KeysOptions,
  PutOptions,
  PutResult,
  Store,
  UpdateOptions
} from './store.ts'
import type { StoreRequests } from './store-requests.ts'
import type { NetworkComponents } from './wire/components.ts'
import { signerOf } from './wire/identity.ts'
import { Libp2pNetwork } from './wire/libp2p-network.ts'

export interface CoterieInit {
  /** The data directory: made by `coterie init`, or a fresh one, which joins the cluster of its `secret` and `seeds`. */
  dir: string
  /** The line of the cluster's secret file; default the one in `dir`. */
  secret?: string
  /** Multiaddrs of members to start from; default those in `dir`. */
  seeds?: string[]
  zone?: string
  capacity?: number
  durability?: NodeSettings['durability']
  /** Tunables for programs that know why (config.ts gives units and reasons). */
  settings?: Partial<NodeSettings>
  log?: Log
  /** Closes inbound connections of peers that are not admitted: for a host that serves nothing else. */
  exclusive?: boolean
}

export interface CoterieComponents extends NetworkComponents {
  privateKey: PrivateKey
  addressManager: { getAddresses(): { toString(): string }[] }
}

export type InfoTopic = Extract<Request, { type: 'info' }>['what']

/** The factory that `createLibp2p({ services })` takes. Its `start` throws `directory-in-use`, `bad-config`, `refused`. */
export function coterie(init: CoterieInit): (components: CoterieComponents) => CoterieService {
  return components => new CoterieService(components, init)
}

export class CoterieService implements Store, Startable {
  readonly [Symbol.toStringTag] = 'coterie'
  readonly [serviceDependencies] = ['@libp2p/identify']
  readonly peerId: string
  readonly #components: CoterieComponents
  readonly #init: CoterieInit
  readonly #settings: NodeSettings
  readonly #log: Log
  readonly #fatalListeners = new Set<(error: CoterieError) => void>()
  readonly #ready = Promise.withResolvers<void>()
  #lock: DirectoryLock | undefined
  #network: Libp2pNetwork | undefined
  #params: ClusterParams | undefined
  #founder = false
  #core: Core | undefined
  #coreStarting: Promise<void> | undefined
  #announced: Promise<void> | undefined
  readonly #leftListeners = new Set<() => void>()
  #left = false
  #fatal: CoterieError | undefined
  #stopped = false

  constructor(components: CoterieComponents, init: CoterieInit) {
    this.#components = components
    this.#init = init
    this.#log = init.log ?? silentLog
    const own = Object.entries({ zone: init.zone, capacity: init.capacity, durability: init.durability }).filter(
      ([, value]) => value !== undefined
    )
    this.#settings = checkSettings({ ...DEFAULT_SETTINGS, ...init.settings, ...Object.fromEntries(own) })
    this.peerId = components.peerId.toString()
    // Whoever never asks must not be told by an unhandled rejection.
    this.#ready.promise.catch(() => undefined)
  }

  /** libp2p calls this before it listens. */
  async start(): Promise<void> {
    const { dir } = this.#init
    await makeDirectory(dir)
    this.#lock = await lockDirectory(dir)
    try {
      const config = await readConfig(dir)
      await this.#own(config)
      const secret = await this.#secret()
      this.#founder = config.founder === true
      this.#params = config.cluster
      if (this.#params !== undefined && this.#params.clusterId !== secret.clusterId) {
        throw new CoterieError(
          'refused',
          `${dir} belongs to cluster ${this.#params.clusterId}, the secret to ${secret.clusterId}; nothing was changed`
        )
      }
      this.#network = this.#makeNetwork(secret, this.#init.seeds ?? config.seeds ?? [])
      this.#network.onConnection((_, connected) => {
        if (connected && this.#founder && this.#core?.ready) this.#foundedForGood().catch(error => this.#fail(error))
      })
      await this.#network.start()
    } catch (error) {
      await this.#lock.release()
      this.#lock = undefined
      throw error
    }
  }

  /** libp2p calls this once it listens: own addresses are known now. */
  async afterStart(): Promise<void> {
    if (this.addresses().length === 0) {
      this.#log.warn('this host listens on no address: no other node can dial it; give libp2p addresses.listen')
    }
    if (this.#params !== undefined) await this.#startCore()
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#ready.reject(new CoterieError('closed', 'the node was stopped'))
    // A core that could not start has told whoever waits for it.
    await this.#coreStarting?.catch(() => undefined)
    try {
      await this.#announced?.catch(() => undefined)
      // While the lock still holds: afterwards the file may be the next node's.
      if (this.#lock !== undefined) await removeNodeFile(this.#init.dir)
      await this.#core?.stop()
    } finally {
      await this.#network?.stop()
      await this.#lock?.release()
    }
  }

  /** Resolves once this node can serve: it has been admitted and knows the ring. Rejects when it is stopped first. */
  ready(): Promise<void> {
    return this.#ready.promise
  }

  /** The node cannot go on (its identity runs twice, it was removed from the cluster): close it. */
  onFatal(listener: (error: CoterieError) => void): void {
    this.#fatalListeners.add(listener)
    if (this.#fatal !== undefined) listener(this.#fatal)
  }

  /**
   * Gives everything that this node holds to the others; `onLeft` tells when that is done. Throws `refused` where fewer than
   * N nodes would be left (unless `force`), and for the last node.
   */
  async leave({ force = false }: { force?: boolean } = {}): Promise<void> {
    await this.#running().leave(force)
  }

  /** The node has left its cluster, and serves nothing any more: close it. */
  onLeft(listener: () => void): void {
    this.#leftListeners.add(listener)
    if (this.#left) listener()
  }

  /** Loopback last: others are shown the first one, invites begin with it, and on another machine it leads back to itself. */
  addresses(): string[] {
    const all = this.#components.addressManager.getAddresses().map(String)
    const isLoopback = (address: string) => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address)
    return [...all.filter(address => !isLoopback(address)), ...all.filter(isLoopback)]
  }

  get cluster(): ClusterParams | undefined {
    return this.#params
  }

  /** The JSON document of the command of that name. */
  async info(what: InfoTopic, key?: Uint8Array): Promise<unknown> {
    return this.#running().info(what, key)
  }

  async get(key: Bytes, options?: GetOptions): Promise<GetResult> {
    return this.#store().get(key, options)
  }

  async put(key: Bytes, value: Bytes, options?: PutOptions): Promise<PutResult> {
    return this.#store().put(key, value, options)
  }

  async delete(key: Bytes, options?: DeleteOptions): Promise<PutResult> {
    return this.#store().delete(key, options)
  }

  async update(
    key: Bytes,
    merge: (values: Uint8Array[]) => Bytes | undefined,
    options?: UpdateOptions
  ): Promise<PutResult> {
    return this.#store().update(key, merge, options)
  }

  async *keys(options?: KeysOptions): AsyncGenerator<Uint8Array> {
    yield* this.#store().keys(options)
  }

  close(): Promise<void> {
    return this.stop()
  }

  #store(): StoreRequests {
    return this.#running().store
  }

  #running(): Core {
    if (this.#stopped) throw new CoterieError('closed', 'the node was stopped')
    if (this.#core === undefined)
      throw new CoterieError('not-available', 'the node has not been admitted to its cluster yet; await ready()')
    return this.#core
  }

  /** A directory is one node's: under a new identity its ranges would be owned by a node that never comes back. */
  async #own({ peerId }: DirectoryConfig): Promise<void> {
    const { dir } = this.#init
    if (peerId !== undefined && peerId !== this.peerId) {
      const advice = 'give the libp2p host the same privateKey at every start, or the node a directory of its own'
      throw new CoterieError('refused', `${dir} belongs to ${peerId}, and this host is ${this.peerId}: ${advice}`)
    }
    if (peerId === undefined) await updateConfig(dir, { peerId: this.peerId })
  }

  /** The given secret, kept in the directory; else the one that is there. */
  async #secret(): Promise<Secret> {
    const { dir, secret } = this.#init
    const kept = await readSecret(dir)
    const given = secret === undefined ? undefined : parseSecret(secret)
    if (given === undefined && kept === undefined) {
      throw new CoterieError(
        'bad-config',
        `${dir} belongs to no cluster yet and no secret was given; make a cluster with coterie init, or give the secret of one`
      )
    }
    if (given !== undefined && kept !== undefined && formatSecret(given) !== formatSecret(kept)) {
      throw new CoterieError(
        'refused',
        `${layout(dir).secret} holds another secret than the one given; nothing was changed`
      )
    }
    if (kept === undefined) await writeSecret(dir, given!)
    return given ?? kept!
  }

  #makeNetwork(secret: Secret, seeds: string[]): Libp2pNetwork {
    return new Libp2pNetwork(this.#components, {
      role: 'node',
      clusterId: secret.clusterId,
      params: () => this.#params,
      adopt: params => this.#adopt(params),
      secret: secret.secret,
      seeds,
      exclusive: this.#init.exclusive,
      banned: peerId => this.#core?.membership.isRemoved(peerId) ?? false,
      addressesOf: peerId => this.#core?.membership.addressBook.addressesOf(peerId) ?? [],
      learned: (peerId, addresses) => this.#core?.membership.addressBook.learn(peerId, addresses),
      wanted: () => this.#wanted(),
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log: this.#log
    })
  }

  /** A fresh node takes the parameters of the cluster that admits it, and keeps them. */
  async #adopt(params: ClusterParams): Promise<void> {
    if (this.#params !== undefined || this.#stopped) return
    this.#params = checkClusterParams(params)
    await updateConfig(this.#init.dir, { cluster: params })
    this.#log.info('admitted to the cluster', { name: params.name, ranges: params.q, replicas: params.n })
    // Not awaited: the admission that brought the parameters has to end first.
    this.#startCore().catch(error => this.#fail(error))
  }

  /** Others know the ring now: were this directory lost but for its configuration, it must not begin a second one. */
  async #foundedForGood(): Promise<void> {
    this.#founder = false
    await updateConfig(this.#init.dir, { founder: false })
  }

  #startCore(): Promise<void> {
    const ports = {
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      signer: signerOf(this.#components.privateKey),
      files: nodeFiles,
      network: this.#network!,
      log: this.#log
    }
    const core = new Core(ports, {
      dir: this.#init.dir,
      params: this.#params!,
      settings: this.#settings,
      founder: this.#founder,
      addresses: () => this.addresses(),
      seeds: () => this.#network!.connected(),
      onFatal: error => this.#fail(error),
      onLeft: () => {
        this.#left = true
        for (const listener of this.#leftListeners) listener()
      }
    })
    this.#coreStarting = core.start().then(() => {
      this.#core = core
      if (core.ready) return this.#announce()
      const unsubscribe = core.topology.onChange(() => {
        if (!core.ready) return
        unsubscribe()
        this.#announce().catch(error => this.#fail(error))
      })
    })
    return this.#coreStarting
  }

  /** Others on this machine find a node that serves by `node.json` (`--dir`). */
  async #announce(): Promise<void> {
    if (this.#stopped) return
    this.#announced = writeNodeFile(this.#init.dir, { peerId: this.peerId, addresses: this.addresses(), http: null })
    await this.#announced
    this.#ready.resolve()
  }

  #wanted(): string[] {
    const members = this.#core?.membership.members() ?? []
    const known = members.filter(({ self, record }) => !self && record.status !== 'left').map(({ peerId }) => peerId)
    // Before the first gossip, those remembered from earlier runs: a restart works with every seed gone (failures 38).
    return known.length > 0 ? known : (this.#core?.membership.addressBook.peers() ?? [])
  }

  #fail(error: unknown): void {
    this.#fatal =
      error instanceof CoterieError
        ? error
        : new CoterieError('internal', `the node cannot start: ${String(error)}`, { cause: error })
    this.#log.error(this.#fatal.message)
    this.#ready.reject(this.#fatal)
    for (const listener of this.#fatalListeners) listener(this.#fatal)
  }
}
