/**
 * Signatures of the simulation: a keyed digest of 64 bytes, as long as Ed25519's and a hundred times cheaper. Unforgeable by
 * convention only: an adversary of the simulation may replay or garble what others signed, and not sign for them.
 */
import { hash } from 'node:crypto'
import type { Signer } from '../ports.ts'

/** Peer ids are any text. Every simulated signer verifies every other's signatures. */
export function simSigner(peerId: string): Signer {
  return {
    peerId,
    sign: message => signatureOf(peerId, message),
    verify: (by, message, signature) => Buffer.compare(signatureOf(by, message), signature) === 0
  }
}

function signatureOf(peerId: string, message: Uint8Array): Uint8Array {
  const key = `sim-signer|${peerId}|`
  const keyed = Buffer.allocUnsafe(Buffer.byteLength(key) + message.length)
  keyed.set(message, keyed.write(key))
  const digest = hash('sha256', keyed, 'buffer')
  const signature = new Uint8Array(2 * digest.length)
  signature.set(digest)
  signature.set(digest, digest.length)
  return signature
}
