/** Rewriting range files: what it leaves, what it does not disturb, and what happens when it is interrupted. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RangeStore, StoredKey } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import {
  bytesOf,
  codeOfRejection,
  DIR,
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

const test = suite('compaction')
const SECOND = `${DIR}/0003-0000000002.log`
const SMALL = { compactBytes: 200, hintBytes: 300 }

/** Twice, so that more than half of the file is dead; and read, so that a cache holds what it can. */
async function overwrite(store: RangeStore, keys: StoredKey[]): Promise<void> {
  for (const text of ['first', 'second']) for (const key of keys) await store.put(RANGE, key, bytesOf(text), 2)
  for (const key of keys) await store.get(RANGE, key)
}

async function content(store: RangeStore): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  let after: { hi: number; lo: number } | undefined
  do {
    const page = await store.page(RANGE, after, 100)
    for (const key of page.keys) {
      const at = keyAt(textOf(key)!, Number(textOf(key)!.slice(1)))
      found.set(textOf(key)!, textOf(await store.get(RANGE, at))!)
    }
    after = page.next
  } while (after)
  return found
}

test('agrees with a Map, through rewriting, hints, removals, restarts, kills and colliding positions', async () => {
  const step = fc.record({
    kind: fc.constantFrom('put', 'put', 'put', 'put', 'remove', 'restart', 'kill', 'upkeep', 'puts meanwhile'),
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    position: fc.nat(2),
    value: fc.string({ minLength: 20, maxLength: 60 })
  })
  let rewritten = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }),
      fc.constantFrom(0, 100_000),
      async (steps, cacheBytes) => {
        const files = new FakeFiles()
        const model = new Map<string, string>()
        let { store, time } = await openStore(files, { ...SMALL, cacheBytes })
        store.create(RANGE)
        const put = (name: string, position: number, value: string) => {
          const key = keyAt(`${name}${position}`, position)
          model.set(textOf(key.bytes)!, value)
          return store.put(RANGE, key, bytesOf(value), 1)
        }
        for (const { kind, name, position, value } of steps) {
          if (kind === 'put') await put(name, position, value)
          else if (kind === 'remove') {
            const key = keyAt(`${name}${position}`, position)
            model.delete(textOf(key.bytes)!)
            await store.remove(RANGE, key)
          } else if (kind === 'upkeep') {
            await upkeep(time)
          } else if (kind === 'puts meanwhile') {
            const working = upkeep(time)
            for (let i = 0; i < 5; i++) {
              await put(name, (position + i) % 3, `${value}${i}`)
              await settle()
            }
            await working
          } else {
            rewritten += store.compactions
            if (kind === 'restart') await store.close()
            else files.crash()
            const again = await openStore(files, { ...SMALL, cacheBytes })
            assert.equal(again.report.damages, [])
            store = again.store
            time = again.time
            store.create(RANGE)
          }
        }
        rewritten += store.compactions
        assert.equal([...(await content(store))].sort(), [...model].sort())
        assert.is(store.stats(RANGE).keys, model.size)
        const live = [...model].reduce((sum, [key, value]) => sum + 44 + key.length + bytesOf(value).length, 0)
        assert.is(store.stats(RANGE).liveBytes, live)
        await store.close()
        assert.is(files.openHandles, 0)
      }
    ),
    { numRuns: 150 }
  )
  assert.ok(rewritten > 20, `${rewritten} files were rewritten`)
})

test('a file that is half dead is rewritten into the next generation; the old one goes, the bytes shrink', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 20, { compactBytes: 1000 })
  for (let round = 0; round < 3; round++)
    for (const key of keys) await store.put(RANGE, key, bytesOf(`round ${round}`), round)
  const before = store.stats(RANGE).fileBytes
  await upkeep(time)
  assert.is(store.compactions, 1)
  assert.equal(files.paths(), [SECOND])
  const after = store.stats(RANGE)
  assert.ok(after.fileBytes < before / 3, `${after.fileBytes} of ${before}`)
  assert.is(files.peek(SECOND).length, after.fileBytes)
  files.powerCut()
  const again = await openStore(files)
  assert.equal(again.report.damages, [])
  for (const key of keys) assert.is(textOf(await again.store.get(RANGE, key)), 'round 2')
})

test('puts and gets go on while a file is rewritten, and what they change stays changed', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 40, { compactBytes: 1000, cacheBytes: 1 << 20 })
  await overwrite(store, keys)
  const release = files.hold('read', /0000000001/)
  await time.advance(1000)
  assert.is(store.compacting, RANGE)
  await store.put(RANGE, keys[5]!, bytesOf('third'), 3)
  await store.remove(RANGE, keys[6]!)
  assert.is(textOf(store.peek(RANGE, keys[5]!) ?? (await store.get(RANGE, keys[5]!))), 'third')
  release()
  await upkeep(time)
  assert.is(store.compacting, undefined)
  assert.is(store.compactions, 1)
  assert.is(textOf(await store.get(RANGE, keys[5]!)), 'third')
  assert.is(await store.get(RANGE, keys[6]!), undefined)
  assert.is(textOf(await store.get(RANGE, keys[7]!)), 'second')
  await store.close()
})

