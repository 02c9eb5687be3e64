/**
 * Every tunable with its default, unit and reason, and the relations between them, checked when a node starts.
 * Cluster parameters are fixed when the cluster is made; node settings are each node's own.
 */
import { CoterieError } from './errors.ts'

/** Fixed at `init`, adopted by every node that is admitted, compared in `hello`. */
export interface ClusterParams {
  clusterId: string
  name: string
  /** Number of ranges, a power of two. */
  q: number
  /** Copies of every range. */
  n: number
  /** Default number of answers that a read and a write wait for. */
  r: number
  w: number
}

/** All interfaces, coterie's port. */
export const DEFAULT_LISTEN = '/ip4/0.0.0.0/tcp/4270'

export const MIN_RANGES = 8
/** 4096 ranges spread over 512 nodes at the advised 8 ranges a node (design §12). */
export const MAX_RANGES = 4096
export const MAX_REPLICAS = 16
/** Ranges a node: with fewer, shares are uneven by more than an eighth, and every join moves much (design §12). */
export const ADVISED_RANGES = 8

export const LIMITS = {
  maxKeyBytes: 1024,
  maxValueBytes: 1024 * 1024,
  /** design §7: past either, only a write that does not shrink the key is refused. */
  maxSiblings: 100,
  maxStateBytes: 16 * 1024 * 1024,
  /**
   * Merges are never refused for those two, and each side of a partition may have filled a key: what a record of a range
   * file, a frame and a compare session take of one key. Room for four full states; a merge beyond it fails, for that key alone.
   */
  maxMergedBytes: 64 * 1024 * 1024,
  /** How long the id of a replaced write is kept for its retries. */
  retryWindowMs: 60_000
} as const

export type Durability = 'os' | 'interval' | 'disk'

export interface NodeSettings {
  zone: string
  /** Relative share of the ranges. */
  capacity: number
  durability: Durability
  /** Default deadline of a client request. */
  requestTimeoutMs: number
  /**
   * A replica that has not answered for as long as it usually takes, and at most for this long, is late: the next one is
   * asked as well, and a write has somebody stand in for it.
   */
  hedgeDelayMs: number
  /** One gossip round this often, ± 10 %. */
  gossipIntervalMs: number
  /** Phi above which a member counts as down (Hayashibara 2004); 8 is one false alarm in 10^8 beats. */
  phiThreshold: number
  /** Replicas compare their ranges this often, and whenever a peer returns. */
  antiEntropyIntervalMs: number
  /**
   * How long a key stays dead before it may be reaped: no retry of a write that it replaced comes later. Members whose
   * wall clocks are further apart than this wait for the slowest to see a value as expired.
   */
  reapAfterMs: number
  /** The reconciler looks at its copies, claims and asks this often. */
  reconcileIntervalMs: number
  /** A mirror, a prepared copy or an ask that nobody renews ends after this long. */
  leaseMs: number
  /** Operations of clients that this node works on at once; more are answered `overloaded`. */
  maxInFlight: number
  /** Bytes of recently used records kept in memory, over all ranges. */
  cacheBytes: number
  /** A range file is rewritten when this much of it is dead, and half of it. */
  compactBytes: number
  /** A hint is written for a range file when this much of it is not covered by one, and half of what is. */
  hintBytes: number
  /** A new copy of a range comes as files where it has at least this much to come; key by key where it has less. */
  fileTransferBytes: number
  /** Bytes of files kept for members that cannot be reached; at this bound the node stands in for nobody any more. */
  standInBytes: number
  /**
   * What a member owned that has been down for this long is taken over by the others; 0: never. One that has heard of fewer
   * than half of them for half of this time no longer trusts its own view of the ring.
   */
  reclaimAfterMs: number
  /**
   * A node that has had well more work than the others for this long gives a hot range away for a cool one; 0: never. Loads are
   * averaged, and told to the others, over half of it; a range that has moved is left alone for ten times as long.
   */
  balanceAfterMs: number
}

export const DEFAULT_SETTINGS: NodeSettings = {
  zone: '',
  capacity: 1,
  durability: 'interval',
  requestTimeoutMs: 5000,
  hedgeDelayMs: 100,
  gossipIntervalMs: 1000,
  phiThreshold: 8,
  antiEntropyIntervalMs: 60_000,
  reapAfterMs: LIMITS.retryWindowMs,
  reconcileIntervalMs: 1000,
  leaseMs: 30_000,
  maxInFlight: 512,
  cacheBytes: 32 * 1024 * 1024,
  compactBytes: 1024 * 1024,
  hintBytes: 1024 * 1024,
  fileTransferBytes: 1024 * 1024,
  standInBytes: 1024 * 1024 * 1024,
  reclaimAfterMs: 10 * 60_000,
  balanceAfterMs: 60_000
}

/** Throws `bad-config`, naming the parameter and what it takes. */
export function checkClusterParams(params: ClusterParams): ClusterParams {
  const { q, n, r, w } = params
  const whole = (name: string, value: number, low: number, high: number) => {
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new CoterieError('bad-config', `${name} is ${value}; it takes a whole number from ${low} to ${high}`)
    }
  }
  whole('ranges', q, MIN_RANGES, MAX_RANGES)
  if ((q & (q - 1)) !== 0) throw new CoterieError('bad-config', `ranges is ${q}; it takes a power of two`)
  whole('replicas', n, 1, MAX_REPLICAS)
  whole('read', r, 1, n)
  whole('write', w, 1, n)
  if (!/^[0-9a-f]{32}$/.test(params.clusterId)) {
    throw new CoterieError('bad-config', `cluster id "${params.clusterId}" is not 32 hex digits`)
  }
  return params
}

/** 0 turns them off. */
const MAY_BE_NEVER = ['reclaimAfterMs', 'balanceAfterMs']

/** Throws `bad-config` for a setting out of its bounds or at odds with another. */
export function checkSettings(settings: NodeSettings): NodeSettings {
  const must = (holds: boolean, message: string) => {
    if (!holds) throw new CoterieError('bad-config', message)
  }
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === 'number' && !(MAY_BE_NEVER.includes(name) && value === 0))
      must(Number.isFinite(value) && value > 0, `${name} is ${value}; it takes a number above 0`)
  }
  must(
    ['os', 'interval', 'disk'].includes(settings.durability),
    `durability is "${settings.durability}"; it takes os, interval or disk`
  )
  must(
    settings.hedgeDelayMs < settings.requestTimeoutMs,
    'hedgeDelayMs must be below requestTimeoutMs, or no hedge would ever help'
  )
  must(
    settings.leaseMs >= 5 * settings.reconcileIntervalMs,
    'leaseMs must be at least 5 × reconcileIntervalMs, or leases end between two renewals'
  )
  must(new TextEncoder().encode(settings.zone).length <= 64, 'zone is longer than 64 bytes')
  return settings
}
