/** What every FileIo must do, on the fake and on the real files; and the faults of the fake ones. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileIo } from '../../../src/ports.ts'
import { nodeFiles } from '../../../src/storage/disk/node-files.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, codeOfRejection, settle, textOf } from '../helpers.ts'

function contract(name: string, make: () => Promise<{ files: FileIo; dir: string; end: () => Promise<void> }>) {
  const test = suite(`FileIo contract: ${name}`)
  const it = (what: string, run: (files: FileIo, dir: string) => Promise<void>) =>
    test(what, async () => {
      const { files, dir, end } = await make()
      try {
        await files.makeDir(`${dir}/a/b`)
        await run(files, `${dir}/a/b`)
      } finally {
        await end()
      }
    })

  it('writes buffers one after another, reads them back, and reads short at the end', async (files, dir) => {
    const handle = await files.open(`${dir}/f`, 'wx+')
    await handle.write([bytesOf('one'), bytesOf(''), bytesOf('two')], 0)
    await handle.write([bytesOf('X')], 2)
    const into = new Uint8Array(10)
    assert.is(await handle.read(into, 1), 5)
    assert.is(textOf(into.subarray(0, 5)), 'nXtwo')
    assert.is(await handle.read(into, 100), 0)
    assert.is(await handle.size(), 6)
    await handle.sync()
    await handle.truncate(2)
    assert.is(await handle.size(), 2)
    await handle.close()
  })

  it('writes more buffers than one system call takes', async (files, dir) => {
    const handle = await files.open(`${dir}/f`, 'wx+')
    await handle.write(
      Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i & 255)),
      0
    )
    const into = new Uint8Array(4000)
    assert.is(await handle.read(into, 0), 3000)
    assert.ok(into.subarray(0, 3000).every((byte, i) => byte === (i & 255)))
    await handle.close()
  })

  it('opens only what there is, and creates only what there is not', async (files, dir) => {
    assert.is(await codeOfRejection(files.open(`${dir}/f`, 'r')), 'ENOENT')
    assert.is(await codeOfRejection(files.open(`${dir}/f`, 'r+')), 'ENOENT')
    await (await files.open(`${dir}/f`, 'wx+')).close()
    assert.is(await codeOfRejection(files.open(`${dir}/f`, 'wx+')), 'EEXIST')
    assert.is(await codeOfRejection(files.open(`${dir}/none/f`, 'wx+')), 'ENOENT')
    const reader = await files.open(`${dir}/f`, 'r')
    assert.is(await codeOfRejection(reader.write([bytesOf('x')], 0)), 'EBADF')
    await reader.close()
  })

  it('lists, renames over, unlinks; a handle outlives the name', async (files, dir) => {
    assert.equal(await files.list(`${dir}/none`), [])
    await files.replaceFile(`${dir}/f`, bytesOf('first'))
    await files.replaceFile(`${dir}/g`, bytesOf('second'))
    assert.equal((await files.list(dir)).sort(), ['f', 'g'])
    const handle = await files.open(`${dir}/f`, 'r')
    await files.rename(`${dir}/g`, `${dir}/f`)
    await files.syncDir(dir)
    assert.equal(await files.list(dir), ['f'])
    assert.is(textOf(await files.readFile(`${dir}/f`)), 'second')
    const into = new Uint8Array(5)
    await handle.read(into, 0)
    assert.is(textOf(into), 'first')
    await handle.close()
    await files.unlink(`${dir}/f`)
    assert.is(await files.readFile(`${dir}/f`), undefined)
    assert.is(await codeOfRejection(files.unlink(`${dir}/f`)), 'ENOENT')
    assert.is(await codeOfRejection(files.rename(`${dir}/f`, `${dir}/g`)), 'ENOENT')
  })

  it('replaces small files, with the same name twice', async (files, dir) => {
    await files.replaceFile(`${dir}/f`, bytesOf('a longer first content'))
    await files.replaceFile(`${dir}/f`, bytesOf('short'))
    assert.is(textOf(await files.readFile(`${dir}/f`)), 'short')
    assert.equal(await files.list(dir), ['f'])
    assert.is(await codeOfRejection(files.replaceFile(`${dir}/none/f`, bytesOf('x'))), 'ENOENT')
  })

  test.run()
}

contract('fake', async () => ({ files: new FakeFiles(), dir: 'd', end: async () => {} }))
contract('real', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'coterie-files-'))
  return { files: nodeFiles, dir, end: () => rm(dir, { recursive: true }) }
})

const fake = suite('FakeFiles: faults')

fake('a power cut drops what was not synced: bytes, truncations, names', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const kept = await files.open('d/kept', 'wx+')
  await kept.write([bytesOf('synced')], 0)
  await kept.sync()
  await files.syncDir('d')
  await kept.write([bytesOf('SYN')], 0)
  await kept.write([bytesOf('tail')], 6)
  await kept.truncate(1)
  const lost = await files.open('d/lost', 'wx+')
  await lost.write([bytesOf('x')], 0)
  await lost.sync()
  files.powerCut()
  assert.equal(files.paths(), ['d/kept'])
  assert.is(textOf(files.peek('d/kept')), 'synced')
  assert.is(await codeOfRejection(kept.write([bytesOf('x')], 0)), 'EBADF')
})

fake('a power cut may keep the first unsynced writes, and brings an unlinked file back', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const handle = await files.open('d/f', 'wx+')
  await handle.write([bytesOf('1')], 0)
  await handle.write([bytesOf('2')], 1)
  await files.syncDir('d')
  await files.unlink('d/f')
  files.powerCut({ tornWrites: 1 })
  assert.is(textOf(files.peek('d/f')), '1')
})

fake('a sync covers only what was written before it began', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const handle = await files.open('d/f', 'wx+')
  await files.syncDir('d')
  await handle.write([bytesOf('before')], 0)
  const release = files.hold('sync')
  const first = handle.sync()
  const second = handle.sync()
  await handle.write([bytesOf('after')], 6)
  release()
  await Promise.all([first, second])
  files.powerCut()
  assert.is(textOf(files.peek('d/f')), 'before')
})

fake('fails, holds and fills up on demand', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const handle = await files.open('d/f', 'wx+')
  files.fail('write', 'EIO', { path: /f$/, partialBytes: 2 })
  assert.is(await codeOfRejection(handle.write([bytesOf('abc')], 0)), 'EIO')
  assert.is(textOf(files.peek('d/f')), 'ab')
  files.capacityBytes = 4
  assert.is(await codeOfRejection(handle.write([bytesOf('abcdef')], 0)), 'ENOSPC')
  assert.is(textOf(files.peek('d/f')), 'abcd')
  files.maxOpen = 1
  assert.is(await codeOfRejection(files.open('d/f', 'r')), 'EMFILE')
  const release = files.hold('sync')
  let done = false
  const sync = handle.sync().then(() => (done = true))
  await settle()
  assert.not(done)
  release()
  await sync
  assert.is(files.counts.write, 2)
})

fake.run()
