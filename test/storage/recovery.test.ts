/** What a store makes of files that a crash, a bad disk or a stranger has left. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileIo } from '../../src/ports.ts'
import { encodeFileHeader, NO_FILE } from '../../src/storage/format/file-header.ts'
import { recordBytes } from '../../src/storage/format/record.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { bytesOf, DIR, FILE, filledStore, keyAt, openStore, Q, RANGE, textOf } from './helpers.ts'

const test = suite('recovery')
const HEADER = 48

/** The bytes of a file with `count` keys, closed well, and where its records start. */
async function goodFile(count: number) {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, count)
  await store.close()
  const starts: number[] = []
  let at = HEADER
  for (let i = 0; i < count; i++) {
    starts.push(at)
    at += recordBytes(keys[i]!.bytes.length, bytesOf(`value-${i}`).length)
  }
  return { bytes: files.peek(FILE), keys, starts }
}

/** A FakeFiles as plain functions, to put others between. */
function bound(files: FakeFiles): FileIo {
  return {
    open: files.open.bind(files),
    list: files.list.bind(files),
    makeDir: files.makeDir.bind(files),
    rename: files.rename.bind(files),
    unlink: files.unlink.bind(files),
    syncDir: files.syncDir.bind(files),
    readFile: files.readFile.bind(files),
    replaceFile: files.replaceFile.bind(files)
  }
}

async function reopened(bytes: Uint8Array, name = FILE) {
  const files = new FakeFiles()
  files.set(name, bytes)
  return { files, ...(await openStore(files)) }
}

test('a torn tail is cut at every byte, and writing goes on (failures 14)', async () => {
  const { bytes, keys, starts } = await goodFile(4)
  const last = starts[3]!
  for (let length = last; length < bytes.length; length++) {
    const { files, store, report } = await reopened(bytes.subarray(0, length))
    assert.is(report.keys, 3, `cut at ${length}`)
    assert.equal(report.damages, [])
    assert.is(report.tornBytes, length - last)
    assert.is(files.peek(FILE).length, last)
    assert.is(await store.get(RANGE, keys[3]!), undefined)
    await store.put(RANGE, keys[3]!, bytesOf('again'), 9)
    await store.close()
    const again = await openStore(files)
    assert.is(textOf(await again.store.get(RANGE, keys[3]!)), 'again')
    assert.is(again.report.tornBytes, 0)
  }
})

test('a tail of zeros or noise after the last record is torn too', async () => {
  const { bytes } = await goodFile(4)
  for (const byte of [0, 0x7e, 0xff]) {
    const tail = new Uint8Array(5003).fill(byte)
    const { report, files } = await reopened(Buffer.concat([bytes, tail]))
    assert.is(report.keys, 4)
    assert.is(report.tornBytes, 5003)
    assert.is(files.peek(FILE).length, bytes.length)
  }
})

test('any flipped bit in the middle costs that record alone, and is reported (failures 15)', async () => {
  const { bytes, keys, starts } = await goodFile(4)
  const padding = (offset: number) => offset >= starts[1]! + 44 + 5 + 7
  for (let offset = starts[1]!; offset < starts[2]!; offset++) {
    const flipped = bytes.slice()
    flipped[offset]! ^= 1 << (offset % 8)
    const { files, store, report } = await reopened(flipped)
    if (padding(offset)) {
      assert.is(report.keys, 4)
      continue
    }
    const [damage] = report.damages
    assert.is(report.damages.length, 1, `flip at ${offset}`)
    assert.is(damage!.file, FILE)
    assert.is(damage!.range, RANGE)
    assert.is(damage!.offset, starts[1])
    assert.is(damage!.length, starts[2]! - starts[1]!)
    assert.is(report.tornBytes, 0)
    for (const i of [0, 2, 3]) assert.is(textOf(await store.get(RANGE, keys[i]!)), `value-${i}`)
    assert.is(await store.get(RANGE, keys[1]!), undefined)
    assert.is(files.peek(FILE).length, bytes.length, 'nothing is cut off')
  }
})

