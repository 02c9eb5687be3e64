/**
 * Three hosts on a LAN of their own (lan.ts), a real node process on each, and the command as a person would use it:
 * found by mDNS, by a seed, and cut off from the others for a while (failures 25, 27, 37).
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemberInfo } from '../../src/cli/parts.ts'
import { encodeInvite, parseSecret } from '../../src/invite.ts'
import { until } from '../support/until.ts'
import { type Lan, type LanHost, makeLan, whyNoLan } from './lan.ts'
import { type NodeProcess, type Outcome, run, startNode } from './processes.ts'

const lanSuite = suite('lan: three hosts')
const reason = whyNoLan()
if (reason !== undefined) console.log(`skipped: the LAN test (${reason})`)
const test = reason === undefined ? lanSuite : lanSuite.skip

/** A wait for the network: many times what it takes on two busy cores. */
const SETTLE_MS = 20_000
/** Reconnecting after a cut: the longest pause between two dials is 30 s (wire/backoff.ts). */
const RETURN_MS = 45_000
/** For reads that cannot succeed. */
const SHORT = ['--timeout', '1500']

const EXIT_NOT_FOUND = 3
const EXIT_NOT_AVAILABLE = 4

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** A host with its data directory, and the coterie command there. */
class Machine {
  readonly host: LanHost
  readonly dir: string
  node?: NodeProcess

  constructor(host: LanHost, dir: string) {
    this.host = host
    this.dir = dir
  }

  async start(...args: string[]): Promise<void> {
    this.node = await startNode(this.host, [...args, '--dir', this.dir])
  }

  coterie(...args: string[]): Promise<Outcome> {
    return run(this.host, [...args, '--dir', this.dir])
  }

  /** A command that must succeed; its standard output. */
  async must(...args: string[]): Promise<string> {
    const { code, out, err } = await this.coterie(...args)
    assert.is(code, 0, `${args.join(' ')} on ${this.host.address}: ${err}`)
    return out
  }

  /** Lines for the REPL, one client for all of them; what they print, facts in a line of their own left out. */
  async script(lines: string[]): Promise<string[]> {
    const { code, out, err } = await run(this.host, ['repl', '--dir', this.dir], `${lines.join('\n')}\n`)
    assert.is(code, 0, `${lines.join('; ')} on ${this.host.address}: ${out}${err}`)
    return out.split('\n').filter(line => line !== '' && !line.startsWith('dot '))
  }

  /** Sees that many members, all of them up and owning ranges, and has itself come to rest. */
  async rests(count: number): Promise<boolean> {
    const { copiesSyncing, copiesFrozen, rangesAskedFor } = JSON.parse(await this.must('stats', '--json'))
    if (copiesSyncing + copiesFrozen + rangesAskedFor > 0) return false
    const members: MemberInfo[] = JSON.parse(await this.must('members', '--json'))
    return (
      members.length === count && members.every(({ alive, status, ranges }) => alive && status === 'up' && ranges > 0)
    )
  }
}

async function withMachines(body: (machines: [Machine, Machine, Machine]) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'coterie-lan-'))
  let lan: Lan | undefined
  let machines: Machine[] = []
  try {
    lan = makeLan(3)
    machines = lan.hosts.map((host, i) => new Machine(host, join(root, `host${i + 1}`)))
    await body(machines as [Machine, Machine, Machine])
    const codes = await Promise.all(machines.map(({ node }) => node!.stop()))
    assert.equal(codes, [0, 0, 0], 'every node ends cleanly')
  } catch (error) {
    for (const { host, node } of machines) console.error(`--- ${host.address}\n${node?.log() ?? 'no node'}`)
    throw error
  } finally {
    // Those that the body stopped already answer at once.
    await Promise.allSettled(machines.map(({ node }) => node?.stop()))
    lan?.remove()
    await rm(root, { recursive: true, force: true })
  }
}

const settled = (machines: Machine[]) =>
  Promise.all(
    machines.map(machine =>
      until(`${machine.host.address} sees all three members, and rests`, () => machine.rests(3), SETTLE_MS, 200)
    )
  )

/** All keys one by one, each from all three copies, asked at every machine. */
async function agree(machines: Machine[], wanted: Map<string, string>): Promise<void> {
  const lines = [...wanted.keys()].map(key => `get ${key} --r 3`)
  for (const machine of machines)
    assert.equal(await machine.script(lines), [...wanted.values()], `read on ${machine.host.address}`)
}

