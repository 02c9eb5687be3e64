/** Range clocks between replicas: what is joined when, what is dead, and who has lost something (design §10). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { settleCopy } from '../../src/repair/compare-clocks.ts'
import { storedKey } from '../../src/replica/stored-key.ts'
import { silentLog } from '../../src/runtime.ts'
import { session } from '../support/compare-session.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { bytesOf, keysIn, type MemoryReplica, openReplica, put, valuesOf } from '../support/memory-replica.ts'

const test = suite('compare clocks')
const [KEY, OTHER] = keysIn(1, 2) as [string, string]

const compare = (from: MemoryReplica, to: MemoryReplica, pushOnly = false) =>
  session(from, to, { ranges: [1], pushOnly, durable: pushOnly })
const clockOf = ({ replicas }: MemoryReplica) => replicas.clocks.of(1)
const keysOf = ({ store }: MemoryReplica) => store.stats(1).keys

/** Both hold a value, both hear of its delete, and both reap it. Gives the value's state. */
async function reapedBy(...nodes: MemoryReplica[]): Promise<Uint8Array> {
  const [first] = nodes as [MemoryReplica]
  const written = await put(first, KEY, 'old')
  const deleted = await put(first, KEY, undefined, written.state.context)
  for (const node of nodes) {
    for (const { bytes } of [written, deleted]) await node.replicas.merge(1, bytesOf(KEY), bytes)
    await reap(node)
  }
  return written.bytes
}

async function reap(node: MemoryReplica): Promise<void> {
  const { hi, lo } = storedKey(bytesOf(KEY))
  await node.replicas.clocks.save([1])
  assert.ok(await node.replicas.reap(1, bytesOf(KEY), node.replicas.tagAt(1, hi, lo)!))
}

test('both sides join the clock of the other once they have all that it held', async () => {
  for (const swap of [false, true]) {
    const a = await openReplica()
    const b = await openReplica()
    const mine = await put(a, KEY, 'a')
    const theirs = await put(b, OTHER, 'b')
    const lone = await put(a, OTHER, 'c')
    await (swap ? compare(b, a) : compare(a, b))
    for (const node of [a, b]) for (const { dot } of [mine, theirs, lone]) assert.ok(clockOf(node).covers(dot))
    assert.equal(clockOf(a).entries(), clockOf(b).entries())
  }
})

test('of a session that only pushes, the side that is pushed to joins', async () => {
  const a = await openReplica()
  const b = await openReplica()
  const mine = await put(a, KEY, 'a')
  const theirs = await put(b, OTHER, 'b')
  await compare(a, b, true)
  assert.ok(clockOf(b).covers(mine.dot))
  assert.not(clockOf(a).covers(theirs.dot), 'it has pulled nothing')
})

test('a gap in what came one by one is closed by a session', async () => {
  const a = await openReplica()
  const b = await openReplica()
  const states = [await put(a, KEY, '1'), await put(a, OTHER, '2'), await put(a, KEY, '3')]
  await b.replicas.merge(1, bytesOf(KEY), states[2]!.bytes)
  assert.not(clockOf(b).covers(states[2]!.dot), 'the second has not come')
  await compare(b, a)
  assert.ok(clockOf(b).covers(states[2]!.dot))
})

test('no clock is given by a copy that found damage during the session, nor taken by one', async () => {
  for (const harmed of ['giver', 'taker'] as const) {
    const giver = await openReplica()
    const taker = await openReplica()
    const first = await put(giver, KEY, 'a')
    // The taker gets both in one state, and does not know whose the first dot was.
    const { dot } = await put(giver, KEY, 'b', first.state.context)
    const node = harmed === 'giver' ? giver : taker
    await session(taker, giver, {
      ranges: [1],
      pipe: ({ left }) => {
        const { source } = left
        left.source = (async function* () {
          for await (const message of source) {
            // The first answer: both have told what they hold.
            node.replicas.doubt(1, 'a test says so')
            yield message
          }
        })()
      }
    })
    assert.not(clockOf(taker).covers(dot), `${harmed} harmed`)
  }
})

