import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../src/errors.ts'
import { FrameReader, frameOf, MAX_MESSAGE_BYTES } from '../../src/wire/framing.ts'

const test = suite('wire/framing')

test('messages come out whole and in order, however the chunks are cut', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 })
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(frameOf))
      const reader = new FrameReader()
      const out: Uint8Array[] = []
      for (let at = 0, i = 0; at < stream.length; i++) {
        const chunk = new Uint8Array(stream.subarray(at, at + cuts[i % cuts.length]!))
        out.push(...reader.push(chunk))
        at += chunk.length
      }
      assert.equal(out, messages)
      assert.is(reader.pendingBytes, 0)
    })
  )
})

test('the longest message passes; one byte more is refused when its prefix is seen', () => {
  const reader = new FrameReader()
  assert.is(reader.push(frameOf(new Uint8Array(MAX_MESSAGE_BYTES)))[0]!.length, MAX_MESSAGE_BYTES)
  const prefix = frameOf(new Uint8Array(MAX_MESSAGE_BYTES + 1)).subarray(0, 3)
  assert.equal(reader.push(prefix.subarray(0, 2)), [])
  assert.throws(
    () => reader.push(prefix.subarray(2)),
    (error: unknown) => isCoterieError(error, 'protocol') && error.message.includes('1048577')
  )
})

test('an endless prefix is refused', () => {
  assert.throws(
    () => new FrameReader().push(new Uint8Array(16).fill(0x80)),
    (error: unknown) => isCoterieError(error, 'protocol')
  )
  assert.throws(
    () => new FrameReader(100).push(Uint8Array.of(101)),
    (error: unknown) => isCoterieError(error, 'protocol')
  )
})

test.run()