test('found by mDNS alone: the secret is all that the others are given', () =>
  withMachines(async machines => {
    const [one, two, three] = machines
    const { secretFile } = JSON.parse(await one.must('init', '--json'))
    const secret = parseSecret(await readFile(secretFile, 'utf8'))
    await Promise.all([
      one.start('node'),
      two.start('join', encodeInvite({ ...secret, name: 'lan', addresses: [] })),
      three.start('node', '--secret-file', secretFile)
    ])
    assert.match(three.node!.log(), /no seed is known: waiting until a member .* is found on the local network/)
    await settled(machines)
    await one.must('put', 'apple', 'red')
    await one.must('put', 'pear', 'green')
    for (const other of [two, three]) {
      assert.is(await other.must('get', 'apple', '--r', '3'), 'red')
      assert.is(await other.must('get', 'pear', '--r', '3'), 'green')
    }
    assert.is((await three.coterie('get', 'plum', '--r', '3')).code, EXIT_NOT_FOUND)
  }))

test('found by one seed, without mDNS', () =>
  withMachines(async machines => {
    const [one, two, three] = machines
    const { secretFile } = JSON.parse(await one.must('init', '--json'))
    const alone = await three.coterie('node', '--secret-file', secretFile, '--no-mdns')
    assert.match(alone.err, /knows no other member .* give --seed/)
    const others = ['--no-mdns', '--seed', `/ip4/${one.host.address}/tcp/4270`, '--secret-file', secretFile]
    await Promise.all([one.start('node', '--no-mdns'), two.start('node', ...others), three.start('node', ...others)])
    await settled(machines)
    await one.must('put', 'apple', 'red')
    for (const other of [two, three]) assert.is(await other.must('get', 'apple', '--r', '3'), 'red')
    // The third learnt of the second by gossip alone: with the seed gone they still have each other.
    assert.is(await one.node!.stop(), 0)
    await two.must('put', 'pear', 'green', '--w', '2')
    assert.is(await three.must('get', 'pear', '--r', '2'), 'green')
  }))

test('a host that is cut off claims nothing wrong, and gets back what it missed', () =>
  withMachines(async machines => {
    const [one, two, three] = machines
    const invite = (await one.must('init')).trim()
    await Promise.all([one.start('node'), two.start('join', invite), three.start('join', invite)])
    await settled(machines)
    const old = numbered('old', 12)
    await one.script([...old.keys()].map(key => `put ${key} ${old.get(key)} --w 3`))
    await agree([three], old)

    three.host.unplug()
    await two.must('put', 'late-1', 'late-1', '--w', '2')
    const late = numbered('late', 12)
    const changed = new Map([...old.keys()].slice(0, 4).map(key => [key, `${key}-changed`]))
    await one.script([
      ...[...late.keys()].slice(1).map(key => `put ${key} ${key} --w 2`),
      ...[...changed].flatMap(([key, value]) => [`get ${key} --r 2`, `put ${key} ${value} --w 2`])
    ])
    await two.must('delete', 'old-12', '--w', '2')
    // It holds a copy of everything, is sure of it, and must not take that for all there is.
    for (const key of ['late-1', 'never', 'old-1', 'old-12']) {
      const { code, err } = await three.coterie('get', key, '--r', '2', ...SHORT)
      assert.is(code, EXIT_NOT_AVAILABLE, `get ${key} on the host that is cut off: ${err}`)
    }
    assert.is((await three.coterie('put', 'lonely', 'x', '--w', '2', ...SHORT)).code, EXIT_NOT_AVAILABLE)

    three.host.plug()
    await until('the host that was cut off reads again', () => reads(three, 'late-2', 'late-2'), RETURN_MS, 100)
    await until('it holds all that it missed', () => holdsAlone(three, changed), RETURN_MS, 200)
    const counts = await Promise.all(
      machines.map(async machine => JSON.parse(await machine.must('stats', '--json')).keys)
    )
    assert.equal(counts, [counts[0], counts[0], counts[0]], 'every copy holds the same number of keys')
    const wanted = new Map([...old, ...changed, ...late])
    wanted.delete('old-12')
    await agree(machines, wanted)
    assert.is((await three.coterie('get', 'old-12', '--r', '3')).code, EXIT_NOT_FOUND)
    await settled(machines)
  }))

function numbered(name: string, count: number): Map<string, string> {
  return new Map(Array.from({ length: count }, (_, i) => [`${name}-${i + 1}`, `${name}-${i + 1}`]))
}

/** True once it answers with the value; while it cannot say, it must say so. */
async function reads(machine: Machine, key: string, value: string): Promise<boolean> {
  const { code, out, err } = await machine.coterie('get', key, '--r', '2', ...SHORT)
  if (code === 0) assert.is(out, value)
  else assert.is(code, EXIT_NOT_AVAILABLE, err)
  return code === 0
}

/** True when its own copy has the newest of everything: one answer, and its own comes first. */
async function holdsAlone(machine: Machine, changed: Map<string, string>): Promise<boolean> {
  for (const [key, value] of changed) if ((await machine.must('get', key, '--r', '1')) !== value) return false
  for (const key of ['late-1', 'late-12']) if ((await machine.coterie('get', key, '--r', '1')).code !== 0) return false
  return (await machine.coterie('get', 'old-12', '--r', '1')).code === EXIT_NOT_FOUND
}

lanSuite.run()
