import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import type { Peers } from '../../src/coordinator/peers.ts'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import type { Answer, Request } from '../../src/messages.ts'
import type { Network } from '../../src/ports.ts'
import { FileFills } from '../../src/repair/file-fills.ts'
import { Mirrors } from '../../src/repair/mirrors.ts'
import { PreparedCopies } from '../../src/repair/prepared-copies.ts'
import { Transfers } from '../../src/repair/transfers.ts'
import { silentLog, systemTimers } from '../../src/runtime.ts'
import type { Topology } from '../../src/topology.ts'
import { answerOn } from '../support/compare-session.ts'
import { duplexPair } from '../support/memory-duplex.ts'
import {
  bytesOf,
  keysIn,
  LEAST_FILE_BYTES,
  type MemoryReplica,
  openReplica,
  put,
  valuesOf
} from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

const test = suite('prepared copies')
const LEASE_MS = 1000
const RANGE = 2
const SOURCES = ['s0', 's1']

/** Two sources with mirrors and a new member, joined by hand. */
async function world({ cacheBytes = 1024 * 1024 } = {}) {
  const sources = new Map<string, { replica: MemoryReplica; mirrors: Mirrors }>()
  const member = await openReplica(undefined, { ranges: [], cacheBytes })
  const it = {
    nowMs: 0,
    listed: false,
    owner: 's0',
    n: 3,
    cut: new Set<string>(),
    /** What calls and streams wait for before they go through. */
    held: {} as { mirror?: Promise<void>; stream?: Promise<void> },
    sources,
    member,
    prepared: undefined as unknown as PreparedCopies
  }
  const clock = { wallMs: () => Date.now(), monotonicMs: () => it.nowMs }
  const topology = {
    complete: true,
    get params() {
      return { n: it.n }
    },
    view: { isMember: () => it.listed },
    claim: () => ({ owner: it.owner })
  } as unknown as Topology
  const merge = async (to: string, request: Request): Promise<Answer> => {
    if (request.type !== 'merge') throw new Error(`${to} is asked ${request.type}`)
    await member.replicas.merge(request.range, request.key, request.state)
    return { type: 'merged', synced: false, siblings: 0 }
  }
  const restart = (name: string, replica: MemoryReplica) => {
    const peers = {
      self: name,
      call: (to: string, request: Request) => (it.cut.has(name) ? Promise.reject(lost()) : merge(to, request))
    }
    const parts = { clock, peers: peers as unknown as Peers, replicas: replica.replicas, topology }
    const mirrors = new Mirrors(parts, { leaseMs: LEASE_MS })
    replica.replicas.mirror = (range, key, state, except) => mirrors.send(range, key, state, except)
    sources.set(name, { replica, mirrors })
  }
  for (const name of SOURCES) restart(name, await openReplica())
  const peers = {
    self: 'm',
    call: async (source: string, request: Request) => {
      if (it.cut.has(source)) throw lost()
      if (request.type !== 'mirror') throw new Error(request.type)
      await it.held.mirror
      return sources.get(source)!.mirrors.mirror('m', request.ranges)
    }
  } as unknown as Peers
  const network = {
    open: async (source: string) => {
      await it.held.stream
      const pipe = duplexPair()
      answerOn(pipe, sources.get(source)!.replica).catch(() => undefined)
      return pipe.left
    }
  } as unknown as Network
  const { replicas, copies, copyFiles } = member
  const ports = { clock, timers: systemTimers, log: silentLog, network }
  const background = new Background(ports)
  const transfers = new Transfers()
  const parts = { ...ports, background, peers, topology, replicas, copies, copyFiles, transfers }
  it.prepared = new PreparedCopies(
    { ...parts, fills: new FileFills(parts, { leaseMs: LEASE_MS }) },
    { leaseMs: LEASE_MS }
  )
  const pull = async (names = ['s0']) => {
    const answer = await it.prepared.pull([RANGE], names, 10_000)
    return answer.type === 'pulled' && answer.synced.includes(RANGE)
  }
  return Object.assign(it, { pull, restart, transfers })
}

/** A source restarts, forgets its mirrors, and acknowledges a write alone; it cannot be reached then. */
async function missWrite(it: Awaited<ReturnType<typeof world>>): Promise<string> {
  const { replica } = it.sources.get('s0')!
  it.restart('s0', replica)
  it.cut.add('s0')
  const [key] = keysIn(RANGE, 1)
  await put(replica, key, 'missed')
  return key
}

const lost = () => new CoterieError('unreachable', 'cut')

test('a pulled copy is synced, holds all that its source held and hears every write before its ack', async () => {
  const { sources, member, pull } = await world()
  const { replica } = sources.get('s0')!
  const [before, after] = keysIn(RANGE, 2)
  await put(replica, before, 'v')
  assert.ok(await pull())
  assert.is(member.replicas.status(RANGE), 'synced')
  assert.equal(await valuesOf(member, before), ['v'])
  await put(replica, after, 'w')
  assert.equal(await valuesOf(member, after), ['w'])
  assert.ok(await pull())
})

