/**
 * Who a node is: an Ed25519 key whose public half is the peer id. Keys are kept as libp2p's protobuf private key; signing
 * and verifying go through synchronous `node:crypto` (44 and 119 µs, a third less than the asynchronous key objects).
 *
 * @example
 *   const identity = await createIdentity()                 // identity.bytes go to disk
 *   const again = loadIdentity(identity.bytes)
 *   const signer = signerOf(again.privateKey)
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { CoterieError } from '../errors.ts'
import type { Signer } from '../ports.ts'

export interface Identity {
  privateKey: PrivateKey
  /** Base58, `12D3KooW…`. */
  peerId: string
  /** The protobuf private key: secret, for a file that only its owner may read. */
  bytes: Uint8Array
}

/** ASN.1 headers in front of the 32 raw bytes of an Ed25519 key (RFC 8410). */
const PKCS8_HEADER = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_HEADER = Buffer.from('302a300506032b6570032100', 'hex')
const SEED_BYTES = 32
/** Public keys kept ready: more than the members of the largest cluster (design §12). */
const MAX_CACHED_KEYS = 2048

export async function createIdentity(): Promise<Identity> {
  return identityOf(await generateKeyPair('Ed25519'))
}

/** Throws `damaged` for bytes that are no private key, `bad-config` for one that is not Ed25519. */
export function loadIdentity(bytes: Uint8Array): Identity {
  let privateKey: PrivateKey
  try {
    privateKey = privateKeyFromProtobuf(bytes)
  } catch (cause) {
    throw new CoterieError('damaged', 'the identity file holds no libp2p private key; restore it from a backup', {
      cause
    })
  }
  if (privateKey.type !== 'Ed25519') {
    throw new CoterieError('bad-config', `the identity is a ${privateKey.type} key; only Ed25519 keys are taken`)
  }
  return identityOf(privateKey)
}

function identityOf(privateKey: Ed25519PrivateKey): Identity {
  const peerId = peerIdFromPrivateKey(privateKey).toString()
  return { privateKey, peerId, bytes: new Uint8Array(privateKeyToProtobuf(privateKey)) }
}

/** Signs with `privateKey` (Ed25519, or `bad-config`); verifies against the key inside any peer id. */
export function signerOf(privateKey: PrivateKey): Signer {
  if (privateKey.type !== 'Ed25519') {
    throw new CoterieError('bad-config', `cannot sign with a ${privateKey.type} key; only Ed25519 keys are taken`)
  }
  const der = Buffer.concat([PKCS8_HEADER, privateKey.raw.subarray(0, SEED_BYTES)])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const keys = new Map<string, KeyObject>()

  const publicKeyOf = (peerId: string): KeyObject | undefined => {
    const known = keys.get(peerId)
    if (known) return known
    const made = publicKeyIn(peerId)
    if (!made) return undefined
    if (keys.size >= MAX_CACHED_KEYS) keys.delete(keys.keys().next().value!)
    keys.set(peerId, made)
    return made
  }

  return {
    peerId: peerIdFromPrivateKey(privateKey).toString(),
    sign: message => new Uint8Array(sign(null, message, key)),
    verify(peerId, message, signature) {
      const publicKey = publicKeyOf(peerId)
      return publicKey !== undefined && verify(null, message, publicKey, signature)
    }
  }
}

function publicKeyIn(peerId: string): KeyObject | undefined {
  try {
    const { publicKey } = peerIdFromString(peerId)
    if (publicKey?.type !== 'Ed25519') return undefined
    return createPublicKey({ key: Buffer.concat([SPKI_HEADER, publicKey.raw]), format: 'der', type: 'spki' })
  } catch {
    // Not a peer id at all: whoever sent it gets "does not verify", as for any other wrong name.
    return undefined
  }
}
