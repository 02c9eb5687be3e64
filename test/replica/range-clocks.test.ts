/** What a copy knows of its range, what of that survives, and what it takes for dead (design §10). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FakeFiles } from '../support/fake-files.ts'
import { bytesOf, keysIn, type MemoryReplica, openReplica, put, rangeOf, valuesOf } from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

const test = suite('range clocks')
const KEY = keysIn(1, 1)[0]!

const clockOf = ({ replicas }: MemoryReplica, range = 1) => replicas.clocks.of(range)
const covers = (node: MemoryReplica, written: { dot: { actor: string; counter: number } }) =>
  clockOf(node).covers(written.dot)

/** A clean stop, and a start. */
async function reopen(node: MemoryReplica): Promise<MemoryReplica> {
  await node.replicas.saveClocks()
  await node.store.close()
  return openReplica(node.files)
}

/** A put, its delete, and the deleted key reaped; the put's state. */
async function reaped(node: MemoryReplica, key = KEY): Promise<Uint8Array> {
  const written = await put(node, key, 'old')
  await put(node, key, undefined, written.state.context)
  await node.replicas.clocks.save([1])
  const { hi, lo } = positionOf(node)
  assert.is(await node.replicas.reap(1, bytesOf(key), node.replicas.tagAt(1, hi, lo)!), true)
  assert.is(node.store.stats(1).keys, 0)
  return written.bytes
}

function positionOf({ replicas }: MemoryReplica): { hi: number; lo: number } {
  let found = { hi: -1, lo: -1 }
  replicas.forEach(1, (hi, lo) => (found = { hi, lo }))
  return found
}

test('it covers what the copy has stored, its own writes and those of others, once they are stored', async () => {
  const node = await openReplica()
  const other = await openReplica()
  const mine = await put(node, KEY, 'mine')
  const theirs = await put(other, KEY, 'theirs')
  assert.ok(covers(node, mine))
  const release = node.files.hold('write')
  const merging = node.replicas.merge(1, bytesOf(KEY), theirs.bytes)
  await Promise.resolve()
  assert.not(covers(node, theirs), 'not before it is in the file')
  release()
  await merging
  assert.ok(covers(node, theirs))
  assert.not(covers(other, mine))
})

test('a write that the disk refuses is not covered', async () => {
  const node = await openReplica()
  await put(node, KEY, 'first')
  const refused = await put(await openReplica(), KEY, 'refused')
  node.files.fail('write', 'ENOSPC', { path: /0001-/ })
  await node.replicas.merge(1, bytesOf(KEY), refused.bytes).then(
    () => assert.unreachable('the disk is full'),
    () => undefined
  )
  assert.not(covers(node, refused))
})

test('what was deleted and reaped is dead whoever brings it, also after a restart; what is new beside it is not', async () => {
  let node = await openReplica()
  const old = await reaped(node)
  for (const when of ['before', 'after'] as const) {
    const { news, dead } = await node.replicas.merge(1, bytesOf(KEY), old)
    assert.is(news, false, `${when} a restart`)
    assert.is(dead.length, 1)
    assert.is(node.store.stats(1).keys, 0)
    node = await reopen(node)
  }
  // A node that has the old value takes a blind write: its state holds both.
  const away = await openReplica()
  await away.replicas.merge(1, bytesOf(KEY), old)
  const beside = await put(away, KEY, 'new')
  const taken = await node.replicas.merge(1, bytesOf(KEY), beside.bytes)
  assert.is(taken.dead.length, 1)
  assert.equal(await valuesOf(node, KEY), ['new'])
  await node.replicas.merge(1, bytesOf(KEY), old)
  assert.equal(await valuesOf(node, KEY), ['new'])
})

test('a key that was put again after it was reaped stays, and the old value stays dead', async () => {
  const node = await openReplica()
  const old = await reaped(node)
  await put(node, KEY, 'again')
  assert.is((await node.replicas.merge(1, bytesOf(KEY), old)).news, false)
  assert.equal(await valuesOf(node, KEY), ['again'])
})

test('a key is not reaped when it has changed meanwhile, nor by a copy that is not synced', async () => {
  const node = await openReplica()
  const written = await put(node, KEY, 'old')
  await put(node, KEY, undefined, written.state.context)
  const { hi, lo } = positionOf(node)
  const tag = node.replicas.tagAt(1, hi, lo)!
  await put(node, KEY, 'again')
  assert.is(await node.replicas.reap(1, bytesOf(KEY), tag), false)
  await node.copies.set([1], 'syncing')
  assert.is(await node.replicas.reap(1, bytesOf(KEY), node.replicas.tagAt(1, hi, lo)!), false)
  assert.equal(await valuesOf(node, KEY), ['again'])
})

