/**
 * A removal: a member's signed word that bars a peer id for good (design §5). It rides gossip as the highest version that
 * the removed peer can have, so that no record of its own ever beats it; it is kept for ever.
 */
import type { Signer } from '../ports.ts'
import { isPeerId, MAX_SIGNATURE_BYTES, type RefusalReason, type SignedRecord, signedBytes } from './member-record.ts'
import { finish, newWriter, readMessage, readSafe, tagOf } from './proto.ts'

export interface Removal {
  peerId: string
  /** The member that removed it. */
  by: string
  /** Wall milliseconds, for people. */
  atMs: number
}

/** Above every incarnation that a node may take. */
export const REMOVED_INCARNATION = Number.MAX_SAFE_INTEGER
const MAX_REMOVAL_BYTES = 1024
const REMOVAL_DOMAIN = 'coterie-removal-1'

export function signRemoval(removal: Removal, clusterId: string, signer: Signer): SignedRecord {
  const writer = newWriter()
  writer.uint32(tagOf.bytes(1)).string(removal.peerId).uint32(tagOf.bytes(2)).string(removal.by)
  writer.uint32(tagOf.varint(3)).uint64(Math.floor(removal.atMs))
  const body = finish(writer)
  return { body, signature: signer.sign(signedBytes(REMOVAL_DOMAIN, clusterId, body)), removal: true }
}

export type OpenedRemoval = { ok: true; removal: Removal } | { ok: false; reason: RefusalReason }

/** Without looking at the signature. Never throws. */
export function readRemoval(signed: SignedRecord): OpenedRemoval {
  if (signed.body.length > MAX_REMOVAL_BYTES || signed.signature.length > MAX_SIGNATURE_BYTES) {
    return { ok: false, reason: 'size' }
  }
  const removal: Removal = { peerId: '', by: '', atMs: 0 }
  try {
    readMessage(signed.body, (tag, reader) => {
      if (tag === tagOf.bytes(1)) removal.peerId = reader.string()
      else if (tag === tagOf.bytes(2)) removal.by = reader.string()
      else if (tag === tagOf.varint(3)) removal.atMs = readSafe(reader)
      else return false
      return true
    })
  } catch {
    // Whatever is wrong with foreign bytes, the answer is the same, and the caller counts it.
    return { ok: false, reason: 'garbled' }
  }
  const named = isPeerId(removal.peerId) && isPeerId(removal.by)
  return named ? { ok: true, removal } : { ok: false, reason: 'peer-id' }
}

export function verifyRemoval(
  removal: Removal,
  signed: SignedRecord,
  clusterId: string,
  signer: Pick<Signer, 'verify'>
): boolean {
  return signer.verify(removal.by, signedBytes(REMOVAL_DOMAIN, clusterId, signed.body), signed.signature)
}
