import { generateKeyPair } from '@libp2p/crypto/keys'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../src/errors.ts'
import { createIdentity, loadIdentity, signerOf } from '../../src/wire/identity.ts'

const test = suite('wire/identity')
const message = new TextEncoder().encode('grant range 7')

test('an identity survives being written and read', async () => {
  const identity = await createIdentity()
  const again = loadIdentity(identity.bytes)
  assert.is(again.peerId, identity.peerId)
  assert.match(identity.peerId, /^12D3KooW/)
  assert.equal(again.bytes, identity.bytes)
})

test('what one signs, everybody verifies, and libp2p keys agree', async () => {
  const a = await createIdentity()
  const [signer, other] = [signerOf(a.privateKey), signerOf((await createIdentity()).privateKey)]
  const signature = signer.sign(message)
  assert.is(signature.length, 64)
  assert.ok(other.verify(a.peerId, message, signature))
  assert.ok(await a.privateKey.publicKey.verify(message, signature))
  assert.ok(other.verify(a.peerId, message, new Uint8Array(await a.privateKey.sign(message))))
})

test('a wrong signature, signer or name does not verify, and nothing throws', async () => {
  const a = await createIdentity()
  const signer = signerOf(a.privateKey)
  const signature = signer.sign(message)
  const bent = signature.slice()
  bent[5]! ^= 1
  assert.not(signer.verify(a.peerId, message, bent))
  assert.not(signer.verify(a.peerId, message.subarray(1), signature))
  assert.not(signer.verify((await createIdentity()).peerId, message, signature))
  for (const name of ['', 'nobody', '__proto__', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', '1'.repeat(5000)]) {
    assert.not(signer.verify(name, message, signature))
  }
  assert.not(signer.verify(a.peerId, message, new Uint8Array(0)))
  const ecdsa = await generateKeyPair('secp256k1')
  assert.not(signer.verify(ecdsa.publicKey.toString(), message, signature))
})

test('bytes that hold no Ed25519 key are refused clearly', async () => {
  assert.throws(
    () => loadIdentity(Uint8Array.of(1, 2, 3)),
    (error: unknown) => isCoterieError(error, 'damaged')
  )
  const { privateKeyToProtobuf } = await import('@libp2p/crypto/keys')
  const other = privateKeyToProtobuf(await generateKeyPair('secp256k1'))
  assert.throws(
    () => loadIdentity(other),
    (error: unknown) => isCoterieError(error, 'bad-config') && error.message.includes('secp256k1')
  )
})

test.run()
