import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Claim } from '../../src/claim.ts'
import type { Heat } from '../../src/heat.ts'
import {
  decodeRecord,
  encodeRecord,
  MAX_RECORD_BYTES,
  type MemberRecord,
  openRecord,
  STATUSES,
  signRecord
} from '../../src/membership/member-record.ts'
import { ed25519Signer } from '../support/fake-signer.ts'
import { CLUSTER } from './harness.ts'

const proto = protobuf.parse(readFileSync('src/wire/gossip.proto', 'utf8'), { keepCase: true }).root
const RecordType = proto.lookupType('coterie.gossip.v1.MemberRecord')

const alice = ed25519Signer('alice')
const bob = ed25519Signer('bob')

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
// uvu's `equal` compares prototypes as well.
const plain = { noNullPrototype: true } as const
const grant = fc.record({ by: fc.constantFrom(alice.peerId, bob.peerId, 'carol'), signature: bytes(64) }, plain)
const claim: fc.Arbitrary<Claim> = fc
  .record(
    {
      range: fc.nat(4095),
      epoch: fc.nat(2 ** 31),
      owner: fc.constantFrom(alice.peerId, 'carol', 'dave'),
      grant: fc.option(grant, { nil: undefined })
    },
    plain
  )
  .map(({ grant, ...rest }) => (grant ? { ...rest, grant } : rest))

const told = fc.array(fc.record({ range: fc.nat(4095), work: fc.nat() }, plain), { maxLength: 4 })

const anyRecord: fc.Arbitrary<MemberRecord> = fc.record(
  {
    peerId: fc.constant(alice.peerId),
    incarnation: fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 }),
    seq: fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 }),
    instanceId: bytes(8).map(id => Buffer.from(id).toString('hex')),
    status: fc.constantFrom(...STATUSES),
    addresses: fc.array(fc.string({ maxLength: 50 }), { maxLength: 16 }),
    zone: fc.string({ maxLength: 16 }),
    capacity: fc.double({ min: 0.001, max: 1e6, noNaN: true }),
    load: fc.record(
      {
        keys: fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 }),
        bytes: fc.nat({ max: 2 ** 40 }),
        opsPerSecond: fc.double({ min: 0, max: 1e9, noNaN: true }).map(value => value + 0),
        heat: fc.record({ work: fc.nat(), hot: told, cool: told }, plain)
      },
      { ...plain, requiredKeys: ['keys', 'bytes', 'opsPerSecond'] }
    ),
    claims: fc
      .uniqueArray(claim, { maxLength: 20, selector: each => `${each.range}/${each.epoch}` })
      .map(claims => claims.sort((a, b) => a.range - b.range || a.epoch - b.epoch)),
    protocol: fc.nat(1000)
  },
  plain
)

export const sample: MemberRecord = {
  peerId: alice.peerId,
  incarnation: 3,
  seq: 7,
  instanceId: '0011223344556677',
  status: 'up',
  addresses: ['/ip4/10.0.0.1/tcp/4270'],
  zone: 'east',
  capacity: 2,
  load: { keys: 10, bytes: 2000, opsPerSecond: 3.5 },
  claims: [
    { range: 1, epoch: 1, owner: alice.peerId },
    { range: 2, epoch: 300, owner: alice.peerId, grant: { by: bob.peerId, signature: new Uint8Array(64).fill(9) } },
    { range: 5, epoch: 4, owner: bob.peerId, grant: { by: alice.peerId, signature: new Uint8Array(64).fill(8) } }
  ],
  protocol: 1
}

const test = suite('membership: member record')

test('a record comes back as it went', () => {
  fc.assert(fc.property(anyRecord, record => assert.equal(decodeRecord(encodeRecord(record)), record)))
})

test('the bytes are those of gossip.proto, both ways', () => {
  const object = RecordType.toObject(RecordType.decode(encodeRecord(sample)), { longs: Number, enums: String })
  assert.equal(object.peer_id, alice.peerId)
  assert.is(object.status, 'STATUS_UP')
  assert.equal([object.incarnation, object.seq, object.zone, object.capacity, object.protocol], [3, 7, 'east', 2, 1])
  assert.equal({ ...object.load }, { keys: 10, bytes: 2000, ops_per_second: 3.5 })
  const heat = { work: 900, hot: [{ range: 2, work: 700 }], cool: [{ range: 300, work: 0 }] }
  const warm = RecordType.decode(encodeRecord({ ...sample, load: { ...sample.load, heat } }))
  assert.equal(JSON.parse(JSON.stringify(RecordType.toObject(warm, { longs: Number }).load.heat)), {
    work: 900,
    hot_ranges: [2],
    hot_works: [700],
    cool_ranges: [300],
    cool_works: [0]
  })
  assert.equal(
    object.claims.map((group: Record<string, unknown>) => [group.owner, group.granter, group.ranges, group.epochs]),
    [
      [undefined, undefined, [1], [1]],
      [undefined, bob.peerId, [2], [300]],
      [bob.peerId, '.', [5], [4]]
    ]
  )
  fc.assert(
    fc.property(anyRecord, record => {
      const theirs = RecordType.encode(RecordType.decode(encodeRecord(record))).finish()
      assert.equal(decodeRecord(theirs), record)
    })
  )
})

