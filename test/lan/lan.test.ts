/**
 * Three hosts on a LAN of their own (lan.ts), a real node process on each, and the command as a person would use it:
 * found by mDNS, found by a seed, and one cut off from the others for a while (failures 25, 27, 37).
 */
import { rmSync } from 'node:fs'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeInvite, parseSecret } from '../../src/invite.ts'
import { until } from '../support/until.ts'
import { type Lan, makeLan, whyNoLan } from './lan.ts'
import { Machine } from './machine.ts'

const lanSuite = suite('lan: three hosts')
const reason = whyNoLan()
if (reason !== undefined) console.log(`skipped: the LAN test (${reason})`)
const test = reason === undefined ? lanSuite : lanSuite.skip

/** Reconnecting after a cut: the longest pause between two dials is 30 s (wire/backoff.ts). */
const RETURN_MS = 45_000
/** For operations that cannot succeed. */
const SHORT = ['--timeout', '1500']

const EXIT_USAGE = 2
const EXIT_NOT_FOUND = 3
const EXIT_NOT_AVAILABLE = 4

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

async function withMachines(body: (machines: [Machine, Machine, Machine]) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'coterie-lan-'))
  const tidy = () => rmSync(root, { recursive: true, force: true })
  // For a run that is told to stop in the middle; the nodes end with it, the LAN sees to itself.
  process.once('exit', tidy)
  let lan: Lan | undefined
  let machines: Machine[] = []
  try {
    lan = makeLan(3)
    machines = lan.hosts.map((host, i) => new Machine(host, join(root, `host${i + 1}`)))
    await body(machines as [Machine, Machine, Machine])
    const codes = await Promise.all(machines.map(machine => machine.stop()))
    assert.equal(codes, [0, 0, 0], 'every node ends cleanly')
  } catch (error) {
    for (const { host, log } of machines) console.error(`--- ${host.address}\n${log}`)
    throw error
  } finally {
    // Those that the body stopped have ended already, and say so at once.
    await Promise.allSettled(machines.map(machine => machine.stop()))
    lan?.remove()
    process.off('exit', tidy)
    tidy()
  }
}

/** All keys one by one, each from all three copies, asked at every machine. */
async function agree(machines: Machine[], wanted: Map<string, string>): Promise<void> {
  const lines = [...wanted.keys()].map(key => `get ${key} --r 3`)
  for (const machine of machines) {
    assert.equal(await machine.script(lines), [...wanted.values()], `read on ${machine.host.address}`)
  }
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
    assert.match(three.log, /no seed is known: waiting until a member .* is found on the local network/)
    await one.settled(machines)
    await one.must('put', 'apple', 'red')
    const others = [two, three]
    assert.equal(await Promise.all(others.map(other => other.must('get', 'apple', '--r', '3'))), ['red', 'red'])
    assert.is((await three.coterie('get', 'plum', '--r', '3')).code, EXIT_NOT_FOUND)
  }))

test('found by one seed, without mDNS; then they need the seed no more', () =>
  withMachines(async machines => {
    const [one, two, three] = machines
    const { secretFile } = JSON.parse(await one.must('init', '--json'))
    const alone = await three.coterie('node', '--secret-file', secretFile, '--no-mdns')
    assert.is(alone.code, EXIT_USAGE)
    assert.match(alone.err, /knows no other member .* give --seed/)
    const seeded = ['--no-mdns', '--seed', one.address, '--secret-file', secretFile]
    await Promise.all([one.start('node', '--no-mdns'), two.start('node', ...seeded), three.start('node', ...seeded)])
    await one.settled(machines)
    await one.must('put', 'apple', 'red')
    const others = [two, three]
    assert.equal(await Promise.all(others.map(other => other.must('get', 'apple', '--r', '3'))), ['red', 'red'])
    // These two learnt of each other by gossip alone.
    assert.is(await one.stop(), 0)
    await two.must('put', 'pear', 'green', '--w', '2')
    assert.is(await three.must('get', 'pear', '--r', '2'), 'green')
  }))

test('a host that is cut off claims nothing wrong, and gets back what it missed', () =>
  withMachines(async machines => {
    const [one, two, three] = machines
    const invite = (await one.must('init')).trim()
    await Promise.all([one.start('node'), two.start('join', invite), three.start('join', invite)])
    await one.settled(machines)
    const old = numbered('old', 12)
    await one.script([...old].map(([key, value]) => `put ${key} ${value} --w 3`))
    await agree([three], old)

    three.host.unplug()
    const late = numbered('late', 12)
    const changed = new Map([...old.keys()].slice(0, 4).map(key => [key, `${key}-changed`]))
    await two.must('put', 'late-1', 'late-1', '--w', '2')
    await one.script([
      ...[...late].slice(1).map(([key, value]) => `put ${key} ${value} --w 2`),
      ...[...changed].flatMap(([key, value]) => [`get ${key} --r 2`, `put ${key} ${value} --w 2`])
    ])
    await two.must('delete', 'old-12', '--w', '2')
    // It holds a synced copy of every range, and must not take what is there for all there is.
    const asked = ['late-1', 'never', 'old-1', 'old-12'].map(key => three.coterie('get', key, '--r', '2', ...SHORT))
    for (const { code, err } of [...(await Promise.all(asked)), await three.coterie('put', 'lonely', 'x', ...SHORT)]) {
      assert.is(code, EXIT_NOT_AVAILABLE, `on the host that is cut off: ${err}`)
    }

    three.host.plug()
    await until('the host that was cut off reads again', () => reads(three, 'late-2', 'late-2'), RETURN_MS, 100)
    await until('it holds all that it missed', () => holdsItself(three, changed), RETURN_MS, 200)
    await one.settled(machines)
    const stats = await Promise.all(machines.map(machine => machine.must('stats', '--json')))
    const counts = stats.map(document => JSON.parse(document).keys)
    assert.equal(counts, [counts[0], counts[0], counts[0]], 'every copy holds the same number of keys')
    const wanted = new Map([...old, ...changed, ...late])
    wanted.delete('old-12')
    await agree(machines, wanted)
    assert.is((await three.coterie('get', 'old-12', '--r', '3')).code, EXIT_NOT_FOUND)
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

/** True when its own copies have the newest of everything: a read of one answer takes a node's own copy first. */
async function holdsItself(machine: Machine, changed: Map<string, string>): Promise<boolean> {
  const wanted = [...changed, ['late-1', 'late-1'], ['late-12', 'late-12'], ['old-12', '']] as const
  const found = await Promise.all(wanted.map(([key]) => machine.coterie('get', key, '--r', '1')))
  return found.every(({ code, out }, i) => out === wanted[i]![1] && code === (out === '' ? EXIT_NOT_FOUND : 0))
}

lanSuite.run()