test('a full disk stops it; both files stay, and it goes on when there is room', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 40, { compactBytes: 1000, cacheBytes: 1 << 20 })
  await overwrite(store, keys)
  files.capacityBytes = files.usedBytes() + 500
  await upkeep(time)
  assert.is(store.compactions, 0)
  for (const key of keys) assert.is(textOf(await store.get(RANGE, key)), 'second')
  files.crash()
  const again = await openStore(files, { compactBytes: 1000 })
  assert.equal(again.report.damages, [])
  assert.is(again.report.keys, 40)
  files.capacityBytes = Number.POSITIVE_INFINITY
  await upkeep(again.time)
  assert.is(again.store.compactions, 1)
  assert.is(files.paths().length, 1)
  for (const key of keys) assert.is(textOf(await again.store.get(RANGE, key)), 'second')
})

test('a put that is refused while its key is passed over leaves the old value, and the old file until it is moved', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 10, { compactBytes: 200, cacheBytes: 1 << 20 })
  await overwrite(store, keys.slice(1))
  const release = files.hold('write', /0000000002/)
  await time.advance(1000)
  const refused = codeOfRejection(store.put(RANGE, keys[0]!, bytesOf('refused'), 9))
  await settle()
  files.fail('write', 'ENOSPC', { path: /0000000002/, times: 1 })
  release()
  assert.is(await refused, 'disk-full')
  assert.is(textOf(await store.get(RANGE, keys[0]!)), 'value-0')
  for (let i = 0; i < 20; i++) await time.advance(1000)
  assert.is(store.compactions, 1)
  assert.is(textOf(await store.get(RANGE, keys[0]!)), 'value-0')
  files.powerCut()
  assert.is(textOf(await (await openStore(files)).store.get(RANGE, keys[0]!)), 'value-0')
})

test('EIO on either file while one is rewritten fences the range; dropping it takes both files', async () => {
  for (const [operation, path] of [
    ['write', /0000000002/],
    ['sync', /0000000002/]
  ] as const) {
    const files = new FakeFiles()
    const { store, keys, time } = await filledStore(files, 10, { compactBytes: 200, cacheBytes: 1 << 20 })
    await overwrite(store, keys)
    files.fail(operation, 'EIO', { path })
    await upkeep(time)
    assert.is(store.state(RANGE), 'fenced', operation)
    assert.equal(files.paths(), [FILE, SECOND])
    assert.is(textOf((await store.lookup(RANGE, keys[1]!.hi, keys[1]!.lo))[0]!.value), 'second', 'can be saved')
    await store.drop(RANGE)
    assert.equal(files.paths(), [])
    await store.close()
    assert.is(files.openHandles, 0)
  }
})

test('a bad record in the old file is reported and left behind; the rest moves', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 10, { compactBytes: 200 })
  await overwrite(store, keys.slice(0, 9))
  const damages: number[] = []
  store.onDamage(({ offset }) => damages.push(offset))
  const at = 48 + 9 * 56
  files.poke(FILE, at + 44 + 5, [0])
  await upkeep(time)
  assert.equal(damages, [at])
  assert.is(store.compactions, 1)
  assert.equal(files.paths(), [SECOND])
  assert.is(store.stats(RANGE).keys, 9)
  for (const key of keys.slice(0, 9)) assert.is(textOf(await store.get(RANGE, key)), 'second')
})

test('dropping or closing in the middle ends it, and leaves nothing open', async () => {
  for (const end of ['drop', 'close'] as const) {
    const files = new FakeFiles()
    const { store, keys, time } = await filledStore(files, 40, { compactBytes: 1000, cacheBytes: 1 << 20 })
    await overwrite(store, keys)
    const release = files.hold('read', /0000000001/)
    await time.advance(1000)
    assert.is(store.compacting, RANGE)
    const ended = end === 'drop' ? store.drop(RANGE) : store.close()
    await settle()
    release()
    await ended
    await upkeep(time)
    if (end === 'drop') assert.equal(files.paths(), [])
    else assert.is((await openStore(files)).report.keys, 40)
    await store.close()
    assert.is(files.openHandles, 0)
  }
})

test('a file that continues one that is missing, without holding all of it, is reported', async () => {
  const files = new FakeFiles()
  const { store, keys, time } = await filledStore(files, 40, { compactBytes: 1000, cacheBytes: 1 << 20 })
  await overwrite(store, keys)
  const release = files.hold('read', /0000000001/)
  await time.advance(1000)
  await store.put(RANGE, keys[0]!, bytesOf('third'), 3)
  files.crash()
  release()
  files.set(FILE, undefined)
  const { report } = await openStore(files)
  assert.is(report.damages.length, 1)
  assert.match(report.damages[0]!.detail, 'missing')
  assert.is(report.keys, 1)
})

test('keys of thousands of records are moved in slices, between which others get their turn', async () => {
  const files = new FakeFiles()
  const { store, time } = await filledStore(files, 0, { compactBytes: 1000 })
  const keys = keysOfRange(3000)
  await Promise.all(keys.map(key => store.put(RANGE, key, new Uint8Array(200), 1)))
  await Promise.all(keys.map(key => store.put(RANGE, key, new Uint8Array(200).fill(2), 2)))
  await Promise.all(keys.map(key => store.put(RANGE, key, new Uint8Array(200).fill(3), 3)))
  await time.advance(1000)
  let slices = 0
  while (store.compacting !== undefined && slices < 1000) {
    slices++
    await store.put(RANGE, keys[slices]!, bytesOf('meanwhile'), 3)
    await time.advance(200)
  }
  assert.ok(slices > 10, `${slices} slices`)
  assert.is(store.compactions, 1)
  assert.is(store.stats(RANGE).keys, 3000)
})

test.run()
