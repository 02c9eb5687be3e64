/** `coterie demo`: several node processes on loopback in a temporary directory, then the REPL. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSecret } from '../../directory.ts'
import { CoterieError } from '../../errors.ts'
import { encodeInvite, formatSecret } from '../../invite.ts'
import { systemClock, systemTimers } from '../../runtime.ts'
import { type ChildNode, startChild } from '../children.ts'
import type { Call, Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { type Io, writeLine } from '../io.ts'
import { createCluster } from '../new-cluster.ts'
import type { Client, MemberInfo } from '../parts.ts'
import { plural } from '../render/text.ts'
import { runRepl } from '../repl/shell.ts'
import { type StatusLine, statusLine } from '../status-line.ts'
import * as values from '../values.ts'

const MOST_NODES = 16
const LISTEN = '/ip4/127.0.0.1/tcp/0'
/** For the newcomers to take their ranges; after that the REPL opens anyway, and shows what is missing. */
const SETTLE_TIMEOUT_MS = 20_000
const SETTLE_POLL_MS = 100
const CALM_MS = 1000
/** A node is content with this many ranges less than its share. */
const SLACK = 2
const CLUSTER = { name: 'demo', q: 256, n: 3, r: 2, w: 2, open: false, listen: [LISTEN] }

export const demo: Command = {
  name: 'demo',
  summary: 'start a local cluster in a temporary directory, and the REPL on it',
  args: [],
  flags: {
    nodes: { type: 'string', value: '3', help: `how many node processes; 1 to ${MOST_NODES}` },
    keep: { type: 'boolean', help: 'leave the directory behind' }
  },
  notes:
    'Ends its nodes and removes the directory when the REPL ends. With standard input not a terminal: runs it as a script.',
  async run(call) {
    const { given, io } = call
    const nodes = values.optional(given, 'nodes', (name, text) => values.wholeNumber(name, text, 1, MOST_NODES)) ?? 3
    const stop = new AbortController()
    const status = statusLine(io.stderr)
    let signals = 0
    const forget = io.onSignal(name => {
      if (++signals > 1) io.exitNow(EXIT.unexpected)
      status.print(`${name}: stopping; once more to stop at once`)
      stop.abort(new CoterieError('closed', 'the demo was stopped'))
    })
    const dir = await mkdtemp(join(tmpdir(), 'coterie-demo-'))
    const children: ChildNode[] = []
    try {
      const client = await startCluster(call, dir, nodes, children, status, stop.signal)
      try {
        const intro = `a cluster of ${plural(nodes, 'node')} in ${dir}. help lists the commands; try: put greeting hello`
        return await Promise.race([runRepl(io, call.style, client, intro), stopped(stop.signal)])
      } finally {
        await client.close()
      }
    } catch (error) {
      // Being told to stop is no failure.
      if (stop.signal.aborted) return EXIT.done
      throw error
    } finally {
      await end(io, dir, children, status, given.on('keep'))
      forget()
    }
  }
}

async function startCluster(
  call: Call,
  dir: string,
  nodes: number,
  children: ChildNode[],
  status: StatusLine,
  signal: AbortSignal
): Promise<Client> {
  const { io, parts } = call
  const startMs = systemClock.monotonicMs()
  const dirOf = (number: number) => join(dir, `node-${number}`)
  // COTERIE_… of the user's own node must not reach these.
  const env = Object.fromEntries(Object.entries(io.env).filter(([name]) => !name.startsWith('COTERIE_')))
  const start = async (number: number, ...args: string[]) => {
    const child = await startChild(
      io.command,
      [...args, '--dir', dirOf(number), '--no-mdns', '--log-level', 'warn'],
      env,
      signal
    )
    children.push(child)
    status.print(`node ${number} is up: ${child.address} (process ${child.pid})`)
    return child
  }
  status.show(`starting node 1 of ${nodes} …`)
  await createCluster(dirOf(1), CLUSTER, parts)
  const secret = (await readSecret(dirOf(1)))!
  const first = await start(1, 'node')
  const invite = encodeInvite({ ...secret, name: CLUSTER.name, addresses: [first.address] })
  const numbers = Array.from({ length: nodes - 1 }, (_, i) => i + 2)
  if (nodes > 1) status.show(`starting ${nodes - 1} more …`)
  const started = await Promise.allSettled(numbers.map(number => start(number, 'join', invite, '--listen', LISTEN)))
  const failed = started.find(one => one.status === 'rejected')
  if (failed) throw failed.reason
  const client = await parts.connect({ seeds: children.map(child => child.address), secret: formatSecret(secret) })
  try {
    await settle(client, nodes, status, signal)
  } catch (error) {
    await client.close()
    throw error
  }
  status.show('')
  const took = ((systemClock.monotonicMs() - startMs) / 1000).toFixed(1)
  status.print(`${plural(nodes, 'node')} ready after ${took} s; write to any of them with the same secret`)
  return client
}

/** Until every node is up and owns its share, in the eyes of any node that answers during `CALM_MS`. */
async function settle(client: Client, nodes: number, status: StatusLine, signal: AbortSignal): Promise<void> {
  const endMs = systemClock.monotonicMs() + SETTLE_TIMEOUT_MS
  let calmSinceMs = Number.POSITIVE_INFINITY
  for (let nowMs = systemClock.monotonicMs(); nowMs < endMs; nowMs = systemClock.monotonicMs()) {
    const members = (await client.info('members')) as MemberInfo[]
    const isSettled = (member: MemberInfo) =>
      member.alive && member.status === 'up' && member.ranges >= Math.floor(CLUSTER.q / nodes) - SLACK
    const settled = members.filter(isSettled).length
    if (settled < nodes) calmSinceMs = Number.POSITIVE_INFINITY
    else calmSinceMs = Math.min(calmSinceMs, nowMs)
    if (nowMs - calmSinceMs >= CALM_MS) return
    status.show(`sharing out the ranges: ${settled} of ${nodes} nodes own their share …`)
    await systemTimers.sleep(SETTLE_POLL_MS, signal)
  }
  status.print('not all nodes own their share yet; members and transfers show how far they are')
}

function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

async function end(io: Io, dir: string, children: ChildNode[], status: StatusLine, keep: boolean): Promise<void> {
  status.show(`stopping ${plural(children.length, 'node')} …`)
  await Promise.all(children.map(child => child.stop()))
  status.show('')
  if (keep)
    await writeLine(
      io.stderr,
      `kept ${dir}: coterie node --dir ${join(dir, 'node-1')} --no-mdns starts its first node again`
    )
  else await rm(dir, { recursive: true, force: true })
}
