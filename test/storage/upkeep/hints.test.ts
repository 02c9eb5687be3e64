/** Hints: when they are written, what they spare, and that no hint, however bad, changes what a start finds. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import type { FileIo } from '../../../src/ports.ts'
import { silentLog, systemRandom } from '../../../src/runtime.ts'
import { encodeHintHeader, type HintHeader } from '../../../src/storage/format/hint.ts'
import { RangeStore } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import {
  bytesOf,
  codeOfRejection,
  DIR,
  FILE,
  filledStore,
  keyAt,
  keysOfRange,
  ManualTime,
  type OpenOptions,
  openStore,
  Q,
  RANGE,
  settle,
  textOf,
  upkeep
} from '../helpers.ts'

const test = suite('hints')
const HINT = `${DIR}/0003-0000000001.hint`
const SECOND = `${DIR}/0003-0000000002.log`
const SECOND_HINT = `${DIR}/0003-0000000002.hint`
/** At close from 64 bytes on, in the background from 1024. */
const SMALL = { hintBytes: 1024 }

/** Its paths, without those that match. */
function copyOf(files: FakeFiles, without = /^$/): FakeFiles {
  const copy = new FakeFiles()
  for (const path of files.paths()) if (!without.test(path)) copy.set(path, files.peek(path))
  return copy
}

async function content(store: RangeStore): Promise<string[]> {
  if (store.state(RANGE) === 'absent') return []
  const entries: string[] = []
  const positions: [number, number][] = []
  store.forEach(RANGE, (hi, lo, tag) => {
    entries.push(`${hi}:${lo} ${tag}`)
    positions.push([hi, lo])
  })
  for (const [hi, lo] of positions)
    for (const { key, value } of await store.lookup(RANGE, hi, lo)) entries.push(`${textOf(key)}=${textOf(value)}`)
  return [...entries, JSON.stringify(store.stats(RANGE))]
}

/** What a start finds; `log` takes its warnings. */
async function found(files: FileIo, warnings: string[] = []) {
  const log = {
    ...silentLog,
    warn: (what: string, fields?: object) => warnings.push(`${what} ${JSON.stringify(fields)}`)
  }
  const time = new ManualTime()
  const store = new RangeStore(
    { clock: time, timers: time, random: systemRandom, files, log },
    { dir: DIR, q: Q, durability: 'os', cacheBytes: 0 }
  )
  const report = await store.open()
  return { store, report, content: await content(store) }
}

/** Says how a start with the hints goes; it must find what one without them finds. */
async function mustAgree(files: FakeFiles): Promise<{ hintedBytes: number; warnings: string[] }> {
  const warnings: string[] = []
  const given = await found(copyOf(files), warnings)
  const read = await found(copyOf(files, /hint/))
  assert.is(read.report.hintedBytes, 0)
  assert.equal(given.content, read.content)
  assert.equal(given.report.damages, read.report.damages)
  assert.is(given.report.tornBytes, read.report.tornBytes)
  return { hintedBytes: given.report.hintedBytes, warnings }
}

/** The offsets that are read of a log, in place of what a disk would tell. */
function watched(files: FakeFiles, reads: number[]): FileIo {
  const open: FileIo['open'] = async (path, mode) => {
    const handle = await files.open(path, mode)
    if (!path.endsWith('.log')) return handle
    const read: typeof handle.read = (into, position) => {
      reads.push(position)
      return handle.read(into, position)
    }
    return { ...handle, read }
  }
  return new Proxy(files, {
    get: (target, name) => {
      const member = name === 'open' ? open : target[name as keyof FakeFiles]
      return typeof member === 'function' ? (member as () => unknown).bind(target) : member
    }
  })
}

/** A log of `count` keys with a hint for all of it, closed. */
async function hinted(count: number, options: OpenOptions = {}) {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, count, { ...SMALL, ...options })
  await store.close()
  assert.ok(files.paths().includes(HINT))
  return { files, keys, hint: files.peek(HINT), bytes: files.peek(FILE) }
}

test('a close leaves a hint from a sixteenth of hintBytes on; a start with one reads nothing of the log but its header', async () => {
  const files = new FakeFiles()
  const first = await filledStore(files, 1, SMALL)
  await first.store.close()
  assert.equal(files.paths(), [HINT, FILE])
  const few = new FakeFiles()
  await (await filledStore(few, 1, { hintBytes: 4096 })).store.close()
  assert.equal(few.paths(), [FILE])

  const { files: all, keys, bytes } = await hinted(40)
  const reads: number[] = []
  const { report, store } = await found(watched(all, reads))
  assert.equal(new Set(reads.slice(0, -40)), new Set([0]), 'before its content was asked for')
  assert.is(report.hintedBytes, bytes.length)
  assert.equal([report.keys, report.damages, report.tornBytes], [40, [], 0])
  for (const [i, key] of keys.entries()) {
    assert.is(textOf(await store.get(RANGE, key)), `value-${i}`)
    assert.is(store.tagOf(RANGE, key), i)
  }
  await mustAgree(all)
  await store.close()
  assert.is(all.openHandles, 0)
})