test('whatever is done to a file: no crash, no wrong value, writing goes on', async () => {
  const { bytes, keys } = await goodFile(12)
  const hit = fc.record({ at: fc.nat(bytes.length - 1), noise: fc.uint8Array({ minLength: 1, maxLength: 90 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(hit, { maxLength: 4 }), fc.nat(bytes.length), async (hits, length) => {
      const broken = bytes.slice()
      for (const { at, noise } of hits) broken.set(noise.subarray(0, bytes.length - at), at)
      const { files, store } = await reopened(broken.subarray(0, length))
      store.create(RANGE)
      for (const [i, key] of keys.entries()) {
        const value = await store.get(RANGE, key)
        assert.ok(value === undefined || textOf(value) === `value-${i}`)
      }
      await store.put(RANGE, keys[0]!, bytesOf('new'), 1)
      await store.close()
      const again = await openStore(files)
      assert.is(textOf(await again.store.get(RANGE, keys[0]!)), 'new')
    }),
    { numRuns: 150 }
  )
})

test('an absurd length allocates nothing and costs one record (failures 16)', async () => {
  const { bytes, starts } = await goodFile(3)
  const broken = Buffer.from(bytes)
  broken.writeUInt32LE(0xffffffff, starts[1]! + 8)
  const { report } = await reopened(broken)
  assert.is(report.keys, 2)
  assert.match(report.damages[0]!.detail, 'absurd')
})

test('a record of another offset or another file is not believed (failures 17)', async () => {
  const { bytes, starts, keys } = await goodFile(4)
  const size = starts[1]! - starts[0]!
  const misdirected = bytes.slice()
  misdirected.copyWithin(starts[2]!, starts[0]!, starts[0]! + size)
  const first = await reopened(misdirected)
  assert.is(first.report.damages[0]!.offset, starts[2])
  assert.match(first.report.damages[0]!.detail, 'another offset')
  assert.is(await first.store.get(RANGE, keys[2]!), undefined)
  const other = (await goodFile(4)).bytes
  const foreign = bytes.slice()
  foreign.set(other.subarray(starts[2]!, starts[3]!), starts[2]!)
  const second = await reopened(foreign)
  assert.match(second.report.damages[0]!.detail, 'another file')
})

test('a bad value larger than the reading window costs itself alone', async () => {
  const files = new FakeFiles()
  const { store } = await openStore(files)
  store.create(RANGE)
  for (let i = 0; i < 3; i++) await store.put(RANGE, keyAt(`big-${i}`, i), new Uint8Array(2_500_000).fill(i), i)
  await store.close()
  const good = await openStore(files)
  assert.is(good.report.keys, 3)
  await good.store.close()
  files.poke(FILE, HEADER + 2_000_000, [99])
  const { report } = await openStore(files)
  assert.is(report.keys, 2)
  assert.is(report.damages.length, 1)
  assert.is(report.damages[0]!.offset, HEADER)
})

test('after damage to the record between, the newest of a key still wins, and an older one may come back', async () => {
  for (const size of [3, 2_500_000]) {
    const files = new FakeFiles()
    const { store } = await openStore(files)
    store.create(RANGE)
    const key = keyAt('k', 1)
    const starts: number[] = []
    for (const fill of [1, 2, 3]) {
      starts.push(Math.max(HEADER, store.stats(RANGE).fileBytes))
      await store.put(RANGE, key, new Uint8Array(size).fill(fill), 1)
    }
    await store.put(RANGE, keyAt('other', 2), bytesOf('end'), 1)
    await store.close()
    for (const [damaged, left] of [
      [1, 3],
      [2, 1]
    ] as const) {
      files.poke(FILE, starts[damaged]! + 44, [0])
      const { store, report } = await openStore(files)
      assert.is(report.damages.length, 1)
      assert.is(report.keys, 2)
      assert.equal([(await store.get(RANGE, key))![0], (await store.get(RANGE, key))!.length], [left, size])
      await store.close()
    }
  }
})

test('a bad header, another range, another Q, a newer format: moved aside, reported, never deleted', async () => {
  const { bytes } = await goodFile(3)
  const fileId = bytes.slice(24, 32)
  const header = (given: object) => {
    const broken = bytes.slice()
    broken.set(encodeFileHeader({ range: RANGE, q: Q, generation: 1, fileId, continues: NO_FILE, ...given }))
    return broken
  }
  const bad = bytes.slice()
  bad[3]! ^= 1
  for (const broken of [bad, header({ range: 4 }), header({ q: 16 }), new Uint8Array(500)]) {
    const { files, store, report } = await reopened(broken)
    assert.is(report.damages.length, 1)
    assert.is(report.damages[0]!.range, RANGE)
    assert.match(report.damages[0]!.detail, 'moved aside')
    assert.equal(report.ranges, [])
    assert.equal(files.paths(), [`${FILE}.damaged`])
    assert.is(Buffer.compare(files.peek(`${FILE}.damaged`), broken), 0)
    store.create(RANGE)
    await store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)
    assert.equal(files.paths(), [`${FILE}.damaged`, `${DIR}/0003-0000000002.log`])
  }
})

test('an empty file or half a header is a creation cut short', async () => {
  for (const length of [0, 1, 39]) {
    const { files, store, report } = await reopened(new Uint8Array(length).fill(0x89))
    assert.equal(report.damages, [])
    assert.is(report.tornBytes, length)
    assert.equal(report.ranges, [RANGE])
    await store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)
    await store.close()
    const again = await openStore(files)
    assert.is(textOf(await again.store.get(RANGE, keyAt('k', 1))), 'v')
  }
})

