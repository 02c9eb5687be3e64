/**
 * A disk that fails (failures 19): the device below an ext4 answers every write with EIO, so that fdatasync really fails
 * and the kernel forgets what it could not write. Nothing is acknowledged by it, the range is fenced and never synced
 * again, others go on, and a new file on the mended disk works.
 */
import { closeSync, existsSync, fsyncSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileIo } from '../../src/ports.ts'
import { nodeFiles } from '../../src/storage/disk/node-files.ts'
import { type DiskInit, RealDisk, whyNoDisks } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { Ledger, openStore } from './faults/stores.ts'

const errorSuite = suite('a failing disk')
const reason = whyNoDisks('ext4')
if (reason !== undefined) console.log(`skipped: failing disks (${reason})`)
const test = reason === undefined ? errorSuite : errorSuite.skip

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const SICK = 3

async function withDisk(init: Partial<DiskInit>, body: (disk: RealDisk) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'coterie-error-'))
  const disk = new RealDisk(join(root, 'disk'), { kind: 'ext4', mib: 32, ...init })
  try {
    await body(disk)
  } finally {
    disk.remove()
    rmSync(root, { recursive: true, force: true })
  }
}

/** Real files that note, by path, the outcome of every sync. */
function watched(): { files: FileIo; syncs: Map<string, string[]> } {
  const syncs = new Map<string, string[]>()
  const note = (path: string, outcome: string) => syncs.set(path, [...(syncs.get(path) ?? []), outcome])
  const files: FileIo = {
    ...nodeFiles,
    async open(path, mode) {
      const handle = await nodeFiles.open(path, mode)
      const sync = () =>
        handle.sync().then(
          () => void note(path, 'ok'),
          error => {
            note(path, error.code)
            throw error
          }
        )
      return {
        read: (into, position) => handle.read(into, position),
        write: (buffers, position) => handle.write(buffers, position),
        truncate: length => handle.truncate(length),
        size: () => handle.size(),
        close: () => handle.close(),
        sync
      }
    }
  }
  return { files, syncs }
}

for (const durability of ['interval', 'disk'] as const) {
  test(`${durability}: a failed sync fences its range, once and for all`, () =>
    withDisk({}, async disk => {
      const dir = join(disk.dir, 'ranges')
      const { files, syncs } = watched()
      const { store, warnings } = await openStore(dir, { durability, files })
      const faults: number[] = []
      store.onFault(range => faults.push(range))
      const ledger = new Ledger({ keys: 400 })
      await ledger.putAll(store)
      await until('all is synced', () => store.syncLagMs() === 0)
      const sick = ledger.keys.filter(({ range }) => range === SICK)
      const well = ledger.keys.filter(({ range }) => range !== SICK)

      disk.fail()
      const acks = ledger.acks
      await ledger.putAll(store, { keys: sick.slice(0, 20) })
      await until('the range is fenced', () => store.state(SICK) === 'fenced')
      disk.mend()
      if (durability === 'disk') assert.is(ledger.acks, acks, 'no sync, no acknowledgement')
      assert.equal(faults, [SICK])
      assert.match(
        warnings.join('\n'),
        new RegExp(`range ${SICK}: the sync of .* failed \\(EIO\\).* until it is rebuilt`)
      )
      const path = join(dir, readdirSync(dir).find(name => name.startsWith('0003-'))!)
      const failedAt = syncs.get(path)!.indexOf('EIO')
      assert.ok(failedAt > 0)

      // The disk is well again; the range is not, since nobody knows what the kernel has dropped of it.
      await ledger.putAll(store, { keys: sick })
      await ledger.putAll(store, { keys: well })
      assert.equal(Object.keys(ledger.refused), ['range-fenced'])
      assert.equal(await ledger.wrong(store, { keys: well }), [], 'the others go on')
      await until('all of those is synced', () => store.syncLagMs() === 0)
      assert.equal(syncs.get(path)!.slice(failedAt), ['EIO'], 'no second sync')

      await store.drop(SICK)
      assert.not(existsSync(path))
      store.create(SICK)
      await ledger.putAll(store, { keys: sick })
      assert.is(Object.keys(ledger.refused).length, 1)
      assert.equal(await ledger.wrong(store), [])
      await store.close()
      const again = await openStore(dir, { durability })
      assert.equal([again.report.damages, again.report.tornBytes], [[], 0])
      assert.equal(await ledger.wrong(again.store), [])
      await again.store.close()
      const [{ 'range-fenced': refused }, synced] = [
        ledger.refused as { 'range-fenced': number },
        syncs.get(path)!.length
      ]
      console.log(`| ${durability}: fenced by sync ${synced}, ${refused} puts refused, 7 other ranges well, made anew`)
    }))
}

test('a disk that has become read-only says so, and serves again after repair and restart', () =>
  withDisk({ journal: true }, async disk => {
    const dir = join(disk.dir, 'ranges')
    const { store } = await openStore(dir, { durability: 'disk' })
    const ledger = new Ledger({ keys: 400 })
    await ledger.putAll(store)
    disk.fail()
    await until('every range is fenced', async () => {
      await ledger.putAll(store)
      return store.ranges().every(range => store.state(range) === 'fenced')
    })
    await until('the file system is read-only', () => codeOfMaking(join(disk.dir, 'probe')) === 'EROFS')
    disk.mend()
    assert.equal(Object.keys(ledger.refused), ['range-fenced'])
    const whys = new Set([...ledger.messages].map(message => /\((E\w+)\)/.exec(message)?.[1]))
    await store.close()
    const unopened = await openStore(dir, { durability: 'disk' }).then(
      ({ report }) => report.damages.map(({ detail }) => detail),
      error => [String(error)]
    )
    disk.repair()
    const again = await openStore(dir, { durability: 'disk' })
    // What never got to the disk is a tail of zeros: the file had grown already.
    assert.equal(again.report.damages, [])
    assert.equal(await ledger.wrong(again.store, { orNewer: true }), [], 'all that was acknowledged is there')
    await ledger.putAll(again.store)
    assert.equal(await ledger.wrong(again.store), [])
    await again.store.close()
    console.log(
      `| read-only: fenced by ${[...whys].join(', ')}; opened before repair: ${[...new Set(unopened)].join('; ')}; ${again.report.tornBytes} bytes cut off after it`
    )
  }))

function codeOfMaking(path: string): string | undefined {
  try {
    const fd = openSync(path, 'w')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

errorSuite.run()
