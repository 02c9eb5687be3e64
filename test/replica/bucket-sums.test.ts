import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BUCKETS, BucketSums, bucketOf } from '../../src/replica/bucket-sums.ts'

const test = suite('bucket sums')
const word = fc.integer({ min: 0, max: 0xffffffff })
/** Few low halves, so that buckets are shared. */
const entryArb = fc.tuple(word, fc.oneof(fc.integer({ min: 0, max: 5 }), word), word)
type Entry = [number, number, number]

function sumOf(entries: Entry[]): BucketSums {
  const sums = new BucketSums()
  for (const entry of entries) sums.add(...entry)
  return sums
}

const same = (a: BucketSums, b: BucketSums) => {
  assert.equal(a.encode(), b.encode())
  assert.equal(a.total(), b.total())
  assert.equal(a.differing(b.encode()), [])
}

test('the order of adding does not show', () => {
  const arb = fc
    .array(entryArb, { maxLength: 40 })
    .chain(list => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })))
  fc.assert(fc.property(arb, ([list, shuffled]) => same(sumOf(list), sumOf(shuffled))))
})

test('remove undoes add', () => {
  fc.assert(
    fc.property(fc.array(entryArb), fc.array(entryArb, { minLength: 1 }), (kept, gone) => {
      const sums = sumOf([...kept, ...gone])
      for (const entry of gone) sums.remove(...entry)
      same(sums, sumOf(kept))
      assert.is(sums.keys, kept.length)
    })
  )
})

test('exactly the buckets of what differs, differ', () => {
  fc.assert(
    fc.property(fc.array(entryArb), fc.uniqueArray(entryArb, { minLength: 1, maxLength: 5 }), (shared, extra) => {
      const more = sumOf([...shared, ...extra])
      const buckets = [...new Set(extra.map(([, lo]) => bucketOf(lo)))].sort((a, b) => a - b)
      assert.equal(sumOf(shared).differing(more.encode()), buckets)
      assert.not.equal(sumOf(shared).total(), more.total())
    })
  )
})

test('a changed tag and a moved key show in the total', () => {
  const before = sumOf([[1, 2, 3]])
  for (const other of [
    [1, 2, 4],
    [2, 2, 3],
    [1, 2 + BUCKETS, 3]
  ] as Entry[]) {
    assert.not.equal(sumOf([other]).total(), before.total())
  }
  assert.not.equal(new BucketSums().total(), sumOf([[0, 0, 0]]).total())
})

test.run()
