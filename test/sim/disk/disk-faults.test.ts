/** Each way in which a simulated disk fails on purpose. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { silentLog } from '../../../src/runtime.ts'
import { SECTOR_BYTES } from '../../../src/sim/disk/inode.ts'
import { RangeStore } from '../../../src/storage/range-store.ts'
import { type Bench, codeOf, DIR, eachSeed, FILE, fill, OTHER, SEEDS, simulate } from './disk-bench.ts'

const test = suite('SimDisk faults')

/** A second durable range file beside `FILE`. */
async function withOther(bench: Bench, content: Uint8Array, otherContent: Uint8Array) {
  const { files, handle } = await bench.durable(FILE, content)
  const other = await files.open(OTHER, 'wx+')
  await other.write([otherContent], 0)
  await other.sync()
  await files.syncDir(DIR)
  return { files, handle, other }
}

test('a stall holds what is under way and what comes, until its end', () =>
  simulate('1', async bench => {
    const { world, disk } = bench
    const { handle } = await bench.durable(FILE, fill(1, 10))
    const startMs = world.nowMs
    const ended: number[] = []
    const watch = (work: Promise<unknown>) => void work.then(() => ended.push(world.nowMs - startMs))
    watch(handle.write([fill(2, 10)], 10))
    disk.stall(startMs + 1000)
    watch(handle.read(new Uint8Array(1), 0))
    await world.sleep(500)
    disk.stall(startMs + 800)
    await world.sleep(499)
    assert.equal(ended, [])
    assert.is(disk.peek(FILE)?.length, 10)
    await world.sleep(10)
    assert.is(ended.length, 2)
    assert.ok(ended.every(ms => ms >= 1000))
    disk.stall(world.nowMs + 60_000)
    watch(handle.write([fill(3, 10)], 20))
    await world.sleep(100)
    disk.heal()
    await world.sleep(10)
    assert.is(ended.length, 3)
  }))

test('a stall outlives the process that met it', () =>
  simulate('1', async bench => {
    await bench.durable(FILE, fill(1, 10))
    const endMs = bench.world.nowMs + 1000
    bench.disk.stall(endMs)
    bench.powerCut(true)
    await bench.boot().readFile(FILE)
    assert.ok(bench.world.nowMs >= endMs)
  }))

test('a full disk refuses what needs room, may keep a part, and takes the rest', async () => {
  const sizes = await eachSeed(async bench => {
    const { disk } = bench
    const { files, handle } = await bench.durable(FILE, fill(1, 1000))
    await files.replaceFile('d/f', fill(1, 10))
    disk.fill()
    assert.is(await codeOf(handle.write([fill(2, 300)], 900)), 'ENOSPC')
    const size = await handle.size()
    assert.ok(size >= 1000 && size <= 1200)
    await handle.write([fill(3, 100)], 100)
    await handle.truncate(1000)
    await handle.sync()
    assert.is(await codeOf(files.open(OTHER, 'wx+')), 'ENOSPC')
    assert.is(await codeOf(files.replaceFile('d/f', fill(2, 10))), 'ENOSPC')
    assert.is(await codeOf(files.makeDir('d/more')), 'ENOSPC')
    assert.equal(await files.readFile('d/f'), fill(1, 10))
    disk.makeRoom()
    await handle.write([fill(4, 300)], 1000)
    await files.replaceFile('d/f', fill(2, 10))
    assert.equal(await files.readFile('d/f'), fill(2, 10))
    disk.fill()
    disk.heal()
    await files.open(OTHER, 'wx+')
    return size
  })
  assert.ok(new Set(sizes).size > 3)
})

test('EIO strikes range files so many times, and nothing else', () =>
  simulate('1', async bench => {
    const { disk } = bench
    const { files, handle } = await bench.durable(FILE, fill(1, 1000))
    for (const operation of ['write', 'sync', 'read'] as const) disk.failNext(operation, 2)
    const strange = await files.open('d/else', 'wx+')
    await strange.write([fill(1, 10)], 0)
    await strange.sync()
    await strange.read(new Uint8Array(5), 0)
    for (const code of ['EIO', 'EIO', undefined]) {
      assert.is(await codeOf(handle.write([fill(2, 100)], 1000)), code)
      assert.is(await codeOf(handle.sync()), code)
      assert.is(await codeOf(handle.read(new Uint8Array(10), 0)), code)
    }
    assert.is(disk.injuries.length, 6)
    disk.failNext('read', 1)
    disk.heal()
    await handle.read(new Uint8Array(10), 0)
  }))

test('a failed write leaves its first bytes, or none', async () => {
  const sizes = await eachSeed(async bench => {
    const { handle } = await bench.durable(FILE, fill(1, 100))
    bench.disk.failNext('write', 1)
    assert.is(await codeOf(handle.write([fill(2, 1000)], 100)), 'EIO')
    const content = bench.disk.peek(FILE)!
    assert.equal(content.subarray(100), fill(2, content.length - 100))
    return content.length
  })
  assert.ok(sizes.includes(100) && new Set(sizes).size > 5)
})

test('what a failed sync lost, the next sync does not bring to the disk (fsync, ATC’20)', async () => {
  const outcomes = await eachSeed(async bench => {
    const { files, handle } = await bench.durable(FILE, fill(1, 600))
    await handle.write([fill(2, 2000)], 600)
    bench.disk.failNext('sync', 1)
    assert.is(await codeOf(handle.sync()), 'EIO')
    const seen = (await files.readFile(FILE))!.subarray(600).every(byte => byte === 2)
    await handle.sync()
    await handle.write([fill(3, 100)], 2600)
    await handle.sync()
    bench.powerCut(bench.random.chance(0.5))
    const content = bench.disk.peek(FILE)!
    assert.equal(content.subarray(0, 600), fill(1, 600), 'what was synced before stays')
    assert.equal(content.subarray(2600), fill(3, 100), 'and what is synced later')
    const rest = content.subarray(600, 2600)
    assert.ok(rest.every(byte => byte === 2 || byte === 0))
    return `${seen ? 'seen' : 'gone'}, then ${rest.includes(0) ? 'gone' : 'kept'}`
  })
  assert.ok(outcomes.includes('seen, then gone'))
  assert.ok(outcomes.includes('gone, then gone'))
})