test('what came after the last save is not covered after a crash; what was saved is', async () => {
  const node = await openReplica()
  const first = await put(node, KEY, 'first')
  await node.replicas.clocks.save([1])
  const second = await put(node, KEY, 'second')
  node.files.crash()
  const again = await openReplica(node.files)
  assert.ok(covers(again, first))
  assert.not(covers(again, second))
})

test('a clock on disk never covers what a power cut can take from the file', async () => {
  const node = await openReplica()
  const written = await put(node, KEY, 'first')
  const release = node.files.hold('sync', /0001-/)
  const saving = node.replicas.clocks.save([1])
  await new Promise(resolve => setImmediate(resolve))
  assert.not(node.files.paths().includes('d/clocks.json'), 'it waits for the sync')
  release()
  await saving
  node.files.powerCut()
  const again = await openReplica(node.files)
  assert.ok(covers(again, written))
  assert.equal(await valuesOf(again, KEY), ['first'])
})

test('an older file in the place of a newer one takes the clock with it', async () => {
  const node = await openReplica()
  await put(node, KEY, 'first')
  await node.store.sync(1)
  const path = node.files.paths().find(path => path.includes('0001-'))!
  const older = node.files.peek(path)
  const later = await put(node, KEY, 'second')
  await node.replicas.saveClocks()
  await node.store.close()
  dropHints(node.files)
  node.files.set(path, older)
  const again = await openReplica(node.files)
  assert.not(covers(again, later))
  assert.is(again.copies.status(1), 'syncing')
})

test('damage makes the copy forget its clock, in memory and on disk', async () => {
  const node = await openReplica(undefined, { cacheBytes: 1 })
  const old = await reaped(node)
  const kept = keysIn(1, 2, 'kept')
  for (const key of kept) await put(node, key, 'kept')
  await node.replicas.clocks.save([1])
  await node.store.sync(1)
  const path = node.files.paths().find(path => path.includes('0001-') && !path.endsWith('hint'))!
  const at = Buffer.from(node.files.peek(path)).lastIndexOf('kept')
  node.files.poke(path, at, bytesOf('K'))
  for (const key of kept) await node.replicas.read(1, bytesOf(key))
  assert.is(node.copies.status(1), 'syncing')
  assert.ok(clockOf(node).isEmpty)
  await node.replicas.clocks.written()
  await node.copies.set([1], 'synced')
  const again = await openReplica(node.files)
  assert.ok(clockOf(again).isEmpty, 'nor does it come back with a restart')
  assert.is((await again.replicas.merge(1, bytesOf(KEY), old)).news, true, 'what is given back is taken')
})

test('a record that is read and found damaged before it is stored is not covered once it is', async () => {
  const node = await openReplica(undefined, { cacheBytes: 1, durability: 'disk' })
  const [other] = keysIn(1, 1, 'other')
  // Not of its own: a clock covers no dot beside those that are missing before it.
  await node.replicas.merge(1, bytesOf(other!), (await put(await openReplica(), other!, 'the file is there')).bytes)
  const release = node.files.hold('sync', /0001-/)
  const writing = put(node, KEY, 'precious')
  const path = () => node.files.paths().find(path => path.includes('0001-') && !path.endsWith('hint'))
  const at = () => (path() === undefined ? -1 : Buffer.from(node.files.peek(path()!)).indexOf('precious'))
  await until('it is in the file', () => at() >= 0)
  node.files.poke(path()!, at(), bytesOf('P'))
  await until('it is found damaged', async () => {
    await node.replicas.read(1, bytesOf(KEY))
    return node.copies.status(1) === 'syncing'
  })
  release()
  const written = await writing
  assert.not(covers(node, written), 'or what others give back would be taken for dead')
  assert.ok((await node.replicas.merge(1, bytesOf(KEY), written.bytes)).news)
})

test('a file of clocks that cannot be read makes every copy doubtful', async () => {
  for (const text of ['', '{', '{"ranges":3}', '{"ranges":[{"range":1,"generation":1,"bytes":-1,"clock":{}}]}']) {
    const node = await openReplica()
    await put(node, KEY, 'first')
    await node.replicas.saveClocks()
    await node.store.close()
    node.files.set('d/clocks.json', bytesOf(text))
    const again = await openReplica(node.files)
    assert.is(again.copies.status(1), 'syncing', text)
    assert.equal(await valuesOf(again, KEY), ['first'])
  }
})

test('a dropped copy leaves no clock to the next one', async () => {
  const node = await openReplica()
  await put(node, KEY, 'first')
  await node.replicas.saveClocks()
  await node.copies.set([1], 'syncing')
  await node.replicas.drop(1)
  await node.replicas.create([1])
  assert.ok(clockOf(node).isEmpty)
  const again = await reopen(node)
  assert.is(rangeOf(again, KEY), 1)
  assert.ok(clockOf(again).isEmpty)
})

function dropHints(files: FakeFiles): void {
  for (const path of files.paths()) if (path.endsWith('.hint')) files.set(path, undefined)
}

test.run()