test('a copy that was given up while a source did not answer, and is wanted again, is there only once it has come', async () => {
  const it = await world()
  const { replicas } = it.member
  const [mirror, stream] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  it.held.mirror = mirror.promise
  const first = it.pull()
  await until('the copy is there', () => replicas.status(RANGE) === 'syncing')
  // Nobody wants it for a lease, and the copy keeper gives it up.
  it.nowMs += LEASE_MS
  it.prepared.tick()
  assert.not.ok(it.prepared.has(RANGE))
  await replicas.drop(RANGE)
  for (const key of keysIn(RANGE, 40)) await put(it.sources.get('s0')!.replica, key, 'v'.repeat(LEAST_FILE_BYTES / 20))
  it.held.stream = stream.promise
  const second = it.pull()
  await until('it is wanted again', () => it.prepared.has(RANGE))
  mirror.reject(lost())
  await first
  assert.is(replicas.status(RANGE), 'none', 'its files are on their way')
  it.held = {}
  stream.resolve()
  await second
  assert.ok(await it.pull())
  assert.is((await valuesOf(it.member, keysIn(RANGE, 1)[0]!)).length, 1)
})

test('a large copy comes as files, and what is written meanwhile by the comparison', async () => {
  const { sources, member, pull, transfers } = await world()
  const { replica } = sources.get('s0')!
  const keys = keysIn(RANGE, 40)
  for (const key of keys) await put(replica, key, 'v'.repeat(LEAST_FILE_BYTES / 20))
  const exportOf = replica.copyFiles.give.bind(replica.copyFiles)
  const late = keysIn(RANGE, 1, 'late')[0]!
  replica.copyFiles.give = range => {
    const source = exportOf(range)!
    const { close } = source
    source.close = async () => {
      await close.call(source)
      await put(replica, late, 'w')
    }
    return source
  }
  assert.ok(await pull())
  assert.ok(transfers.bytesReceived > LEAST_FILE_BYTES)
  assert.is(transfers.keysReceived, 1)
  assert.is(member.replicas.status(RANGE), 'synced')
  for (const key of [...keys, late]) assert.is((await valuesOf(member, key)).length, 1)
})

test('a copy is level with all its sources or with none', async () => {
  const { sources, member, pull } = await world()
  await put(sources.get('s1')!.replica, keysIn(RANGE, 1)[0], 'only here')
  await sources.get('s1')!.replica.copies.set([RANGE], 'syncing')
  assert.is(await pull(SOURCES), false)
  assert.is(member.replicas.status(RANGE), 'syncing')
  await sources.get('s1')!.replica.copies.set([RANGE], 'synced')
  assert.ok(await pull(SOURCES))
  assert.equal(await valuesOf(member, keysIn(RANGE, 1)[0]), ['only here'])
})

test('of several sources one sends the copy, and the others what it lacks', async () => {
  const { sources, member, pull, transfers } = await world()
  const [s0, s1] = SOURCES.map(name => sources.get(name)!.replica)
  for (const key of keysIn(RANGE, 5)) {
    const { bytes } = await put(s0!, key, 'v')
    await s1!.replicas.merge(RANGE, bytesOf(key), bytes)
  }
  await put(s1!, keysIn(RANGE, 1, 'more')[0]!, 'w')
  assert.ok(await pull(SOURCES))
  assert.is(transfers.keysReceived, 6)
  assert.equal(await valuesOf(member, keysIn(RANGE, 1, 'more')[0]!), ['w'])
})

test('a gap in a mirror undoes the copy until it is compared again', async () => {
  const it = await world()
  assert.ok(await it.pull())
  const key = await missWrite(it)
  assert.is(await it.pull(), false, 'a source that cannot be asked may have had a gap')
  it.cut.clear()
  assert.ok(await it.pull())
  assert.equal(await valuesOf(it.member, key), ['missed'])
})

test('an answer that is lost hides no gap', async () => {
  const it = await world()
  const { replica } = it.sources.get('s0')!
  assert.ok(await it.pull())
  it.restart('s0', replica)
  const [key] = keysIn(RANGE, 1)
  await put(replica, key, 'missed')
  // The source begins a new mirror, but the member never hears that it did.
  it.sources.get('s0')!.mirrors.mirror('m', [RANGE])
  it.cut.add('s0')
  await it.pull()
  it.cut.clear()
  assert.ok(await it.pull())
  assert.equal(await valuesOf(it.member, key), ['missed'])
})

test('damage after the comparison is no longer level, and the next pass mends it', async () => {
  const { sources, member, pull, prepared } = await world({ cacheBytes: 1 })
  const [key] = keysIn(RANGE, 1)
  await put(sources.get('s0')!.replica, key, 'precious')
  assert.ok(await pull())
  const path = member.files.paths().find(path => /ranges\/0002-/.test(path))!
  member.files.poke(path, Buffer.from(member.files.peek(path)).indexOf('precious'), [0])
  assert.equal(await valuesOf(member, key), [])
  assert.is(member.replicas.status(RANGE), 'syncing')
  prepared.tick()
  assert.ok(await pull())
  assert.equal(await valuesOf(member, key), ['precious'])
})