test('a failed sync may leave the file short', async () => {
  const sizes = await eachSeed(async bench => {
    const { handle } = await bench.durable(FILE, fill(1, 600))
    await handle.write([fill(2, 2000)], 600)
    bench.disk.failNext('sync', 1)
    assert.is(await codeOf(handle.sync()), 'EIO')
    bench.powerCut(false)
    return bench.disk.peek(FILE)!.length
  })
  assert.equal([...new Set(sizes)].sort(), [2600, 600])
})

test('a lost write is acknowledged, synced, and not there', async () => {
  const found = await eachSeed(async bench => {
    const { handle } = await withOther(bench, fill(1, 600), fill(7, 3000))
    bench.disk.loseWrites(1)
    await handle.write([fill(2, 1000)], 500)
    await handle.write([fill(3, 100)], 1500)
    await handle.sync()
    bench.powerCut(true)
    const content = bench.disk.peek(FILE)!
    assert.is(content.length, 1600)
    assert.equal(content.subarray(0, 600), fill(1, 600))
    assert.equal(content.subarray(1500), fill(3, 100))
    assert.not(content.includes(2))
    assert.equal(
      bench.disk.injuries.map(({ kind, offset, length }) => [kind, offset, length]),
      [['lost-write', 500, 1000]]
    )
    return content[700]
  })
  assert.ok(found.includes(0), 'zeros')
  assert.ok(found.includes(7), 'what the block held before')
})

test('a misdirected write lands elsewhere, whole sectors away or in another file', async () => {
  const found = await eachSeed(async bench => {
    const { handle } = await withOther(bench, fill(1, 4000), fill(7, 6000))
    bench.disk.misdirectNext()
    await handle.write([fill(2, 300)], 4000)
    await handle.sync()
    const [first, second] = bench.disk.injuries
    assert.equal([first?.kind, second?.kind, first?.path], ['misdirected-write', 'overwritten', FILE])
    const { path, offset, length } = second!
    assert.equal(bench.disk.peek(path)!.subarray(offset, offset + length), fill(2, length))
    assert.not(bench.disk.peek(FILE)!.subarray(4000).includes(2))
    assert.is(bench.disk.peek(FILE)!.length, 4300)
    assert.is(bench.disk.peek(OTHER)!.length, 6000)
    assert.is((4000 - offset) % SECTOR_BYTES, 0)
    if (path === OTHER) assert.is(offset, 4000)
    // It does not strike twice.
    await handle.write([fill(3, 10)], 4300)
    assert.equal(bench.disk.peek(FILE)!.subarray(4300), fill(3, 10))
    return path
  })
  assert.ok(found.includes(FILE) && found.includes(OTHER))
})

test('a misdirected write with nowhere to go is lost', () =>
  simulate('1', async bench => {
    const files = await bench.bootWithDir()
    bench.disk.misdirectNext()
    const handle = await files.open(FILE, 'wx+')
    await handle.write([fill(2, 300)], 0)
    assert.equal(bench.disk.peek(FILE), fill(0, 300))
  }))

test('bits rot in range files alone, and it is said where', async () => {
  await eachSeed(async bench => {
    const { disk } = bench
    assert.equal(disk.rot(5), [])
    const { files } = await withOther(bench, fill(1, 4000), fill(1, 100))
    await files.replaceFile('d/f', fill(1, 5000))
    const hits = disk.rot(10)
    assert.is(hits.length, 10)
    bench.powerCut(true)
    let flipped = 0
    for (const path of [FILE, OTHER]) {
      for (const [offset, byte] of disk.peek(path)!.entries()) {
        if (byte === 1) continue
        flipped++
        assert.ok(hits.some(hit => hit.path === path && hit.offset === offset))
      }
    }
    assert.ok(flipped >= 8)
    assert.equal(disk.peek('d/f'), fill(1, 5000))
  })
})

test('a store finds what faults did to its files', async () => {
  const faults = {
    rot: bench => void bench.disk.rot(1),
    'lost-write': bench => bench.disk.loseWrites(1),
    'misdirected-write': bench => bench.disk.misdirectNext()
  } satisfies Record<string, (bench: Bench) => void>
  for (const strike of Object.values(faults)) {
    const found = await eachSeed(async bench => {
      const open = async () => {
        const { clock, timers } = bench.process
        const files = bench.disk.attach(bench.process)
        const ports = { clock, timers, random: bench.random, files, log: silentLog }
        const store = new RangeStore(ports, { dir: DIR, q: 8, durability: 'disk', cacheBytes: 0 })
        return { store, report: await store.open() }
      }
      const put = (i: number) => {
        const key = { bytes: Buffer.from(`key-${i}`), hi: 0x60000000 + i, lo: i }
        return store.put(3, key, fill(i, 400), i)
      }
      let { store } = await open()
      store.create(3)
      for (let i = 0; i < 20; i++) await put(i)
      strike(bench)
      for (let i = 20; i < 40; i++) await put(i)
      const second = await open()
      store = second.store
      return second.report.damages.length
    })
    assert.ok(found.filter(damages => damages > 0).length >= SEEDS.length - 1, strike.toString())
  }
})

test.run()
