/**
 * What the commands are built on, as interfaces: `main.ts` gives the real node, client, identities and inspector, loaded
 * only when a command needs them; tests give fakes. And the shapes of what a node tells about itself.
 */
import type { ConnectOptions, CoterieClient } from '../client/client.ts'
import type { ClusterStatus } from '../cluster-status.ts'
import type { Heat } from '../heat.ts'
import type { CopyStatus } from '../messages.ts'
import type { CoterieNode, NodeOptions } from '../node.ts'
import type { InfoTopic } from '../service.ts'
import type { Findings, History, Violation } from '../sim/history.ts'
import type { Plan } from '../sim/plan/plan.ts'
import type { ShrinkOptions } from '../sim/plan/shrink.ts'
import type { RunOptions, RunResult, SeedOptions } from '../sim/run.ts'
import type { Store } from '../store.ts'

export type { ConnectOptions, InfoTopic, NodeOptions, RunOptions, RunResult, SeedOptions }

/** A store that also tells about its cluster: a running node, or a client of one. */
export type Cluster = Pick<CoterieNode, keyof Store | 'info'>
export type RunningNode = CoterieNode
export type Client = CoterieClient

export interface Parts {
  createNode(options: NodeOptions): Promise<RunningNode>
  connect(options: ConnectOptions): Promise<Client>
  createIdentity(): Promise<Uint8Array>
  loadIdentity(bytes: Uint8Array): Promise<{ peerId: string }>
  /** A range file, as JSON and as text. */
  inspect(path: string, options: { keys: boolean; verify: boolean }): Promise<{ document: unknown; text: string }>
  simulator(): Promise<Simulator>
  version(): Promise<string>
}

export interface Simulator {
  runSeed(seed: string, options?: SeedOptions): Promise<RunResult>
  runPlan(plan: Plan, options?: RunOptions): Promise<RunResult>
  /** The smallest plan found for which `fails` holds. */
  shrink(plan: Plan, fails: (candidate: Plan) => Promise<boolean>, options: ShrinkOptions): Promise<Plan>
  /** Throws for what is no plan. */
  checkPlan(document: unknown): Plan
  planSummary(plan: Plan): string[]
  tellStory(violation: Violation, plan: Plan, history: History, findings: Findings): string[]
}

export interface MemberInfo {
  peerId: string
  status: string
  alive: boolean
  verdict?: 'up' | 'suspect' | 'down' | 'removed'
  zone: string
  capacity: number
  addresses: string[]
  ranges: number
  keys: number
  bytes: number
  opsPerSecond: number
  /** Absent: little work on its ranges. */
  heat?: Heat
  incarnation: number
  self: boolean
}

export interface RingInfo {
  clusterId: string
  q: number
  n: number
  owners: { range: number; owner: string; epoch: number }[]
  /** Of the node asked, the busiest first; absent: a node of an earlier version. */
  loads?: { range: number; work: number }[]
}

export interface WhereInfo {
  key?: string
  keyBase64: string
  /** 16 hex digits. */
  position: string
  range: number
  preference: string[]
  /** `zone`, `status`: absent where a node of an earlier version answers. */
  replicas: { peerId: string; zone?: string; alive: boolean; synced: boolean; status?: CopyStatus | 'unknown' }[]
}

export type { ClusterStatus }

export interface TransferInfo {
  /** The first of `ranges`. */
  range: number
  ranges?: number
  from: string
  keysDone: number
  keysTotal: number
  /** Of range files; 0, or not told: it goes key by key. */
  bytesDone?: number
  bytesTotal?: number
}
