/** Signers for tests: a cheap one whose signature is a keyed digest, and a real Ed25519 one. */
import { createPrivateKey, createPublicKey, hash, sign, verify } from 'node:crypto'
import type { Signer } from '../../src/ports.ts'

/** Every fake signer verifies every other's signature; peer ids are any text. */
export { simSigner as fakeSigner } from '../../src/sim/signer.ts'

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** Protobuf header of an Ed25519 public key inside an identity multihash, as libp2p peer ids carry it. */
const PEER_ID_HEADER = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
const PKCS8_HEADER = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_HEADER = Buffer.from('302a300506032b6570032100', 'hex')

/** A real Ed25519 signer with a real libp2p peer id, from a seed text. */
export function ed25519Signer(seed: string): Signer {
  const secret = hash('sha256', seed, 'buffer')
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEADER, secret]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  const peerId = toBase58(Buffer.concat([PEER_ID_HEADER, spki.subarray(SPKI_HEADER.length)]))
  return {
    peerId,
    sign: message => new Uint8Array(sign(null, message, key)),
    verify(by, message, signature) {
      const raw = fromBase58(by)
      if (raw?.length !== PEER_ID_HEADER.length + 32 || !PEER_ID_HEADER.every((byte, i) => raw[i] === byte))
        return false
      const der = Buffer.concat([SPKI_HEADER, raw.subarray(PEER_ID_HEADER.length)])
      return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature)
    }
  }
}

function toBase58(bytes: Uint8Array): string {
  let value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  let text = ''
  for (; value > 0n; value /= 58n) text = ALPHABET[Number(value % 58n)] + text
  const zeros = bytes.findIndex(byte => byte !== 0)
  return '1'.repeat(Math.max(0, zeros)) + text
}

function fromBase58(text: string): Uint8Array | undefined {
  let value = 0n
  for (const char of text) {
    const digit = ALPHABET.indexOf(char)
    if (digit < 0) return undefined
    value = value * 58n + BigInt(digit)
  }
  const hex = value.toString(16)
  const zeros = /^1*/.exec(text)![0].length
  return new Uint8Array([...new Array(zeros).fill(0), ...Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')])
}
