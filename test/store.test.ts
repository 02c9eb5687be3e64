import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { latestOf, type Sibling } from '../src/store.ts'

const test = suite('store')

const siblingArb: fc.Arbitrary<Sibling> = fc
  .record({ dot: fc.nat(9).map(n => `${n}`.padStart(16, '0').concat(':1')), at: fc.nat(3) })
  .map(({ dot, at }) => ({ value: new Uint8Array(), dot, ...(at > 0 && { writtenAt: at }) }))

test('the latest of siblings is one, the same in whatever order they come, and none older than a delete', () => {
  const allArb = fc.uniqueArray(siblingArb, { selector: ({ dot }) => dot, maxLength: 6 })
  fc.assert(
    fc.property(allArb, fc.nat(4), (siblings, deletedAtMs) => {
      const [last, ...more] = latestOf(siblings, deletedAtMs)
      assert.equal(more, [])
      assert.is(latestOf([...siblings].reverse(), deletedAtMs)[0]?.dot, last?.dot)
      const newest = Math.max(...siblings.map(({ writtenAt = 0 }) => writtenAt))
      if (siblings.length === 0 || deletedAtMs > newest) assert.is(last, undefined)
      else assert.is(last!.writtenAt ?? 0, newest)
    })
  )
})

test.run()
