import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../src/errors.ts'
import { EMPTY_CONTEXT, equals } from '../../src/version/causal-context.ts'
import { decodeContext, encodeContext, tokenFromString, tokenToString } from '../../src/version/token.ts'
import { contextArb } from './arbitraries.ts'

const test = suite('version/token')
const encoder = new TextEncoder()
const scope = { clusterId: '0123456789abcdef0123456789abcdef', key: encoder.encode('cart:7') }
const context = { vector: new Map([['00000000000000aa', 3]]), cloud: [] }

function refused(run: () => unknown, says: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.instance(error, CoterieError)
    assert.is((error as CoterieError).code, 'bad-context')
    assert.match((error as CoterieError).message, says)
    return true
  })
}

test('a context survives its token and the token its text', () => {
  fc.assert(
    fc.property(contextArb, fc.uint8Array({ minLength: 1, maxLength: 40 }), (any, key) => {
      const token = encodeContext(any, { ...scope, key })
      const text = tokenToString(token)
      assert.match(text, /^[A-Za-z0-9_-]+$/)
      assert.ok(equals(decodeContext(tokenFromString(text), { ...scope, key }), any))
    })
  )
  assert.ok(equals(decodeContext(encodeContext(EMPTY_CONTEXT, scope), scope), EMPTY_CONTEXT))
})

test('another key and another cluster are told apart', () => {
  const token = encodeContext(context, scope)
  refused(() => decodeContext(token, { ...scope, key: encoder.encode('cart:8') }), /another key/)
  refused(() => decodeContext(token, { ...scope, clusterId: 'f'.repeat(32) }), /another cluster/)
})

test('a cut token is told', () => {
  const token = encodeContext(context, scope)
  for (let length = 0; length < token.length; length++) {
    refused(() => decodeContext(token.subarray(0, length), scope), /cut short/)
  }
})

test('a changed or lengthened token is refused', () => {
  const token = encodeContext(context, scope)
  for (let index = 0; index < token.length; index++) {
    const changed = token.slice()
    changed[index] ^= 0x10
    refused(() => decodeContext(changed, scope), /checksum|cut short|unknown version/)
  }
  refused(() => decodeContext(Uint8Array.from([...token, 0]), scope), /checksum/)
})

test('text that is no base64url is refused', () => {
  for (const text of ['', 'a b', 'ab+/', 'abc=', 'é']) refused(() => tokenFromString(text), /base64url/)
  refused(() => tokenFromString('abcde'), /cut short/)
})

test('a token inside a larger buffer is read by its own bounds', () => {
  const token = encodeContext(context, scope)
  const around = new Uint8Array(token.length + 20).fill(7)
  around.set(token, 11)
  assert.ok(equals(decodeContext(around.subarray(11, 11 + token.length), scope), context))
  assert.is(tokenToString(around.subarray(11, 11 + token.length)), tokenToString(token))
})

test.run()
