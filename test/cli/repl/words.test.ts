import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { printable, printableKey } from '../../../src/cli/render/text.ts'
import { splitWords, valueBytes } from '../../../src/cli/repl/words.ts'

const test = suite('cli: repl words')

const texts = (line: string) => splitWords(line).map(word => word.text)

test('words, quotes, escapes', () => {
  assert.equal(texts('  put  a\tb '), ['put', 'a', 'b'])
  assert.equal(texts(`put "a b" 'c "d\\' e"f g"h`), ['put', 'a b', 'c "d\\', 'ef gh'])
  assert.equal(texts('"a\\nb\\t\\"\\\\" c\\ d ""'), ['a\nb\t"\\', 'c d', ''])
  assert.equal(splitWords('"\\x00\\xff" \\xFE')[0]!.bytes, Uint8Array.of(0, 255))
  assert.equal(splitWords('"\\x00\\xff" \\xFE')[1]!.bytes, Uint8Array.of(254))
  assert.equal(splitWords('hex:00ff')[0]!.bytes, Uint8Array.of(0, 255))
  assert.equal(texts('"hex:00ff"'), ['hex:00ff'])
  assert.equal(texts('grüße 🎉'), ['grüße', '🎉'])
  assert.equal(texts(''), [])
})

test('what cannot be read is refused', () => {
  for (const line of ['"abc', "a 'b", 'a\\', '"\\q"', '\\xg0', 'hex:0', 'hex:zz']) {
    assert.throws(
      () => splitWords(line),
      (error: { code: string }) => error.code === 'bad-usage',
      line
    )
  }
})

test('what is printed of a key, typed again, is that key', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1 }),
    fc.string({ unit: 'binary', minLength: 1 }).map(text => new Uint8Array(Buffer.from(text)))
  )
  fc.assert(
    fc.property(bytes, key => {
      const words = splitWords(printableKey(key))
      assert.is(words.length, 1)
      assert.equal(words[0]!.bytes, key)
    }),
    { examples: [[new Uint8Array(Buffer.from('hex:00'))], [new Uint8Array(Buffer.from('a  b'))]] }
  )
})

test('nothing that is printed commands a terminal', () => {
  fc.assert(
    fc.property(fc.uint8Array(), bytes => {
      assert.not.match(printable(bytes), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    })
  )
  assert.is(printable(new Uint8Array(Buffer.from('a\u202eb\u009b2J'))), '"a\\xe2\\x80\\xaeb\\xc2\\x9b2J"')
  assert.is(printable(new Uint8Array(0)), '""')
})

test('a value may come from a file, unless it is quoted', async () => {
  const read = async (path: string) => new Uint8Array(Buffer.from(`content of ${path}`))
  const value = async (line: string) => Buffer.from(await valueBytes(splitWords(line)[0]!, read)).toString()
  assert.is(await value('@x.txt'), 'content of x.txt')
  assert.is(await value('"@x.txt"'), '@x.txt')
  assert.is(await value('hex:4078'), '@x')
})

test.run()
