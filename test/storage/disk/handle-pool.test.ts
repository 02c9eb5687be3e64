/** Many range files on few handles: nobody is refused for want of one while one can be had (failures 21). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { silentLog } from '../../../src/runtime.ts'
import { HandlePool, PooledFile } from '../../../src/storage/disk/handle-pool.ts'
import type { RangeStore } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, codeOfRejection, ManualTime, openStore, settle, textOf } from '../helpers.ts'

const test = suite('handle pool')
const MODES: Durability[] = ['os', 'interval', 'disk']
const Q = 256
const HOT = 200
const RANGES = Array.from({ length: HOT }, (_, range) => range)

const key = (range: number) => ({ bytes: bytesOf(`k${range}`), hi: (range << 24) >>> 0, lo: 1 })
const put = (store: RangeStore, range: number, text: string) => store.put(range, key(range), bytesOf(text), 1)

/** Fails if work on fake files has not come to an end after a while of turns and time. */
async function ended<T>(what: string, work: Promise<T>, time: ManualTime): Promise<T> {
  let over = false
  void work.then(
    () => (over = true),
    () => (over = true)
  )
  for (let i = 0; i < 400 && !over; i++) await time.advance(5)
  assert.ok(over, `${what} hangs`)
  return work
}

async function hotStore(files: FakeFiles, durability: Durability) {
  const { store, time } = await openStore(files, { q: Q, durability })
  for (const range of RANGES) store.create(range)
  return { store, time }
}

async function mustHold(files: FakeFiles, text: string): Promise<void> {
  const { store } = await openStore(files, { q: Q })
  for (const range of RANGES) assert.is(textOf(await store.get(range, key(range))), text)
}

for (const durability of MODES) {
  test(`200 hot ranges on 16 handles, ${durability}: puts and gets queue, none is refused`, async () => {
    const files = new FakeFiles()
    files.maxOpen = 16
    const { store, time } = await hotStore(files, durability)
    for (let round = 0; round < 4; round++) {
      const puts = RANGES.map(range => codeOfRejection(put(store, range, `${round}`)))
      assert.equal(new Set(await ended(`round ${round}`, Promise.all(puts), time)), new Set([undefined]))
      const gets = RANGES.toReversed().map(range => store.get(range, key(range)).then(textOf, error => error.code))
      assert.equal(new Set(await ended(`gets ${round}`, Promise.all(gets), time)), new Set([`${round}`]))
    }
    await ended('closing', store.close(), time)
    assert.is(files.openHandles, 0)
    if (durability !== 'os') files.powerCut()
    await mustHold(files, '3')
  })

  test(`the same after a kill, ${durability}: those last in order first`, async () => {
    const files = new FakeFiles()
    const first = await hotStore(files, durability)
    await Promise.all(RANGES.map(range => put(first.store, range, 'before')))
    files.crash()
    files.maxOpen = 16
    const { store, time } = await openStore(files, { q: Q, durability })
    const hot = RANGES.slice(-16)
    await ended('hot ranges', Promise.all(hot.map(range => put(store, range, 'hot'))), time)
    await time.advance(100)
    const puts = RANGES.map(range => codeOfRejection(put(store, range, 'all')))
    assert.equal(new Set(await ended('all ranges', Promise.all(puts), time)), new Set([undefined]))
    await ended('closing', store.close(), time)
    await mustHold(files, 'all')
  })

  test(`hot ranges whose puts were refused for want of room leave their handles to others, ${durability}`, async () => {
    const files = new FakeFiles()
    files.maxOpen = 16
    const { store, time } = await hotStore(files, durability)
    await ended('first puts', Promise.all(RANGES.map(range => put(store, range, 'first'))), time)
    await time.advance(100)
    files.capacityBytes = files.usedBytes() + 10
    for (const range of RANGES.slice(0, 40))
      assert.is(await ended(`put to ${range}`, codeOfRejection(put(store, range, 'full')), time), 'disk-full')
    files.capacityBytes = Number.POSITIVE_INFINITY
    for (const range of RANGES.slice(40, 80)) {
      const outcome = store.get(range, key(range)).then(textOf, error => error.code)
      assert.is(await ended(`get of ${range}`, outcome, time), 'first')
      assert.is(await ended(`put to ${range}`, codeOfRejection(put(store, range, 'second')), time), undefined)
    }
    await ended('closing', store.close(), time)
  })
}

