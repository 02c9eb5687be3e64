import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatPosition, positionOf, rangeOf } from '../../src/ring/position.ts'

const test = suite('ring/position')

test('a position is the first 64 bits of the SHA-256 of the key', () => {
  // The test vector of FIPS 180 for "abc".
  assert.is(formatPosition(positionOf(new TextEncoder().encode('abc'))), 'ba7816bf8f01cfea')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), key => {
      assert.is(formatPosition(positionOf(key)), createHash('sha256').update(key).digest('hex').slice(0, 16))
    })
  )
})

test('the range is the highest log2(q) bits', () => {
  const powers = fc.integer({ min: 0, max: 12 }).map(power => 2 ** power)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), powers, (key, q) => {
      const position = positionOf(key)
      const bits = BigInt(`0x${formatPosition(position)}`)
      assert.is(BigInt(rangeOf(position, q)), (bits * BigInt(q)) >> 64n)
    })
  )
  assert.is(rangeOf({ hi: 0xffffffff, lo: 0xffffffff }, 256), 255)
  assert.is(rangeOf({ hi: 0, lo: 0xffffffff }, 4096), 0)
})

test('a position is written in 16 digits, zeros too', () => {
  assert.is(formatPosition({ hi: 0xa, lo: 0 }), '0000000a00000000')
})

test.run()