test('strangers in the directory and older generations are left alone', async () => {
  const { bytes } = await goodFile(3)
  const files = new FakeFiles()
  for (const name of ['notes.txt', '0003-0000000001.log.tmp', '0099-0000000001.log']) files.set(`${DIR}/${name}`, bytes)
  files.set(FILE, bytes)
  const newer = Buffer.from(bytes)
  newer.set(encodeFileHeader({ range: RANGE, q: Q, generation: 2, fileId: bytes.slice(24, 32), continues: NO_FILE }))
  files.set(`${DIR}/0003-0000000002.log`, newer.subarray(0, HEADER))
  const { report } = await openStore(files)
  assert.equal(report.ranges, [RANGE])
  assert.is(report.keys, 0)
  assert.is(files.paths().length, 5)
})

test('pages that the disk cannot read are damage, never a torn tail', async () => {
  const { bytes, keys, starts } = await goodFile(400)
  const files = new FakeFiles()
  files.set(FILE, bytes)
  const badPage = 4 * 4096
  // As disks do: any read that touches the bad page fails, whole.
  const failing: FileIo = {
    ...bound(files),
    open: async (path, mode) => {
      const handle = await files.open(path, mode)
      const read: typeof handle.read = async (into, position) => {
        if (position + into.length > badPage) throw Object.assign(new Error('EIO: read'), { code: 'EIO' })
        return handle.read(into, position)
      }
      return { ...handle, read }
    }
  }
  const { store, report } = await openStore(failing)
  const lost = starts.filter((start, i) => (starts[i + 1] ?? bytes.length) > badPage || start > badPage)
  assert.ok(lost.length > 10)
  assert.is(report.tornBytes, 0)
  assert.is(report.damages.length, 1)
  const [damage] = report.damages
  assert.is(damage!.offset + damage!.length, bytes.length)
  // The window of reading does not start on a page, so up to a page of good bytes may be lost with it.
  assert.ok(damage!.offset <= lost[0]! && damage!.offset > lost[0]! - 2 * 4096)
  assert.is(files.peek(FILE).length, bytes.length, 'nothing is cut off')
  await store.put(RANGE, keyAt('more', 9999), bytesOf('v'), 1)
  await store.close()
  const healed = await openStore(files)
  assert.is(healed.report.keys, 401)
  assert.is(textOf(await healed.store.get(RANGE, keys[399]!)), 'value-399')
})

