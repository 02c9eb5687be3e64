/** What an export shows, and that it never takes it back. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, codeOfRejection, FILE, filledStore, keyAt, openStore, RANGE, settle, upkeep } from '../helpers.ts'
import { churn, content, pullAll, sourceStore } from './transfers.ts'

const test = suite('export')

test('shows only what has been synced: a power cut takes none of it back', async () => {
  for (const durability of ['os', 'interval', 'disk'] as Durability[]) {
    const files = new FakeFiles()
    const { store } = await sourceStore(files, 10, { durability })
    const source = store.exportRange(RANGE)
    const release = files.hold('sync')
    const looking = source.refresh()
    await settle()
    const later = durability === 'disk' ? undefined : store.put(RANGE, keyAt('later', 99), bytesOf('late'), 1)
    await settle()
    release()
    await later
    const [file] = await looking
    const shown = await source.read(file!.fileId, 0, 1_000_000)
    assert.is(shown.length, file!.bytes)
    files.powerCut({ tornWrites: 1 })
    assert.is(Buffer.compare(files.peek(FILE).subarray(0, shown.length), shown), 0, durability)
  }
})

test('shows nothing of a put that is refused for want of anything, and what follows in its place', async () => {
  for (const [operation, code] of [
    ['sync', 'ENOMEM'],
    ['write', 'ENOSPC']
  ] as const) {
    const files = new FakeFiles()
    const { store } = await filledStore(files, 5, { durability: 'disk' })
    const source = store.exportRange(RANGE)
    const release = files.hold(operation)
    const refused = codeOfRejection(store.put(RANGE, keyAt('refused', 50), new Uint8Array(100), 1))
    await settle()
    const looking = source.refresh()
    await settle()
    files.fail(operation, code)
    release()
    const [file] = await looking
    const shown = await source.read(file!.fileId, 0, 1_000_000)
    await refused
    await store.put(RANGE, keyAt('next', 51), new Uint8Array(300).fill(1), 1)
    assert.is(shown.length, file!.bytes)
    const now = files.peek(FILE).subarray(0, shown.length)
    assert.is(Buffer.compare(now, shown), 0, `${operation}: what was shown is still there`)
    const { store: to } = await openStore(new FakeFiles())
    const receiver = await to.receive(RANGE)
    await receiver.append(file!.fileId, 0, shown)
    await receiver.commit(await pullAll(source, receiver))
    assert.equal(await content(to), await content(store))
  }
})

test('a file that was rewritten stays readable as far as it was named, and is named no more', async () => {
  const files = new FakeFiles()
  const { store, time } = await sourceStore(files, 10, { compactBytes: 400, cacheBytes: 1 << 20 })
  const source = store.exportRange(RANGE)
  const [first] = await source.refresh()
  assert.equal([first!.sealed, first!.bytes], [false, files.peek(FILE).length])
  const whole = files.peek(FILE)
  await churn(store, 10)
  await upkeep(time)
  assert.not(files.paths().includes(FILE))
  const listed = await source.refresh()
  assert.equal(
    listed.map(({ sealed }) => sealed),
    [false]
  )
  const read = await source.read(first!.fileId, 0, 1_000_000)
  assert.is(Buffer.compare(read, whole), 0, 'as far as it was named')
  const fresh = store.exportRange(RANGE)
  assert.is((await fresh.refresh()).length, 1, 'a new export does not know it')
  await Promise.all([source.close(), fresh.close()])
  await store.close()
  assert.is(files.openHandles, 0)
})

test('looks and syncs while files are rewritten and unlinked: none of them fails', async () => {
  for (const durability of ['os', 'interval', 'disk'] as Durability[]) {
    for (let turns = 0; turns < 60; turns++) {
      const files = new FakeFiles()
      const { store, time } = await sourceStore(files, 4, { compactBytes: 100, cacheBytes: 1 << 20, durability })
      await churn(store, 4)
      const source = store.exportRange(RANGE)
      const working = time.advance(1000)
      for (let turn = 0; turn < turns * 4; turn++) await null
      const looks = [codeOfRejection(source.refresh()), codeOfRejection(store.sync(RANGE))]
      await working
      for (let i = 0; i < 5; i++) await settle()
      assert.equal(await Promise.all(looks), [undefined, undefined], `${durability} after ${turns} turns`)
      await source.close()
      await store.close()
      assert.is(files.openHandles, 0)
    }
  }
})

test('an empty range has no files; a closed export, a dropped, fenced or absent range say what they are', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files)
  assert.throws(() => store.exportRange(RANGE), /not held/)
  store.create(RANGE)
  const source = store.exportRange(RANGE)
  assert.equal(await source.refresh(), [])
  assert.is(await codeOfRejection(source.read('00', 0, 10)), 'internal')
  await store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)
  const [file] = await source.refresh()
  assert.is((await source.read(file!.fileId, file!.bytes, 10)).length, 0)
  assert.is((await source.read(file!.fileId, file!.bytes - 3, 10)).length, 3)
  assert.is((await source.read(file!.fileId, file!.bytes + 100, 10)).length, 0)
  files.fail('read', 'EIO')
  assert.is(await codeOfRejection(source.read(file!.fileId, 0, 10)), 'damaged')
  await store.drop(RANGE)
  assert.is(await codeOfRejection(source.refresh()), 'closed')
  assert.is(await codeOfRejection(source.read(file!.fileId, 0, 10)), 'closed')
  await source.close()
  assert.is(await codeOfRejection(source.refresh()), 'closed')
  assert.is(files.openHandles, 0)
  store.create(RANGE)
  files.fail('write', 'EIO')
  await codeOfRejection(store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1))
  assert.throws(() => store.exportRange(RANGE), /takes no reads/)
})

test('no handle for another file: overloaded, and the next look tries again', async () => {
  const files = new FakeFiles()
  const { store } = await sourceStore(files, 5)
  files.maxOpen = files.openHandles
  const source = store.exportRange(RANGE)
  assert.is(await codeOfRejection(source.refresh()), 'overloaded')
  files.maxOpen++
  assert.is((await source.refresh()).length, 1)
  await source.close()
})

test.run()