test('in the background when hintBytes are not in one, then again when half as much has come; not while nothing comes', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 15, SMALL)
  await store.put(RANGE, keys[0]!, bytesOf('sixteenth'), 1)
  await upkeep(time)
  assert.is(files.counts.rename, undefined, '992 bytes')
  await store.put(RANGE, keys[0]!, bytesOf('seventeenth'), 1)
  await upkeep(time)
  assert.is(files.counts.rename, 1)
  assert.is((await mustAgree(files)).hintedBytes, files.peek(FILE).length)
  await store.put(RANGE, keys[1]!, new Uint8Array(900), 1)
  await upkeep(time)
  assert.is(files.counts.rename, 1)
  assert.ok((await mustAgree(files)).hintedBytes > 1000, 'what came later is read')
  await store.put(RANGE, keys[2]!, new Uint8Array(900), 1)
  await store.remove(RANGE, keys[3]!)
  await upkeep(time)
  assert.is(files.counts.rename, 2)
  await store.close()
  await (await openStore(files, SMALL)).store.close()
  assert.is(files.counts.rename, 2, 'a close with nothing new')
})

test('what was put after the hint is read from the log, a torn tail is cut', async () => {
  const { files, keys } = await hinted(20)
  const { store } = await openStore(files)
  await store.put(RANGE, keys[3]!, bytesOf('changed'), 77)
  await store.remove(RANGE, keys[4]!)
  await store.put(RANGE, keyAt('later', 5000), bytesOf('new'), 78)
  files.crash()
  files.poke(FILE, files.peek(FILE).length, [1, 2, 3, 4, 5])
  assert.ok((await mustAgree(files)).hintedBytes > 0)
  const again = await openStore(files)
  assert.equal([again.report.keys, again.report.tornBytes], [20, 5])
  assert.is(textOf(await again.store.get(RANGE, keys[3]!)), 'changed')
  assert.is(await again.store.get(RANGE, keys[4]!), undefined)
})

// More than one slice of the writer, so that puts come between them.
const COUNT = 4500
const KINDS = [
  ...Array(8).fill('put'),
  ...Array(4).fill('advance'),
  'remove',
  'remove',
  'turn',
  'full',
  'no room to sync'
]
const SPOTS = [0, 1, 2047, 4094, 4095, 4096, 4097, 4498, 4499, 4500, 4501]

test('a hint that is taken while puts go on and are refused, then kill −9: the same as without it', async () => {
  const base = new FakeFiles()
  const { store: first } = await filledStore(base, 0)
  await Promise.all(keysOfRange(COUNT).map((key, i) => first.put(RANGE, key, bytesOf('v'), i)))
  await first.close()
  const step = fc.record({
    kind: fc.constantFrom(...KINDS),
    spot: fc.constantFrom(...SPOTS),
    value: fc.string({ maxLength: 20 })
  })
  const given = fc.array(step, { minLength: 5, maxLength: 40, size: 'max' })
  let used = 0
  await fc.assert(
    fc.asyncProperty(
      given,
      fc.constantFrom<Durability>('os', 'disk'),
      fc.constantFrom(0, 600, 12_000),
      async (steps, durability, wait) => {
        const files = copyOf(base)
        const { store, time } = await openStore(files, { ...SMALL, durability })
        const keys = keysOfRange(COUNT + 2)
        await time.advance(1000)
        for (const [i, { kind, spot, value }] of steps.entries()) {
          if (kind === 'put') void codeOfRejection(store.put(RANGE, keys[spot]!, bytesOf(value), i))
          else if (kind === 'remove') void codeOfRejection(store.remove(RANGE, keys[spot]!))
          else if (kind === 'advance') await time.advance(60)
          else if (kind === 'full') files.fail('write', 'ENOSPC', { path: /log$/, partialBytes: 20 })
          else if (kind === 'no room to sync') files.fail('sync', 'ENOMEM', { path: /log$/ })
          else await Promise.resolve()
        }
        // After ten seconds, what was given up is tried again.
        for (let ms = 0; ms < wait; ms += 100) await time.advance(100)
        files.crash()
        if ((await mustAgree(files)).hintedBytes > 0) used++
      }
    ),
    { numRuns: 30 }
  )
  assert.ok(used > 4, `${used} starts used a hint`)
})

