/** I/O threads: that small operations through them do what FileIo says, whatever happens to the thread or the disk. */
import { existsSync, unlinkSync, writeFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileHandle } from '../../../src/ports.ts'
import { keepAlive } from '../../../src/runtime.ts'
import { until } from '../../support/until.ts'
import { hang, MARKED, pattern, script, withThreads } from './io-threads.ts'

const test = suite('I/O threads')

const random = (below: number): number => Math.floor(Math.random() * below)

async function readAll(handle: FileHandle, length: number, position: number): Promise<Buffer> {
  const into = new Uint8Array(length)
  return Buffer.from(into.subarray(0, await handle.read(into, position)))
}

/** Thousands of writes at once, small, large and in pieces; then of reads, across the end too. */
async function checkMany(handles: FileHandle[], ops = 3000): Promise<void> {
  const contents = handles.map((_, i) => pattern(300_000, i))
  const ends = handles.map(() => 0)
  const writes: Promise<void>[] = []
  for (let i = 0; i < ops; i++) {
    const which = random(handles.length)
    const [start, content] = [ends[which]!, contents[which]!]
    const end = Math.min(content.length, start + (i % 500 === 0 ? 20_000 : random(900)))
    const middle = start + random(end - start)
    ends[which] = end
    writes.push(
      handles[which]!.write([content.subarray(start, middle), new Uint8Array(), content.subarray(middle, end)], start)
    )
  }
  await Promise.all(writes)
  const reads = Array.from({ length: ops }, async (_, i) => {
    const which = random(handles.length)
    const position = random(ends[which]! + 100)
    const length = i % 500 === 0 ? 20_000 : random(i % 50 === 0 ? 16_000 : 2000)
    const expected = contents[which]!.subarray(position, Math.max(position, Math.min(ends[which]!, position + length)))
    const got = await readAll(handles[which]!, length, position)
    if (!got.equals(expected)) throw new Error(`read of ${length} at ${position} gave other bytes`)
  })
  await Promise.all(reads)
  for (const [i, handle] of handles.entries()) assert.is(await handle.size(), ends[i]!)
}

const openFiles = (fileOf: (content: Uint8Array) => Promise<FileHandle>) =>
  Promise.all(Array.from({ length: 20 }, () => fileOf(new Uint8Array())))

test('thousands of reads and writes at once, on the real worker', () =>
  withThreads({}, async ({ fileOf, reads, writes }) => {
    const handles = await openFiles(fileOf)
    await checkMany(handles)
    assert.ok(reads.ready && writes.ready)
    await Promise.all(handles.map(handle => handle.close()))
  }))

test('small operations go through the thread, large ones through the pool', () =>
  withThreads({ faults: () => ({ read: MARKED }) }, async ({ fileOf }) => {
    const handle = await fileOf(new Uint8Array(20_000))
    const small = async () => (await readAll(handle, 16_384, 0))[16_383] === 33
    await until('one goes through the thread', small, undefined, 0)
    assert.is((await readAll(handle, 16_385, 0))[16_383], 0)
    await handle.close()
  }))

test('a request is as good as alone in its batch: the end of the file, failures', () =>
  withThreads({}, async ({ files, dir, fileOf }) => {
    const handle = await fileOf(pattern(100))
    const written = await fileOf(new Uint8Array())
    const reader = await files.open(`${dir}/1`, 'r')
    const folder = await files.open(dir, 'r')
    const full = await files.open('/dev/full', 'r+')
    const into = new Uint8Array(50)
    const failure = (run: Promise<unknown>) =>
      run.then(
        () => assert.unreachable(),
        ({ code, syscall, errno }) => `${code} ${syscall} ${errno}`
      )
    assert.equal(
      await Promise.all([
        handle.read(new Uint8Array(50), 80),
        failure(folder.read(new Uint8Array(5), 0)),
        handle.read(into, 10),
        handle.read(new Uint8Array(50), 100),
        handle.read(new Uint8Array(0), 0),
        failure(reader.write([pattern(5)], 0)),
        written.write([pattern(30)], 100),
        failure(full.write([pattern(5)], 0)),
        written.write([new Uint8Array()], 0),
        reader.write([], 0),
        handle.read(into, Number.NaN).catch(({ code }) => code)
      ]),
      [
        20,
        'EISDIR read -21',
        50,
        0,
        0,
        'EBADF write -9',
        undefined,
        'ENOSPC write -28',
        undefined,
        undefined,
        'ERR_OUT_OF_RANGE'
      ]
    )
    assert.ok(Buffer.from(into).equals(pattern(60).subarray(10)))
    assert.is(await written.size(), 130)
    await Promise.all([handle, written, reader, folder, full].map(open => open.close()))
    await handle.close()
    assert.is(await failure(handle.read(into, 0)), 'EBADF read -9')
    assert.is(await failure(handle.write([into], 0)), 'EBADF write -9')
    assert.is(await failure(handle.sync()), 'EBADF fdatasync -9')
    assert.is(await failure(handle.size()), 'EBADF fstat -9')
  }))