test('in interval mode, files with unsynced writes are synced ahead of time when all handles are theirs', async () => {
  const files = new FakeFiles()
  files.maxOpen = 4
  const { store, time } = await hotStore(files, 'interval')
  for (let range = 0; range < 4; range++) await put(store, range, 'v')
  assert.equal([files.counts.sync, files.openHandles], [undefined, 4])
  const release = files.hold('sync')
  const fifth = put(store, 4, 'v')
  await settle()
  assert.ok(files.counts.sync! > 0, 'before its 50 ms')
  release()
  await ended('the fifth', fifth, time)
})

test('range files leave half of the handles to others', async () => {
  const files = Object.assign(new FakeFiles(), { maxHandles: 32 })
  const { store, time } = await hotStore(files, 'interval')
  const atOnce: number[] = []
  const { open } = files
  files.open = async (path, mode) => {
    const handle = await open.call(files, path, mode)
    atOnce.push(files.openHandles)
    return handle
  }
  const puts = RANGES.map(range => codeOfRejection(put(store, range, 'v')))
  assert.equal(new Set(await ended('puts', Promise.all(puts), time)), new Set([undefined]))
  await ended('closing', store.close(), time)
  assert.is(Math.max(...atOnce), 16)
  await mustHold(files, 'v')
})

test('what was found at the start is synced once all files are open', async () => {
  const files = new FakeFiles()
  const first = await hotStore(files, 'os')
  await Promise.all(RANGES.map(range => put(first.store, range, 'v')))
  files.crash()
  const time = new ManualTime()
  const { open } = files
  const syncsBefore: number[] = []
  files.open = async (path, mode) => {
    await time.advance(1)
    syncsBefore.push(files.counts.sync ?? 0)
    return open.call(files, path, mode)
  }
  const { store } = await openStore(files, { q: Q, durability: 'interval', time })
  assert.ok(syncsBefore.length >= HOT)
  assert.is(Math.max(...syncsBefore), 0)
  files.open = open
  await time.advance(100)
  assert.ok(files.counts.sync! >= HOT)
  await store.close()
})

async function pooled(maxOpen?: number) {
  const files = new FakeFiles()
  await files.makeDir('d')
  const pool = new HandlePool({ files, log: silentLog }, maxOpen)
  const file = (name: string) => new PooledFile(`d/${name}`, false)
  return { files, pool, file }
}

test('the file that was used least recently is closed', async () => {
  const { files, pool, file } = await pooled(3)
  const [a, b, c, d] = [file('a'), file('b'), file('c'), file('d')]
  for (const each of [a, b, c, a]) await pool.use(each, handle => handle.size())
  pool.hold(b)
  pool.release(b)
  await pool.use(d, handle => handle.size())
  await settle()
  assert.equal(
    [a, b, c, d].map(({ handle }) => handle !== undefined),
    [true, true, false, true]
  )
  assert.is(files.openHandles, 3)
})

test('users of one file share one opening; one that fails is told to all, and tried anew', async () => {
  const { files, pool, file } = await pooled()
  const a = file('a')
  files.fail('open', 'EACCES')
  const outcomes = await Promise.all([1, 2, 3].map(() => codeOfRejection(pool.use(a, handle => handle.size()))))
  assert.equal(outcomes, ['EACCES', 'EACCES', 'EACCES'])
  await Promise.all([1, 2, 3].map(() => pool.use(a, handle => handle.size())))
  assert.equal([files.counts.open, files.openHandles, a.uses], [2, 1, 0])
})

test('closing waits for its users, refuses new ones, and passes on what it throws', async () => {
  const { files, pool, file } = await pooled()
  const a = file('a')
  const work = Promise.withResolvers<void>()
  const using = pool.use(a, () => work.promise)
  await settle()
  let closed = false
  const closing = pool.close(a).then(() => (closed = true))
  await settle()
  assert.not(closed)
  assert.is(pool.hold(a), undefined)
  assert.is(await codeOfRejection(pool.use(a, handle => handle.size())), 'closed')
  work.resolve()
  await Promise.all([using, closing])
  assert.is(files.openHandles, 0)
  const b = file('b')
  await pool.use(b, handle => handle.size())
  files.fail('close', 'EIO')
  assert.is(await codeOfRejection(pool.close(b)), 'EIO')
  await pool.close(file('never opened'))
})

test('a close that fails while making room is logged, and the room is there', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const warnings: string[] = []
  const pool = new HandlePool({ files, log: { ...silentLog, warn: message => warnings.push(message) } }, 1)
  const [a, b] = [new PooledFile('d/a', false), new PooledFile('d/b', false)]
  await pool.use(a, handle => handle.size())
  files.fail('close', 'EIO')
  await pool.use(b, handle => handle.size())
  await settle()
  assert.is(warnings.length, 1)
  assert.is(pool.openFiles, 1)
})

test.run()
