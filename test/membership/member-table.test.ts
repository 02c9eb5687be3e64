import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DIGEST_OVERHEAD, encodeGossip, LAST_PREFIX } from '../../src/membership/gossip-messages.ts'
import { prefixOf } from '../../src/membership/member-table.ts'
import { REMOVED_INCARNATION, signRemoval } from '../../src/membership/removal.ts'
import { fakeSigner } from '../support/fake-signer.ts'
import { CLUSTER, recordOf, signedOf, tableOf } from './harness.ts'

const test = suite('membership: member table')

test('the newest of (incarnation, seq) wins, in whatever order records come, however often', () => {
  const version = fc.tuple(fc.nat(3), fc.nat(3))
  fc.assert(
    fc.property(fc.array(version, { minLength: 1, maxLength: 12 }), versions => {
      const table = tableOf('me')
      for (const [incarnation, seq] of versions) table.apply(signedOf(recordOf('peer', incarnation, seq)))
      const best = versions.toSorted((a, b) => b[0] - a[0] || b[1] - a[1])[0]
      assert.equal([table.get('peer')!.record!.incarnation, table.get('peer')!.record!.seq], best)
      assert.is(table.counters.newer + table.counters.stale, versions.length)
    })
  )
})

test('replayed, forged, cut and foreign records change nothing and are counted', () => {
  const table = tableOf('me', [recordOf('peer', 2, 5)])
  const before = table.get('peer')!.signed
  assert.equal(table.apply(signedOf(recordOf('peer', 2, 5))), { outcome: 'stale' })
  assert.equal(table.apply(signedOf(recordOf('peer', 1, 9))), { outcome: 'stale' })
  const newer = signedOf(recordOf('peer', 3, 1))
  const forged = { ...newer, signature: fakeSigner('mallory').sign(newer.body) }
  assert.equal(table.apply(forged), { outcome: 'rejected', reason: 'signature' })
  assert.equal(table.apply(signedOf(recordOf('peer', 3, 1), 'f'.repeat(32))), {
    outcome: 'rejected',
    reason: 'signature'
  })
  assert.equal(table.apply({ ...newer, body: newer.body.slice(0, -1) }), { outcome: 'rejected', reason: 'garbled' })
  const large = { ...newer, body: new Uint8Array(513 * 1024) }
  assert.equal(table.apply(large), { outcome: 'rejected', reason: 'size' })
  assert.equal(table.counters, { newer: 1, stale: 2, rejected: 4 })
  assert.is(table.get('peer')!.signed, before)
})

test('an id prefix is the first 8 bytes of SHA-256 of the id', () => {
  const digest = createHash('sha256').update('peer').digest()
  assert.is(prefixOf('peer'), digest.readBigUInt64LE(0))
})

test('signed bytes are kept as they came, unknown fields and all', () => {
  const body = new Uint8Array([...signedOf(recordOf('peer')).body, 0x9a, 0x06, 2, 1, 2])
  const message = new Uint8Array([...new TextEncoder().encode(`coterie-member-1|${CLUSTER}|`), ...body])
  const table = tableOf('me')
  const outcome = table.apply({ body, signature: fakeSigner('peer').sign(message) }).outcome
  assert.is(outcome, 'newer')
  assert.equal(table.get('peer')!.signed.body, body)
})

test('comparing a digest finds what is newer on either side, and nothing between equals', () => {
  const mine = tableOf('me', [recordOf('old', 1, 1), recordOf('same', 1, 1), recordOf('mine', 1, 1)])
  const theirs = tableOf('they', [recordOf('old', 1, 2), recordOf('same', 1, 1), recordOf('theirs', 1, 1)])
  const found = mine.compare(theirs.digest(65536))
  assert.equal(found.newer.map(entry => entry.peerId).sort(), ['me', 'mine'])
  assert.equal([...found.wants].sort(), ['old', 'they', 'theirs'].map(prefixOf).sort())
  const twin = mine.compare(mine.digest(65536))
  assert.equal([twin.newer.length, twin.pulses.length, twin.wants.length], [0, 0, 0])
})

test('pulses are ordered by (incarnation, pulse); a new life starts again at 0', () => {
  const table = tableOf('me', [recordOf('peer', 2, 1)])
  const prefix = prefixOf('peer')
  assert.equal(table.hear([{ prefix, incarnation: 2, pulse: 5 }]), ['peer'])
  assert.equal(table.hear([{ prefix, incarnation: 2, pulse: 5 }]), [])
  assert.equal(table.hear([{ prefix, incarnation: 1, pulse: 99 }]), [])
  assert.equal(table.hear([{ prefix, incarnation: 3, pulse: 1 }]), [], 'the record of that life is not here')
  assert.equal(table.hear([{ prefix: prefixOf('nobody'), incarnation: 1, pulse: 1 }]), [])
  table.apply(signedOf(recordOf('peer', 2, 2)))
  assert.is(table.get('peer')!.pulse, 5)
  table.apply(signedOf(recordOf('peer', 3, 0)))
  assert.is(table.get('peer')!.pulse, 0)
  assert.equal(table.hear([{ prefix, incarnation: 3, pulse: 1 }]), ['peer'])
  assert.equal(table.hear([{ prefix: prefixOf('me'), incarnation: 1, pulse: 50 }]), [], 'its own heart is its own')
})

