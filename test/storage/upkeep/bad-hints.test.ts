/** No hint, however bad, changes what a start finds. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeHintHeader, type HintHeader } from '../../../src/storage/format/hint.ts'
import {
  bytesOf,
  codeOfRejection,
  DIR,
  FILE,
  keyAt,
  keysOfRange,
  openStore,
  Q,
  RANGE,
  textOf,
  upkeep
} from '../helpers.ts'
import { copyOf, found, HINT, hinted, mustAgree, SECOND_HINT, SMALL } from './hinted.ts'

const test = suite('bad hints')

test('any changed, missing or added byte: the log is read instead, and a warning says why (failures 23)', async () => {
  const { files, hint } = await hinted(6)
  const tries: [string, Uint8Array][] = [
    ['empty', new Uint8Array(0)],
    ['longer', Buffer.concat([hint, new Uint8Array(20)])],
    ['noise', new Uint8Array(500).fill(0xa5)]
  ]
  for (let at = 0; at < hint.length; at++) {
    const flipped = hint.slice()
    flipped[at]! ^= 1 << (at % 8)
    tries.push([`flip at ${at}`, flipped], [`cut at ${at}`, hint.slice(0, at)])
  }
  for (const [what, broken] of tries) {
    files.set(HINT, broken)
    const { hintedBytes, warnings } = await mustAgree(files)
    assert.is(hintedBytes, 0, what)
    assert.is(warnings.length, 1, what)
    assert.match(warnings[0]!, HINT)
  }
})

test('one that checks and is of something else, or cannot be read: the same', async () => {
  const { files, hint } = await hinted(6)
  const other = await hinted(6)
  const header: HintHeader = {
    range: RANGE,
    q: Q,
    generation: 1,
    fileId: files.peek(FILE).slice(24, 32),
    from: files.peek(FILE).length,
    to: files.peek(FILE).length,
    entries: 6,
    settled: false,
    entriesCrc: Buffer.from(hint).readUInt32LE(44),
    olderCrc: 0
  }
  assert.is(Buffer.compare(encodeHintHeader(header), hint.subarray(0, 56)), 0)
  const changed = (given: Partial<HintHeader>) =>
    Buffer.concat([encodeHintHeader({ ...header, ...given }), hint.subarray(56)])
  const { from } = header
  const tries = [
    other.hint,
    ...[{ range: 4 }, { q: 16 }, { generation: 2 }, { entries: 5 }, { olderCrc: 1 }, { entriesCrc: 1 }].map(changed),
    ...[
      { to: from + 8 },
      { from: from + 8, to: from + 8 },
      { from: from - 8, to: from - 16 },
      { to: from - 8, from: 48 }
    ].map(changed)
  ]
  for (const [i, strange] of tries.entries()) {
    files.set(HINT, strange)
    const given = await found(copyOf(files))
    assert.is(given.report.hintedBytes, 0, `hint ${i}`)
    assert.equal(given.content, (await found(copyOf(files, /hint/))).content)
  }
  files.set(HINT, hint)
  for (const [operation, code] of [
    ['open', 'EACCES'],
    ['read', 'EIO']
  ] as const) {
    const failing = copyOf(files)
    failing.fail(operation, code, { path: /hint$/ })
    const warnings: string[] = []
    const { report } = await found(failing, warnings)
    assert.equal([report.keys, report.hintedBytes, warnings.length], [6, 0, 1])
  }
  const few = copyOf(files)
  few.fail('open', 'EMFILE', { path: /hint$/ })
  assert.is((await found(few)).report.hintedBytes, from, 'it waits for a handle')
})

test('a log that is shorter than it was when it was hinted has lost synced records, which is reported', async () => {
  const { files, keys, bytes } = await hinted(6)
  const size = (bytes.length - 48) / 6
  for (let length = 48; length < bytes.length; length += 8) {
    const cut = copyOf(files)
    cut.set(FILE, bytes.slice(0, length))
    const end = length - ((length - 48) % size)
    const { store, report } = await openStore(cut, SMALL)
    assert.is(report.hintedBytes, 0)
    assert.is(report.keys, (end - 48) / size)
    assert.equal(
      report.damages.map(damage => [damage.offset, damage.length]),
      [[end, bytes.length - end]]
    )
    assert.match(report.damages[0]!.detail, 'synced, and is gone')
    // Writing goes on, past where the hint says that the file ended; what it says is of no use any more.
    for (const key of keys) await store.put(RANGE, key, bytesOf('a longer value, mended by a replica'), 9)
    await store.close()
    const again = await openStore(cut, SMALL)
    assert.equal([again.report.keys, again.report.tornBytes], [6, 0], `cut at ${length}`)
    for (const key of keys) {
      const value = textOf(await again.store.get(RANGE, key).catch(error => bytesOf(String(error))))
      assert.is(value, 'a longer value, mended by a replica', `cut at ${length}`)
    }
  }
})

test('leftovers go: hints that were not finished, and those without their log', async () => {
  const { files } = await hinted(6)
  files.set(`${HINT}.tmp`, bytesOf('half'))
  files.set(`${DIR}/0004-0000000001.hint`, bytesOf('whose'))
  files.set(SECOND_HINT, bytesOf('whose'))
  const { store, report } = await openStore(files)
  assert.equal(files.paths(), [HINT, FILE])
  assert.ok(report.hintedBytes > 0)
  await store.drop(RANGE)
  assert.equal(files.paths(), [], 'a drop takes the hint along')
  files.powerCut()
  assert.equal(files.paths(), [])
})

test('none for a log with damage, with two keys at one position, or that is fenced', async () => {
  const { files, bytes } = await hinted(6)
  const damaged = copyOf(files, /hint/)
  damaged.poke(FILE, 48 + 44, [0])
  await (await openStore(damaged, SMALL)).store.close()
  assert.equal(damaged.paths(), [FILE])

  const colliding = copyOf(files, /hint/)
  const { store, time } = await openStore(colliding, SMALL)
  await store.put(RANGE, keyAt('another', 1), bytesOf('v'), 1)
  await Promise.all(keysOfRange(30).map(key => store.put(RANGE, key, bytesOf('v'), 1)))
  await upkeep(time)
  await store.close()
  assert.equal(colliding.paths(), [FILE])

  const fenced = copyOf(files, /hint/)
  const third = await openStore(fenced, SMALL)
  fenced.fail('write', 'EIO')
  await codeOfRejection(third.store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1))
  await third.store.close()
  assert.equal(fenced.paths(), [FILE])
  assert.is(fenced.peek(FILE).length, bytes.length)
})

test.run()
