import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CopyStatus } from '../../src/messages.ts'
import { CopyTable } from '../../src/replica/copy-table.ts'
import { FakeFiles } from '../support/fake-files.ts'

const test = suite('copy table')
const Q = 16

async function tableOn(files: FakeFiles, onDisk: number[] = []): Promise<CopyTable> {
  await files.makeDir('d')
  const table = new CopyTable({ files }, { dir: 'd' })
  await table.open(onDisk, Q)
  return table
}

const statuses = (table: CopyTable) =>
  Object.fromEntries(table.ranges().map(range => [range, table.status(range)])) as Record<number, CopyStatus>

test('only what is marked synced comes back as synced; a file without a mark is syncing', async () => {
  const files = new FakeFiles()
  const table = await tableOn(files)
  await table.set([1, 2, 3, 4], 'syncing')
  await table.set([2, 3], 'synced')
  await table.set([4], 'frozen')
  files.powerCut()
  assert.equal(statuses(await tableOn(files, [1, 2, 4, 9])), {
    1: 'syncing',
    2: 'synced',
    3: 'synced',
    4: 'syncing',
    9: 'syncing'
  })
})

test('a synced copy whose file has gone is syncing; one that never had a file, or none that was synced, is synced and empty', async () => {
  const files = new FakeFiles()
  const table = await tableOn(files)
  await table.set([1, 2, 4], 'synced')
  table.noteFiles([1, 4], range => range === 1)
  await table.set([3], 'synced')
  assert.equal(statuses(await tableOn(files)), { 1: 'syncing', 2: 'synced', 3: 'synced', 4: 'synced' })
  assert.equal(statuses(await tableOn(files, [1, 4])), { 1: 'synced', 2: 'synced', 3: 'synced', 4: 'synced' })
})

test('a table that cannot be read, or says nonsense, leaves every copy syncing and takes new marks', async () => {
  for (const text of ['', '{', 'null', '[]', '{"synced":7}', '{"synced":["1",-1,1.5,99]}', '\u0000\u0001']) {
    const files = new FakeFiles()
    await files.makeDir('d')
    files.set('d/copies.json', new TextEncoder().encode(text))
    const table = await tableOn(files, [1])
    assert.equal(statuses(table), { 1: 'syncing' }, text)
    await table.set([1], 'synced')
    assert.is((await tableOn(files, [1])).status(1), 'synced')
  }
})

test('a mark takes effect at once, is told once, and a write that fails rejects without harming the next', async () => {
  const files = new FakeFiles()
  const table = await tableOn(files)
  const told: string[] = []
  const unsubscribe = table.onChange((range, status) => told.push(`${range} ${status}`))
  files.fail('replaceFile', 'ENOSPC')
  const failed = table.set([5], 'synced')
  assert.is(table.status(5), 'synced')
  assert.match(String(await failed.catch(error => error)), 'ENOSPC')
  await table.set([6], 'synced')
  await table.set([6], 'synced')
  unsubscribe()
  await table.set([6], 'none')
  assert.equal(told, ['5 synced', '6 synced'])
  assert.equal(statuses(await tableOn(files)), { 5: 'synced' })
})

test('after any history and a crash, no copy is taken for better than it last was on disk', async () => {
  const step = fc.tuple(
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom<CopyStatus>('none', 'syncing', 'synced', 'frozen'),
    fc.boolean()
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async steps => {
      const files = new FakeFiles()
      const table = await tableOn(files)
      const pending: Promise<void>[] = []
      for (const [range, status, wait] of steps) {
        pending.push(table.set([range], status))
        if (wait) await Promise.all(pending)
      }
      await Promise.all(pending)
      const after = await tableOn(files, table.ranges())
      for (const range of table.ranges()) {
        assert.is(after.status(range), table.status(range) === 'synced' ? 'synced' : 'syncing')
      }
    }),
    { numRuns: 50 }
  )
})

test.run()
