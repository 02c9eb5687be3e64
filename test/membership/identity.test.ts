import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FakeFiles } from '../support/fake-files.ts'
import { fakeSigner } from '../support/fake-signer.ts'
import { MemoryHub } from '../support/memory-network.ts'
import { ManualTime, makeNode, recordOf, roundOfAll, roundsUntil, signedOf, type TestNode } from './harness.ts'

const running: TestNode[] = []

async function start(node: TestNode): Promise<TestNode> {
  running.push(node)
  await node.membership.start()
  return node
}

const knows = (node: TestNode, peerId: string) => node.membership.member(peerId) !== undefined

const test = suite('membership: identity and removal')

test.after.each(async () => {
  await Promise.all(running.splice(0).map(node => node.membership.stop()))
})

test('disk lost, key kept: the node goes above the life that the cluster remembers, and says so', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const files = new FakeFiles()
  await files.makeDir('dir')
  await files.replaceFile('dir/incarnation.json', new TextEncoder().encode('{"incarnation":8}'))
  const b = await start(makeNode(hub, time, 'b'))
  const a = await start(makeNode(hub, time, 'a', { files }))
  await roundsUntil([a, b], time, () => knows(b, 'a'), 3)
  assert.is(b.membership.member('a')!.record.incarnation, 9)
  await a.membership.stop()
  a.network.close()

  const wiped = await start(makeNode(hub, time, 'a', { seed: 99 }))
  wiped.membership.update({ status: 'up' })
  await roundsUntil([wiped, b], time, () => b.membership.member('a')!.record.status === 'up', 5)
  assert.is(b.membership.member('a')!.record.incarnation, 10)
  assert.equal(wiped.overtaken, [9])
  assert.equal(wiped.conflicts, [])
  for (let i = 0; i < 5; i++) await roundOfAll([wiped, b], time)
  assert.equal([wiped.overtaken, wiped.conflicts], [[9], []], 'once is all')
  assert.match(new TextDecoder().decode(await wiped.files.readFile('dir/incarnation.json')), /10/)
  assert.ok(b.membership.isAlive('a'))
})

test('one identity running twice: the higher instance id stops with a clear message, the other goes on', async () => {
  for (const [seedOne, seedTwo] of [
    [1, 2],
    [2, 1],
    [3, 4]
  ] as const) {
    const [hub, time] = [new MemoryHub(), new ManualTime()]
    const witnesses = [await start(makeNode(hub, time, 'w1')), await start(makeNode(hub, time, 'w2'))]
    const one = makeNode(hub, time, 'twin', { network: hub.network('host-1'), seed: seedOne })
    const two = makeNode(hub, time, 'twin', { network: hub.network('host-2'), seed: seedTwo })
    await start(one)
    await start(two)
    const all = [...witnesses, one, two]
    await roundsUntil(all, time, () => one.conflicts.length + two.conflicts.length > 0, 40)
    const idOf = (node: TestNode) => node.membership.member('twin')!.record.instanceId
    const [stopped, survivor] = one.conflicts.length > 0 ? [one, two] : [two, one]
    assert.ok(idOf(stopped) > idOf(survivor))
    assert.match(stopped.conflicts[0]!.message, /another process runs with the identity of this node \(twin\)/)
    const rest = [...witnesses, survivor]
    for (let i = 0; i < 8; i++) await roundOfAll(rest, time)
    assert.equal([stopped.conflicts.length, survivor.conflicts.length], [1, 0])
    for (const witness of witnesses) {
      assert.is(witness.membership.member('twin')!.record.instanceId, idOf(survivor))
      // The hub knows it by its host's name only, so that nobody can call it: suspect, but heard of.
      assert.is.not(witness.membership.member('twin')!.verdict, 'down')
    }
  }
})

test('two copies of one running process draw apart before one of them stops', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const witness = await start(makeNode(hub, time, 'w'))
  const one = await start(makeNode(hub, time, 'twin', { network: hub.network('host-1'), seed: 5 }))
  const two = await start(makeNode(hub, time, 'twin', { network: hub.network('host-2'), seed: 5 }))
  const idOf = (node: TestNode) => node.membership.member('twin')!.record.instanceId
  assert.is(idOf(one), idOf(two))
  two.membership.update({ zone: 'elsewhere' })
  await roundsUntil([witness, one, two], time, () => one.conflicts.length + two.conflicts.length > 0, 40)
  assert.is.not(idOf(one), idOf(two))
})

test("a forged or replayed record of a node's own changes nothing", async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const a = await start(makeNode(hub, time, 'a'))
  const b = await start(makeNode(hub, time, 'b'))
  await roundsUntil([a, b], time, () => knows(b, 'a'), 3)
  const mallory = hub.network('mallory')
  const newer = signedOf(recordOf('a', 50, 1))
  const forged = { ...newer, signature: fakeSigner('mallory').sign(newer.body) }
  const { encodeGossip } = await import('../../src/membership/gossip-messages.ts')
  const stream = await mallory.open('a', 'gossip', { timeoutMs: 1000 })
  await stream.sink([
    encodeGossip({ type: 'digest', from: 0n, to: 0n, entries: [] }),
    encodeGossip({ type: 'records', records: [forged] })
  ])
  for await (const _ of stream.source);
  assert.is(a.membership.stats().rejected, 1)
  assert.is(a.membership.member('a')!.record.incarnation, 1)
  assert.equal(a.overtaken, [])
})

test('a removed node is told and stops; stale peers cannot bring it back; the cluster remembers over restarts', async () => {
  const [hub, time] = [new MemoryHub(), new ManualTime()]
  const a = await start(makeNode(hub, time, 'a'))
  const b = await start(makeNode(hub, time, 'b'))
  const c = await start(makeNode(hub, time, 'c'))
  const stale = await start(makeNode(hub, time, 'stale'))
  const all = [a, b, c, stale]
  await roundsUntil(all, time, () => all.every(node => node.membership.members().length === 4), 5)
  hub.partition(['a', 'b'], ['c'], ['stale'])
  const removed: string[] = []
  b.membership.onRemoved(removal => removed.push(`${removal.peerId} by ${removal.by}`))
  await a.membership.remove('c')
  await roundsUntil([a, b], time, () => b.membership.isRemoved('c'), 5)
  assert.equal(removed, ['c by a'])
  assert.not(knows(a, 'c'))
  assert.equal(a.membership.addressBook.addressesOf('c'), [])

  hub.heal()
  await roundsUntil(all, time, () => c.conflicts.length > 0 && stale.membership.isRemoved('c'), 10)
  assert.match(c.conflicts[0]!.message, /this node \(c\) was removed from the cluster by a/)
  for (let i = 0; i < 3; i++) await roundOfAll([a, b, stale], time)
  assert.not(knows(a, 'c') || knows(b, 'c') || knows(stale, 'c'))

  // Both restart: the removed one may not even start, the other still refuses it.
  for (const node of [b, c]) {
    await node.membership.stop()
    node.network.close()
  }
  const back = makeNode(hub, time, 'c', { files: c.files })
  await back.membership.start().then(
    () => assert.unreachable(),
    error => assert.is(error.code, 'refused')
  )
  const again = await start(makeNode(hub, time, 'b', { files: b.files }))
  assert.ok(again.membership.isRemoved('c'))
  assert.equal(again.membership.removals().length, 1)
})

test('a node does not remove itself', async () => {
  const a = await start(makeNode(new MemoryHub(), new ManualTime(), 'a'))
  await a.membership.remove('a').then(
    () => assert.unreachable(),
    error => assert.is(error.code, 'bad-usage')
  )
})

test.run()
