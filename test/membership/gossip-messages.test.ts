import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  DIGEST_OVERHEAD,
  decodeGossip,
  encodeGossip,
  entryBytes,
  type GossipMessage,
  packRecords,
  recordBytes
} from '../../src/membership/gossip-messages.ts'
import type { SignedRecord } from '../../src/membership/member-record.ts'
import { signRemoval } from '../../src/membership/removal.ts'
import { fakeSigner } from '../support/fake-signer.ts'
import { CLUSTER } from './harness.ts'

const proto = protobuf.parse(readFileSync('src/wire/gossip.proto', 'utf8'), { keepCase: true }).root
const MessageType = proto.lookupType('coterie.gossip.v1.GossipMessage')

const safe = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const prefix = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const signedRecord: fc.Arbitrary<SignedRecord> = fc
  .record({
    body: fc.uint8Array({ maxLength: 50 }),
    signature: fc.uint8Array({ maxLength: 64 }),
    removal: fc.boolean()
  })
  .map(({ removal, ...rest }) => (removal ? { ...rest, removal } : rest))
const records = fc.array(signedRecord, { maxLength: 5 })
const anyMessage: fc.Arbitrary<GossipMessage> = fc.oneof(
  fc.record({
    type: fc.constant('digest' as const),
    from: prefix,
    to: prefix,
    entries: fc.array(fc.record({ prefix, incarnation: safe, seq: safe, pulse: safe }), { maxLength: 10 })
  }),
  fc.record({
    type: fc.constant('delta' as const),
    records,
    pulses: fc.array(fc.record({ prefix, incarnation: safe, pulse: safe }), { maxLength: 10 }),
    wants: fc.array(prefix, { maxLength: 10 })
  }),
  fc.record({ type: fc.constant('records' as const), records })
)

const test = suite('membership: gossip messages')

test('a message comes back as it went, and as gossip.proto has it', () => {
  fc.assert(
    fc.property(anyMessage, message => {
      const bytes = encodeGossip(message)
      assert.equal(plain(decodeGossip(bytes)), plain(message))
      const theirs = MessageType.encode(MessageType.decode(bytes)).finish()
      assert.equal(plain(decodeGossip(theirs)), plain(message))
      assert.is(Object.keys(MessageType.toObject(MessageType.decode(bytes))).join(), message.type)
    })
  )
})

/** In a form that compares whatever the bytes are held in. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}`
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
}

test('a digest is as long as its entries say, and a typical entry takes 12 bytes', () => {
  const entry = { prefix: 2n ** 63n, incarnation: 9, seq: 100, pulse: 16_000 }
  assert.is(entryBytes(entry), 12)
  fc.assert(
    fc.property(fc.array(fc.record({ prefix, incarnation: safe, seq: safe, pulse: safe })), entries => {
      const bytes = encodeGossip({ type: 'digest', from: 0n, to: 2n ** 64n - 1n, entries })
      const sum = entries.reduce((total, each) => total + entryBytes(each), 0)
      assert.ok(bytes.length >= sum && bytes.length <= sum + DIGEST_OVERHEAD)
    })
  )
})

test('records are packed in order, each pack under its cap unless one record is larger', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3000), { maxLength: 30 }), fc.nat(2000), (sizes, firstCap) => {
      const all = sizes.map(size => ({ body: new Uint8Array(size), signature: new Uint8Array(64) }))
      const packs = packRecords(all, firstCap, 2000)
      assert.equal(
        packs.flat().map(each => each.body.length),
        sizes
      )
      packs.forEach((pack, i) => {
        const bytes = pack.reduce((sum, each) => sum + recordBytes(each), 0)
        assert.ok(bytes <= (i === 0 ? firstCap : 2000) || (i > 0 && pack.length === 1))
        if (i > 0) assert.ok(pack.length > 0)
      })
    })
  )
})

test('whatever is no message is a protocol error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
      try {
        decodeGossip(bytes)
      } catch (error) {
        assert.is((error as { code: string }).code, 'protocol')
      }
    }),
    { numRuns: 1000 }
  )
  assert.throws(() => decodeGossip(new Uint8Array(0)), /no known kind/)
  // A length that runs over the end, and a number of over 2^53.
  assert.throws(() => decodeGossip(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0x7f)), /no message/)
  const huge = [...new Array(8).fill(1), ...new Array(9).fill(0xff), 0x01, 0, 0]
  assert.throws(() => decodeGossip(Uint8Array.from([0x0a, huge.length + 2, 0x1a, huge.length, ...huge])), /2\^53/)
})

test('a removal is a signed record of its own kind', () => {
  const signed = signRemoval({ peerId: 'gone', by: 'a', atMs: 5 }, CLUSTER, fakeSigner('a'))
  const message = decodeGossip(encodeGossip({ type: 'records', records: [signed] }))
  assert.is(message.type === 'records' && message.records[0]!.removal, true)
  const Removal = proto.lookupType('coterie.gossip.v1.Removal')
  assert.equal(Removal.toObject(Removal.decode(signed.body), { longs: Number }), { peer_id: 'gone', by: 'a', at_ms: 5 })
})

test.run()
