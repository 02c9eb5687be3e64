/**
 * Everything that a run is to do, as plain data: drawn from a seed (`swarm.ts`, `scenarios.ts`), carried out by `run.ts`,
 * made smaller after a failure (`shrink.ts`). Times are virtual milliseconds from the start of the run.
 */
import type { NodeSettings } from '../../config.ts'

export interface Plan {
  /** Of all chance inside the run: delays, identities, what the disk tears. */
  seed: string
  scenario: string
  params: { q: number; n: number; r: number; w: number }
  /** Of every node; the rest are the defaults. */
  settings: Partial<NodeSettings>
  /** The first is the founder. */
  nodes: NodePlan[]
  links: LinkProfile
  disks: DiskProfile
  operations: Operation[]
  faults: Fault[]
  /** From here on every fault has ended and every machine runs; the checker waits for the cluster to settle. */
  healAtMs: number
  /** Liveness: by `healAtMs + settleMs` everything has settled, or the run has failed. */
  settleMs: number
}

export interface NodePlan {
  /** Also its peer id: `n0`, `n1`, … */
  name: string
  /** When it starts for the first time; 0 for those that are there from the beginning. */
  joinAtMs: number
  zone: string
  capacity: number
  /** How far its wall clock is off, and how fast it runs away (ms a ms). */
  skewMs: number
  drift: number
}

/** One direction of every link, unless a fault says otherwise. */
export interface LinkProfile {
  /** Every message takes at least this long. */
  minMs: number
  /** On top, exponentially distributed. */
  meanMs: number
  /** This share of messages takes `slowMs` more. */
  slowChance: number
  slowMs: number
  /** A request or an answer that never arrives. Streams (TCP) delay instead of losing. */
  loss: number
  /** A request that is delivered twice, the second time later. */
  replay: number
}

export interface DiskProfile {
  readMs: number
  writeMs: number
  syncMs: number
}

export type OperationKind =
  | 'get'
  /** With what the client last saw of the key; blind if it has seen nothing. */
  | 'put'
  /** Without a context: makes a sibling. */
  | 'blind-put'
  /** With what the client last saw; reads first if it has seen nothing. */
  | 'delete'
  /** Without a context: what a read finds. */
  | 'blind-delete'
  /** Read, merge, write back. */
  | 'update'
  /** A `put` that expires after `ttlMs`. */
  | 'expiring-put'
  /** Lists all keys. */
  | 'list'

export interface Operation {
  id: number
  atMs: number
  /** A client keeps what it saw last of each key; it has one operation of a key under way at a time. */
  client: number
  key: number
  kind: OperationKind
  /** Index of the node that it asks first; if that one does not answer, the next. */
  via: number
  ttlMs?: number
  r?: number
  w?: number
}

/** `node` is a name; a fault on a machine that is down or has not joined does nothing. */
export type Fault =
  // Machines. They come back by themselves `forMs` later, at the latest when the run heals.
  | { kind: 'crash'; atMs: number; forMs: number; node: string }
  /** What was not synced is gone; `torn`: some of what was being written stays, in pieces. */
  | { kind: 'power-cut'; atMs: number; forMs: number; node: string; torn: boolean }
  /** SIGTERM, then a start. */
  | { kind: 'restart'; atMs: number; forMs: number; node: string }
  /** SIGSTOP. */
  | { kind: 'pause'; atMs: number; forMs: number; node: string }
  /** The directory is lost, the key is kept (failures 40). */
  | { kind: 'wipe'; atMs: number; forMs: number; node: string }
  /** The wall clock is set forward or back. */
  | { kind: 'clock-jump'; atMs: number; node: string; byMs: number }
  /** Not a fault: it is told to leave the cluster, and stops when it has. */
  | { kind: 'leave'; atMs: number; node: string }
  // Links.
  /** Nodes in different groups do not hear each other; nodes in no group are a group. */
  | { kind: 'partition'; atMs: number; forMs: number; groups: string[][] }
  /** What `from` sends to `to` is lost. */
  | { kind: 'one-way'; atMs: number; forMs: number; from: string; to: string }
  /** All links of these nodes stop one after another in random order, and come back in another. */
  | { kind: 'swizzle'; atMs: number; forMs: number; nodes: string[] }
  /** All links of a node are worse for a while. */
  | { kind: 'bad-links'; atMs: number; forMs: number; node: string; change: Partial<LinkProfile> }
  /** All connections of a node break, and may be made again. */
  | { kind: 'reset'; atMs: number; node: string }
  // Disks.
  | { kind: 'disk-stall'; atMs: number; forMs: number; node: string }
  | { kind: 'disk-full'; atMs: number; forMs: number; node: string }
  /** The next `times` operations of this kind on a range file fail with EIO. */
  | { kind: 'eio'; atMs: number; node: string; operation: 'write' | 'sync' | 'read'; times: number }
  /** Of the range files: so many bits flip in what is on the disk. */
  | { kind: 'bit-rot'; atMs: number; node: string; bits: number }
  /** The next `times` writes to range files are acknowledged and not done. */
  | { kind: 'lost-write'; atMs: number; node: string; times: number }
  /** The next write to a range file lands in another place or in another range file. */
  | { kind: 'misdirected-write'; atMs: number; node: string }
  // Adversary: a peer that holds the secret.
  /** Gossips a record of `victim` that the victim never signed. */
  | { kind: 'forge'; atMs: number; from: string; victim: string }
  /** Gossips a record of `victim` that is older than the newest. */
  | { kind: 'replay-record'; atMs: number; from: string; victim: string }

export type FaultKind = Fault['kind']

/** Faults that may take data from a copy that was counted; the swarm keeps them on fewer than W nodes. */
export function destroysData(fault: Fault, durability: NodeSettings['durability']): boolean {
  switch (fault.kind) {
    case 'wipe':
    case 'eio':
    case 'bit-rot':
    case 'lost-write':
    case 'misdirected-write':
      return true
    case 'power-cut':
      return durability !== 'disk'
    default:
      return false
  }
}

/** Nothing goes wrong in such a run: no operation may fail. */
export const isCalm = ({ faults, links }: Plan): boolean => faults.length === 0 && links.loss === 0

export const keyName = (key: number): string => `k${key}`
