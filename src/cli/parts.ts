/**
 * What the commands are built on, as interfaces: `main.ts` gives the real node, client, identities and inspector, loaded
 * only when a command needs them; tests give fakes. And the shapes of what a node tells about itself.
 */
import type { ClusterParams, Durability } from '../config.ts'
import type { CoterieError } from '../errors.ts'
import type { CopyStatus } from '../messages.ts'
import type { Log } from '../ports.ts'
import type { Store } from '../store.ts'

export type InfoTopic = 'cluster' | 'members' | 'ring' | 'stats' | 'where' | 'transfers'

/** A store that also tells about its cluster: a running node, or a client of one. */
export interface Cluster extends Store {
  /** The JSON document of the command of that name. */
  info(what: InfoTopic, key?: Uint8Array): Promise<unknown>
}

export interface RunningNode extends Cluster {
  readonly peerId: string
  /** Multiaddrs that it listens on or announces. */
  addresses(): string[]
  /** Resolves once it can serve. */
  ready(): Promise<void>
  onFatal(listener: (error: CoterieError) => void): void
}

export interface NodeOptions {
  dir: string
  seeds?: string[]
  /** The line of a secret file. */
  secret?: string
  listen?: string[]
  announce?: string[]
  mdns?: boolean
  zone?: string
  capacity?: number
  durability?: Durability
  log?: Log
}

export interface Client extends Cluster {
  cluster: ClusterParams
}

export interface ConnectOptions {
  invite?: string
  seeds?: string[]
  secret?: string
  log?: Log
  timeoutMs?: number
}

export interface Parts {
  createNode(options: NodeOptions): Promise<RunningNode>
  connect(options: ConnectOptions): Promise<Client>
  createIdentity(): Promise<Uint8Array>
  loadIdentity(bytes: Uint8Array): Promise<{ peerId: string }>
  /** A range file, as JSON and as text. */
  inspect(path: string, options: { keys: boolean }): Promise<{ document: unknown; text: string }>
  version(): Promise<string>
}

export interface MemberInfo {
  peerId: string
  status: string
  alive: boolean
  zone: string
  capacity: number
  addresses: string[]
  ranges: number
  keys: number
  bytes: number
  opsPerSecond: number
  incarnation: number
  self: boolean
}

export interface RingInfo {
  clusterId: string
  q: number
  n: number
  owners: { range: number; owner: string; epoch: number }[]
}

export interface WhereInfo {
  key?: string
  keyBase64: string
  /** 16 hex digits. */
  position: string
  range: number
  preference: string[]
  replicas: { peerId: string; alive: boolean; synced: boolean; status?: CopyStatus | 'unknown' }[]
}

export interface TransferInfo {
  range: number
  from: string
  keysDone: number
  keysTotal: number
}
