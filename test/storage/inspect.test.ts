/** What an inspection counts, names and says, of sound files and of others; and that it changes nothing. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeHintHeader } from '../../src/storage/format/hint.ts'
import { recordBytes, viewOf, writeRecord } from '../../src/storage/format/record.ts'
import { inspectFile } from '../../src/storage/inspect.ts'
import { formatInspection } from '../../src/storage/inspection-text.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { bytesOf, codeOfRejection, DIR, FILE, filledStore, keyAt, keysOfRange, openStore, Q, RANGE } from './helpers.ts'

const test = suite('inspect')

test('counts live and dead bytes, damages and the torn tail, and changes nothing', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 4)
  await store.put(RANGE, keys[1]!, bytesOf('changed'), 7)
  await store.put(RANGE, { ...keyAt('x', 9), bytes: Uint8Array.of(0xff, 0) }, bytesOf('v'), 8)
  await store.put(RANGE, keyAt('\x1b[2J\x9b', 10), bytesOf('v'), 9)
  await store.close()
  const whole = await inspectFile(files, FILE, { keys: true })
  assert.equal(JSON.parse(JSON.stringify(whole)), whole)
  assert.is(whole.records, 7)
  assert.is(whole.keys, 6)
  assert.is(whole.deadBytes, 56)
  assert.is(whole.liveBytes + whole.deadBytes + 48, whole.fileBytes)
  assert.equal(
    whole.keyList!.map(key => key.text ?? key.base64),
    ['key-0', 'key-1', 'key-2', 'key-3', '/wA=', '\x1b[2J\x9b']
  )
  files.poke(FILE, 48 + 44, [0])
  files.poke(FILE, files.peek(FILE).length, [1, 2, 3])
  const bytes = files.peek(FILE)
  const broken = await inspectFile(files, FILE)
  assert.is(broken.keyList, undefined)
  assert.equal(
    broken.damages.map(({ offset, length }) => [offset, length]),
    [[48, 56]]
  )
  assert.is(broken.tornBytes, 3)
  assert.is(broken.deadBytes, 56)
  assert.is(Buffer.compare(files.peek(FILE), bytes), 0)
  const text = formatInspection({ ...broken, keyList: whole.keyList })
  assert.match(text, 'range       3 of 8, generation 1')
  assert.match(text, 'at 48, 56 bytes')
  assert.match(text, 'base64:/wA=')
  assert.match(text, '"\\u001b[2J\\u009b"')
  assert.not([...text].some(char => char !== '\n' && (char < ' ' || (char >= '\x7f' && char < '\xa0'))))
})

test('a file that is no range log, and none at all', async () => {
  const files = new FakeFiles()
  files.set('d/f', bytesOf('hello'))
  const inspection = await inspectFile(files, 'd/f')
  assert.match(inspection.problem!, '5 bytes')
  assert.match(formatInspection(inspection), 'not a range log')
  assert.is(await codeOfRejection(inspectFile(files, 'd/none')), 'ENOENT')
})

const SECOND = `${DIR}/0003-0000000002.log`
const HINT = `${DIR}/0003-0000000001.hint`

/** A log whose rewriting was cut short: two files. */
async function twoFiles(): Promise<FakeFiles> {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 10, { compactBytes: 300, cacheBytes: 1 << 20 })
  for (const text of ['first', 'second']) for (const key of keys) await store.put(RANGE, key, bytesOf(text), 2)
  for (const key of keys) await store.get(RANGE, key)
  const release = files.hold('read', /0000000001/)
  await time.advance(1000)
  await store.put(RANGE, keys[0]!, bytesOf('third'), 3)
  await store.remove(RANGE, keys[1]!)
  files.crash()
  release()
  return files
}

test('removals are counted, and are dead bytes themselves', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 4)
  await store.remove(RANGE, keys[0]!)
  await store.remove(RANGE, keys[1]!)
  await store.put(RANGE, keys[1]!, bytesOf('again'), 5)
  await store.close()
  const inspection = await inspectFile(files, FILE, { keys: true })
  assert.equal([inspection.records, inspection.removals, inspection.keys], [7, 2, 3])
  assert.equal(
    inspection.keyList!.map(({ text }) => text),
    ['key-1', 'key-2', 'key-3']
  )
  assert.is(inspection.deadBytes, 2 * recordBytes(5, 7) + 2 * recordBytes(5, 0))
  assert.is(inspection.liveBytes + inspection.deadBytes + 48, inspection.fileBytes)
  assert.match(formatInspection(inspection), 'records     7, 2 of them removals')
})

test('a file that continues another: which one, and whether it holds all of it', async () => {
  const files = await twoFiles()
  const older = await inspectFile(files, FILE)
  const newer = await inspectFile(files, SECOND)
  assert.is(older.header!.continues, undefined)
  assert.is(newer.header!.continues, older.header!.fileId)
  assert.equal([newer.settled, newer.records, newer.removals, newer.keys], [false, 2, 1, 1])
  assert.not(formatInspection(older).includes('continues'))
  assert.match(formatInspection(newer), `continues   ${older.header!.fileId}, and does not hold all of it`)
  const { store, time } = await openStore(files, { compactBytes: 300 })
  for (const key of keysOfRange(10).slice(2)) await store.put(RANGE, key, bytesOf('fourth'), 4)
  for (let i = 0; i < 20; i++) await time.advance(100)
  await store.close()
  assert.not(files.paths().includes(FILE))
  const [path] = files.paths()
  const whole = await inspectFile(files, path!)
  assert.equal([whole.settled, whole.damages, whole.keys], [true, [], 9])
  assert.match(formatInspection(whole), 'and holds all of it')
})

