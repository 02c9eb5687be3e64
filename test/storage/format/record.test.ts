import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeFileHeader,
  decodeHead,
  decodeRecord,
  encodeFileHeader,
  encodeRecord,
  fileName,
  MAX_VALUE_BYTES,
  parseFileName,
  recordBytes
} from '../../../src/storage/format/record.ts'

const test = suite('record format')
const u32 = fc.nat(0xffffffff)
const record = fc.record({
  key: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  value: fc.uint8Array({ maxLength: 60 }),
  hi: u32,
  lo: u32,
  tag: u32,
  offset: fc.nat(2 ** 32 - 1).map(unit => unit * 8),
  previous: fc.nat(2 ** 32 - 1).map(unit => unit * 8)
})

test('what is encoded is decoded, on the grid', () => {
  fc.assert(
    fc.property(record, u32, (given, fileId) => {
      const bytes = Buffer.concat(encodeRecord(given, fileId))
      assert.is(bytes.length, recordBytes(given.key.length, given.value.length))
      assert.is(bytes.length % 8, 0)
      const head = decodeHead(bytes, given.offset, fileId)
      if (typeof head === 'string') throw new Error(head)
      for (const name of ['hi', 'lo', 'tag', 'offset', 'previous'] as const) assert.is(head[name], given[name])
      const whole = decodeRecord(bytes, given.offset, fileId)
      if (typeof whole === 'string') throw new Error(whole)
      assert.equal(Buffer.from(whole.key), Buffer.from(given.key))
      assert.equal(Buffer.from(whole.value), Buffer.from(given.value))
    })
  )
})

test('a large value goes out as it is, uncopied', () => {
  const value = new Uint8Array(100_000).fill(7)
  const buffers = encodeRecord({ key: Uint8Array.of(1), value, hi: 0, lo: 0, tag: 0, offset: 40, previous: 0 }, 1)
  assert.ok(buffers.includes(value))
  const whole = decodeRecord(Buffer.concat(buffers), 40, 1)
  assert.is(typeof whole === 'string' ? whole : whole.value.length, 100_000)
})

test('any changed bit is noticed, except in the padding; so are another file and another offset', () => {
  const given = {
    key: Uint8Array.of(1, 2),
    value: Uint8Array.of(3, 4, 5),
    hi: 1,
    lo: 2,
    tag: 3,
    offset: 48,
    previous: 0
  }
  const bytes = Buffer.concat(encodeRecord(given, 9))
  const used = 44 + 2 + 3
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
  const bytes = Buffer.concat(
    encodeRecord({ key: Uint8Array.of(1), value: new Uint8Array(8), hi: 0, lo: 0, tag: 0, offset: 40, previous: 0 }, 1)
  )
  bytes.writeUInt32LE(MAX_VALUE_BYTES + 1, 4)
  assert.match(String(decodeHead(bytes, 40, 1)), 'absurd')
  bytes.writeUInt32LE(8, 4)
  bytes.writeUInt16LE(1025, 8)
  assert.match(String(decodeHead(bytes, 40, 1)), 'absurd')
})

test('file headers: round trip, every flipped bit, a newer version', () => {
  const header = { range: 7, q: 256, generation: 3, fileId: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }
  const bytes = encodeFileHeader(header)
  assert.equal(decodeFileHeader(bytes), { ...header, version: 1 })
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.type(decodeFileHeader(flipped), 'string', `bit ${bit}`)
  }
  assert.match(String(decodeFileHeader(bytes.subarray(0, 39))), '39 bytes')
})

test('file names', () => {
  assert.is(fileName(123, 1), '0123-0000000001.log')
  assert.equal(parseFileName('0123-0000000001.log'), { range: 123, generation: 1, damaged: false })
  assert.equal(parseFileName('0123-0000000001.log.damaged.2'), { range: 123, generation: 1, damaged: true })
  for (const other of ['x', '123-0000000001.log', '0123-1.log', '0123-0000000001.log.tmp', '../0123-0000000001.log']) {
    assert.is(parseFileName(other), undefined, other)
  }
})

test.run()