test('a put that is refused while a hint is written makes it worth nothing: none is left, and the next one is right', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 40, SMALL)
  const release = files.hold('write', /log$/)
  const refused = codeOfRejection(store.put(RANGE, keys[7]!, bytesOf('refused'), 99))
  await settle()
  files.fail('write', 'ENOSPC', { path: /log$/ })
  await time.advance(1000)
  release()
  assert.is(await refused, 'disk-full')
  await settle()
  await settle()
  assert.equal(files.paths(), [FILE])
  await upkeep(time)
  await time.advance(10_000)
  await upkeep(time)
  assert.equal(files.paths(), [HINT, FILE])
  assert.ok((await mustAgree(files)).hintedBytes > 0)
})

test('a put whose sync fails while a hint waits for it', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 40, { ...SMALL, durability: 'disk' })
  const releaseHint = files.hold('write', /tmp$/)
  await time.advance(1000)
  const releasePut = files.hold('sync', /log$/)
  const put = codeOfRejection(store.put(RANGE, keys[7]!, bytesOf('value-!'), 99))
  await settle()
  releaseHint()
  await settle()
  // The put's sync is asked for first, and so gets the fault.
  files.fail('sync', 'ENOMEM', { path: /log$/ })
  releasePut()
  await settle()
  await upkeep(time)
  assert.is(await put, 'overloaded')
  assert.is(await codeOfRejection(store.put(RANGE, keys[8]!, bytesOf('value-?'), 98)), undefined)
  files.crash()
  await mustAgree(files)
})

test('no room for a hint: the one before stays, nothing else is left, puts go on', async () => {
  for (const [operation, code] of [
    ['write', 'ENOSPC'],
    ['open', 'EMFILE'],
    ['sync', 'EIO'],
    ['rename', 'EIO']
  ] as const) {
    const { files, keys, hint } = await hinted(40)
    const { store, time } = await openStore(files, SMALL)
    await Promise.all(keys.map(key => store.put(RANGE, key, new Uint8Array(100), 1)))
    files.fail(operation, code, { path: /tmp$/, times: Number.POSITIVE_INFINITY })
    await upkeep(time)
    await store.put(RANGE, keys[0]!, bytesOf('on'), 1)
    await store.close()
    assert.equal(files.paths(), [HINT, FILE], operation)
    assert.is(Buffer.compare(files.peek(HINT), hint), 0)
    assert.is(files.openHandles, 0)
    await mustAgree(files)
  }
})

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

test('a record that rots behind a hint, is found by a read and mended by a put, counts once after a restart', async () => {
  const { files, keys } = await hinted(6)
  files.poke(FILE, 48 + 44, [0])
  const { store, report } = await openStore(files, SMALL)
  assert.equal(report.damages, [], 'nobody has looked')
  assert.is(await codeOfRejection(store.get(RANGE, keys[0]!)), 'damaged')
  await store.put(RANGE, keys[0]!, bytesOf('mended'), 9)
  await store.close()
  const again = await openStore(files, SMALL)
  assert.is(again.store.tagOf(RANGE, keys[0]!), 9)
  const tags: number[] = []
  again.store.forEach(RANGE, (_hi, _lo, tag) => tags.push(tag))
  assert.equal(tags, [9, 1, 2, 3, 4, 5])
  assert.is(textOf(await again.store.get(RANGE, keys[0]!)), 'mended')
})

test('logs of two files: the hint of the newer one tells of both, and goes with just that older one', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 40, { compactBytes: 1000, cacheBytes: 1 << 20 })
  for (const text of ['first', 'second']) for (const key of keys.slice(5)) await store.put(RANGE, key, bytesOf(text), 2)
  // Into memory: no put has to wait for the reads that are held.
  for (const key of keys) await store.get(RANGE, key)
  const release = files.hold('read', /0000000001/)
  await time.advance(1000)
  for (const key of keys.slice(0, 3)) await store.put(RANGE, key, bytesOf('third'), 3)
  await store.remove(RANGE, keys[3]!)
  files.crash()
  release()
  const again = await openStore(files, SMALL)
  assert.is(again.report.hintedBytes, 0)
  await again.store.close()
  assert.equal(files.paths(), [FILE, SECOND_HINT, SECOND])
  const { hintedBytes } = await mustAgree(files)
  assert.is(hintedBytes, files.peek(FILE).length + files.peek(SECOND).length)
  const alone = copyOf(files)
  alone.set(FILE, undefined)
  const lost = await openStore(alone, SMALL)
  assert.is(lost.report.hintedBytes, 0)
  assert.match(lost.report.damages[0]!.detail, 'missing')
  const longer = copyOf(files)
  longer.poke(FILE, files.peek(FILE).length, new Uint8Array(8))
  assert.is((await openStore(longer, SMALL)).report.hintedBytes, 0)
  const last = await openStore(files, { ...SMALL, compactBytes: 1000 })
  for (const key of keys.slice(5)) await last.store.put(RANGE, key, bytesOf('fourth'), 4)
  await upkeep(last.time)
  assert.is(last.store.compactions, 1)
  assert.not(files.paths().includes(FILE))
  await last.store.close()
  await mustAgree(files)
})

test.run()