test('the hint beside it: none, good, in words why not; held against the file when asked to verify', async () => {
  const files = new FakeFiles()
  const { store } = await filledStore(files, 6, { hintBytes: 1024 })
  await store.close()
  const hint = files.peek(HINT)
  const verify = () => undefined
  const told = async (options = {}) => (await inspectFile(files, FILE, options)).hint
  assert.equal([await told(), await told({ verify })], ['good', 'good'])
  const changed = hint.slice()
  changed[60]! ^= 1
  files.set(HINT, changed)
  assert.match(await told(), /makes no sense|checksum/)
  files.set(HINT, hint.subarray(0, 100))
  assert.match(await told(), 'length')
  files.set(HINT, bytesOf('x'))
  assert.match(await told(), 'header does not check')
  // Of one entry less, with sums that are right: only the file shows that it is wrong.
  const entries = hint.slice(56, hint.length - 20)
  const { crc32 } = await import('node:zlib')
  const end = files.peek(FILE).length
  const header = { range: RANGE, q: Q, generation: 1, fileId: files.peek(FILE).slice(24, 32), settled: false }
  const lying = encodeHintHeader({ ...header, from: end, to: end, entries: 5, entriesCrc: crc32(entries), olderCrc: 0 })
  files.set(HINT, Buffer.concat([lying, entries]))
  assert.is(await told(), 'good')
  assert.match(await told({ verify }), 'something else')
  assert.match(formatInspection(await inspectFile(files, FILE)), 'hint        good')
  files.set(HINT, undefined)
  assert.is(await told({ verify }), 'none')
  files.set('d/other', files.peek(FILE))
  assert.is((await inspectFile(files, 'd/other')).hint, 'none', 'a copy under another name')
})

test('nonsense: records that check, of which somebody says that they are wrong, with offset and key', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 4)
  await store.remove(RANGE, keys[3]!)
  await store.close()
  const seen: unknown[] = []
  const inspection = await inspectFile(files, FILE, {
    verify: ({ key, value, hi, tag }, header) => {
      seen.push([
        Buffer.from(key).toString(),
        value && Buffer.from(value).toString(),
        hi - 0x60000000,
        tag,
        header.range
      ])
      return Buffer.from(key).toString() === 'key-2' ? 'it is not nice' : undefined
    }
  })
  assert.equal(seen[1], ['key-1', 'value-1', 1, 1, RANGE])
  assert.equal(seen[4], ['key-3', undefined, 3, 0, RANGE], 'the removal')
  const key = Buffer.from('key-2').toString('base64')
  const at = 48 + 2 * recordBytes(5, 7)
  assert.equal(inspection.nonsense, [{ offset: at, length: recordBytes(5, 7), detail: 'it is not nice', key }])
  assert.equal([inspection.damages, inspection.keys], [[], 3])
  assert.match(formatInspection(inspection), `nonsense    1\n  at ${at}, 56 bytes: it is not nice (key "key-2")`)
  assert.not('nonsense' in (await inspectFile(files, FILE)))
})

test('damages one by one: with the key where the header checks, without it where it does not', async () => {
  const files = new FakeFiles()
  const { store } = await filledStore(files, 8)
  await store.close()
  const size = recordBytes(5, 7)
  const at = (i: number) => 48 + i * size
  files.poke(FILE, at(1) + 44 + 5, [0])
  files.poke(FILE, at(2) + 44 + 5, [0])
  files.poke(FILE, at(4), [0])
  files.poke(FILE, at(5), [0])
  const { damages, keys, records } = await inspectFile(files, FILE)
  const key = (i: number) => Buffer.from(`key-${i}`).toString('base64')
  assert.equal(
    damages.map(({ offset, length, key }) => [offset, length, key]),
    [
      [at(1), size, key(1)],
      [at(2), size, key(2)],
      [at(4), 2 * size, undefined]
    ]
  )
  assert.equal([keys, records], [4, 4])
  const text = formatInspection(await inspectFile(files, FILE))
  assert.match(text, `at ${at(1)}, 56 bytes: the checksum of the value does not match (key "key-1")`)
  assert.match(text, `at ${at(4)}, 112 bytes: the checksum of the record header and key does not match\n`)
})

test('records of types that nobody knows: from 128 on passed over, below that damage', async () => {
  for (const [type, damages, records] of [
    [200, 0, 3],
    [9, 1, 3]
  ] as const) {
    const files = new FakeFiles()
    const { store } = await filledStore(files, 2)
    await store.close()
    const bytes = files.peek(FILE)
    const added = new Uint8Array(recordBytes(1, 1))
    const [key, value] = [bytesOf('k'), bytesOf('v')]
    const record = { type, flags: 0, key, value, hi: 0, lo: 0, tag: 0, offset: bytes.length, previous: 0 }
    writeRecord(added, viewOf(added), 0, record, viewOf(bytes).getUint32(24, true))
    files.set(FILE, Buffer.concat([bytes, added]))
    const inspection = await inspectFile(files, FILE, { verify: () => 'wrong' })
    assert.equal([inspection.damages.length, inspection.records, inspection.keys], [damages, records, 2])
    assert.is(inspection.nonsense!.length, 2, 'it is not asked about them')
  }
})

test.run()
