import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../src/errors.ts'
import { compareDots, formatDot, parseDot } from '../../src/version/dot.ts'

const test = suite('version/dot')

test('a dot survives being written and read', () => {
  const dots = fc
    .record({
      actor: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(bits => bits.toString(16).padStart(16, '0')),
      counter: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
    })
    .map(dot => ({ ...dot }))
  fc.assert(fc.property(dots, dot => assert.equal(parseDot(formatDot(dot)), dot)))
})

test('what is no dot is refused', () => {
  const wrong = ['', 'a:1', '00000000000000AA:1', '00000000000000aa', '00000000000000aa:0', '00000000000000aa:01']
  for (const text of [...wrong, '00000000000000aa:-1', '00000000000000aa:9999999999999999', ' 00000000000000aa:1']) {
    assert.throws(
      () => parseDot(text),
      (error: unknown) => isCoterieError(error, 'bad-usage'),
      text
    )
  }
})

test('dots order by actor, then by counter as a number', () => {
  const dots = ['000000000000000b:2', '000000000000000a:10', '000000000000000a:9'].map(parseDot)
  assert.equal(dots.sort(compareDots).map(formatDot), [
    '000000000000000a:9',
    '000000000000000a:10',
    '000000000000000b:2'
  ])
})

test.run()
