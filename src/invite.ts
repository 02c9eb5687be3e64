/**
 * Invites and secret lines: the two printable forms in which a cluster's id and secret travel between people.
 *
 * An invite is `coterie1` followed by base64url of
 *
 *     length u16 | Invite (proto3) | CRC-32 u32 of all before
 *
 *     message Invite {
 *       bytes cluster_id = 1;           // 16
 *       string name = 2;
 *       bytes secret = 3;               // 32; absent: an open cluster
 *       repeated string addresses = 4;  // multiaddrs; `peer` is appended to each
 *       string peer = 5;                // `/p2p/…` when all addresses share it
 *     }
 *
 * Length and checksum tell an invite that was cut short from one that was mistyped.
 */
import { crc32 } from 'node:zlib'
import protobuf from 'protobufjs/minimal.js'
import { CoterieError } from './errors.ts'

export interface Invite {
  /** 32 hex digits. */
  clusterId: string
  /** The cluster's name, for people; may be empty. */
  name: string
  /** 32 bytes; absent for an open cluster. */
  secret?: Uint8Array
  /** Multiaddrs of members, with `/p2p/…`. */
  addresses: string[]
}

export interface Secret {
  clusterId: string
  /** 32 bytes; absent for an open cluster. */
  secret?: Uint8Array
}

const MARK = 'coterie1'
const SECRET_MARK = 'coterie-secret-1'
const CLUSTER_ID_BYTES = 16
export const SECRET_BYTES = 32
/** More addresses than this make an invite too long to paste; any one that answers is enough. */
export const MAX_INVITE_ADDRESSES = 16
const MAX_ADDRESS_LENGTH = 512
const MAX_NAME_LENGTH = 256
const LENGTH_BYTES = 2
const CHECKSUM_BYTES = 4

/** Throws `bad-config` for parts that no invite can carry. */
export function encodeInvite(invite: Invite): string {
  checkClusterId(invite.clusterId)
  if (invite.secret) checkSecretLength(invite.secret)
  const addresses = invite.addresses.slice(0, MAX_INVITE_ADDRESSES)
  const peer = sharedPeer(addresses)
  const writer = new protobuf.Writer()
  writer.uint32(10).bytes(Buffer.from(invite.clusterId, 'hex'))
  if (invite.name) writer.uint32(18).string(invite.name)
  if (invite.secret) writer.uint32(26).bytes(invite.secret)
  for (const address of addresses) writer.uint32(34).string(address.slice(0, address.length - peer.length))
  if (peer) writer.uint32(42).string(peer)
  const message = writer.finish()

  const bytes = Buffer.alloc(LENGTH_BYTES + message.length + CHECKSUM_BYTES)
  bytes.writeUInt16BE(message.length)
  bytes.set(message, LENGTH_BYTES)
  const checked = LENGTH_BYTES + message.length
  bytes.writeUInt32BE(crc32(bytes.subarray(0, checked)), checked)
  return MARK + bytes.toString('base64url')
}

/** Reads an invite, whatever line breaks a mail program put in. Throws `bad-usage`, saying what is wrong with it. */
export function decodeInvite(text: string): Invite {
  const bytes = inviteBytes(text.replace(/\s+/g, ''))
  const { clusterId, name, secret, addresses, peer } = inviteMessage(bytes)
  if (clusterId.length !== CLUSTER_ID_BYTES) throw notAnInvite('it carries no cluster id')
  if (secret && secret.length !== SECRET_BYTES) throw notAnInvite('its secret has the wrong length')
  if (addresses.length > MAX_INVITE_ADDRESSES) throw notAnInvite('it carries too many addresses')
  if (name.length > MAX_NAME_LENGTH) throw notAnInvite('its name is too long')
  const whole = addresses.map(address => address + peer)
  for (const address of whole) {
    if (address.length > MAX_ADDRESS_LENGTH || !/^\/[\x21-\x7e]+$/.test(address)) {
      throw notAnInvite('one of its addresses cannot be read')
    }
  }
  return { clusterId: Buffer.from(clusterId).toString('hex'), name, ...(secret && { secret }), addresses: whole }
}

