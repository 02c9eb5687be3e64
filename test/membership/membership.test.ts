import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LOAD_INTERVAL_MS } from '../../src/membership/own-record.ts'
import type { MemoryNetwork } from '../support/memory-network.ts'
import { MemoryHub } from '../support/memory-network.ts'
import { ManualTime, makeNode, roundOfAll, roundsUntil, type TestNode } from './harness.ts'

const running: TestNode[] = []

async function startAll(nodes: TestNode[]): Promise<TestNode[]> {
  for (const node of nodes) {
    running.push(node)
    await node.membership.start()
  }
  return nodes
}

const names = (node: TestNode) =>
  node.membership
    .members()
    .map(member => member.peerId)
    .sort()
const settle = () => new Promise(resolve => setImmediate(resolve))

const test = suite('membership')

test.after.each(async () => {
  await Promise.all(running.splice(0).map(node => node.membership.stop()))
})

test('nodes that are connected know one another after a round, and hear every change', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b', 'c'].map(name => makeNode(hub, time, name)))
  const [a, b] = nodes as [TestNode, TestNode]
  await roundsUntil(nodes, time, () => nodes.every(node => names(node).length === 3), 3)
  assert.equal(names(a), ['a', 'b', 'c'])
  assert.equal(a.membership.member('a')!.self, true)
  assert.equal(a.membership.member('b')!.record.addresses, ['/memory/b'])
  assert.equal(a.membership.addressBook.addressesOf('b'), ['/memory/b'])
  assert.ok(a.membership.isAlive('a') && a.membership.isAlive('b') && !a.membership.isAlive('stranger'))

  const changes: string[] = []
  const unsubscribe = b.membership.onRecord((record, previous) =>
    changes.push(`${record.peerId} ${previous?.status} ${record.status} ${record.claims.length}`)
  )
  const claims = [{ range: 3, epoch: 1, owner: 'a' }]
  a.membership.update({ status: 'up' })
  a.membership.update({ claims })
  assert.is(a.membership.member('a')!.record.status, 'up')
  await roundsUntil(nodes, time, () => changes.length > 0, 5)
  assert.equal(changes, ['a joining up 1'], 'one version for all changes of a turn')
  assert.equal(b.membership.member('a')!.record.claims, claims)
  unsubscribe()
  const { rounds, sentBytes, receivedBytes, rejected } = a.membership.stats()
  assert.ok(rounds > 0 && sentBytes > 0 && receivedBytes > 0 && rejected === 0)
})

test('rounds come by themselves, and a quiet cluster sends no records', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b'].map(name => makeNode(hub, time, name)))
  const [a, b] = nodes as [TestNode, TestNode]
  const seconds = async (count: number) => {
    for (let i = 0; i < count; i++) {
      time.advance(1000)
      // An exchange is a dozen deliveries, one each a turn of the event loop.
      for (let turn = 0; turn < 30; turn++) await settle()
    }
  }
  await seconds(3)
  assert.equal(names(a), ['a', 'b'])
  const [before, seq] = [a.membership.stats(), a.membership.member('b')!.record.seq]
  await seconds(10)
  const after = a.membership.stats()
  assert.ok(after.rounds - before.rounds >= 9)
  assert.ok((after.sentBytes - before.sentBytes) / 20 < 80, 'about a digest of two, or its answer, at a time')
  assert.is(a.membership.member('b')!.record.seq, seq)
  assert.ok(a.membership.member('b')!.pulse > 9)
  assert.ok(b.membership.isAlive('a'))
  await a.membership.stop()
  const stopped = a.membership.stats().rounds
  await seconds(3)
  assert.is(a.membership.stats().rounds, stopped)
})

test('what update cannot publish is refused and changes nothing', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const [a] = (await startAll([makeNode(hub, time, 'a')])) as [TestNode]
  const before = a.membership.member('a')!.record
  assert.throws(
    () => a.membership.update({ zone: 'z'.repeat(100) }),
    (error: { code: string }) => error.code === 'bad-config'
  )
  assert.is(a.membership.member('a')!.record, before)
})

test('load alone is published on a change of a quarter, and not more often than every 30 s', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b'].map(name => makeNode(hub, time, name)))
  const [a, b] = nodes as [TestNode, TestNode]
  const heard = () => b.membership.member('a')?.record.load.keys
  const keys = async (count: number, afterMs = 0) => {
    a.membership.update({ load: { keys: count, bytes: count, opsPerSecond: 0 } })
    time.now += afterMs
    for (let i = 0; i < 3; i++) await roundOfAll(nodes, time)
    return heard()
  }
  assert.is(await keys(1000), 0, 'the first record is young')
  assert.is(await keys(1000, LOAD_INTERVAL_MS), 1000)
  assert.is(await keys(2000), 1000, 'too soon')
  assert.is(await keys(1200, LOAD_INTERVAL_MS), 1000, 'too little')
  assert.is(await keys(1300, LOAD_INTERVAL_MS), 1300)
  a.membership.update({ zone: 'west' })
  assert.is(await keys(5000), 5000, 'another change takes it along')
})

