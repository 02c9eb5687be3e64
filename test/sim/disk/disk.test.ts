/** What a simulated disk keeps and what it may forget. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SECTOR_BYTES, WRITE_BACK_MS } from '../../../src/sim/disk/inode.ts'
import { codeOf, DIR, eachSeed, FILE, fill, OTHER, simulate } from './disk-bench.ts'

const test = suite('SimDisk')

test('files do what FileIo says, in virtual time', () =>
  simulate('1', async bench => {
    const { world, disk } = bench
    const files = bench.boot()
    assert.equal(await files.list(DIR), [])
    assert.is(await codeOf(files.open(FILE, 'r')), 'ENOENT')
    assert.is(await codeOf(files.open(FILE, 'wx+')), 'ENOENT')
    assert.is(await codeOf(files.syncDir(DIR)), 'ENOENT')
    await files.makeDir(DIR)
    await files.makeDir(DIR)
    const handle = await files.open(FILE, 'wx+')
    assert.is(await codeOf(files.open(FILE, 'wx+')), 'EEXIST')
    await handle.write([fill(1, 3), fill(2, 3)], 0)
    await handle.write([fill(3, 2)], 8)
    const into = new Uint8Array(20)
    assert.is(await handle.read(into, 1), 9)
    assert.equal([...into.subarray(0, 9)], [1, 1, 2, 2, 2, 0, 0, 3, 3])
    assert.is(await handle.read(into, 10), 0)
    await handle.truncate(4)
    await handle.truncate(6)
    assert.equal([...(await files.readFile(FILE))!], [1, 1, 1, 2, 0, 0])
    assert.is(await handle.size(), 6)
    const reader = await files.open(FILE, 'r')
    assert.is(await codeOf(reader.write([fill(1, 1)], 0)), 'EBADF')
    assert.is(disk.openFiles(bench.process), 2)
    await reader.close()
    assert.is(await codeOf(reader.read(into, 0)), 'EBADF')
    await files.rename(FILE, OTHER)
    assert.equal(await files.list(DIR), ['0008-0000000001.log'])
    assert.equal(await files.list('d'), ['ranges'])
    assert.is(await codeOf(files.rename(FILE, OTHER)), 'ENOENT')
    await files.unlink(OTHER)
    assert.is(await codeOf(files.unlink(OTHER)), 'ENOENT')
    await files.replaceFile('d/node.json', fill(7, 3))
    assert.equal(await files.readFile('d/node.json'), fill(7, 3))
    assert.is(await files.readFile('d/none'), undefined)
    await handle.close()
    assert.is(disk.openFiles(bench.process), 0)
    assert.ok(world.nowMs > 4 && world.nowMs < 60, `${world.nowMs} ms`)
    assert.is(disk.bytesWritten, 11)
    assert.is(world.pending, 0)
  }))

test('errors are like Node’s', () =>
  simulate('1', async bench => {
    try {
      await bench.boot().open('d/x', 'r')
      assert.unreachable()
    } catch (error) {
      const { code, syscall, path, message } = error as NodeJS.ErrnoException
      const expected = ['ENOENT', 'open', 'd/x', "ENOENT: no such file or directory, open 'd/x'"]
      assert.equal([code, syscall, path, message], expected)
    }
  }))

test('kill −9 keeps what was written; what was under way happened in part, whole or not at all', async () => {
  const sizes = await eachSeed(async bench => {
    const files = await bench.bootWithDir()
    const handle = await files.open(FILE, 'wx+')
    await handle.write([fill(1, 1000)], 0)
    void handle.write([fill(2, 1000)], 1000).then(() => assert.unreachable('the dead hear nothing'))
    bench.crash()
    const after = bench.boot()
    const content = (await after.readFile(FILE))!
    assert.equal(content.subarray(0, 1000), fill(1, 1000))
    assert.equal(content.subarray(1000), fill(2, content.length - 1000))
    // Of an older boot: does nothing, says nothing.
    void handle.write([fill(9, 10)], 0).then(() => assert.unreachable())
    void files.unlink(FILE).then(() => assert.unreachable())
    await bench.world.sleep(1000)
    assert.equal(bench.disk.peek(FILE), content)
    return content.length
  })
  assert.ok(sizes.includes(1000) && sizes.includes(2000))
  assert.ok(sizes.some(size => size > 1000 && size < 2000))
})

test('a paused process hears late of what its disk did in time', () =>
  simulate('1', async bench => {
    const { handle } = await bench.durable(FILE, fill(1, 10))
    let heardMs: number | undefined
    void handle.write([fill(2, 10)], 10).then(() => (heardMs = bench.world.nowMs))
    bench.process.pause()
    await bench.world.sleep(500)
    assert.is(heardMs, undefined)
    assert.is(bench.disk.peek(FILE)?.length, 20)
    bench.process.resume()
    await bench.world.sleep(1)
    assert.ok(heardMs! >= 500)
  }))

test('a power cut takes what is not synced, or leaves the first of it', async () => {
  const sizes = await eachSeed(async bench => {
    const { handle } = await bench.durable(FILE, fill(1, 700))
    for (let i = 2; i < 6; i++) await handle.write([fill(i, 100)], 700 + 100 * (i - 2))
    bench.powerCut(false)
    const content = bench.disk.peek(FILE)!
    assert.equal(content.subarray(0, 700), fill(1, 700))
    assert.is(content.length % 100, 0)
    for (let i = 700; i < content.length; i++) assert.is(content[i], 2 + Math.floor((i - 700) / 100))
    return content.length
  })
  assert.ok(sizes.filter(size => size === 700).length >= 5)
  assert.ok(sizes.some(size => size > 700))
})

test('a sync covers the writes that had ended when it was issued', async () => {
  const sizes = await eachSeed(async bench => {
    const { handle } = await bench.durable(FILE, fill(1, 10))
    await handle.write([fill(2, 10)], 10)
    const synced = handle.sync()
    await handle.write([fill(3, 10)], 20)
    await synced
    bench.powerCut(false)
    return bench.disk.peek(FILE)!.length
  })
  assert.equal([...new Set(sizes)].sort(), [20, 30])
})

test('overwrites and cuts are taken back, too', async () => {
  const found = await eachSeed(async bench => {
    const { handle } = await bench.durable(FILE, fill(1, 20))
    await handle.write([fill(2, 10)], 5)
    await handle.truncate(8)
    await handle.write([fill(3, 4)], 8)
    bench.powerCut(false)
    return Buffer.from(bench.disk.peek(FILE)!).toString('hex')
  })
  const before = '01'.repeat(20)
  const expected = [before, `${'01'.repeat(5)}${'02'.repeat(10)}${'01'.repeat(5)}`, '0101010101020202']
  for (const content of found) assert.ok(expected.includes(content) || content === '010101010102020203030303', content)
  assert.ok(found.includes(before))
})

test('the system writes back by itself what is old', () =>
  simulate('1', async bench => {
    const { handle } = await bench.durable(FILE, fill(1, 10))
    await handle.write([fill(2, 10)], 10)
    await bench.world.sleep(WRITE_BACK_MS + 1)
    bench.powerCut(true)
    assert.is(bench.disk.peek(FILE)?.length, 20)
  }))

test('names survive once their directory is synced; before, each may, and a rename is whole', async () => {
  const outcomes = await eachSeed(async bench => {
    const { files } = await bench.durable(FILE, fill(1, 10))
    const made = await files.open(OTHER, 'wx+')
    await made.write([fill(2, 10)], 0)
    await made.sync()
    await files.rename(FILE, `${FILE}.damaged`)
    bench.powerCut(false)
    const paths = bench.disk.paths()
    const isOld = paths.includes(FILE)
    assert.is(paths.includes(`${FILE}.damaged`), !isOld)
    assert.equal(bench.disk.peek(isOld ? FILE : `${FILE}.damaged`), fill(1, 10))
    if (paths.includes(OTHER)) assert.equal(bench.disk.peek(OTHER), fill(2, 10))
    return `${isOld} ${paths.includes(OTHER)}`
  })
  assert.is(new Set(outcomes).size, 4)
})

test('a file that was renamed twice or unlinked is never in two places', async () => {
  await eachSeed(async bench => {
    const { files } = await bench.durable(FILE, fill(1, 10))
    await files.rename(FILE, 'd/ranges/b')
    await files.rename('d/ranges/b', 'd/ranges/c')
    bench.powerCut(true)
    assert.is(bench.disk.paths().length, 1)
  })
})

test('a directory that its parent does not know durably may go, with all in it', async () => {
  const found = await eachSeed(async bench => {
    const files = bench.boot()
    await files.makeDir(DIR)
    const handle = await files.open(FILE, 'wx+')
    await handle.sync()
    await files.syncDir(DIR)
    bench.powerCut(false)
    assert.equal(await bench.boot().list('d'), bench.disk.paths().length === 0 ? [] : ['ranges'])
    return bench.disk.paths().length
  })
  assert.equal([...new Set(found)].sort(), [0, 1])
})

test('replaceFile is atomic and durable, whenever the power fails', async () => {
  const outcomes = await eachSeed(async bench => {
    const files = await bench.bootWithDir()
    await files.replaceFile('d/f', fill(1, 2000))
    const whole = bench.random.chance(0.2)
    const replaced = files.replaceFile('d/f', fill(2, 3000))
    if (whole) await replaced
    bench.powerCut(bench.random.chance(0.5))
    const content = bench.disk.peek('d/f')!
    assert.equal(content, content[0] === 1 ? fill(1, 2000) : fill(2, 3000))
    if (whole) assert.is(content[0], 2)
    // What a try left behind is in nobody's way.
    await bench.boot().replaceFile('d/f', fill(3, 10))
    bench.powerCut(true)
    assert.equal(bench.disk.peek('d/f'), fill(3, 10))
    assert.equal(bench.disk.paths(), ['d/f'])
    return content[0]
  })
  assert.equal([...new Set(outcomes)].sort(), [1, 2])
})

test('a wiped disk is empty, and a new process begins on it', () =>
  simulate('1', async bench => {
    await bench.durable(FILE, fill(1, 10))
    bench.process.kill()
    bench.disk.wipe()
    assert.equal(bench.disk.paths(), [])
    const files = bench.boot()
    assert.is(await codeOf(files.open(FILE, 'r+')), 'ENOENT')
    await bench.durable(FILE, fill(2, 3))
    assert.equal(bench.disk.peek(FILE), fill(2, 3))
  }))

type Step =
  | { kind: 'write'; position: number; length: number }
  | { kind: 'truncate'; length: number }
  | { kind: 'sync' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      position: fc.nat(4000),
      length: fc.integer({ min: 1, max: 2500 })
    }),
    fc.record({ kind: fc.constant('truncate' as const), length: fc.nat(4000) }),
    fc.constant({ kind: 'sync' as const })
  ),
  { maxLength: 15 }
)

test('after a power cut every sector is one of its versions since the sync', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), fc.string(), async (steps, torn, seed) => {
      await simulate(seed, async bench => {
        const { handle } = await bench.durable(FILE, fill(255, 1000))
        /** Contents since the last sync, the synced one first. */
        let versions: Uint8Array[] = [fill(255, 1000)]
        for (const [i, step] of steps.entries()) {
          if (step.kind === 'sync') await handle.sync()
          else if (step.kind === 'truncate') await handle.truncate(step.length)
          else await handle.write([fill(i + 1, step.length)], step.position)
          const now = bench.disk.peek(FILE)!
          versions = step.kind === 'sync' ? [now] : [...versions, now]
        }
        bench.powerCut(torn)
        const after = bench.disk.peek(FILE)!
        assert.ok(versions.some(({ length }) => length === after.length))
        if (!torn) assert.ok(versions.some(version => Buffer.compare(version, after) === 0))
        for (let at = 0; at < after.length; at += SECTOR_BYTES) {
          const sector = after.subarray(at, at + SECTOR_BYTES)
          const ok = versions.some(version => {
            const was = new Uint8Array(sector.length)
            was.set(version.subarray(at, at + sector.length))
            // What a change of size brings into view or hides, is zeros.
            return was.every((byte, i) => byte === sector[i] || (at + i >= version.length && sector[i] === 0))
          })
          assert.ok(ok, `sector at ${at}`)
        }
      })
    }),
    { numRuns: 150 }
  )
})

test.run()