/** One printable line, without the line end: what `D/secret` holds. */
export function formatSecret({ clusterId, secret }: Secret): string {
  checkClusterId(clusterId)
  if (secret) checkSecretLength(secret)
  return `${SECRET_MARK}:${clusterId}:${secret ? Buffer.from(secret).toString('base64url') : 'open'}`
}

/** Throws `bad-config`, without repeating the secret. `where` names the file in messages. */
export function parseSecret(line: string, where = 'the secret'): Secret {
  const [mark, clusterId = '', word = '', ...rest] = line.trim().split(':')
  const wrong = (what: string) =>
    new CoterieError('bad-config', `${where} ${what}; it takes one line ${SECRET_MARK}:CLUSTER-ID:SECRET`)
  if (mark !== SECRET_MARK || rest.length > 0) throw wrong('is not a coterie secret')
  if (!/^[0-9a-f]{32}$/.test(clusterId)) throw wrong('holds no cluster id of 32 hex digits')
  if (word === 'open') return { clusterId }
  const secret = new Uint8Array(Buffer.from(word, 'base64url'))
  if (!/^[\w-]+$/.test(word) || secret.length !== SECRET_BYTES) {
    throw wrong(`holds a secret that is not ${SECRET_BYTES} bytes in base64url (was it cut short?)`)
  }
  return { clusterId, secret }
}

function inviteBytes(text: string): Buffer {
  if (!text.startsWith(MARK)) {
    if (/^coterie\d/.test(text)) throw notAnInvite('it was made by a newer coterie: upgrade this one')
    throw notAnInvite(`it does not start with ${MARK}`)
  }
  const body = text.slice(MARK.length)
  const foreign = /[^\w-]/.exec(body)
  if (foreign) throw notAnInvite(`it has a character "${foreign[0]}" that no invite has`)
  const bytes = Buffer.from(body, 'base64url')
  const length = bytes.length < LENGTH_BYTES ? Number.POSITIVE_INFINITY : bytes.readUInt16BE()
  const checked = LENGTH_BYTES + length
  if (bytes.length < checked + CHECKSUM_BYTES) {
    throw new CoterieError('bad-usage', 'the invite is cut short: copy all of it, up to its last character')
  }
  if (bytes.length > checked + CHECKSUM_BYTES) {
    throw new CoterieError('bad-usage', 'the invite has extra characters at its end: copy it again, and nothing else')
  }
  if (bytes.readUInt32BE(checked) !== crc32(bytes.subarray(0, checked))) {
    throw new CoterieError(
      'bad-usage',
      'the invite does not match its checksum: a character was changed; copy it again'
    )
  }
  return bytes.subarray(LENGTH_BYTES, checked)
}

function inviteMessage(bytes: Uint8Array) {
  const message = { clusterId: new Uint8Array(0), name: '', secret: undefined as Uint8Array | undefined, peer: '' }
  const addresses: string[] = []
  try {
    const reader = new protobuf.Reader(bytes)
    while (reader.pos < reader.len) {
      const tag = reader.uint32()
      if (tag === 10) message.clusterId = new Uint8Array(reader.bytes())
      else if (tag === 18) message.name = reader.string()
      else if (tag === 26) message.secret = new Uint8Array(reader.bytes())
      else if (tag === 34) addresses.push(reader.string())
      else if (tag === 42) message.peer = reader.string()
      else reader.skipType(tag & 7)
    }
  } catch (error) {
    throw notAnInvite('its content cannot be read', error)
  }
  return { ...message, addresses }
}

function notAnInvite(why: string, cause?: unknown): CoterieError {
  return new CoterieError('bad-usage', `this is not an invite that can be used: ${why}`, { cause })
}

function sharedPeer(addresses: string[]): string {
  const peers = new Set(addresses.map(address => /\/p2p\/\w+$/.exec(address)?.[0] ?? ''))
  return peers.size === 1 ? [...peers][0]! : ''
}

function checkClusterId(clusterId: string): void {
  if (!/^[0-9a-f]{32}$/.test(clusterId)) {
    throw new CoterieError('bad-config', `cluster id "${clusterId}" is not 32 hex digits`)
  }
}

function checkSecretLength(secret: Uint8Array): void {
  if (secret.length !== SECRET_BYTES) {
    throw new CoterieError('bad-config', `a cluster secret is ${SECRET_BYTES} bytes, not ${secret.length}`)
  }
}
