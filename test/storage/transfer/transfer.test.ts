/** A range that goes from one store to another as files: what arrives is what was there, whatever happens meanwhile. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RangeStore } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, DIR, keyAt, openStore, RANGE, settle, textOf, upkeep } from '../helpers.ts'
import { churn, content, pull, pullAll, sourceStore, transfer } from './transfers.ts'

const test = suite('transfer')
const SMALL = { compactBytes: 400 }

test('pieces of any size, values larger than a piece, and the same after a restart', async () => {
  const files = new FakeFiles()
  const { store } = await sourceStore(files, 12)
  await store.put(RANGE, keyAt('large', 50), new Uint8Array(150_000).fill(7), 50)
  await store.put(RANGE, keyAt('empty', 51), new Uint8Array(0), 51)
  await store.put(RANGE, { ...keyAt('', 52), bytes: new Uint8Array(1024).fill(0xff) }, bytesOf('long key'), 52)
  const before = await content(store)
  for (const pieceBytes of [1, 7, 48, 49, 1000, 4096, 100_000, 10_000_000]) {
    const there = new FakeFiles()
    const { store: to } = await openStore(there)
    if (pieceBytes === 7) to.create(RANGE)
    await transfer(store, to, pieceBytes)
    assert.is(to.state(RANGE), 'open')
    assert.equal(await content(to), before, `pieces of ${pieceBytes}`)
    assert.equal(to.stats(RANGE).keys, 13)
    assert.equal(to.stats(RANGE).liveBytes, store.stats(RANGE).liveBytes)
    there.powerCut()
    const again = await openStore(there)
    assert.equal(again.report.damages, [])
    assert.equal(await content(again.store), before)
  }
  await store.close()
  assert.is(files.openHandles, 0)
})

test('what is put later goes to a file of its own, also after a restart; what was received stays as it came', async () => {
  const { store } = await sourceStore(new FakeFiles(), 6)
  const files = new FakeFiles()
  const { store: to } = await openStore(files)
  await transfer(store, to)
  const received = files.paths()[0]!
  const bytes = files.peek(received)
  const first = await openStore(files)
  await first.store.put(RANGE, keyAt('key-3', 3), bytesOf('at once'), 3)
  files.crash()
  const second = await openStore(files)
  await second.store.put(RANGE, keyAt('key-0', 0), bytesOf('here'), 1)
  await second.store.remove(RANGE, keyAt('key-1', 1))
  files.crash()
  const third = await openStore(files)
  await third.store.put(RANGE, keyAt('key-2', 2), bytesOf('again'), 2)
  await third.store.close()
  assert.is(files.paths().length, 2)
  assert.is(Buffer.compare(files.peek(received), bytes), 0)
  const last = await openStore(files)
  assert.equal([last.report.damages, last.report.keys], [[], 3])
  for (const [i, text] of [
    [0, 'here'],
    [2, 'again'],
    [3, 'at once']
  ] as const)
    assert.is(textOf(await last.store.get(RANGE, keyAt(`key-${i}`, i))), text)
})

test('a received range is rewritten as any other, and goes on to a third store', async () => {
  const { store } = await sourceStore(new FakeFiles(), 10)
  const files = new FakeFiles()
  const { store: to, time } = await openStore(files, SMALL)
  await transfer(store, to)
  await churn(to, 10)
  const middle = await openStore(new FakeFiles())
  await transfer(to, middle.store)
  assert.equal(await content(middle.store), await content(to))
  await upkeep(time)
  assert.ok(to.compactions > 0)
  assert.is(files.paths().length, 1)
  const last = await openStore(new FakeFiles())
  await transfer(to, last.store)
  assert.equal(await content(last.store), await content(to))
})

const step = fc.record({
  kind: fc.constantFrom(
    'put',
    'put',
    'put',
    'put',
    'remove',
    'upkeep',
    'puts meanwhile',
    'pull',
    'pull',
    'pull all',
    'restart'
  ),
  key: fc.nat(9),
  bytes: fc.nat(300),
  pieceBytes: fc.constantFrom(1, 13, 64, 1000)
})

/** `sourceMoves`: after a restart the receiver goes on with another export, which lists only the files of then. */
async function mustArrive(steps: (typeof step extends fc.Arbitrary<infer T> ? T : never)[], sourceMoves: boolean) {
  const files = new FakeFiles()
  const { store, time } = await sourceStore(files, 10, { ...SMALL, cacheBytes: 10_000 })
  const there = new FakeFiles()
  let { store: to } = await openStore(there)
  let source = store.exportRange(RANGE)
  let receiver = await to.receive(RANGE)
  const put = (key: number, bytes: number) =>
    store.put(RANGE, keyAt(`key-${key}`, key), new Uint8Array(bytes).fill(97 + key), bytes)
  for (const { kind, key, bytes, pieceBytes } of steps) {
    if (kind === 'put') await put(key, bytes)
    else if (kind === 'remove') await store.remove(RANGE, keyAt(`key-${key}`, key))
    else if (kind === 'upkeep') await upkeep(time)
    else if (kind === 'pull') await pull(source, receiver, pieceBytes, 5)
    else if (kind === 'pull all') await pull(source, receiver, 1000)
    else if (kind === 'puts meanwhile') {
      const working = upkeep(time)
      const pulling = pull(source, receiver, pieceBytes, 50)
      for (let i = 0; i < 4; i++) {
        await put((key + i) % 10, bytes)
        await settle()
      }
      await Promise.all([working, pulling])
    } else {
      const had = receiver.progress().filter(({ verifiedBytes }) => verifiedBytes > 0)
      if (pieceBytes === 13) await receiver.close()
      else there.crash()
      to = (await openStore(there)).store
      receiver = await to.receive(RANGE)
      assert.equal(receiver.progress(), had, 'nothing that was verified has to be sent again')
      for (const { fileId, verifiedBytes } of had) assert.is(receiver.endOf(fileId), verifiedBytes)
      if (sourceMoves) {
        await source.close()
        source = store.exportRange(RANGE)
      }
    }
  }
  await receiver.commit(await pullAll(source, receiver, 1000))
  assert.equal(await content(to), await content(store))
  assert.is(to.stats(RANGE).liveBytes, store.stats(RANGE).liveBytes)
  await source.close()
  await Promise.all([store.close(), to.close()])
  assert.equal([files.openHandles, there.openHandles], [0, 0])
  assert.not(there.paths().some(path => path.endsWith('part')))
  const again = await openStore(there)
  assert.equal(again.report.damages, [])
}