test('goes on after short reads and short writes', () => {
  const short = 'return call(length > 7 ? 7 : length)'
  return withThreads({ faults: () => ({ read: short, write: short }) }, async ({ fileOf }) => {
    await checkMany(await openFiles(fileOf), 300)
  })
})

test('what fails in the thread, the pool tries again', () => {
  const flaky = `if (Math.random() < 0.3) throw new Error('planted'); return call()`
  return withThreads({ faults: () => ({ read: flaky, write: flaky }) }, async ({ fileOf }) => {
    await checkMany(await openFiles(fileOf))
  })
})

for (const [what, worker] of [
  ['fails at once', script(`throw new Error('planted')`)],
  ['is not there', new URL('file:///none/io-worker.js')],
  ['never listens', script('setInterval(() => {}, 1000)')],
  ['cannot even be constructed', 'no worker' as unknown as URL]
] as const)
  test(`a worker that ${what} is done without`, () =>
    withThreads({ worker }, async ({ fileOf, reads }) => {
      const handles = await openFiles(fileOf)
      await checkMany(handles)
      assert.not(reads.ready)
      await Promise.all(handles.map(handle => handle.close()))
    }))

test('a thread that dies in the middle loses nothing', () => {
  const die = 'globalThis.calls ??= 0; if (++calls === 500) process.exit(1); return call()'
  return withThreads({ faults: () => ({ read: die, write: die }) }, async ({ fileOf, reads, writes }) => {
    const handles = await openFiles(fileOf)
    while (reads.ready || writes.ready) await checkMany(await openFiles(fileOf))
    await checkMany(handles)
  })
})

test('a thread that is ended in the middle loses nothing', () =>
  withThreads({}, async ({ fileOf, reads, writes }) => {
    const busy = checkMany(await openFiles(fileOf))
    await new Promise(resolve => setTimeout(resolve, random(10)))
    const end = keepAlive()
    await Promise.all([reads.end(), writes.end()])
    end()
    await busy
    assert.not(reads.ready)
    await checkMany(await openFiles(fileOf))
  }))

for (const kind of ['read', 'write'] as const)
  test(`a ${kind} that hangs keeps no other operation, and its file open`, () =>
    withThreads({ faults: dir => ({ [kind]: hang(dir, 4000) }) }, async ({ dir, fileOf }) => {
      const handle = await fileOf(pattern(4000))
      const others = await openFiles(fileOf)
      const small = (i: number) =>
        kind === 'read' ? handle.read(new Uint8Array(10), i) : handle.write([pattern(10, i)], i)
      let ended = 0
      let hanging: Promise<unknown>
      await until(
        'one hangs',
        async () => {
          const before = Array.from({ length: 20 }, (_, i) => small(i))
          const last = small(4000).then(() => ended++)
          const after = Array.from({ length: 20 }, (_, i) => small(i + 20))
          hanging = last
          await Promise.all([...before, ...after])
          await Promise.race([last, new Promise(resolve => setTimeout(resolve, 20))])
          return existsSync(`${dir}/hanging`)
        },
        undefined,
        0
      )
      ended = 0
      await checkMany(others)
      const closed = handle.close().then(() => ended++)
      await Promise.all(others.map(other => other.close()))
      assert.is(ended, 0)
      writeFileSync(`${dir}/go`, '')
      await Promise.all([hanging!, closed])
      assert.is(ended, 2)
      await checkMany(await openFiles(fileOf))
    }))

test('a slow disk gets the four threads of the pool, a fast one the thread again', () =>
  withThreads(
    { faults: dir => ({ read: `if (fs.existsSync('${dir}/slow')) sleep(1); ${MARKED}` }) },
    async ({ dir, fileOf }) => {
      const handle = await fileOf(new Uint8Array(100))
      const throughThread = async (reads: number) => {
        const got = await Promise.all(Array.from({ length: reads }, () => readAll(handle, 1, 0)))
        return got.filter(bytes => bytes[0] === 33).length
      }
      writeFileSync(`${dir}/slow`, '')
      await until('a batch was slow', async () => (await throughThread(16)) === 0, undefined, 0)
      unlinkSync(`${dir}/slow`)
      await until('it is fast again', async () => (await throughThread(16)) === 16, undefined, 0)
      await handle.close()
    }
  ))

test.run()
