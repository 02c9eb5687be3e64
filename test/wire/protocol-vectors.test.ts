/**
 * The test vectors of docs/protocol.md are what the code computes. Each is a fenced block ```vector NAME of lines
 * `field  value`; this file knows, for every name, how the fields follow from constants. When the code is meant to change
 * what a vector says, the failing test prints the block that the page should have.
 */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { joined } from '../../src/bytes.ts'
import { grantMessage } from '../../src/claim.ts'
import { encodeInvite, formatSecret } from '../../src/invite.ts'
import { encodeGossip } from '../../src/membership/gossip-messages.ts'
import { type MemberRecord, signRecord } from '../../src/membership/member-record.ts'
import { prefixOf } from '../../src/membership/member-table.ts'
import { REMOVED_INCARNATION, signRemoval } from '../../src/membership/removal.ts'
import { encodeSync } from '../../src/repair/sync-codec.ts'
import { BucketSums, bucketOf } from '../../src/replica/bucket-sums.ts'
import { formatPosition, positionOf, rangeOf } from '../../src/ring/position.ts'
import { RingView } from '../../src/ring/ring-view.ts'
import { normalise, withDot } from '../../src/version/causal-context.ts'
import { encodeState, stateTag } from '../../src/version/codec.ts'
import { emptyState, type KeyState, merge, write } from '../../src/version/key-state.ts'
import { encodeContext, tokenToString } from '../../src/version/token.ts'
import { frameOf } from '../../src/wire/framing.ts'
import { encodeHello, proofOf } from '../../src/wire/hello.ts'
import { signerOf } from '../../src/wire/identity.ts'
import { encodeFrame } from '../../src/wire/kv-codec.ts'

const test = suite('docs/protocol.md')
const PAGE = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
/** Long byte strings go on in the next line. */
const LINE_DIGITS = 104

type Vector = Record<string, string>

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const utf8 = (text: string) => new TextEncoder().encode(text)
const quoted = (text: string) => `"${text}"`
const counting = (length: number, from = 0) => Uint8Array.from({ length }, (_, i) => (from + i) & 0xff)

// ---- the constants that the vectors are made of

const clusterId = hex(counting(16))
const secret = counting(32, 0x40)
const seedA = counting(32)
const seedB = counting(32, 0x80)
const signerA = signerOf(privateKeyOf(seedA))
const signerB = signerOf(privateKeyOf(seedB))
const key = utf8('cart:7')
const nowMs = 1_700_000_000_000
const [actorA, actorB, actorC] = ['a1a1a1a1a1a1a1a1', 'b2b2b2b2b2b2b2b2', 'c3c3c3c3c3c3c3c3']
const writeIds = ['0101010101010101', '0202020202020202', '0303030303030303', '0404040404040404']
const params = { name: 'orders', q: 256, n: 3, r: 2, w: 2, hash: 'sha256' }

function rawPublicKey(seed: Uint8Array): Buffer {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const spki = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })).export({
    format: 'der',
    type: 'spki'
  })
  return spki.subarray(spki.length - 32)
}

function privateKeyOf(seed: Uint8Array) {
  return privateKeyFromRaw(Buffer.concat([seed, rawPublicKey(seed)]))
}

/** One value, replaced by another, with a blind write of a second copy beside it. */
function states() {
  const common = { expiresAtMs: 0, nowMs }
  const first = write(emptyState(), {
    ...common,
    dot: { actor: actorA, counter: 3 },
    value: utf8('milk'),
    writeId: writeIds[0]
  })
  const seen = withDot(normalise([], []), first.dot)
  const a = write(first.state, {
    ...common,
    dot: { actor: actorA, counter: 5 },
    value: utf8('milk, eggs'),
    context: seen,
    writeId: writeIds[1]
  })
  const b = write(first.state, {
    ...common,
    dot: { actor: actorB, counter: 1 },
    value: utf8('bread'),
    writeId: writeIds[2],
    expiresAtMs: nowMs + 3_600_000
  })
  const merged = merge(a.state, b.state, nowMs)
  // The deleter had also seen a write of a third copy that has not arrived here: its dot goes into the cloud.
  const all = withDot(merged.context, { actor: actorC, counter: 9 })
  const deleted = write(merged, {
    ...common,
    dot: { actor: actorA, counter: 6 },
    value: undefined,
    context: all,
    writeId: writeIds[3]
  })
  return { first: first.state, a: a.state, b: b.state, merged, deleted: deleted.state, seen: withDot(seen, a.dot) }
}

const stateFields = (state: KeyState): Vector => ({ state: hex(encodeState(state)), tag: String(stateTag(state)) })

