import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Transfers } from '../../src/repair/transfers.ts'

const test = suite('transfers')

test('what came is counted once, whatever was told in between or had come earlier, and stays counted when a transfer ends', () => {
  const transfers = new Transfers()
  const one = transfers.begin('a', [3, 4])
  const other = transfers.begin('b', [5])
  one.keys(2, 10, 200)
  other.bytes(3000, 4000, 2500)
  one.keys(2, 20, 200)
  one.keys(5, 20, 470)
  const [first, second] = transfers.list()
  assert.equal(first, { range: 3, ranges: 2, from: 'a', keysDone: 5, keysTotal: 20, bytesDone: 0, bytesTotal: 0 })
  assert.equal([second!.bytesDone, second!.bytesTotal], [3000, 4000])
  one.end()
  other.end()
  assert.equal(transfers.list(), [])
  assert.equal([transfers.keysReceived, transfers.bytesReceived], [5, 2970])
})

test('headway is of keys and files: the bytes of keys do not count twice', () => {
  const transfers = new Transfers()
  const { keys, bytes } = transfers.begin('a', [3])
  keys(5, 20, 1_000_000)
  bytes(2048, 4096, 2048)
  assert.is(transfers.headway, 5 + 2)
  assert.is(transfers.outstanding, 15 + 2)
})

test.run()
