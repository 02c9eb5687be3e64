/** Full disks, failing disks, missing handles, power cuts. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../src/config.ts'
import type { CoterieError } from '../../src/errors.ts'
import { silentLog } from '../../src/runtime.ts'
import { DirSync } from '../../src/storage/disk/dir-sync.ts'
import { HandlePool, PooledFile } from '../../src/storage/disk/handle-pool.ts'
import { FakeFiles } from '../support/fake-files.ts'
import {
  bytesOf,
  codeOfRejection,
  DIR,
  FILE,
  filledStore,
  keyAt,
  keysOfRange,
  openStore,
  RANGE,
  settle,
  textOf
} from './helpers.ts'

const test = suite('storage faults')

test('a power cut in disk mode loses nothing acknowledged, at whichever moment (failures 13)', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(30), fc.nat(3), fc.constantFrom('write', 'sync', 'syncDir'), async (turns, torn, stall) => {
      const files = new FakeFiles()
      const { store } = await openStore(files, { durability: 'disk' })
      store.create(RANGE)
      const acked = new Map<number, number>()
      const keys = keysOfRange(5)
      const writer = async (i: number) => {
        for (let round = 0; round < 8; round++) {
          await store.put(RANGE, keys[i]!, bytesOf(`${round}`), round)
          acked.set(i, round)
        }
      }
      const writers = Promise.allSettled(keys.map((_, i) => writer(i)))
      for (let turn = 0; turn < turns; turn++) await new Promise<void>(resolve => process.nextTick(resolve))
      const release = files.hold(stall)
      await settle()
      const ackedBefore = new Map(acked)
      files.powerCut({ tornWrites: torn })
      release()
      await writers
      const again = await openStore(files, { durability: 'disk' })
      assert.equal(again.report.damages, [])
      again.store.create(RANGE)
      for (const [i, round] of ackedBefore) {
        const value = Number(textOf(await again.store.get(RANGE, keys[i]!)))
        assert.ok(value >= round, `key ${i}: ${value} after ${round} was acknowledged`)
      }
      await again.store.put(RANGE, keys[0]!, bytesOf('on'), 1)
    }),
    { numRuns: 60 }
  )
})

test('a power cut loses what was not synced, in interval and os mode; kill −9, nothing', async () => {
  for (const durability of ['os', 'interval'] as Durability[]) {
    const files = new FakeFiles()
    const { store, time } = await filledStore(files, 10, { durability })
    await time.advance(100)
    await store.put(RANGE, keyAt('late', 99), bytesOf('late'), 1)
    const killed = new FakeFiles()
    killed.set(FILE, files.peek(FILE))
    assert.is((await openStore(killed)).report.keys, 11)
    files.powerCut()
    const { report } = await openStore(files)
    assert.is(report.keys, durability === 'interval' ? 10 : 0)
    assert.equal(report.damages, [])
  }
})

test('sync() makes everything acknowledged survive, in every mode, also what an earlier run left', async () => {
  for (const durability of ['os', 'interval', 'disk'] as Durability[]) {
    const files = new FakeFiles()
    const { store } = await filledStore(files, 10, { durability })
    await store.sync(RANGE)
    files.powerCut()
    assert.is((await openStore(files)).report.keys, 10)
  }
  const files = new FakeFiles()
  await filledStore(files, 10)
  files.crash()
  const { store } = await openStore(files)
  await store.sync(RANGE)
  files.powerCut()
  assert.is((await openStore(files)).report.keys, 10)
})

test('interval and disk mode sync what a killed run left, without being asked', async () => {
  for (const durability of ['interval', 'disk'] as Durability[]) {
    const files = new FakeFiles()
    const { store } = await filledStore(files, 10)
    await store.sync(RANGE)
    await store.put(RANGE, keyAt('late', 99), bytesOf('late'), 1)
    files.crash()
    const { time } = await openStore(files, { durability })
    await time.advance(100)
    files.powerCut()
    assert.is((await openStore(files)).report.keys, 11)
  }
})

test('a full disk: puts are refused, the partial one is cut, reads go on, then room again (failures 20)', async () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const files = new FakeFiles()
    const { store, keys } = await filledStore(files, 5, { durability: 'disk' })
    const before = files.peek(FILE).length
    files.fail('write', code, { partialBytes: 70 })
    const release = files.hold('write')
    const puts = [0, 1, 0].map(i => codeOfRejection(store.put(RANGE, keys[i]!, bytesOf('new'), 9)))
    await settle()
    puts.push(codeOfRejection(store.put(RANGE, keys[2]!, bytesOf('queued'), 9)))
    puts.push(codeOfRejection(store.put(RANGE, keyAt('fresh', 77), bytesOf('queued'), 9)))
    await settle()
    assert.is(store.tagOf(RANGE, keys[0]!), 9)
    release()
    assert.equal(await Promise.all(puts), new Array(5).fill('disk-full'))
    assert.is(files.peek(FILE).length, before)
    assert.is(store.state(RANGE), 'open')
    for (const i of [0, 1, 2]) {
      assert.is(textOf(await store.get(RANGE, keys[i]!)), `value-${i}`)
      assert.is(store.tagOf(RANGE, keys[i]!), i)
    }
    assert.is(store.stats(RANGE).keys, 5)
    await store.put(RANGE, keys[0]!, bytesOf('room'), 9)
    await store.close()
    const again = await openStore(files)
    assert.is(textOf(await again.store.get(RANGE, keys[0]!)), 'room')
    assert.equal([again.report.damages.length, again.report.tornBytes, again.report.keys], [0, 0, 5])
  }
})

test('no room for the very first write, then room', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files)
  store.create(RANGE)
  files.capacityBytes = 20
  assert.is(await codeOfRejection(store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)), 'disk-full')
  files.capacityBytes = 10_000
  await store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)
  await store.close()
  assert.is((await openStore(files)).report.keys, 1)
})

test('EIO on a write fences the range, and that range alone', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 3)
  const faults: [number, CoterieError][] = []
  store.onFault((range, error) => faults.push([range, error]))
  store.create(4)
  files.fail('write', 'EIO', { path: /0003/, partialBytes: 30 })
  const puts = keys.map(key => codeOfRejection(store.put(RANGE, key, bytesOf('new'), 9)))
  assert.equal(await Promise.all(puts), new Array(3).fill('range-fenced'))
  assert.is(faults.length, 1)
  assert.is(faults[0]![0], RANGE)
  assert.match(faults[0]![1].message, /EIO/)
  assert.is(store.state(RANGE), 'fenced')
  assert.is(await codeOfRejection(store.get(RANGE, keys[0]!)), 'range-fenced')
  assert.is(await codeOfRejection(store.put(RANGE, keys[0]!, bytesOf('new'), 9)), 'range-fenced')
  const saved = await store.lookup(RANGE, keys[0]!.hi, keys[0]!.lo)
  assert.is(textOf(saved[0]!.value), 'value-0', 'what still verifies can be saved')
  await store.put(4, { bytes: bytesOf('k'), hi: 0x80000000, lo: 0 }, bytesOf('v'), 1)
  await store.drop(RANGE)
  store.create(RANGE)
  assert.is(store.state(RANGE), 'open')
  await store.put(RANGE, keys[0]!, bytesOf('rebuilt'), 1)
  assert.ok(files.paths().includes(`${DIR}/0003-0000000002.log`))
  await store.close()
})

test('EIO on a sync: no ack, no second sync, fenced, in disk and in interval mode (failures 19)', async () => {
  for (const durability of ['disk', 'interval'] as Durability[]) {
    for (const operation of ['sync', 'syncDir'] as const) {
      const files = new FakeFiles()
      const { store, time } = await openStore(files, { durability })
      const faults: number[] = []
      store.onFault(range => faults.push(range))
      store.create(RANGE)
      files.fail(operation, 'EIO')
      const put = codeOfRejection(store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1))
      assert.is(await put, durability === 'disk' ? 'range-fenced' : undefined)
      await time.advance(100)
      assert.equal(faults, [RANGE])
      assert.is(await codeOfRejection(store.sync(RANGE)), 'range-fenced')
      await time.advance(1000)
      // In disk mode the header of a new file is synced by itself, before the directory.
      const syncs = durability === 'disk' && operation === 'syncDir' ? 2 : 1
      assert.is(files.counts.sync, syncs)
      assert.is(store.syncLagMs(), 0)
      await store.close()
      assert.is(files.counts.sync, syncs)
      assert.is(files.openHandles, 0)
    }
  }
})

test('no ack for a write that was under way when a sync failed', async () => {
  const files = new FakeFiles()
  const { store, time, keys } = await filledStore(files, 2, { durability: 'interval' })
  const release = files.hold('write')
  const inFlight = codeOfRejection(store.put(RANGE, keys[0]!, bytesOf('new'), 9))
  await settle()
  const queued = codeOfRejection(store.put(RANGE, keys[0]!, bytesOf('newer'), 9))
  files.fail('sync', 'EIO')
  await time.advance(100)
  release()
  assert.equal([await inFlight, await queued], ['range-fenced', 'range-fenced'])
  assert.is(store.tagOf(RANGE, keys[0]!), 0)
})

test('a partial write that cannot be cut off fences', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 2)
  files.fail('write', 'ENOSPC', { partialBytes: 9 })
  files.fail('truncate', 'EIO')
  assert.is(await codeOfRejection(store.put(RANGE, keys[0]!, bytesOf('v'), 1)), 'range-fenced')
})

test('few handles serve many ranges; none at all is a clear, passing error (failures 21)', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files, { q: 64 })
  files.maxOpen = 3
  const key = (range: number) => ({ bytes: bytesOf(`k${range}`), hi: (range << 26) >>> 0, lo: 1 })
  for (let range = 0; range < 64; range++) {
    store.create(range)
    await store.put(range, key(range), bytesOf(`v${range}`), 1)
  }
  for (let range = 0; range < 64; range++) assert.is(textOf(await store.get(range, key(range))), `v${range}`)
  files.maxOpen = 0
  await store.drop(63)
  files.crash()
  assert.is(await codeOfRejection(openStore(files, { q: 64 })), 'overloaded')
  files.maxOpen = 3
  const third = await openStore(files, { q: 64, durability: 'disk' })
  assert.is(third.report.keys, 63)
  files.maxOpen = 0
  assert.is(await codeOfRejection(third.store.put(1, key(1), bytesOf('new'), 2)), 'overloaded')
  assert.is(await codeOfRejection(third.store.get(1, key(1))), 'overloaded')
  assert.is(third.store.tagOf(1, key(1)), 1)
  files.maxOpen = 3
  assert.is(textOf(await third.store.get(1, key(1))), 'v1')
  third.store.create(63)
  files.fail('syncDir', 'EMFILE', { times: Number.POSITIVE_INFINITY })
  assert.is(await codeOfRejection(third.store.put(63, key(63), bytesOf('new'), 2)), 'overloaded')
  files.heal()
  assert.is(await third.store.get(63, key(63)), undefined)
  await third.store.put(63, key(63), bytesOf('new'), 2)
  await third.store.close()
  assert.is((await openStore(files, { q: 64 })).report.keys, 64)
})

test('more readers than handles take turns', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files, { q: 64 })
  const key = (range: number) => ({ bytes: bytesOf(`k${range}`), hi: (range << 26) >>> 0, lo: 1 })
  for (let range = 0; range < 64; range++) {
    store.create(range)
    await store.put(range, key(range), bytesOf(`v${range}`), 1)
  }
  files.crash()
  const again = await openStore(files, { q: 64 })
  files.maxOpen = 2
  const reads = Array.from({ length: 64 }, (_, range) => again.store.get(range, key(range)))
  assert.equal(
    (await Promise.all(reads)).map(textOf),
    Array.from({ length: 64 }, (_, range) => `v${range}`)
  )
})

test('one directory sync covers all files made before it began, and none made later', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const dirSync = new DirSync(files, 'd')
  const release = files.hold('syncDir')
  const first = dirSync.sync(dirSync.changed())
  const later = [dirSync.changed(), dirSync.changed()].map(change => dirSync.sync(change))
  await settle()
  assert.is(files.counts.syncDir, 1)
  release()
  await Promise.all([first, ...later])
  assert.is(files.counts.syncDir, 2)
  files.fail('syncDir', 'EIO')
  assert.is(await codeOfRejection(dirSync.sync(dirSync.changed())), 'EIO')
})

test('the pool keeps to its bound, spares files in use and files with unsynced writes', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const pool = new HandlePool({ files, log: silentLog }, 2)
  const [a, b, c] = ['a', 'b', 'c'].map(name => new PooledFile(`d/${name}`, false)) as [
    PooledFile,
    PooledFile,
    PooledFile
  ]
  a.keepOpen = true
  await pool.use(a, handle => handle.write([bytesOf('a')], 0))
  await pool.use(b, handle => handle.write([bytesOf('b')], 0))
  await pool.use(c, handle => handle.write([bytesOf('c')], 0))
  await settle()
  assert.is(files.openHandles, 2)
  assert.ok(a.handle)
  assert.is(await pool.use(b, handle => handle.size()), 1)
  await settle()
  assert.is(files.openHandles, 2)
  for (const file of [a, b, c]) await pool.close(file)
  assert.is(files.openHandles, 0)
  assert.is(await codeOfRejection(pool.use(a, handle => handle.size())), 'closed')
})

test('a stalled disk: reads of other ranges go on, the queue has a bound (failures 24)', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 3)
  const release = files.hold('write')
  const value = new Uint8Array(32 * 1024 * 1024)
  const puts = Array.from({ length: 9 }, () => store.put(RANGE, keyAt('big', 50), value, 1))
  assert.is(await codeOfRejection(store.put(RANGE, keys[1]!, bytesOf('one more'), 1)), 'overloaded')
  assert.is(textOf(await store.get(RANGE, keys[0]!)), 'value-0')
  const dropped = store.drop(RANGE)
  release()
  await dropped
  assert.ok((await Promise.allSettled(puts)).some(outcome => outcome.status === 'rejected'))
})

test.run()