function record(): MemberRecord {
  return {
    peerId: signerA.peerId,
    incarnation: 2,
    seq: 7,
    instanceId: 'c0c1c2c3c4c5c6c7',
    status: 'up',
    addresses: ['/ip4/192.0.2.1/tcp/4270'],
    zone: 'rack-1',
    capacity: 1.5,
    load: { keys: 10, bytes: 300, opsPerSecond: 0.5 },
    claims: [{ range: 0, epoch: 1, owner: signerA.peerId }, grantedClaim()],
    protocol: 1
  }
}

function grantedClaim() {
  const claim = { range: 7, epoch: 2, owner: signerB.peerId }
  return { ...claim, grant: { by: signerA.peerId, signature: signerA.sign(grantMessage(clusterId, claim)) } }
}

// ---- name → fields, in the order of the page

const VECTORS: Record<string, () => Vector> = {
  identity: () => ({
    'seed A': hex(seedA),
    'public key A': hex(rawPublicKey(seedA)),
    'peer id A': quoted(signerA.peerId),
    'seed B': hex(seedB),
    'public key B': hex(rawPublicKey(seedB)),
    'peer id B': quoted(signerB.peerId)
  }),
  invite: () => ({
    'cluster id': quoted(clusterId),
    name: quoted(params.name),
    secret: hex(secret),
    address: quoted(`/ip4/192.0.2.1/tcp/4270/p2p/${signerA.peerId}`),
    'secret line': quoted(formatSecret({ clusterId, secret })),
    invite: quoted(
      encodeInvite({
        clusterId,
        name: params.name,
        secret,
        addresses: [`/ip4/192.0.2.1/tcp/4270/p2p/${signerA.peerId}`]
      })
    )
  }),
  framing: () => ({
    empty: hex(frameOf(new Uint8Array(0))),
    '3 bytes': hex(frameOf(Uint8Array.of(1, 2, 3))),
    'prefix of 300 bytes': hex(frameOf(new Uint8Array(300)).subarray(0, 2))
  }),
  hello: () => {
    const initiatorHello = encodeHello({ version: 1, clusterId, role: 'client', nonce: counting(32), open: false })
    const acceptorHello = encodeHello({
      version: 1,
      clusterId,
      role: 'node',
      nonce: counting(32, 0x20),
      open: false,
      params
    })
    const exchange = { initiator: signerB.peerId, acceptor: signerA.peerId, initiatorHello, acceptorHello }
    return {
      secret: hex(secret),
      initiator: quoted(exchange.initiator),
      acceptor: quoted(exchange.acceptor),
      "initiator's hello": hex(initiatorHello),
      "acceptor's hello": hex(acceptorHello),
      "acceptor's proof": hex(proofOf(secret, 'acceptor', exchange)),
      "initiator's proof": hex(proofOf(secret, 'initiator', exchange))
    }
  },
  'kv-put': () => {
    const request = {
      type: 'put' as const,
      key,
      value: utf8('milk'),
      w: 'quorum' as const,
      expiresAtMs: 0,
      writeId: Buffer.from(writeIds[0], 'hex'),
      forwarded: false
    }
    return {
      what: 'id 1, 5000 ms, put of "milk" under "cart:7", blind, w a majority',
      frame: hex(encodeFrame({ id: 1, timeoutMs: 5000, request })),
      'on the stream': hex(frameOf(encodeFrame({ id: 1, timeoutMs: 5000, request })))
    }
  },
  position: () => ({
    key: hex(key),
    position: quoted(formatPosition(positionOf(key))),
    'range of 8': String(rangeOf(positionOf(key), 8)),
    'range of 256': String(rangeOf(positionOf(key), 256)),
    'range of 4096': String(rangeOf(positionOf(key), 4096))
  }),
  preference: () => {
    const owners = [...'AABBCCDD']
    const zones: Record<string, string> = { A: 'x', B: 'x', C: 'x', D: 'y' }
    const plain = new RingView(owners, () => '', 3)
    const zoned = new RingView(owners, peer => zones[peer]!, 3)
    return {
      'owners of ranges 0 to 7': quoted(owners.join('')),
      N: '3',
      'one zone, range 0': quoted(plain.preferenceList(0).join('')),
      'one zone, range 6': quoted(plain.preferenceList(6).join('')),
      'D in another zone, range 0': quoted(zoned.preferenceList(0).join('')),
      'fallbacks then': quoted(zoned.fallbacks(0).join(''))
    }
  },
  grant: () => {
    const { grant, ...claim } = grantedClaim()
    return {
      message: quoted(new TextDecoder().decode(grantMessage(clusterId, claim))),
      by: quoted(grant.by),
      signature: hex(grant.signature)
    }
  },
  'member-record': () => {
    const { body, signature } = signRecord(record(), clusterId, signerA)
    return { body: hex(body), signature: hex(signature) }
  },
  removal: () => {
    const { body, signature } = signRemoval(
      { peerId: signerB.peerId, by: signerA.peerId, atMs: nowMs },
      clusterId,
      signerA
    )
    return { body: hex(body), signature: hex(signature) }
  },
  digest: () => {
    const [a, b] = [prefixOf(signerA.peerId), prefixOf(signerB.peerId)]
    const entries = [
      { prefix: a, incarnation: 2, seq: 7, pulse: 300 },
      { prefix: b, incarnation: REMOVED_INCARNATION, seq: 0, pulse: 0 }
    ]
    return {
      'prefix A': hex(encodeGossip({ type: 'delta', records: [], pulses: [], wants: [a] }).subarray(-8)),
      what: 'everything: A at incarnation 2, seq 7, pulse 300; B removed',
      message: hex(encodeGossip({ type: 'digest', from: 0n, to: 2n ** 64n - 1n, entries }))
    }
  },
  'state-first': () => ({
    what: `"milk" by dot ${actorA}:3, blind, write id ${writeIds[0]}`,
    ...stateFields(states().first)
  }),
  'state-a': () => ({
    what: `that, replaced with context {${actorA}:3} by "milk, eggs", dot ${actorA}:5, write id ${writeIds[1]}, at ${nowMs}`,
    ...stateFields(states().a)
  }),
  'state-b': () => ({
    what: `the first, and beside it "bread", dot ${actorB}:1, write id ${writeIds[2]}, expires at ${nowMs + 3_600_000}`,
    ...stateFields(states().b)
  }),
  'state-merged': () => ({ what: `a and b merged at ${nowMs}`, ...stateFields(states().merged) }),
  'state-deleted': () => ({
    what: `the merge, replaced with its context and ${actorC}:9 by a tombstone, dot ${actorA}:6, write id ${writeIds[3]}, at ${nowMs}`,
    ...stateFields(states().deleted)
  }),
  token: () => {
    const token = encodeContext(states().seen, { clusterId, key })
    return {
      what: `{${actorA}:3, ${actorA}:5}, key "cart:7", cluster ${clusterId}`,
      token: hex(token),
      text: quoted(tokenToString(token))
    }
  },
  'bucket-sums': () => {
    const sums = new BucketSums()
    const { hi, lo } = positionOf(key)
    sums.add(hi, lo, stateTag(states().merged))
    const one = sums.total()
    const bucket = bucketOf(lo)
    const words = hex(sums.encode().subarray(bucket * 8, bucket * 8 + 8))
    sums.add(0x01020304, 0xfffffc00, 0xdeadbeef)
    const two = sums.total()
    return {
      what: 'the merged state under "cart:7", then also hi 16909060, lo 4294966272, tag 3735928559',
      bucket: String(bucket),
      'its words': words,
      'total of one': `${one.hi} ${one.lo}`,
      'words of bucket 0': hex(sums.encode().subarray(0, 8)),
      'total of both': `${two.hi} ${two.lo}`,
      'sync open': hex(
        joined(encodeSync({ type: 'open', ranges: [{ range: 7, ...two }], pushOnly: false, durable: true }))
      )
    }
  }
}

