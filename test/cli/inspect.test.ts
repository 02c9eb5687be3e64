/** `coterie inspect`, the real one: on files of every kind, and on what nodes write. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Expected, FIXTURES } from '../../scripts/storage-fixtures.ts'
import type { Parts } from '../../src/cli/parts.ts'
import { verifyRecord } from '../../src/cli/verify-record.ts'
import { CopyTable } from '../../src/replica/copy-table.ts'
import { RangeClocks } from '../../src/replica/range-clocks.ts'
import { Replicas } from '../../src/replica/replicas.ts'
import { silentLog, systemClock, systemRandom, systemTimers } from '../../src/runtime.ts'
import { nodeFiles } from '../../src/storage/disk/node-files.ts'
import { parseFileName } from '../../src/storage/format/file-header.ts'
import { type Inspection, inspectFile } from '../../src/storage/inspect.ts'
import { formatInspection } from '../../src/storage/inspection-text.ts'
import { RangeStore } from '../../src/storage/range-store.ts'
import { intent, Q } from '../support/memory-replica.ts'
import { cli, fakeIo, fakeParts } from './fakes.ts'

const test = suite('cli: inspect')

let dir = ''
test.before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'coterie-inspect-'))
})
test.after(() => rm(dir, { recursive: true, force: true }))

/** As `main.ts` has it. */
const parts: Parts = {
  ...fakeParts(),
  async inspect(path, { keys, verify }) {
    const document = await inspectFile(nodeFiles, path, { keys, ...(verify ? { verify: verifyRecord } : {}) })
    return { document, text: formatInspection(document) }
  }
}

const inspect = (...argv: string[]) => cli(['inspect', ...argv], fakeIo(), parts)

async function documentOf(path: string, code = 0): Promise<Inspection> {
  const result = await inspect(path, '--verify', '--keys', '--json')
  assert.equal([result.code, result.err], [code, ''], path)
  return JSON.parse(result.out)
}

const fixture = (range: number, generation = 1) => join(FIXTURES, `000${range}-000000000${generation}.log`)

test('the fixtures: exit code 1 for damage alone, the shape of the document', async () => {
  const expected: Expected = JSON.parse(await readFile(join(FIXTURES, 'expected.json'), 'utf8'))
  const plain = await documentOf(fixture(0))
  assert.equal(Object.keys(plain), [
    'path',
    'fileBytes',
    'header',
    'records',
    'removals',
    'keys',
    'liveBytes',
    'deadBytes',
    'tornBytes',
    'settled',
    'damages',
    'hint',
    'nonsense',
    'keyList'
  ])
  assert.equal(Object.keys(plain.header!), ['version', 'range', 'q', 'generation', 'fileId'])
  assert.equal(
    plain.keyList!.map(({ base64, tag }) => [base64, tag]),
    expected.ranges[0]!.keys.map(({ key, tag }) => [key, tag])
  )
  for (const [i, { position, offset, valueBytes }] of plain.keyList!.entries()) {
    assert.match(position, /^[0-9a-f]{16}$/)
    assert.is(valueBytes, Buffer.from(expected.ranges[0]!.keys[i]!.value, 'base64').length)
    assert.is(offset % 8, 0)
  }
  assert.ok(
    plain.keyList!.some(({ text }) => text === undefined),
    'one key is no text'
  )
  assert.equal([plain.removals, plain.nonsense, plain.damages, plain.hint], [1, [], [], 'none'])

  const newer = await documentOf(fixture(1, 2))
  assert.is(newer.header!.continues, (await documentOf(fixture(1))).header!.fileId)
  assert.equal([newer.settled, newer.removals], [false, 1])
  const rewritten = await documentOf(fixture(2, 2))
  assert.equal([rewritten.settled, typeof rewritten.header!.continues], [true, 'string'])
  assert.is((await documentOf(fixture(3))).hint, 'good')
  assert.is((await documentOf(fixture(4))).tornBytes, 61)
  const damaged = await documentOf(fixture(5), 1)
  const [rot] = expected.ranges[5]!.damages
  const [found] = damaged.damages
  assert.equal([damaged.damages.length, found!.offset, found!.length], [1, rot!.offset, rot!.length])
  assert.ok(
    expected.ranges[5]!.keys.some(({ key }) => key === found!.key),
    'an older version of it is there'
  )
  assert.is((await documentOf(fixture(6))).records, 3)
})

