/**
 * Gossip alone among many simulated nodes: `npm run bench -- gossip [SIZE …] [--wan]`, by default 100 and 300 nodes on a
 * LAN. Tables, with the theory beside them. The same sizes give the same figures on every machine, but for time and memory.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { CoterieError } from '../../src/errors.ts'
import type { Detection, GossipScaleResult } from '../../src/sim/gossip/gossip-result.ts'
import { gossipScale, LAN, WAN } from '../../src/sim/gossip/gossip-scale.ts'
import { machine, table } from './measure.ts'

const SEED = '1'
const MIB = 1024 * 1024
/** A thousand nodes hold a million records. */
const HEAP_MIB = 12 * 1024

interface Row extends GossipScaleResult {
  links: string
  realMs: number
  maxRssBytes: number
}

/** `--one SIZE LINKS` is what each measurement's own process is called with: its peak memory is then its own. */
export async function benchGossip(args: string[]): Promise<string> {
  if (args[0] === '--one') return JSON.stringify(await measure(Number(args[1]), args[2] ?? 'lan'))
  const links = args.includes('--wan') ? 'wan' : 'lan'
  const sizes = args.filter(arg => arg !== '--wan').map(Number)
  if (sizes.some(size => !Number.isInteger(size) || size < 10)) {
    throw new CoterieError('bad-usage', 'npm run bench -- gossip [SIZE …] [--wan], each SIZE at least 10')
  }
  const rows: Row[] = []
  for (const size of sizes.length > 0 ? sizes : [100, 300]) {
    const one = [import.meta.dirname, 'run.ts'].join('/')
    const argv = [`--max-old-space-size=${HEAP_MIB}`, one, 'gossip', '--one', String(size), links]
    const { stdout } = await promisify(execFile)(process.execPath, argv, { maxBuffer: 64 * MIB })
    rows.push(JSON.parse(stdout))
    console.error(`${size} nodes: ${(rows.at(-1)!.realMs / 1000).toFixed(0)} s`)
  }
  return [machine(), `links: ${describeLinks(links)}`, gossipTables(rows)].join('\n\n')
}

const describeLinks = (links: string) => {
  const { minMs, maxMs, loss } = links === 'wan' ? WAN : LAN
  return `${minMs} to ${maxMs} ms one way, ${loss * 100} % of packets lost`
}

async function measure(nodes: number, links: string): Promise<Row> {
  const began = performance.now()
  const result = await gossipScale({ nodes, seed: SEED, links: links === 'wan' ? WAN : LAN })
  return { ...result, links, realMs: performance.now() - began, maxRssBytes: process.resourceUsage().maxRSS * 1024 }
}

export function gossipTables(rows: Row[]): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(1)
  const kilobytes = (bytes: number) => (bytes / 1024).toFixed(1)
  const times = ({ firstMs, medianMs, lastMs, missing }: Detection) =>
    `${seconds(firstMs)} / ${seconds(medianMs)} / ${seconds(lastMs)}${missing > 0 ? `, ${missing} never` : ''}`
  const column = (name: string, cell: (row: Row) => string) => [name, ...rows.map(cell)]
  const alarms = (row: Row) => {
    const parts = [row.idle.alarms, row.churn.alarms, row.pause.alarms]
    const each = parts.map(({ down, suspect }) => `${down} + ${suspect}`).join(', ')
    const minutes = parts.map(({ nodeMinutes }) => nodeMinutes.toFixed(0)).join(', ')
    return `${each} in ${minutes}`
  }
  return table(
    ['', ...rows.map(row => `${row.nodes} nodes`)],
    [
      column('a change is with all: rounds, mean', row => row.change.meanRounds.toFixed(1)),
      column('… theory: (S − 1)/S · H(S − 1) ≈ ln S + 0.6', row => row.change.theoryRounds.toFixed(1)),
      column('… p99, most', row => `${row.change.p99Rounds.toFixed(1)}, ${row.change.maxRounds.toFixed(1)}`),
      column('sent a node, idle: KiB/s, mean', row => kilobytes(row.idle.settled.mean)),
      column('… busiest node', row => kilobytes(row.idle.settled.max)),
      column('… while connections are new: mean', row => kilobytes(row.idle.fresh.mean)),
      column('bytes of a digest entry: now, after a month', row =>
        [row.digestEntryBytes.now, row.digestEntryBytes.afterMonth].map(bytes => bytes.toFixed(1)).join(', ')
      ),
      column('sent a node, churn: KiB/s, mean', row => kilobytes(row.churn.traffic.mean)),
      column('… busiest node', row => kilobytes(row.churn.traffic.max)),
      column('host lost: seconds until down, first / median / last', row => times(row.powerCut.down)),
      column('… theory, from the last heartbeat heard', row => seconds(row.powerCut.theoryMs)),
      column('process killed: seconds until suspect, first / median / last', row => times(row.processKill.noticed)),
      column('… until down', row => times(row.processKill.down)),
      column('false alarms (down + suspect), idle, churn, pauses of 3 s, in node-minutes', alarms),
      column('joiner: seconds until it knows all, until all know it', row =>
        [row.join.knowsAllMs, row.join.knownByAllMs].map(seconds).join(', ')
      ),
      column('all start at once: seconds until all know all', row => seconds(row.start.allKnowAllMs)),
      column('… MiB sent meanwhile, by a node and by the seed', row =>
        [row.start.traffic.mean, row.start.traffic.max]
          .map(rate => ((rate * row.start.allKnowAllMs) / 1000 / MIB).toFixed(2))
          .join(', ')
      ),
      column('real seconds for the whole', row => seconds(row.realMs)),
      column('peak memory of the simulation, GiB', row => (row.maxRssBytes / 1024 ** 3).toFixed(1))
    ]
  )
}