test('a digest over the cap rotates: each stays under it, and all 2,000 members get their turn', () => {
  const table = tableOf('me')
  const names = Array.from({ length: 1999 }, (_, i) => `peer-${i}`)
  for (const name of names) table.apply(signedOf(recordOf(name, 1, 1 + (name.length % 3))))
  const prefixes = names.map(name => ({ prefix: prefixOf(name), incarnation: 1, pulse: 10_000 }))
  assert.is(table.hear(prefixes).length, 1999)

  const whole = table.digest(65536)
  assert.is(whole.entries.length, 2000)
  assert.equal([whole.from, whole.to], [0n, LAST_PREFIX])
  const bytes = encodeGossip({ type: 'digest', ...whole }).length
  assert.ok((bytes - DIGEST_OVERHEAD) / 2000 <= 12, `${bytes / 2000} bytes an entry`)

  const seen = new Set<bigint>()
  let next = 0n
  let digests = 0
  for (; seen.size < 2000 && digests < 10; digests++) {
    const digest = table.digest(8192)
    assert.ok(encodeGossip({ type: 'digest', ...digest }).length <= 8192)
    assert.is(digest.entries[0]!.prefix, prefixOf('me'))
    assert.is(digest.from, next, 'it goes on where the last one ended')
    next = digest.to === LAST_PREFIX ? 0n : digest.to + 1n
    for (const entry of digest.entries) seen.add(entry.prefix)
    assert.equal(table.compare(digest).newer, [], 'what a slice leaves out is not missing')
  }
  assert.is(seen.size, 2000)
  assert.is(digests, 3)
})

test('a slice of a digest still tells what is missing within it', () => {
  const names = Array.from({ length: 300 }, (_, i) => `peer-${i}`)
  const full = tableOf(
    'full',
    names.map(name => recordOf(name))
  )
  const most = tableOf(
    'most',
    names.slice(0, 299).map(name => recordOf(name))
  )
  most.apply(full.get('full')!.signed)
  full.apply(most.get('most')!.signed)
  const missing = new Set<string>()
  for (let i = 0; i < 10; i++) for (const entry of full.compare(most.digest(1024)).newer) missing.add(entry.peerId)
  assert.equal([...missing], ['peer-299'])
})

test("the node's own id: another life's record is reported, never taken", () => {
  const table = tableOf('me')
  const own = (incarnation: number, seq: number, instanceId: string) =>
    table.apply(signedOf(recordOf('me', incarnation, seq, { instanceId })))
  assert.is(own(5, 1, '00000000000000bb').outcome, 'own')
  assert.is(own(1, 1, '00000000000000bb').outcome, 'own', 'same version, another instance')
  assert.is(own(1, 0, '00000000000000bb').outcome, 'own', 'same incarnation, another instance')
  assert.is(own(0, 9, '00000000000000bb').outcome, 'stale')
  assert.is(own(1, 1, '00000000000000aa').outcome, 'stale', 'its own words')
  assert.is(table.get('me')!.incarnation, 1)
})

test('a heartbeat of our own that we never made is asked about', () => {
  const table = tableOf('me')
  const entry = { prefix: prefixOf('me'), incarnation: 1, seq: 1 }
  const digest = (pulse: number) => ({ from: 0n, to: LAST_PREFIX, entries: [{ ...entry, pulse }] })
  assert.equal(table.compare(digest(1)).wants, [prefixOf('me')])
  table.beat()
  assert.equal(table.compare(digest(1)).wants, [])
})

test('a removal beats every record of its peer, for ever, and rides digests like a record', () => {
  const table = tableOf('me', [recordOf('gone', 3, 3)])
  const removal = signRemoval({ peerId: 'gone', by: 'peer', atMs: 1 }, CLUSTER, fakeSigner('peer'))
  const forged = { ...removal, signature: fakeSigner('x').sign(removal.body) }
  assert.equal(table.apply(forged), { outcome: 'rejected', reason: 'signature' })
  assert.is(table.apply(removal).outcome, 'removed')
  assert.is(table.apply(removal).outcome, 'stale')
  const again = signedOf(recordOf('gone', Number.MAX_SAFE_INTEGER - 1, 1))
  assert.is(table.apply(again).outcome, 'stale')
  assert.is(table.get('gone')!.incarnation, REMOVED_INCARNATION)

  const other = tableOf('other', [recordOf('gone', 3, 4)])
  const newer = table.compare(other.digest(65536)).newer.find(entry => entry.peerId === 'gone')!
  assert.is(other.apply(newer.signed).outcome, 'removed')
  // Signed as a record, a removal is nothing; signed as a removal, a record is nothing.
  assert.is(tableOf('third').apply({ ...removal, removal: undefined }).outcome, 'rejected')
  assert.is(tableOf('third').apply({ ...again, removal: true }).outcome, 'rejected')
})

test.run()
