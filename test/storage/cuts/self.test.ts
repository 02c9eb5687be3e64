/** Whether the cuts find what is wrong: stores whose files do less than they say. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileIo } from '../../../src/ports.ts'
import { enumerateCuts } from './enumeration.ts'
import { appending, dropping, filling, rewriting } from './workloads.ts'

const test = suite('cuts find')

/** Files that leave out some syncs; `only`: of paths like that. */
function withoutSync(only: RegExp): (files: FileIo) => FileIo {
  return files => ({
    ...passedOn(files),
    async open(path, mode) {
      const handle = await files.open(path, mode)
      return only.test(path) ? { ...handle, sync: async () => {} } : handle
    }
  })
}

function passedOn(files: FileIo): FileIo {
  return {
    open: (path, mode) => files.open(path, mode),
    list: dir => files.list(dir),
    makeDir: dir => files.makeDir(dir),
    rename: (from, to) => files.rename(from, to),
    unlink: path => files.unlink(path),
    syncDir: dir => files.syncDir(dir),
    readFile: path => files.readFile(path),
    replaceFile: (path, content) => files.replaceFile(path, content)
  }
}

const withoutDirSync = (files: FileIo): FileIo => ({ ...passedOn(files), syncDir: async () => {} })

const withoutTruncate = (files: FileIo): FileIo => ({
  ...passedOn(files),
  open: async (path, mode) => ({ ...(await files.open(path, mode)), truncate: async () => {} })
})

for (const [lie, workload, durability, files, reason] of [
  ['no sync', appending, 'disk', withoutSync(/./), 'a value is lost'],
  ['no sync', appending, 'os', withoutSync(/./), 'a value is lost'],
  ['no directory sync', appending, 'disk', withoutDirSync, 'a value is lost'],
  ['no directory sync', dropping, 'interval', withoutDirSync, 'a removed key is back'],
  ['no sync of the file that is rewritten to', rewriting, 'disk', withoutSync(/0000000002\.log/), 'a value is lost'],
  ['no sync of the file that is rewritten to', rewriting, 'os', withoutSync(/0000000002\.log/), 'a value is lost'],
  ['partial writes that are not cut off', filling, 'os', withoutTruncate, 'a wrong value']
] as const) {
  test(`${lie}, ${workload.name}, ${durability}`, async () => {
    const { reasons, images } = await enumerateCuts(workload, durability, { lie: files, budget: 1 })
    assert.ok(reasons.get(reason) > 0, `nothing in ${images} images but: ${reasons.summary()}`)
    assert.throws(() => reasons.mustBeEmpty(), reason)
  })
}

test.run()