function blockOf(name: string): string {
  const fields = Object.entries(VECTORS[name]!())
  const width = Math.max(...fields.map(([field]) => field.length)) + 2
  const lines = fields.flatMap(([field, value]) => {
    const pieces =
      value.startsWith('"') || field === 'what'
        ? [value]
        : (value.match(new RegExp(`.{1,${LINE_DIGITS}}`, 'g')) ?? [''])
    return pieces.map((piece, i) => (i === 0 ? field : '').padEnd(width) + piece)
  })
  return `\`\`\`vector ${name}\n${lines.join('\n')}\n\`\`\``
}

const printed = new Map([...PAGE.matchAll(/^```vector (\S+)\n[\s\S]*?^```$/gm)].map(match => [match[1]!, match[0]]))

for (const name of Object.keys(VECTORS)) {
  test(name, () => assert.is(printed.get(name), blockOf(name), `docs/protocol.md should have:\n${blockOf(name)}`))
}

test('the page prints no vector that nobody checks', () => {
  assert.equal(
    [...printed.keys()].filter(name => !(name in VECTORS)),
    []
  )
})

test('the vectors show what they are meant to show', () => {
  const { merged, deleted } = states()
  assert.is(merged.siblings.length, 2)
  assert.is(merged.replaced.length, 1)
  assert.is(deleted.context.cloud.length, 1)
  assert.equal(
    deleted.siblings.map(({ value }) => value),
    [undefined]
  )
})

test.run()