test('a log full of overwrites opens with large reads alone; keys that share a position still keep apart', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 50)
  for (let round = 0; round < 20; round++) {
    await Promise.all(keys.map(key => store.put(RANGE, key, bytesOf(`${round}`), round)))
  }
  await store.close()
  const before = files.counts.read ?? 0
  const again = await openStore(files)
  assert.is(again.report.keys, 50)
  assert.is(files.counts.read! - before, 2, 'header and one piece')
  const large = (fill: number) => new Uint8Array(2_500_000).fill(fill)
  const [a, b] = [keyAt('first', 77), keyAt('other', 77)]
  for (const [key, fill] of [
    [a, 1],
    [b, 2],
    [a, 3]
  ] as const)
    await again.store.put(RANGE, key, large(fill), fill)
  await again.store.close()
  const third = await openStore(files)
  assert.is(third.report.keys, 52)
  assert.is((await third.store.get(RANGE, a))![0], 3)
  assert.is((await third.store.get(RANGE, b))![0], 2)
})

test('a file that cannot be opened does not stop the others', async () => {
  const { bytes } = await goodFile(4)
  const files = new FakeFiles()
  files.set(FILE, bytes)
  files.fail('open', 'EACCES')
  const { store, report } = await openStore(files)
  assert.match(report.damages[0]!.detail, 'EACCES')
  assert.equal(report.ranges, [])
  store.create(RANGE)
  await store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)
  assert.is(Buffer.compare(files.peek(FILE), bytes), 0)
})

test('damage that a read finds is set aside and reported; the rest stays, and a put mends it', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 4)
  const found: string[] = []
  store.onDamage(damage => found.push(`${damage.range} ${damage.file} ${damage.offset} ${damage.length}`))
  const second = HEADER + recordBytes(5, 7)
  files.poke(FILE, second + 44 + 5, [0])
  const outcomes = await Promise.allSettled([store.get(RANGE, keys[1]!), store.get(RANGE, keys[1]!)])
  assert.ok(outcomes.some(outcome => outcome.status === 'rejected' && outcome.reason.code === 'damaged'))
  assert.equal(found, [`${RANGE} ${FILE} ${second} ${recordBytes(5, 7)}`], 'once')
  assert.is(await store.get(RANGE, keys[1]!), undefined)
  assert.is(store.stats(RANGE).keys, 3)
  assert.is(textOf(await store.get(RANGE, keys[2]!)), 'value-2')
  await store.put(RANGE, keys[1]!, bytesOf('mended'), 1)
  assert.is(textOf(await store.get(RANGE, keys[1]!)), 'mended')
  files.fail('read', 'EIO')
  let code: unknown
  await store.get(RANGE, keys[2]!).catch(error => (code = error.code))
  assert.is(code, 'damaged')
  assert.is(found.length, 2)
  assert.is(store.state(RANGE), 'open')
})

test('a put over a damaged record of its own key, and a page over one', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 4)
  files.poke(FILE, HEADER + 44, [0])
  assert.equal((await store.page(RANGE, undefined, 10)).keys.map(textOf), ['key-1', 'key-2', 'key-3'])
  files.poke(FILE, HEADER + recordBytes(5, 7) + 44, [0])
  await store.put(RANGE, keys[1]!, bytesOf('new'), 1)
  assert.is(textOf(await store.get(RANGE, keys[1]!)), 'new')
  assert.is(store.stats(RANGE).keys, 3)
})

test.run()