test('a signed record opens; forged, cut, foreign and oversized ones do not', () => {
  const signed = signRecord(sample, CLUSTER, alice)
  assert.equal(openRecord(signed, CLUSTER, bob), { ok: true, record: sample })
  const refused = (change: Partial<typeof signed>, reason: string, cluster = CLUSTER) =>
    assert.equal(openRecord({ ...signed, ...change }, cluster, bob), { ok: false, reason })

  refused({}, 'signature', 'f'.repeat(32))
  refused({ body: encodeRecord({ ...sample, seq: 8 }) }, 'signature')
  refused({ signature: signRecord({ ...sample, peerId: bob.peerId }, CLUSTER, bob).signature }, 'signature')
  refused({ signature: new Uint8Array(0) }, 'signature')
  refused({ signature: new Uint8Array(1000) }, 'size')
  refused({ body: new Uint8Array(MAX_RECORD_BYTES + 1) }, 'size')
  refused({ body: signed.body.slice(0, -3) }, 'garbled')
  refused({ body: Uint8Array.of(0xff, 0xff, 0xff) }, 'garbled')
  refused({ body: encodeRecord({ ...sample, peerId: 'two words' }) }, 'peer-id')
  refused({ body: encodeRecord({ ...sample, peerId: 'not-a-key' }) }, 'signature')
  refused({ body: encodeRecord({ ...sample, capacity: Number.NaN }) }, 'garbled')
})

test('every cut of a record and every byte set to something else is refused, without an exception', () => {
  const signed = signRecord(sample, CLUSTER, alice)
  for (let end = 0; end < signed.body.length; end++) {
    assert.not(openRecord({ ...signed, body: signed.body.slice(0, end) }, CLUSTER, bob).ok, `cut at ${end}`)
  }
  fc.assert(
    fc.property(fc.nat(signed.body.length - 1), fc.integer({ min: 1, max: 255 }), (index, flip) => {
      const body = signed.body.slice()
      body[index]! ^= flip
      assert.not(openRecord({ ...signed, body }, CLUSTER, bob).ok)
    }),
    { numRuns: 300 }
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), body => !openRecord({ ...signed, body }, CLUSTER, bob).ok))
})

test('fields of a later version do not disturb, and the signature still covers them', () => {
  const body = new Uint8Array([...encodeRecord(sample), ((99 << 3) & 0x7f) | 0x80 | 2, 6, 2, 1, 2])
  const message = new TextEncoder().encode(`coterie-member-1|${CLUSTER}|`)
  const signature = alice.sign(new Uint8Array([...message, ...body]))
  assert.equal(openRecord({ body, signature }, CLUSTER, bob), { ok: true, record: sample })
})

test('an owner of all 4,096 ranges with a grant for each fits', () => {
  const claims: Claim[] = Array.from({ length: 4096 }, (_, range) => ({
    range,
    epoch: 1_000_000,
    owner: alice.peerId,
    grant: { by: range % 2 ? bob.peerId : `peer-${range % 500}`, signature: new Uint8Array(64).fill(range) }
  }))
  const { body } = signRecord({ ...sample, claims }, CLUSTER, alice)
  assert.ok(body.length < MAX_RECORD_BYTES, `${body.length} bytes`)
  assert.equal(decodeRecord(body).claims, claims)
})

test('a record out of its bounds is refused before it is signed', () => {
  const refuses = (change: Partial<MemberRecord>, what: RegExp) =>
    assert.throws(
      () => signRecord({ ...sample, ...change }, CLUSTER, alice),
      (error: Error & { code?: string }) => error.code === 'bad-config' && what.test(error.message)
    )
  refuses({ addresses: new Array(17).fill('/ip4/1.2.3.4/tcp/1') }, /16 addresses/)
  refuses({ addresses: ['x'.repeat(300)] }, /address/)
  refuses({ zone: 'z'.repeat(65) }, /zone/)
  refuses({ capacity: 0 }, /capacity/)
  refuses({ instanceId: 'xyz' }, /instance/)
  refuses({ load: { keys: -1, bytes: 0, opsPerSecond: 0 } }, /load/)
  const heat = (change: Partial<Heat>) => ({
    load: { ...sample.load, heat: { work: 1, hot: [], cool: [], ...change } }
  })
  refuses(heat({ work: 0.5 }), /work is no whole/)
  refuses(heat({ hot: [{ range: 4096, work: 1 }] }), /work of range 4096/)
  refuses(heat({ cool: new Array(17).fill({ range: 1, work: 1 }) }), /more than 16/)
  refuses({ claims: [{ range: 4096, epoch: 1, owner: 'a' }] }, /range 4096/)
  refuses({ incarnation: Number.MAX_SAFE_INTEGER }, /incarnation/)
})

test.run()