/** What a copy that catches up does: a session with each, then it settles. `between`: what happens before that. */
async function catchUp(
  back: MemoryReplica,
  peers: MemoryReplica[],
  {
    between = async () => {},
    isUnharmed = () => true
  }: { between?: () => Promise<unknown>; isUnharmed?: () => boolean } = {}
): Promise<boolean> {
  const verdicts = []
  for (const peer of peers) verdicts.push((await session(back, peer, { ranges: [1], verdicts: true })).verdicts.get(1)!)
  await between()
  const settled = await settleCopy({ replicas: back.replicas, log: silentLog }, 1, verdicts, isUnharmed)
  for (const { arrivals } of verdicts) arrivals.close()
  if (settled) await back.copies.set([1], 'synced')
  return settled
}

/** A copy that starts again with nothing that it knows for sure. */
async function syncing(...states: Uint8Array[]): Promise<MemoryReplica> {
  const node = await openReplica()
  await node.copies.set([1], 'syncing')
  for (const state of states) await node.replicas.merge(1, bytesOf(KEY), state)
  return node
}

test('a syncing copy gives up what all that it was compared with call dead, then covers what they cover', async () => {
  const [a, b] = [await openReplica(), await openReplica()]
  const old = await reapedBy(a, b)
  const back = await syncing(old)
  const own = await put(back, OTHER, 'own')
  assert.ok(
    await catchUp(back, [a, b], {
      between: async () => assert.equal(await valuesOf(back, KEY), ['old'], 'not on the word of a session alone')
    })
  )
  assert.equal(await valuesOf(back, KEY), [])
  assert.equal(await valuesOf(back, OTHER), ['own'])
  for (const node of [a, b]) assert.equal(await valuesOf(node, OTHER), ['own'])
  assert.ok(clockOf(back).includes(clockOf(a).entries()))
  assert.ok(clockOf(a).covers(own.dot))
})

test('what a synced one of them does not call dead stays; one that is syncing itself has no say', async () => {
  for (const others of ['synced', 'syncing'] as const) {
    const a = await openReplica()
    const old = await reapedBy(a)
    const b = others === 'synced' ? await openReplica() : await syncing()
    const back = await syncing(old)
    assert.ok(await catchUp(back, [a, b]))
    assert.equal(await valuesOf(back, KEY), others === 'synced' ? ['old'] : [], others)
  }
})

test('a late hint that comes while a copy catches up does not bring a deleted value back', async () => {
  const [a, c] = [await openReplica(), await openReplica()]
  const old = await reapedBy(a, c)
  const b = await syncing()
  assert.ok(await catchUp(b, [a, c], { between: () => b.replicas.merge(1, bytesOf(KEY), old) }))
  // It holds the value now, and knows nothing of its end: whoever compares with it says so, and it starts again.
  await compare(a, b)
  assert.equal(await valuesOf(a, KEY), [])
  assert.is(a.copies.status(1), 'synced')
  assert.is(b.copies.status(1), 'syncing')
  assert.ok(await catchUp(b, [a, c]))
  for (const node of [a, b, c]) assert.equal(await valuesOf(node, KEY), [])
  await compare(a, b)
  for (const node of [a, b, c]) assert.is(node.copies.status(1), 'synced')
})

test('a copy that was harmed before it has settled joins nothing', async () => {
  const a = await openReplica()
  const { dot } = await put(a, KEY, 'a')
  const b = await syncing()
  let harmed = false
  const between = async () => {
    b.replicas.doubt(1, 'a test says so')
    harmed = true
  }
  assert.not(await catchUp(b, [a], { between, isUnharmed: () => !harmed }))
  assert.not(clockOf(b).covers(dot))
})