test('a member that falls silent is down for the others, and up again when it returns', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b', 'c'].map(name => makeNode(hub, time, name)))
  const [a, b, c] = nodes as [TestNode, TestNode, TestNode]
  await roundsUntil(nodes, time, () => nodes.every(node => names(node).length === 3), 3)
  for (let i = 0; i < 5; i++) await roundOfAll(nodes, time)
  const liveness: string[] = []
  a.membership.onLiveness((peerId, verdict) => liveness.push(`${peerId} ${verdict}`))
  hub.partition(['a', 'b'], ['c'])
  await settle()
  assert.equal(liveness, ['c suspect'], 'a lost connection is noticed at once')
  await roundsUntil([a, b], time, () => a.membership.member('c')!.verdict === 'down', 20)
  assert.ok(a.membership.isAlive('b'))
  assert.is(a.membership.member('c')!.record.status, 'joining', 'down is never removed')
  hub.heal()
  await roundsUntil([a, b, c], time, () => a.membership.isAlive('c') && c.membership.isAlive('b'), 5)
  assert.equal(liveness.slice(0, 2), ['c suspect', 'c down'])
})

test('request outcomes make suspect and clear it', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b'].map(name => makeNode(hub, time, name)))
  const [a] = nodes as [TestNode]
  await roundOfAll(nodes, time)
  a.membership.reportFailure('b')
  assert.is(a.membership.member('b')!.verdict, 'suspect')
  assert.not(a.membership.isAlive('b'))
  a.membership.reportSuccess('b')
  assert.ok(a.membership.isAlive('b'))
})

test('a node that stood still for 16 s condemns nobody when it wakes', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b', 'c'].map(name => makeNode(hub, time, name)))
  const [a, b, c] = nodes as [TestNode, TestNode, TestNode]
  await roundsUntil(nodes, time, () => nodes.every(node => names(node).length === 3), 3)
  const verdicts: string[] = []
  a.membership.onLiveness((peerId, verdict) => verdicts.push(`${peerId} ${verdict}`))
  // The timers have to have run on time once before they can be late.
  time.advance(1000)
  await settle()
  verdicts.length = 0
  time.pause(16_000)
  a.membership.reportFailure('b')
  for (let i = 0; i < 4; i++) await roundOfAll([a], time)
  assert.equal(verdicts, [])
  await roundOfAll([a, b, c], time)
  assert.ok(a.membership.isAlive('b') && a.membership.isAlive('c'))
})

test('two islands that were cut apart for an hour find each other without help', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b', 'c', 'd'].map(name => makeNode(hub, time, name)))
  await roundsUntil(nodes, time, () => nodes.every(node => names(node).length === 4), 4)
  hub.partition(['a', 'b'], ['c', 'd'])
  for (let i = 0; i < 20; i++) await roundOfAll(nodes, time)
  time.now += 3_600_000
  const [a, , c] = nodes as [TestNode, TestNode, TestNode]
  assert.not(a.membership.isAlive('c'))
  a.membership.update({ zone: 'left' })
  c.membership.update({ zone: 'right' })
  hub.heal()
  const met = () =>
    a.membership.member('c')!.record.zone === 'right' && c.membership.member('a')!.record.zone === 'left'
  await roundsUntil(nodes, time, () => met() && a.membership.isAlive('c'), 10)
})

test('a restarted node without seeds finds remembered peers, under its next incarnation', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const nodes = await startAll(['a', 'b'].map(name => makeNode(hub, time, name)))
  const [a, b] = nodes as [TestNode, TestNode]
  await roundsUntil(nodes, time, () => names(a).length === 2 && names(b).length === 2, 3)
  await a.membership.stop()
  a.network.close()
  // No connection yet: only the address book knows of b.
  const quiet: MemoryNetwork = hub.network('a')
  quiet.connected = () => []
  const [again] = (await startAll([makeNode(hub, time, 'a', { files: a.files, network: quiet })])) as [TestNode]
  assert.equal(again.membership.addressBook.peers(), ['b'])
  await again.membership.roundNow()
  assert.equal(names(again), ['a', 'b'])
  assert.is(b.membership.member('a')!.record.incarnation, 2)
})

test('a node of another cluster is heard by none', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const other = makeNode(hub, time, 'x', { clusterId: 'f'.repeat(32) })
  const nodes = await startAll([makeNode(hub, time, 'a'), makeNode(hub, time, 'b'), other])
  for (let i = 0; i < 3; i++) await roundOfAll(nodes, time)
  assert.equal(names(nodes[0]!), ['a', 'b'])
  assert.equal(names(other), ['x'])
  assert.ok(nodes[0]!.membership.stats().rejected > 0)
})

test('clients do not gossip, and a stopped node answers nobody', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const [a] = (await startAll([makeNode(hub, time, 'a')])) as [TestNode]
  const client = hub.network('client', 'client')
  const node = hub.network('n')
  const refused = async (network: MemoryNetwork) => {
    const stream = await network.open('a', 'gossip', { timeoutMs: 1000 })
    try {
      for await (const _ of stream.source) assert.unreachable()
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  assert.is(await refused(client), 'refused')
  await a.membership.stop()
  assert.is(await refused(node), 'closed')
})

test('one exchange at a time with a peer: a second one from it is turned away', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  await startAll([makeNode(hub, time, 'a')])
  const node = hub.network('n')
  const first = await node.open('a', 'gossip', { timeoutMs: 1000 })
  const second = await node.open('a', 'gossip', { timeoutMs: 1000 })
  let code = ''
  try {
    for await (const _ of second.source) assert.unreachable()
  } catch (error) {
    code = (error as { code: string }).code
  }
  assert.is(code, 'overloaded')
  // And the first, which says nothing, is given up in time.
  time.advance(3000)
  try {
    for await (const _ of first.source) assert.unreachable()
  } catch (error) {
    code = (error as { code: string }).code
  }
  assert.is(code, 'timeout')
})

test.run()
