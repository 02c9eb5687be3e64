/**
 * Files of format version 1, as they were when it was frozen: they are read for ever, and nothing else is written. If this
 * fails, files on people's disks are about to become unreadable: do not make the fixtures anew, raise the version.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Expected, FIXTURES, makeFixtures } from '../../scripts/storage-fixtures.ts'
import { verifyRecord } from '../../src/cli/verify-record.ts'
import { parseFileName } from '../../src/storage/format/file-header.ts'
import { inspectFile } from '../../src/storage/inspect.ts'
import type { RangeStore } from '../../src/storage/range-store.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { bytesOf, DIR, openStore, textOf } from './helpers.ts'

const test = suite('storage fixtures, version 1')
const stored = new Map<string, Uint8Array>()
let expected: Expected

test.before(async () => {
  for (const name of (await readdir(FIXTURES)).sort())
    stored.set(name, new Uint8Array(await readFile(join(FIXTURES, name))))
  expected = JSON.parse(textOf(stored.get('expected.json'))!)
})

const HINT = /\.hint$/
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

/** The files of one range, or all. */
function filesOf(range?: number, without = /^$/): FakeFiles {
  const files = new FakeFiles()
  for (const [name, content] of stored) {
    const parsed = parseFileName(name)
    if (parsed && (range === undefined || parsed.range === range) && !without.test(name))
      files.set(`${DIR}/${name}`, content)
  }
  return files
}

async function found(store: RangeStore, range: number) {
  const positions: [number, number, number][] = []
  store.forEach(range, (hi, lo, tag) => positions.push([hi, lo, tag]))
  const keys: { key: string; value: string; tag: number }[] = []
  for (const [hi, lo, tag] of positions) {
    for (const { key, value } of await store.lookup(range, hi, lo))
      keys.push({ key: base64(key), value: base64(value), tag })
  }
  return keys
}

test('there are some of each kind', () => {
  assert.is(Object.keys(expected.ranges).length, 7)
  assert.is(stored.size, 7 + 1 + 1 + 1)
})

test('each is read as it was meant, with and without its hint; writing goes on, and is read again', async () => {
  for (const [name, { what, keys, damages, tornBytes, hintedBytes }] of Object.entries(expected.ranges)) {
    const range = Number(name)
    for (const without of [/^$/, HINT]) {
      const files = filesOf(range, without)
      const { store, report } = await openStore(files, { q: expected.q })
      assert.equal(await found(store, range), keys, what)
      assert.equal(
        report.damages.map(({ file, offset, length }) => ({ file: file.slice(DIR.length + 1), offset, length })),
        damages,
        what
      )
      assert.equal([report.keys, report.tornBytes], [keys.length, tornBytes], what)
      assert.is(report.hintedBytes, without === HINT ? 0 : hintedBytes, what)
      const key = { bytes: bytesOf('more'), hi: (range << 29) >>> 0, lo: 1 }
      await store.put(range, key, bytesOf('v'), 1)
      await store.close()
      const again = await openStore(files, { q: expected.q })
      assert.equal((await found(again.store, range)).slice(1), keys, what)
      assert.is(textOf(await again.store.get(range, key)), 'v')
    }
  }
})

test('all of them in one directory', async () => {
  const { store, report } = await openStore(filesOf(), { q: expected.q })
  assert.equal(report.ranges, Object.keys(expected.ranges).map(Number))
  for (const range of report.ranges) assert.equal(await found(store, range), expected.ranges[range]!.keys)
})

test('inspect finds in each what is there, and no nonsense', async () => {
  const files = filesOf()
  for (const path of files.paths().filter(path => path.endsWith('.log'))) {
    const { range } = parseFileName(path.slice(DIR.length + 1))!
    const { keys, damages, tornBytes, hintedBytes } = expected.ranges[range]!
    const inspection = await inspectFile(files, path, { keys: true, verify: verifyRecord })
    assert.equal([inspection.problem, inspection.nonsense, inspection.tornBytes], [undefined, [], tornBytes], path)
    assert.is(inspection.damages.length, damages.length)
    assert.is(inspection.hint, hintedBytes > 0 ? 'good' : 'none')
    // Of a log of two files, each tells only of its own.
    if (range === 1) continue
    assert.equal(
      inspection.keyList!.map(key => [key.base64, key.tag]),
      keys.map(({ key, tag }) => [key, tag])
    )
  }
})

test('this program writes the very same bytes', async () => {
  const made = await makeFixtures()
  assert.equal([...made.keys()].sort(), [...stored.keys()].sort())
  for (const [name, content] of made)
    assert.is(Buffer.compare(content, stored.get(name)!), 0, `${name} is another than it was`)
})

test.run()
