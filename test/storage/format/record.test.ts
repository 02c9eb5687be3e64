import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeHead,
  decodeRecord,
  isOptionalType,
  MAX_VALUE_BYTES,
  mayStartRecord,
  type NewRecord,
  recordBytes,
  viewOf,
  writeRecord
} from '../../../src/storage/format/record.ts'

const test = suite('record format')
const u32 = fc.nat(0xffffffff)
const record = fc.record({
  type: fc.constantFrom(1, 2, 3),
  flags: fc.nat(1),
  key: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  value: fc.uint8Array({ maxLength: 60 }),
  hi: u32,
  lo: u32,
  tag: u32,
  offset: fc.nat(2 ** 32 - 1).map(unit => unit * 8),
  previous: fc.nat(2 ** 32 - 1).map(unit => unit * 8)
})
const GIVEN: NewRecord = {
  type: 1,
  flags: 0,
  key: Uint8Array.of(1, 2),
  value: Uint8Array.of(3, 4, 5),
  hi: 1,
  lo: 2,
  tag: 3,
  offset: 48,
  previous: 0
}

function encoded(given: NewRecord, fileId32: number, at = 0): Uint8Array {
  const bytes = new Uint8Array(at + recordBytes(given.key.length, given.value.length)).fill(0xee)
  assert.is(writeRecord(bytes, viewOf(bytes), at, given, fileId32), bytes.length)
  return bytes.subarray(at)
}

test('what is encoded is decoded, on the grid, wherever it stands in a buffer', () => {
  fc.assert(
    fc.property(record, u32, fc.nat(5), (given, fileId, grid) => {
      const bytes = encoded(given, fileId, grid * 8)
      assert.is(bytes.length % 8, 0)
      assert.ok(mayStartRecord(bytes, 0))
      const head = decodeHead(bytes, given.offset, fileId)
      if (typeof head === 'string') throw new Error(head)
      for (const name of ['type', 'flags', 'hi', 'lo', 'tag', 'offset', 'previous'] as const)
        assert.is(head[name], given[name])
      const whole = decodeRecord(bytes, given.offset, fileId)
      if (typeof whole === 'string') throw new Error(whole)
      assert.equal(Buffer.from(whole.key), Buffer.from(given.key))
      assert.equal(Buffer.from(whole.value), Buffer.from(given.value))
    })
  )
})

test('any changed bit is noticed, except in the padding, which is zeros; so are another file and another offset', () => {
  const bytes = encoded(GIVEN, 9)
  const used = 44 + 2 + 3
  assert.ok(bytes.subarray(used).every(byte => byte === 0))
  for (let bit = 0; bit < used * 8; bit++) {
    const flipped = Uint8Array.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.type(decodeRecord(flipped, 48, 9), 'string', `bit ${bit}`)
  }
  for (let length = 0; length < used; length++) {
    assert.type(decodeRecord(bytes.subarray(0, length), 48, 9), 'string', `cut to ${length}`)
  }
  assert.match(String(decodeRecord(bytes, 56, 9)), 'another offset')
  assert.match(String(decodeRecord(bytes, 48, 8)), 'another file')
})

test('absurd lengths are refused before anything else is believed (failures 16)', () => {
  const bytes = Buffer.from(encoded(GIVEN, 1))
  bytes.writeUInt32LE(MAX_VALUE_BYTES + 1, 8)
  assert.match(String(decodeHead(bytes, 48, 1)), 'absurd')
  bytes.writeUInt32LE(3, 8)
  bytes.writeUInt16LE(1025, 12)
  assert.match(String(decodeHead(bytes, 48, 1)), 'absurd')
})

test('types from 128 on may be passed over by who does not know them', () => {
  assert.equal([0, 1, 4, 127, 128, 255].map(isOptionalType), [false, false, false, false, true, true])
})

test.run()