test('while puts, removals and rewriting go on and the receiver restarts, from one export', async () => {
  const steps = fc.array(step, { minLength: 5, maxLength: 40, size: 'max' })
  await fc.assert(
    fc.asyncProperty(steps, given => mustArrive(given, false)),
    { numRuns: 100 }
  )
})

test('the same, going on from a new export after each restart', async () => {
  const steps = fc.array(step, { minLength: 5, maxLength: 40, size: 'max' })
  await fc.assert(
    fc.asyncProperty(steps, given => mustArrive(given, true)),
    { numRuns: 100 }
  )
})

test('a file that was rewritten twice between two looks: what was begun of it does not keep the rest from being whole', async () => {
  const { store, time } = await sourceStore(new FakeFiles(), 10, { ...SMALL, cacheBytes: 10_000 })
  const { store: to } = await openStore(new FakeFiles())
  const source = store.exportRange(RANGE)
  const receiver = await to.receive(RANGE)
  await pull(source, receiver)
  for (let i = 0; i < 2; i++) {
    await churn(store, 10)
    await upkeep(time)
  }
  assert.is(store.compactions, 2)
  await receiver.commit(await pullAll(source, receiver))
  assert.equal(await content(to), await content(store))
})

test('a removed key stays removed, when the file that told of its removal was rewritten before it came', async () => {
  const { store, time } = await sourceStore(new FakeFiles(), 10, { ...SMALL, cacheBytes: 10_000 })
  const { store: to } = await openStore(new FakeFiles())
  const source = store.exportRange(RANGE)
  const receiver = await to.receive(RANGE)
  await pull(source, receiver)
  await receiver.close()
  await source.close()
  await store.remove(RANGE, keyAt('key-5', 5))
  await churn(store, 5)
  await upkeep(time)
  assert.is(store.compactions, 1)
  await transfer(store, to)
  assert.equal(await content(to), await content(store))
})

async function received(from: RangeStore): Promise<RangeStore> {
  const { store } = await openStore(new FakeFiles())
  await transfer(from, store)
  return store
}

test('a cut transfer goes on from another store that has received the same files', async () => {
  const { store } = await sourceStore(new FakeFiles(), 40)
  const other = await received(store)
  const there = new FakeFiles()
  const { store: first } = await openStore(there)
  const receiver = await first.receive(RANGE)
  const source = store.exportRange(RANGE)
  await pull(source, receiver, 100, 9)
  const [begun] = receiver.progress()
  assert.ok(begun!.verifiedBytes > 500)
  there.crash()
  const { store: to } = await openStore(there)
  assert.equal([to.state(RANGE), there.paths()], ['absent', [`${DIR}/0003-0000000001.part`]])
  const going = await to.receive(RANGE)
  assert.equal(going.progress(), [begun])
  const [listed] = await other.exportRange(RANGE).refresh()
  assert.equal([listed!.fileId, listed!.sealed], [begun!.fileId, true])
  const elsewhere = other.exportRange(RANGE)
  let sent = 0
  for (const { fileId, bytes } of await elsewhere.refresh()) {
    while (going.endOf(fileId) < bytes) {
      const piece = await elsewhere.read(fileId, going.endOf(fileId), 100)
      if (fileId === begun!.fileId) sent += piece.length
      await going.append(fileId, going.endOf(fileId), piece)
    }
  }
  assert.is(sent, listed!.bytes - begun!.verifiedBytes, 'only what was missing')
  await going.commit()
  assert.equal(await content(to), await content(store))
})

test.run()