test('what nobody asks for any more is let go, and so is what has become a list member’s copy', async () => {
  const it = await world()
  assert.ok(await it.pull())
  assert.ok(it.prepared.has(RANGE))
  it.nowMs += LEASE_MS
  it.prepared.tick()
  assert.is(it.prepared.has(RANGE), false)
  assert.ok(await it.pull())
  it.listed = true
  it.prepared.tick()
  assert.is(it.prepared.has(RANGE), false)
})

test('a granted copy is synced, whatever became of its mirrors after it was vouched for', async () => {
  const it = await world()
  assert.ok(await it.pull())
  it.cut.add('s0')
  await it.pull()
  assert.is(it.member.replicas.status(RANGE), 'syncing', 'the mirror may have had a gap')
  it.listed = true
  it.owner = 'm'
  it.prepared.tick()
  assert.is(it.member.replicas.status(RANGE), 'synced')
})

test('a grant that comes when the seals have lapsed makes no copy synced: others may have acknowledged writes without it', async () => {
  for (const cut of [true, false]) {
    const it = await world()
    assert.ok(await it.pull())
    if (cut) it.cut.add('s0')
    if (cut) await it.pull()
    it.nowMs += LEASE_MS
    it.prepared.tick()
    it.listed = true
    it.owner = 'm'
    it.prepared.tick()
    await until('it is in doubt', () => it.member.replicas.status(RANGE) === 'syncing')
  }
})

test('where the new owner is the whole list, what was vouched for stays synced on disk, and is compared again before it is once more', async () => {
  const it = await world()
  it.n = 1
  assert.ok(await it.pull())
  const key = await missWrite(it)
  assert.is(await it.pull(), false, 'level with nobody')
  assert.is(it.member.replicas.status(RANGE), 'synced', 'it may be granted, and killed before it hears of it')
  it.cut.clear()
  assert.ok(await it.pull())
  assert.equal(await valuesOf(it.member, key), ['missed'])
})

test('a granted copy that was damaged after it was vouched for is not', async () => {
  const it = await world({ cacheBytes: 1 })
  const [key] = keysIn(RANGE, 1)
  await put(it.sources.get('s0')!.replica, key, 'precious')
  assert.ok(await it.pull())
  const path = it.member.files.paths().find(path => /ranges\/0002-/.test(path))!
  it.member.files.poke(path, Buffer.from(it.member.files.peek(path)).indexOf('precious'), [0])
  assert.equal(await valuesOf(it.member, key), [])
  it.listed = true
  it.owner = 'm'
  it.prepared.tick()
  assert.is(it.member.replicas.status(RANGE), 'syncing')
})

test('a copy that was synced before a restart is so again once its grant is heard of, unless the directory is an old one', async () => {
  for (const overtaken of [false, true]) {
    const it = await world()
    assert.ok(await it.pull())
    await it.member.copies.set([RANGE], 'frozen')
    it.prepared.reopened([RANGE])
    if (overtaken) it.prepared.overtaken()
    it.prepared.tick()
    assert.is(it.member.replicas.status(RANGE), 'frozen', 'not before the grant')
    it.listed = true
    it.owner = 'm'
    await it.member.copies.set([RANGE], 'syncing')
    if (overtaken) it.prepared.overtaken()
    it.prepared.tick()
    assert.is(it.member.replicas.status(RANGE), overtaken ? 'syncing' : 'synced')
  }
})

test('a question that comes after the grant prepares nothing', async () => {
  const it = await world()
  assert.ok(await it.pull())
  it.listed = true
  it.owner = 'm'
  it.prepared.tick()
  await it.pull()
  assert.is(it.prepared.has(RANGE), false)
  assert.is(it.member.replicas.status(RANGE), 'synced')
})

test('a frozen copy thaws for a pull, and counts only once it was compared', async () => {
  const { sources, member, pull } = await world()
  assert.ok(await pull())
  await member.copies.set([RANGE], 'frozen')
  const [key] = keysIn(RANGE, 1)
  const written = await put(sources.get('s0')!.replica, key, 'v').catch(error => error)
  assert.ok(!(written instanceof Error), 'an unsealed mirror is dropped')
  assert.ok(await pull())
  assert.equal(await valuesOf(member, key), ['v'])
  assert.is(member.replicas.status(RANGE), 'synced')
})

test('a pull from nobody or from oneself is refused', async () => {
  const { prepared } = await world()
  for (const sources of [[], ['m'], ['s0', 'm']]) {
    const error = await prepared.pull([RANGE], sources, 100).catch(error => error)
    assert.ok(isCoterieError(error, 'protocol'))
  }
})

test.run()
