import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { moved, type Shape } from './shape.ts'

const test = suite('what a change of the ring moves')

const shape = (lists: string[][], received: Record<string, number>): Shape => ({
  lists,
  counts: [],
  keys: [10, 100, 1000],
  bytesPerKey: 2,
  received: new Map(Object.entries(received))
})

const before = shape(
  [
    ['a', 'b', 'c'],
    ['b', 'c', 'a'],
    ['c', 'a', 'b']
  ],
  { a: 5, b: 7, c: 900 }
)
const after = shape(
  [
    ['a', 'd', 'b'],
    ['d', 'b', 'a'],
    ['b', 'a', 'd']
  ],
  { a: 6, b: 7, d: 2300 }
)

test('the least is what new members hold; what came is counted where it came, and not of those that have gone', () => {
  assert.equal(moved(before, after), { copies: 3, leastBytes: 2 * 1110, bytes: 1 + 2300 })
  assert.equal(moved(before, after, ['d']), { copies: 3, leastBytes: 2220, bytes: 2300 })
  assert.equal(moved(before, after, ['a']), { copies: 0, leastBytes: 0, bytes: 1 })
})

test('a list in another order moves nothing', () => {
  const turned = shape(
    before.lists.map(list => [...list].reverse()),
    { a: 5, b: 7, c: 900 }
  )
  assert.equal(moved(before, turned), { copies: 0, leastBytes: 0, bytes: 0 })
})

test.run()
