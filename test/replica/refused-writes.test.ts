/** Writes that the disk refuses: for want of room, or because it fails. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeState } from '../../src/version/codec.ts'
import { liveSiblings } from '../../src/version/key-state.ts'
import { fails } from '../support/fails.ts'
import { FakeFiles } from '../support/fake-files.ts'
import {
  bytesOf,
  intent,
  keysIn,
  openReplica,
  put,
  rangeOf,
  rebuiltSums,
  stateOf,
  textOf,
  valuesOf
} from '../support/memory-replica.ts'

const test = suite('refused writes')

test('a repeat of a write that could not be stored fails with it', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const range = rangeOf(node, 'k')
  const release = files.hold('write')
  files.fail('write', 'ENOSPC')
  const once = intent('v')
  const first = await node.replicas.write(range, bytesOf('k'), once)
  const again = await node.replicas.write(range, bytesOf('k'), { ...once })
  release()
  await fails('disk-full', first.stored)
  await fails('disk-full', again.stored)
  assert.equal(await valuesOf(node, 'k'), [])
})

test('after a failed append the key is as before, the actor is new, and what was sent on survives a merge', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const before = await put(node, 'k', 'before')
  node.replicas.sums(rangeOf(node, 'k'))
  files.fail('write', 'ENOSPC')
  const lost = await node.replicas.write(rangeOf(node, 'k'), bytesOf('k'), intent('sent on'))
  await fails('disk-full', lost.stored)
  assert.equal(await valuesOf(node, 'k'), ['before'])
  const next = await put(node, 'k', 'next')
  assert.is.not(next.dot.actor, before.dot.actor)
  // Another replica took the write that failed here, and was acknowledged for it.
  await node.replicas.merge(rangeOf(node, 'k'), bytesOf('k'), lost.bytes)
  assert.equal(await valuesOf(node, 'k'), ['before', 'next', 'sent on'])
  assert.equal(node.replicas.sums(rangeOf(node, 'k')).encode(), rebuiltSums(node, rangeOf(node, 'k')).encode())
})

test('a range whose file has failed refuses a write before it mints, and before anything leaves', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const range = rangeOf(node, 'k')
  files.fail('write', 'EIO')
  await fails('range-fenced', put(node, 'k', 'v'))
  let sent = 0
  node.replicas.mirror = () => {
    sent++
    return undefined
  }
  await fails('range-fenced', node.replicas.write(range, bytesOf('new'), intent('v')))
  const other = await put(await openReplica(), 'new', 'v')
  await fails('range-fenced', node.replicas.merge(range, bytesOf('new'), other.bytes))
  assert.is(sent, 0)
})

test('after an append found no room, a write leaves only once it is stored, until one is', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const [key] = keysIn(3, 1)
  const mirrored: string[] = []
  node.replicas.mirror = (_range, _key, state) => {
    const values = liveSiblings(decodeState(state), 0).map(({ value }) => textOf(value))
    mirrored.push(values.sort().join())
    return undefined
  }
  /** Has the write come back to its caller, while the disk takes its time? */
  const returnsAtOnce = async (text: string) => {
    let written = false
    const release = files.hold('write')
    const writing = node.replicas.write(3, bytesOf(key), intent(text))
    writing.then(
      () => (written = true),
      () => undefined
    )
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
    const outcome = { written, mirrored: mirrored.length }
    release()
    await (await writing).stored
    return outcome
  }
  assert.equal(await returnsAtOnce('before'), { written: true, mirrored: 1 })
  files.fail('write', 'ENOSPC', { times: 3 })
  await fails('disk-full', put(node, key, 'sent on'))
  assert.equal(mirrored, ['before', 'before,sent on'])
  // Refused ones leave no trace: each has an actor of its own, which no context needs to carry.
  for (const text of ['refused', 'refused, too'])
    await fails('disk-full', node.replicas.write(3, bytesOf(key), intent(text)))
  assert.is(mirrored.length, 2)
  assert.equal(await returnsAtOnce('there is room'), { written: false, mirrored: 2 })
  assert.is(mirrored.length, 3)
  assert.equal(await returnsAtOnce('as before'), { written: true, mirrored: 4 })
  assert.equal(await valuesOf(node, key), ['as before', 'before', 'there is room'])
  assert.is((await node.replicas.read(3, bytesOf(key)))!.context.vector.size, 2)
})

test('writes that are refused at once, many in one turn, never cover one another', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const range = rangeOf(node, 'k')
  await put(node, 'k', 'before')
  files.fail('write', 'EIO')
  await fails('range-fenced', put(node, 'k', 'fences the range'))
  const others = await openReplica()
  const tries = Array.from({ length: 10 }, (_, i) => node.replicas.write(range, bytesOf('k'), intent(`w${i}`)))
  let sent = 0
  for (const outcome of await Promise.allSettled(tries)) {
    if (outcome.status === 'rejected') continue
    sent++
    await outcome.value.stored.catch(() => undefined)
    await others.replicas.merge(range, bytesOf('k'), outcome.value.bytes)
  }
  const found = (await valuesOf(others, 'k')).filter(value => value.startsWith('w'))
  assert.is(found.length, sent)
})

test('a batch that fails in the middle leaves no write that another one covers', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const elsewhere = await openReplica()
  const range = rangeOf(node, 'k')
  const acked: string[] = []
  for (let round = 0; round < 10; round++) {
    files.fail('write', 'ENOSPC', { partialBytes: round * 7 })
    const tries = Array.from({ length: 6 }, async (_, i) => {
      const text = `r${round}w${i}`
      const written = await node.replicas.write(range, bytesOf('k'), intent(text))
      await elsewhere.replicas.merge(range, bytesOf('k'), written.bytes)
      acked.push(text)
      await written.stored
    })
    await Promise.allSettled(tries)
    // The replica catches up with what only the other one kept.
    const state = await stateOf(elsewhere, 'k')
    if (state !== undefined) await node.replicas.merge(range, bytesOf('k'), state)
  }
  assert.equal(await valuesOf(elsewhere, 'k'), acked.sort())
  assert.equal(await valuesOf(node, 'k'), acked)
})

test.run()
