/** What a store promises while nothing fails; on the fake and on the real files. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileIo } from '../../src/ports.ts'
import { nodeFiles } from '../../src/storage/disk/node-files.ts'
import type { RangeStore, StoredKey } from '../../src/storage/range-store.ts'
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
  storedKey,
  textOf
} from './helpers.ts'

async function allKeys(store: RangeStore, range: number, limit: number): Promise<string[]> {
  const keys: string[] = []
  let after: { hi: number; lo: number } | undefined
  do {
    const page = await store.page(range, after, limit)
    keys.push(...page.keys.map(key => Buffer.from(key).toString('latin1')))
    after = page.next
  } while (after)
  return keys
}

async function content(store: RangeStore, range: number): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const positions: [number, number][] = []
  store.forEach(range, (hi, lo) => positions.push([hi, lo]))
  for (const [hi, lo] of positions) {
    for (const { key, value } of await store.lookup(range, hi, lo)) found.set(textOf(key)!, textOf(value)!)
  }
  return found
}

function contract(name: string, make: () => Promise<{ files: FileIo; dir: string; end: () => Promise<void> }>) {
  const test = suite(`RangeStore contract: ${name}`)
  const it = (what: string, run: (files: FileIo, dir: string) => Promise<void>) =>
    test(what, async () => {
      const { files, dir, end } = await make()
      try {
        await run(files, dir)
      } finally {
        await end()
      }
    })

  it('keeps hostile keys as they are, over a restart (failures 50)', async (files, dir) => {
    const keys = ['../x', '../../etc/passwd', '__proto__', 'a\0b', '\0', new Uint8Array(1024).fill(0xff)].map(storedKey)
    const first = await openStore(files, { dir, durability: 'disk' })
    for (const [i, key] of keys.entries()) {
      const range = key.hi >>> 29
      first.store.create(range)
      await first.store.put(range, key, bytesOf(`v${i}`), i)
    }
    await first.store.close()
    const { store, report } = await openStore(files, { dir })
    assert.is(report.keys, keys.length)
    assert.equal(report.damages, [])
    for (const [i, key] of keys.entries()) {
      assert.is(textOf(await store.get(key.hi >>> 29, key)), `v${i}`)
      assert.is(store.tagOf(key.hi >>> 29, key), i)
    }
    const names = await files.list(dir)
    assert.ok(
      names.every(name => /^000\d-0000000001\.log$/.test(name)),
      names.join()
    )
    await store.close()
  })

  it('large values, empty values, many writers, then the same after a restart', async (files, dir) => {
    const { store } = await openStore(files, { dir, durability: 'interval', cacheBytes: 10_000 })
    store.create(RANGE)
    const keys = keysOfRange(40)
    const value = (i: number, round: number) => new Uint8Array(i === 7 ? 3_000_000 + round : i * 3 * round).fill(i)
    for (let round = 0; round < 3; round++) {
      await Promise.all(keys.map((key, i) => store.put(RANGE, key, value(i, round), round)))
    }
    await store.close()
    const again = await openStore(files, { dir })
    for (const [i, key] of keys.entries()) {
      assert.is(Buffer.compare((await again.store.get(RANGE, key))!, value(i, 2)), 0)
      assert.is(again.store.tagOf(RANGE, key), 2)
    }
    assert.equal(again.store.stats(RANGE), store.stats(RANGE))
    await again.store.close()
  })

  it('what a reader was given stays as it is when the memory of the write is used again', async (files, dir) => {
    // No cache: the value comes out of the write that is under way.
    const { store } = await openStore(files, { dir, cacheBytes: 1 })
    store.create(RANGE)
    const [key, ...others] = keysOfRange(40) as [StoredKey, ...StoredKey[]]
    const writing = store.put(RANGE, key, bytesOf('what was put'), 1)
    const peeked = store.peek(RANGE, key)
    const got = await store.get(RANGE, key)
    await writing
    for (const other of others) await store.put(RANGE, other, bytesOf('x'.repeat(64)), 1)
    if (peeked !== undefined) assert.is(textOf(peeked), 'what was put')
    assert.is(textOf(got), 'what was put')
    await store.close()
  })

  it('drop unlinks; a new log starts empty, under another name', async (files, dir) => {
    const { store } = await openStore(files, { dir })
    store.create(RANGE)
    await store.put(RANGE, keyAt('k', 1), bytesOf('old'), 1)
    await store.drop(RANGE)
    assert.is(store.state(RANGE), 'absent')
    assert.equal(await files.list(dir), [])
    store.create(RANGE)
    assert.is(await store.get(RANGE, keyAt('k', 1)), undefined)
    await store.put(RANGE, keyAt('k', 1), bytesOf('new'), 1)
    assert.equal(await files.list(dir), ['0003-0000000002.log'])
    await store.close()
  })

  test.run()
}

contract('fake', async () => ({ files: new FakeFiles(), dir: DIR, end: async () => {} }))
contract('real', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'coterie-store-'))
  return { files: nodeFiles, dir: `${dir}/ranges`, end: () => rm(dir, { recursive: true }) }
})

const test = suite('RangeStore')

test('agrees with a Map, through restarts and colliding positions', async () => {
  const step = fc.record({
    kind: fc.constantFrom('put', 'put', 'put', 'get', 'restart', 'puts at once'),
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    position: fc.nat(1),
    value: fc.string({ maxLength: 20 })
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.constantFrom(0, 100_000), async (steps, cacheBytes) => {
      const files = new FakeFiles()
      const model = new Map<string, string>()
      let { store } = await openStore(files, { cacheBytes })
      store.create(RANGE)
      for (const { kind, name, position, value } of steps) {
        const key = keyAt(`${name}${position}`, position)
        const text = textOf(key.bytes)!
        if (kind === 'restart') {
          await store.close()
          const again = await openStore(files, { cacheBytes })
          assert.equal(again.report.damages, [])
          store = again.store
          store.create(RANGE)
        } else if (kind === 'get') {
          assert.is(textOf(await store.get(RANGE, key)), model.get(text))
        } else {
          const values = kind === 'put' ? [value] : ['early', 'middle', value]
          const puts = values.map((each, i) => store.put(RANGE, key, bytesOf(each), i))
          model.set(text, value)
          assert.is(textOf(await store.get(RANGE, key)), value, 'visible at once')
          await Promise.all(puts)
        }
      }
      assert.is(store.stats(RANGE).keys, model.size)
      assert.equal([...(await content(store, RANGE))].sort(), [...model].sort())
      const live = [...model].reduce((sum, [key, value]) => sum + 44 + key.length + bytesOf(value).length, 0)
      assert.is(store.stats(RANGE).liveBytes, live)
    }),
    { numRuns: 60 }
  )
})

test('keys that share all 64 bits are told apart, in memory, on disk and after a restart', async () => {
  for (const cacheBytes of [0, 1_000_000]) {
    const files = new FakeFiles()
    const [a, b, c] = [keyAt('a', 5), keyAt('b', 5), keyAt('c', 5)] as [StoredKey, StoredKey, StoredKey]
    const { store } = await openStore(files, { cacheBytes })
    store.create(RANGE)
    await store.put(RANGE, a, bytesOf('a1'), 1)
    assert.is(await store.get(RANGE, b), undefined)
    await store.put(RANGE, b, bytesOf('b1'), 2)
    await store.put(RANGE, a, bytesOf('a2'), 3)
    const check = async (checked: RangeStore) => {
      assert.is(textOf(await checked.get(RANGE, a)), 'a2')
      assert.is(textOf(await checked.get(RANGE, b)), 'b1')
      assert.is(await checked.get(RANGE, c), undefined)
      assert.is(checked.stats(RANGE).keys, 2)
      assert.equal((await checked.page(RANGE, undefined, 1)).keys.map(textOf).sort(), ['a', 'b'])
      assert.equal((await checked.lookup(RANGE, a.hi, a.lo)).map(each => textOf(each.value)).sort(), ['a2', 'b1'])
    }
    await check(store)
    await store.close()
    await check((await openStore(files, { cacheBytes })).store)
  }
})

test('puts of one turn share a write; those that come meanwhile gather for the next', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files)
  store.create(RANGE)
  const keys = keysOfRange(300)
  const release = files.hold('write')
  const first = keys.slice(0, 100).map(key => store.put(RANGE, key, bytesOf('v'), 1))
  await settle()
  const second = keys.slice(100).map(key => store.put(RANGE, key, bytesOf('v'), 1))
  await settle()
  assert.is(files.counts.write, 1)
  assert.is(textOf(await store.get(RANGE, keys[299]!)), 'v')
  release()
  await Promise.all([...first, ...second])
  assert.is(files.counts.write, 2)
  await store.put(RANGE, keys[0]!, bytesOf('alone'), 1)
  assert.is(files.counts.write, 3)
})

test('a batch stays near 1 MiB', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files)
  store.create(RANGE)
  await Promise.all(keysOfRange(50).map(key => store.put(RANGE, key, new Uint8Array(60_000), 1)))
  assert.is(files.counts.write, 3)
})

test('disk mode syncs the header of a file, then each batch before its acks; os mode never by itself', async () => {
  for (const [durability, syncs] of [
    ['disk', 2],
    ['os', 0]
  ] as const) {
    const files = new FakeFiles()
    const { store } = await openStore(files, { durability })
    store.create(RANGE)
    await Promise.all(keysOfRange(50).map(key => store.put(RANGE, key, bytesOf('v'), 1)))
    assert.is(files.counts.sync ?? 0, syncs)
  }
})

test('interval mode syncs within 100 ms; the lag is told', async () => {
  const files = new FakeFiles()
  const { store, time } = await filledStore(files, 3, { durability: 'interval' })
  assert.is(files.counts.sync, undefined)
  await time.advance(20)
  assert.is(store.syncLagMs(), 20)
  const release = files.hold('sync')
  await time.advance(40)
  await store.put(RANGE, keyAt('later', 9), bytesOf('v'), 1)
  assert.is(files.counts.sync, 1)
  await time.advance(500)
  assert.is(store.syncLagMs(), 560, 'of the oldest, while its sync hangs')
  release()
  await settle()
  await time.advance(0)
  assert.is(files.counts.sync, 2, 'the later write takes a sync of its own')
  assert.is(store.syncLagMs(), 0)
})

test('a small cache spares the disk read of a hot key, and no more than its bytes', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 100, { cacheBytes: 8192 })
  await store.get(RANGE, keys[99]!)
  const before = files.counts.read ?? 0
  await store.get(RANGE, keys[99]!)
  await store.put(RANGE, keys[99]!, bytesOf('again'), 1)
  assert.is(textOf(await store.get(RANGE, keys[99]!)), 'again')
  assert.is(files.counts.read ?? 0, before)
  await store.get(RANGE, keys[0]!)
  assert.is(files.counts.read, before + 1)
})

test('pages keep their place while keys come', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 50)
  assert.equal(
    await allKeys(store, RANGE, 7),
    keys.map(key => textOf(key.bytes))
  )
  const first = await store.page(RANGE, undefined, 10)
  for (let i = 0; i < 200; i++) await store.put(RANGE, keyAt(`new-${i}`, 1000 + i), bytesOf('v'), 1)
  await store.put(RANGE, keys[3]!, bytesOf('changed'), 1)
  const second = await store.page(RANGE, first.next, 10)
  assert.equal(
    second.keys.map(textOf),
    keys.slice(10, 20).map(key => textOf(key.bytes))
  )
  assert.is((await allKeys(store, RANGE, 25)).length, 250)
  assert.equal(await store.page(RANGE, { hi: 0x7fffffff, lo: 0 }, 10), { keys: [] })
})

test('absent ranges, wrong ranges, wrong sizes, a closed store: clear errors', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files)
  const key = keyAt('k', 1)
  assert.is(await codeOfRejection(store.get(RANGE, key)), 'wrong-node')
  assert.is(await codeOfRejection(store.put(RANGE, key, bytesOf('v'), 1)), 'wrong-node')
  assert.throws(() => store.create(8), /whole number from 0 to 7/)
  store.create(RANGE)
  store.create(RANGE)
  store.create(4)
  assert.equal(store.ranges(), [3, 4])
  assert.equal(await files.list(DIR), [], 'no file before the first put')
  assert.is(await codeOfRejection(store.put(4, key, bytesOf('v'), 1)), 'internal')
  const long = { ...key, bytes: new Uint8Array(1025) }
  assert.is(await codeOfRejection(store.put(RANGE, long, bytesOf('v'), 1)), 'too-large')
  const pending = store.put(RANGE, key, bytesOf('v'), 1)
  await store.close()
  await pending
  assert.is(await codeOfRejection(store.get(RANGE, key)), 'closed')
  assert.is(await codeOfRejection(store.put(RANGE, key, bytesOf('v'), 1)), 'closed')
  assert.is(files.openHandles, 0)
  await store.close()
})

test('a drop refuses what is queued and waits for what is under way', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 2)
  const release = files.hold('write')
  const written = store.put(RANGE, keys[0]!, bytesOf('new'), 1)
  await settle()
  const queued = codeOfRejection(store.put(RANGE, keys[1]!, bytesOf('new'), 1))
  const dropped = store.drop(RANGE)
  assert.is(await queued, 'closed')
  release()
  await Promise.all([written, dropped])
  assert.equal(files.paths(), [])
  files.powerCut()
  assert.equal(files.paths(), [], 'for good')
  assert.not(files.paths().includes(FILE))
})

test.run()
