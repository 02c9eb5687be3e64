/** Hints: when they are written, and what they spare. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import {
  bytesOf,
  codeOfRejection,
  FILE,
  filledStore,
  keyAt,
  keysOfRange,
  openStore,
  RANGE,
  settle,
  textOf,
  upkeep
} from '../helpers.ts'
import { copyOf, found, HINT, hinted, mustAgree, SECOND, SECOND_HINT, SMALL, watched } from './hinted.ts'

const test = suite('hints')

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
