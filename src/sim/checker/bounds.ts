/** Nothing grows for ever: contexts, hints, queues, memory (design §4, §11). */
import type { NodeFindings } from '../history.ts'
import type { Case } from './case.ts'
import type { KeyCase } from './key-case.ts'
import { type Breach, type Rule, seconds } from './rule.ts'

/** A copy may be opened, given up, made anew and filled again while a node joins: each time its actor is a new one. */
const ACTORS_A_JOIN = 2
const SPARE_ACTORS = 8
/** Timers of a node that has nothing to do: gossip, syncer, anti-entropy, reconciler, leases; with room for later ones. */
const EVENTS = 64
/** For every other node: pulses, deadlines, deliveries, probes. */
const EVENTS_A_NODE = 32
/** For every key: the deadlines of the reads with which the run was looked at. */
const EVENTS_A_KEY = 8
/** Beside one for each range. */
const FILES = 16
/** Both ways: kv, gossip, sync, hello. */
const STREAMS_A_NODE = 8
/** Periodic work, each kind once, and per other node what runs once with each. */
const BACKGROUND = 8
const BACKGROUND_A_NODE = 2

/**
 * `unbounded`. In a cluster that has settled:
 *
 *     actors in the context of a key   nodes × (1 + 2 × joins) + 8 + for each fault: 1 if it ends a process, 1 for each time
 *                                      that it may damage a copy, and 1 for each write of the key while appends may fail
 *     pendingEvents of a node          64 + 32 × nodes + 8 × keys
 *     openFiles of a node              Q + 16
 *     openStreams of a node            8 × (nodes + 1)
 *     stats.inFlight                   2 × nodes    (others may ask something at that moment)
 *     stats.background, together       8 + 2 × nodes
 *     stats.hints                      0; on a node with a failed file, the keys of the run
 *
 * An actor is drawn whenever a copy is opened, made, refilled, damaged or fails an append (design §7), and comes into a
 * context by a write alone, so this is generous. Hints are 0 at rest: all have been handed over.
 * Source: design §4, §7, §10, §11; failures 11, 32, 42, 49.
 */
export const unbounded: Rule = {
  name: 'unbounded',
  what: 'contexts, timers, files, streams, requests and background work stay within their bounds',
  source: 'design §4, §7, §10, §11; failures 11, 32, 42, 49',
  always: false,
  check: run => [...run.keys.flatMap(key => actors(run, key)), ...run.findings.nodes.flatMap(node => ofNode(run, node))]
}

function actors(run: Case, key: KeyCase): Breach[] {
  const most = mostActors(run, key)
  return (key.found?.replicas ?? [])
    .filter(({ actors }) => actors > most)
    .map(({ node, actors }) => ({
      key: key.key,
      message: `the context of ${key.key} on ${node} has ${actors} actors; at most ${most} can have written`
    }))
}

function mostActors({ plan }: Case, key: KeyCase): number {
  const joins = Math.max(0, plan.nodes.length - 1)
  const writesAfter = (fromMs: number) =>
    key.writes.filter(({ endMs }) => endMs === undefined || endMs >= fromMs).length
  const byFaults = plan.faults.map(fault => {
    switch (fault.kind) {
      case 'crash':
      case 'power-cut':
      case 'restart':
      case 'wipe':
        return 1
      case 'bit-rot':
        return fault.bits
      case 'lost-write':
        return fault.times
      case 'misdirected-write':
        return 2
      case 'eio':
        return fault.times + writesAfter(fault.atMs)
      case 'disk-full':
        return writesAfter(fault.atMs)
      case 'replay-record':
      case 'forge':
        // A node that is told of another life of its own takes all its copies for incomplete.
        return 1
      default:
        return 0
    }
  })
  const drawn = byFaults.reduce((sum, count) => sum + count, 0)
  return plan.nodes.length * (1 + ACTORS_A_JOIN * joins) + SPARE_ACTORS + drawn
}

function ofNode(
  { plan, findings, endMs }: Case,
  { node, stats, pendingEvents, openFiles, openStreams }: NodeFindings
): Breach[] {
  const nodes = plan.nodes.length
  const counted = (what: string): number => (typeof stats[what] === 'number' ? stats[what] : 0)
  const bounds: [what: string, found: number, most: number][] = [
    ['events pending', pendingEvents, EVENTS + EVENTS_A_NODE * nodes + EVENTS_A_KEY * findings.keys.length],
    ['files open', openFiles, plan.params.q + FILES],
    ['streams open', openStreams, STREAMS_A_NODE * (nodes + 1)],
    ['requests in flight', counted('inFlight'), 2 * nodes],
    ['pieces of work in the background', backgroundOf(stats), BACKGROUND + BACKGROUND_A_NODE * nodes],
    ['hints', counted('hints'), counted('copiesFenced') > 0 ? findings.keys.length : 0]
  ]
  return bounds
    .filter(([, found, most]) => found > most)
    .map(([what, found, most]) => ({
      message: `${node}, at rest at ${seconds(endMs)}, has ${found} ${what}; at most ${most} are expected`
    }))
}

function backgroundOf({ background }: Record<string, unknown>): number {
  if (typeof background !== 'object' || background === null) return 0
  return Object.values(background).reduce(
    (sum: number, count: unknown) => sum + (typeof count === 'number' ? count : 0),
    0
  )
}
