/** The figures of gossip at scale. */

/** Bytes of gossip messages that a node sends a second; what it receives is the same on average. */
export interface Traffic {
  mean: number
  /** Of the busiest node over the window. */
  max: number
}

/** Wrong verdicts on nodes that were alive. */
export interface FalseAlarms {
  suspect: number
  down: number
  /** Minutes that nodes were alive in, summed over nodes: each minute S − 1 others judged. */
  nodeMinutes: number
}

/** Milliseconds from a crash until a live node's opinion of the dead one changed. */
export interface Detection {
  firstMs: number
  medianMs: number
  lastMs: number
  /** Nodes that had not noticed when the measurement ended. */
  missing: number
}

export interface GossipScaleResult {
  nodes: number
  /** From the start of all nodes, with one seed, until all had a record of all. */
  start: { allKnowAllMs: number; traffic: Traffic }
  /** Rounds (gossip intervals) until the last node had a changed record. */
  change: { count: number; meanRounds: number; p99Rounds: number; maxRounds: number; theoryRounds: number }
  /** `fresh`: soon after the start, while gossip still makes connections; `settled`: with all of them made. */
  idle: { fresh: Traffic; settled: Traffic; alarms: FalseAlarms }
  /** Mean over all members; after a month of uptime the heartbeat counter and the version are longer. */
  digestEntryBytes: { now: number; afterMonth: number }
  churn: { restarts: number; traffic: Traffic; alarms: FalseAlarms }
  join: { count: number; knownByAllMs: number; knowsAllMs: number }
  pause: { paused: number; alarms: FalseAlarms }
  /** The host dies without a word: opinion `suspect` or `down`, and `down` alone. */
  powerCut: { noticed: Detection; down: Detection; theoryMs: number }
  /** The process dies and its connections break. */
  processKill: { noticed: Detection; down: Detection }
  /** Of the event log: equal for equal options. */
  digest: string
}
