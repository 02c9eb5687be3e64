/** A range whose file has failed goes on in a new one, with what verifies of the old one (design §9; failures 19). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import {
  bytesOf,
  codeOfRejection,
  DIR,
  filledStore,
  keyAt,
  openStore,
  RANGE,
  settle,
  textOf,
  upkeep
} from '../helpers.ts'

const test = suite('storage/upkeep/renewing')
const KEYS = 20

/** A store of `KEYS` keys whose next write fails, and with it the range. */
async function fencedStore(durability: Durability, partialBytes = 0) {
  const files = new FakeFiles()
  const filled = await filledStore(files, KEYS, { durability })
  files.fail('write', 'EIO', { partialBytes })
  assert.is(await codeOfRejection(filled.store.put(RANGE, filled.keys[0]!, bytesOf('refused'), 9)), 'range-fenced')
  assert.is(filled.store.state(RANGE), 'fenced')
  return { files, ...filled }
}

for (const durability of ['os', 'interval', 'disk'] as const) {
  test(`${durability}: serves at once, and moves everything to a new file`, async () => {
    const { files, store, keys, time } = await fencedStore(durability, 30)
    assert.ok(store.renew(RANGE))
    assert.is(store.state(RANGE), 'renewing')
    assert.is(textOf(await store.get(RANGE, keys[0]!)), 'value-0')
    await store.put(RANGE, keys[1]!, bytesOf('after'), 7)
    assert.is(await codeOfRejection(store.sync(RANGE)), 'range-fenced', 'nobody can say that the old file lasts')
    await upkeep(time)
    assert.is(store.state(RANGE), 'open')
    assert.equal(
      files.paths().filter(path => path.endsWith('.log')),
      [`${DIR}/0003-0000000002.log`]
    )
    files.powerCut()
    const again = await openStore(files, { durability })
    assert.equal([again.report.keys, again.report.damages], [KEYS, []])
    for (const [i, key] of keys.entries())
      assert.is(textOf(await again.store.get(RANGE, key)), i === 1 ? 'after' : `value-${i}`)
  })
}

test('a process that is killed on the way finds both files', async () => {
  const { files, store, keys } = await fencedStore('os')
  store.renew(RANGE)
  await store.put(RANGE, keys[1]!, bytesOf('after'), 7)
  files.crash()
  const again = await openStore(files)
  assert.equal([again.report.keys, again.report.damages], [KEYS, []])
  assert.is(textOf(await again.store.get(RANGE, keys[1]!)), 'after')
  assert.is(textOf(await again.store.get(RANGE, keys[2]!)), 'value-2')
})

test('a new file that fails before anything is in it is left out of the chain', async () => {
  const { files, store, keys, time } = await fencedStore('os')
  for (let round = 0; round < 40; round++) {
    assert.ok(store.renew(RANGE), `round ${round}`)
    files.fail('write', 'EIO')
    assert.is(await codeOfRejection(store.put(RANGE, keys[0]!, bytesOf('refused'), 9)), 'range-fenced')
  }
  assert.ok(store.renew(RANGE))
  await store.put(RANGE, keys[1]!, bytesOf('after'), 7)
  await settle()
  files.crash()
  const again = await openStore(files)
  assert.equal([again.report.keys, again.report.damages], [KEYS, []])
  assert.is(textOf(await again.store.get(RANGE, keys[1]!)), 'after')
  await upkeep(time)
})

test('files that fail one after another are not piled up for ever', async () => {
  const { files, store, keys } = await fencedStore('os')
  let renewed = 0
  while (store.renew(RANGE)) {
    renewed++
    await store.put(RANGE, keys[0]!, bytesOf(`${renewed}`), 1)
    files.fail('write', 'EIO')
    assert.is(await codeOfRejection(store.put(RANGE, keys[0]!, bytesOf('refused'), 9)), 'range-fenced')
    assert.ok(renewed < 100)
  }
  assert.is(store.state(RANGE), 'fenced')
  files.crash()
  const again = await openStore(files)
  assert.equal([again.report.keys, again.report.damages], [KEYS, []])
  assert.is(textOf(await again.store.get(RANGE, keys[0]!)), `${renewed}`)
})

test('the very first file of a range fails', async () => {
  const files = new FakeFiles()
  const { store, time } = await openStore(files, { durability: 'disk' })
  store.create(RANGE)
  files.fail('sync', 'EIO')
  assert.is(await codeOfRejection(store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)), 'range-fenced')
  assert.ok(store.renew(RANGE))
  await store.put(RANGE, keyAt('k', 1), bytesOf('v'), 1)
  await upkeep(time)
  assert.is(store.state(RANGE), 'open')
  await store.close()
  const again = await openStore(files, { durability: 'disk' })
  assert.equal([again.report.keys, again.report.damages], [1, []])
})

test('what does not verify is reported, and the rest is moved', async () => {
  const { files, store, keys, time } = await fencedStore('os')
  const damages: number[] = []
  store.onDamage(({ offset }) => damages.push(offset))
  const path = `${DIR}/0003-0000000001.log`
  files.poke(path, files.peek(path).length - 20, [0xff, 0xff])
  store.renew(RANGE)
  await upkeep(time)
  assert.is(damages.length, 1)
  assert.is(store.state(RANGE), 'open')
  assert.is(store.stats(RANGE).keys, KEYS - 1)
  assert.is(await store.get(RANGE, keys.at(-1)!), undefined)
})

test.run()
