/** How syncs take turns, and what shares one. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Gate } from '../../../src/storage/disk/gate.ts'
import type { RangeStore } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, openStore, settle } from '../helpers.ts'

const test = suite('gate')

test('lets so many in at once, the others in the order they came', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(3), { maxLength: 20 }), async (limit, stays) => {
      const gate = new Gate(limit)
      const order: number[] = []
      let inside = 0
      await Promise.all(
        stays.map(async (turns, i) => {
          const waiting = gate.enter()
          assert.is(waiting === undefined, i < limit)
          await waiting
          order.push(i)
          inside++
          assert.ok(inside <= limit)
          for (let turn = 0; turn < turns; turn++) await settle()
          inside--
          gate.leave()
        })
      )
      assert.equal(
        order,
        stays.map((_, i) => i)
      )
      for (let i = 0; i < limit; i++) assert.is(gate.enter(), undefined, 'all have left')
      assert.ok(gate.enter())
    }),
    { numRuns: 100 }
  )
})

const key = (range: number, i = 0) => ({ bytes: bytesOf(`${range}-${i}`), hi: ((range << 26) >>> 0) + i, lo: i })

async function manyRanges(count: number) {
  const files = new FakeFiles()
  const { store } = await openStore(files, { q: 64, durability: 'disk' })
  for (let range = 0; range < count; range++) {
    store.create(range)
    await store.put(range, key(range), bytesOf('first'), 1)
  }
  return { files, store, before: files.counts.sync! }
}

const putTo = (store: RangeStore, range: number, i = 0) => store.put(range, key(range, i), bytesOf('v'), 1)

test('one put alone waits for nobody: a write and a sync', async () => {
  const { files, store, before } = await manyRanges(8)
  for (let i = 1; i <= 5; i++) {
    await putTo(store, 3, i)
    assert.is(files.counts.sync! - before, i)
  }
})

test('while syncs take their time, the puts to a range gather for its next one, and a file waits for a bounded time', async () => {
  const { files, store, before } = await manyRanges(10)
  const release = files.hold('sync')
  const puts: Promise<void>[] = []
  for (let i = 0; i < 20; i++) {
    for (let range = 0; range < 10; range++) puts.push(putTo(store, range, i))
    await settle()
  }
  assert.is(files.counts.sync! - before, 2, 'no more at once')
  release()
  await Promise.all(puts)
  // The two that were inside had taken the first put of theirs; all else had gathered.
  assert.is(files.counts.sync! - before, 2 + 10)
})

test('a failing sync gives its turn back', async () => {
  const { files, store } = await manyRanges(10)
  files.fail('sync', 'EIO', { times: 4 })
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, range) => putTo(store, range, 1)))
  assert.is(outcomes.filter(({ status }) => status === 'rejected').length, 4)
  for (let range = 0; range < 10; range++) if (store.state(range) === 'open') await putTo(store, range, 2)
})

test.run()
