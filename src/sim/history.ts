/** What clients did and saw: the record that the checker judges and the story is told from. */

/** A write that a client sent. Its value is unique (`w17`), so that whoever reads it knows which write it was. */
export interface WriteRecord {
  id: number
  /** `undefined`: a delete. */
  value: string | undefined
  key: string
  client: number
  /** Ids of the writes whose values the context that it was sent with covers; `unknown`: the key was read first, and what was there deleted. */
  covers: number[] | 'unknown'
  startMs: number
  endMs: number | undefined
  /** `unknown`: an error came back; the write may still have been done, or be done later. */
  outcome: 'pending' | 'acked' | 'unknown'
  /** Replicas that had it when it was acknowledged. */
  acks: number
  /** Of a delete without a context: list members that answered when it read what to delete. */
  readReplies: number
  sloppy: boolean
  dot: string | undefined
  /** Virtual milliseconds. */
  expiresAtMs: number | undefined
  /** The node that answered. */
  via: string | undefined
  error: string | undefined
}

export interface ReadRecord {
  id: number
  key: string
  client: number
  startMs: number
  endMs: number | undefined
  outcome: 'pending' | 'answered' | 'failed'
  /** Ids of the writes whose values came back, in the answer's order, repeated where a value came twice. */
  values: number[]
  /** Dots in the answer's order. */
  dots: string[]
  replies: number
  via: string | undefined
  error: string | undefined
}

export class History {
  readonly writes: WriteRecord[] = []
  readonly reads: ReadRecord[] = []

  beginWrite(
    write: Pick<WriteRecord, 'key' | 'client' | 'covers' | 'startMs' | 'expiresAtMs'>,
    isDelete: boolean
  ): WriteRecord {
    const id = this.writes.length
    const record: WriteRecord = {
      ...write,
      id,
      value: isDelete ? undefined : valueOfWrite(id),
      endMs: undefined,
      outcome: 'pending',
      acks: 0,
      readReplies: 0,
      sloppy: false,
      dot: undefined,
      via: undefined,
      error: undefined
    }
    this.writes.push(record)
    return record
  }

  beginRead(read: Pick<ReadRecord, 'key' | 'client' | 'startMs'>): ReadRecord {
    const record: ReadRecord = {
      ...read,
      id: this.reads.length,
      endMs: undefined,
      outcome: 'pending',
      values: [],
      dots: [],
      replies: 0,
      via: undefined,
      error: undefined
    }
    this.reads.push(record)
    return record
  }
}

export const valueOfWrite = (writeId: number): string => `w${writeId}`

/** Throws for a value that no write of a history made. */
export function writeOf(value: Uint8Array): number {
  const text = Buffer.from(value).toString()
  const id = /^w(\d+)$/.exec(text)?.[1]
  if (id === undefined) throw new Error(`a value that nobody wrote: ${text}`)
  return Number(id)
}

/** What is found when the cluster had its time to settle. */
export interface Findings {
  /** Virtual milliseconds from heal until everything had settled; undefined: it had not within the plan's limit. */
  settledAfterMs: number | undefined
  /** What had not settled, in words; empty if it had. */
  unsettled: string[]
  /** Ranges that have lost their last synced copy to a fault, and wait for an operator. */
  orphans: number[]
  /** Nodes that have left the cluster. */
  left: string[]
  keys: KeyFindings[]
  nodes: NodeFindings[]
  /** Nodes whose data a fault may have destroyed, and when (virtual ms) and how. */
  destroyed: { node: string; atMs: number; how: string }[]
  /** What the rings of all nodes were while the run was on. */
  ring: RingFindings
}

/** Of a run that broke before anybody looked. */
export const NOTHING_FOUND: Findings = {
  settledAfterMs: undefined,
  unsettled: [],
  orphans: [],
  left: [],
  keys: [],
  nodes: [],
  destroyed: [],
  ring: { claims: [], handed: [] }
}

export interface RingFindings {
  /** Each owner that a range had at an epoch in the view of any node, in the order of their appearance. */
  claims: ClaimSeen[]
  handed: Handed[]
}

export interface ClaimSeen {
  range: number
  epoch: number
  owner: string
  /** Who granted it; undefined at the founder's epoch. */
  by: string | undefined
  /** Where and when (virtual ms) it was seen first. */
  node: string
  atMs: number
}

/** What a node gave away in one go. */
export interface Handed {
  node: string
  atMs: number
  flips: { range: number; to: string }[]
  /** The preference lists that this changed, in the node's own view. */
  lists: ListChange[]
}

export interface ListChange {
  range: number
  before: string[]
  after: string[]
}

export interface KeyFindings {
  key: string
  range: number
  /** A read through every node, at the cluster's R. */
  reads: { via: string; values: number[]; error?: string }[]
  /** What each member of the preference list holds. `digest`: of the whole key state, equal for equal states. */
  replicas: {
    node: string
    synced: boolean
    /** Live and expired values and tombstones, as ids of writes where known. */
    values: number[]
    digest: string
    /** Actors in the causal context. */
    actors: number
    error?: string
  }[]
}

export interface NodeFindings {
  node: string
  /** `epoch owner` of every range in its view. */
  owners: string[]
  /** Its `stats` document. */
  stats: Record<string, unknown>
  /** Timers and deliveries that wait in the world for this process. */
  pendingEvents: number
  openFiles: number
  openStreams: number
}

/** Something that must never be. */
export interface Violation {
  /** Kebab-case name of the rule: `lost-write`, `resurrected`, `diverged`, … */
  rule: string
  message: string
  key?: string
  /** Writes and reads that tell how it came about. */
  writes?: number[]
  reads?: number[]
}