test('what was taken out stays out after a power cut', async () => {
  const [a, c] = [await openReplica(), await openReplica()]
  const old = await reapedBy(a, c)
  const back = await syncing(old)
  await back.store.sync(1)
  assert.ok(await catchUp(back, [a, c]))
  back.files.powerCut()
  const again = await openReplica(back.files)
  assert.is(again.copies.status(1), 'synced')
  assert.equal(await valuesOf(again, KEY), [])
})

test('no clock is joined on the strength of a write that the disk refuses after all', async () => {
  const [x, y] = [await openReplica(), await openReplica()]
  const written = await put(y, KEY, 'kept')
  const seen = await put(y, OTHER, 'seen')
  await x.replicas.merge(1, bytesOf(OTHER), seen.bytes)
  const release = x.files.hold('write', /0001-/)
  x.files.fail('write', 'ENOSPC', { path: /0001-/ })
  const merging = x.replicas.merge(1, bytesOf(KEY), written.bytes).catch(() => 'refused')
  await Promise.resolve()
  const compared = compare(x, y)
  // The session ends only when the disk has had its say.
  setTimeout(release, 20)
  await compared
  assert.is(await merging, 'refused')
  assert.not(clockOf(x).covers(written.dot))
  const beside = await put(y, KEY, 'beside')
  await x.replicas.merge(1, bytesOf(KEY), beside.bytes)
  assert.equal(await valuesOf(x, KEY), ['beside', 'kept'])
})

test('a tombstone that another member has reaped already gives nobody cause to doubt', async () => {
  for (const swap of [false, true]) {
    const [a, b] = [await openReplica(), await openReplica()]
    const written = await put(a, KEY, 'old')
    const deleted = await put(a, KEY, undefined, written.state.context)
    for (const { bytes } of [written, deleted]) await b.replicas.merge(1, bytesOf(KEY), bytes)
    await reap(a)
    await (swap ? compare(b, a) : compare(a, b))
    for (const node of [a, b]) assert.is(node.copies.status(1), 'synced')
    assert.is(keysOf(a), 0)
    await reap(b)
    assert.is(keysOf(b), 0)
  }
})

test('a copy that lost a value without knowing is not believed, and learns of it from one that has seen as much', async () => {
  for (const swap of [false, true]) {
    const loser = await openReplica()
    const keeper = await openReplica()
    await reapedBy(loser, keeper)
    const kept = await put(loser, OTHER, 'kept')
    await compare(loser, keeper)
    // Behind the back of everything that keeps account of it.
    await loser.store.remove(1, storedKey(bytesOf(OTHER)))
    const after = await restarted(loser)
    assert.ok(clockOf(after).covers(kept.dot))
    assert.is(keysOf(after), 0)
    await (swap ? compare(keeper, after) : compare(after, keeper))
    assert.is(after.copies.status(1), 'syncing', 'it doubts itself')
    assert.equal(await valuesOf(keeper, OTHER), ['kept'])
    await compare(after, keeper)
    assert.equal(await valuesOf(after, OTHER), ['kept'])
  }
})

test('one that has missed a delete makes nobody else doubt, but itself', async () => {
  const [a, b] = [await openReplica(), await openReplica()]
  const behind = await openReplica()
  // A dot that it does not cover: another one of that actor has not come.
  await put(a, OTHER, 'first')
  const old = await reapedBy(a, b)
  await behind.replicas.merge(1, bytesOf(KEY), old)
  await compare(behind, a)
  assert.is(a.copies.status(1), 'synced')
  assert.is(keysOf(a), 1)
  assert.is(behind.copies.status(1), 'syncing')
  assert.ok(await catchUp(behind, [a]))
  assert.equal(await valuesOf(behind, KEY), [])
})

async function restarted(node: MemoryReplica): Promise<MemoryReplica> {
  await node.replicas.saveClocks()
  await node.store.close()
  const files = new FakeFiles()
  for (const path of node.files.paths()) files.set(path, node.files.peek(path))
  return openReplica(files)
}

test.run()