test('for a person: without --keys no keys, without --verify no nonsense', async () => {
  const { out, code } = await inspect(fixture(0))
  assert.is(code, 0)
  assert.match(out, /\nrange {7}0 of 8, generation 1, format 1\n/)
  assert.match(out, /\nrecords {5}\d+, 1 of them removals\n/)
  assert.not(out.includes('nonsense'))
  assert.not(out.includes('colour'))
  const full = await inspect(fixture(0), '--keys', '--verify')
  assert.match(full.out, /nonsense {4}0\n/)
  assert.match(full.out, /tag [0-9a-f]{8} {2}"colour/)
  assert.not([...full.out].some(char => char !== '\n' && (char < ' ' || (char >= '\x7f' && char < '\xa0'))))
  const damaged = await inspect(fixture(5))
  assert.is(damaged.code, 1)
  assert.match(
    damaged.out,
    /damages {5}1\n {2}at \d+, \d+ bytes: the checksum of the value does not match \(key "damaged/
  )
})

test('nonsense, a file of something else, and no file at all', async () => {
  // Range 0's records under a header of range 4: each checks, and none belongs there.
  const strange = join(dir, '0000-0000000001.log')
  const store = new RangeStore(
    { clock: systemClock, timers: systemTimers, random: systemRandom, files: nodeFiles, log: silentLog },
    { dir: join(dir, 'strange'), q: 1, durability: 'os', cacheBytes: 0 }
  )
  await store.open()
  store.create(0)
  await store.put(0, { bytes: Buffer.from('k'), hi: 1, lo: 2 }, Buffer.from('no key state'), 3)
  await store.close()
  const file = join(dir, 'strange', '0000-0000000001.log')
  assert.is((await inspect(file)).code, 0)
  const { nonsense, damages } = await documentOf(file, 1)
  assert.equal([damages, nonsense!.length], [[], 1])
  assert.match(nonsense![0]!.detail, 'position')
  await writeFile(strange, 'hello')
  const other = await documentOf(strange, 1)
  assert.match(other.problem!, '5 bytes')
  assert.match((await inspect(strange)).out, 'not a range log')
  assert.is((await inspect(join(dir, 'none'))).code, 2)
  assert.is((await inspect(dir)).code, 2)
})

test('what a record must say: its own position, range, state and tag', () => {
  const header = { version: 1, range: 0, q: 1, generation: 1, fileId: new Uint8Array(8), continues: new Uint8Array(8) }
  // The first 64 bits of the SHA-256 of "k".
  const sound = { key: Buffer.from('k'), hi: 0x8254c329, lo: 0xa92850f6, value: undefined, tag: 0 }
  assert.is(verifyRecord(sound, header), undefined)
  assert.match(verifyRecord({ ...sound, lo: 1 }, header)!, 'position')
  assert.match(verifyRecord(sound, { ...header, q: 2 })!, 'belongs to range 1')
  assert.is(verifyRecord(sound, { ...header, q: 2, range: 1 }), undefined)
  assert.match(verifyRecord({ ...sound, value: Buffer.from('x') }, header)!, 'no key state')
  assert.match(verifyRecord({ ...sound, value: new Uint8Array(0) }, header)!, 'its tag')
})

test('files that the replicas of a node have written, rewritten and hinted on a real disk pass', async () => {
  const files = join(dir, 'node')
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom, files: nodeFiles, log: silentLog }
  await nodeFiles.makeDir(files)
  const store = new RangeStore(ports, {
    dir: join(files, 'ranges'),
    q: Q,
    durability: 'interval',
    cacheBytes: 1 << 20,
    compactBytes: 4096,
    hintBytes: 4096
  })
  const copies = new CopyTable(ports, { dir: files })
  const clocks = new RangeClocks(ports, { store }, { path: join(files, 'clocks.json') })
  const replicas = new Replicas(ports, { store, copies, clocks }, { q: Q })
  await store.open()
  await copies.open([], Q)
  const all = Array.from({ length: Q }, (_, range) => range)
  await replicas.create(all)
  await copies.set(all, 'synced')
  const write = async (key: string, text: string | undefined) => {
    const bytes = Buffer.from(key)
    const range = replicas.rangeOf(bytes)
    const before = await replicas.read(range, bytes)
    await (await replicas.write(range, bytes, intent(text, before?.context))).stored
  }
  for (let i = 0; i < 300; i++)
    await write(`key-${i % 60}`, i % 7 === 0 ? undefined : `value ${i} `.repeat(1 + (i % 9)))
  const endMs = performance.now() + 10_000
  while (store.compactions === 0 && performance.now() < endMs) await new Promise(resolve => setTimeout(resolve, 50))
  await store.close()
  const names = await nodeFiles.list(join(files, 'ranges'))
  assert.ok(names.some(name => name.endsWith('hint')))
  let keys = 0
  for (const name of names.filter(name => parseFileName(name)?.kind === 'log')) {
    const document = await documentOf(join(files, 'ranges', name))
    assert.equal([document.nonsense, document.damages, document.tornBytes], [[], [], 0])
    keys += document.keys
  }
  assert.is(keys, 60)
})

test.run()
