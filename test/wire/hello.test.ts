import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import {
  decodeHello,
  decodeStep,
  type Exchange,
  encodeHello,
  encodeStep,
  type Hello,
  proofOf,
  provesSecret,
  whyNot
} from '../../src/wire/hello.ts'

const test = suite('wire/hello')
const proto = protobuf.parse(readFileSync(new URL('../../src/wire/hello.proto', import.meta.url), 'utf8')).root
const HelloType = proto.lookupType('coterie.hello.Hello')
const StepType = proto.lookupType('coterie.hello.Step')

const params = { name: 'orders', q: 256, n: 3, r: 2, w: 2, hash: 'sha256' }
const hello: Hello = {
  version: 1,
  clusterId: 'ab'.repeat(16),
  role: 'node',
  nonce: new Uint8Array(32).fill(9),
  open: false,
  params
}

test('hello.proto and the codec agree', () => {
  for (const one of [hello, { ...hello, role: 'client' as const, open: true, params: undefined }]) {
    const theirs = HelloType.toObject(HelloType.decode(encodeHello(one)), { defaults: true })
    assert.equal([theirs.version, theirs.clusterId, theirs.role], [1, one.clusterId, one.role === 'node' ? 0 : 1])
    assert.is(theirs.open, one.open)
    assert.equal(theirs.params ?? undefined, one.params)
    const { role, ...rest } = one
    const bytes = HelloType.encode(HelloType.fromObject({ ...rest, role: role === 'node' ? 0 : 1 })).finish()
    const { params: adopted, ...decoded } = decodeHello(new Uint8Array(bytes))
    assert.equal({ ...decoded, params: adopted }, { ...one })
  }
  const refusal = new CoterieError('refused', 'no')
  const seen = StepType.toObject(StepType.decode(encodeStep({ refusal, hello: Uint8Array.of(1) })))
  assert.equal(seen.refusal, { code: 'refused', message: 'no' })
  const step = decodeStep(new Uint8Array(StepType.encode(StepType.fromObject({ admitted: true, proof: [1] })).finish()))
  assert.equal(step, { admitted: true, proof: Uint8Array.of(1) })
})

test('garbage never does more than throw `protocol`', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), bytes => {
      for (const decode of [decodeHello, decodeStep]) {
        try {
          decode(bytes)
        } catch (error) {
          assert.ok(isCoterieError(error, 'protocol'))
        }
      }
    }),
    { numRuns: 1000 }
  )
})

test('a proof holds for its secret, side, peers and hellos alone', () => {
  const secret = new Uint8Array(32).fill(1)
  const exchange: Exchange = {
    initiator: 'A',
    acceptor: 'B',
    initiatorHello: encodeHello(hello),
    acceptorHello: encodeHello({ ...hello, nonce: new Uint8Array(32).fill(8) })
  }
  const proof = proofOf(secret, 'initiator', exchange)
  assert.ok(provesSecret(proof, secret, 'initiator', exchange))
  assert.not(provesSecret(proof, secret, 'acceptor', exchange), 'cannot be sent back')
  assert.not(provesSecret(proof, new Uint8Array(32).fill(2), 'initiator', exchange))
  assert.not(provesSecret(undefined, secret, 'initiator', exchange))
  assert.not(provesSecret(proof.subarray(1), secret, 'initiator', exchange))
  const other = encodeHello({ ...hello, nonce: new Uint8Array(32).fill(7) })
  const changes: Partial<Exchange>[] = [
    { initiator: 'C' },
    { acceptor: 'C' },
    { initiator: 'AB', acceptor: '' },
    { initiatorHello: other },
    { acceptorHello: other },
    { initiatorHello: encodeHello({ ...hello, role: 'client' }) }
  ]
  for (const change of changes) assert.not(provesSecret(proof, secret, 'initiator', { ...exchange, ...change }))
})

test('what differs is named, and what fits passes', () => {
  assert.is(whyNot(hello, hello), undefined)
  assert.is(whyNot(hello, { ...hello, params: undefined }), undefined)
  assert.is(whyNot(hello, { ...hello, params: { ...params, name: 'x', r: 1, w: 3 } }), undefined)
  const cases: [Partial<Hello>, string, RegExp][] = [
    [{ version: 2 }, 'refused', /version 2/],
    [{ clusterId: 'cd'.repeat(16) }, 'refused', /cluster cdcd/],
    [{ open: true }, 'refused', /I hold a cluster secret and you hold none/],
    [{ params: { ...params, q: 64 } }, 'refused', /ranges: you have 64, I have 256/],
    [{ params: { ...params, n: 5 } }, 'refused', /replicas: you have 5, I have 3/],
    [{ params: { ...params, hash: 'md5' } }, 'refused', /hash: you have md5/]
  ]
  for (const [change, code, message] of cases) {
    const error = whyNot(hello, { ...hello, ...change })!
    assert.is(error.code, code)
    assert.match(error.message, message)
  }
  const fresh = { ...hello, params: undefined }
  assert.is(whyNot(fresh, fresh)!.code, 'not-available')
})

test.run()
