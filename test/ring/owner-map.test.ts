import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Claim } from '../../src/claim.ts'
import { isCoterieError } from '../../src/errors.ts'
import { OwnerMap } from '../../src/ring/owner-map.ts'

const test = suite('ring/owner-map')
const Q = 8

const claimArb: fc.Arbitrary<Claim> = fc
  .tuple(fc.nat(Q - 1), fc.integer({ min: 1, max: 4 }), fc.constantFrom('pa', 'pb', 'pc'))
  .map(([range, epoch, owner]) => ({
    range,
    epoch,
    owner,
    ...(epoch > 1 && { grant: { by: 'pz', signature: new Uint8Array([range, epoch, owner.charCodeAt(1)]) } })
  }))

function mapOf(claims: Iterable<Claim>): OwnerMap {
  const map = new OwnerMap(Q)
  map.merge(claims)
  return map
}

const damaged = (bytes: Uint8Array) =>
  assert.throws(
    () => OwnerMap.decode(bytes),
    (error: unknown) => isCoterieError(error, 'damaged')
  )

test('claims in any order, with repeats, give the same map', () => {
  const claims = fc.array(claimArb, { maxLength: 30 })
  const orders = claims.chain(list =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))
  )
  fc.assert(
    fc.property(orders, fc.nat(30), ([list, shuffled], repeats) => {
      const map = mapOf(list)
      assert.equal(mapOf([...shuffled, ...list.slice(0, repeats)]).claims(), map.claims())
      for (const { range, epoch, owner } of map.claims()) {
        const best = list
          .filter(claim => claim.range === range)
          .sort((a, b) => b.epoch - a.epoch || (a.owner < b.owner ? -1 : 1))[0]
        assert.equal([epoch, owner], [best.epoch, best.owner])
      }
    })
  )
})

test('merge returns what changed something, and the revision follows', () => {
  const map = new OwnerMap(Q)
  const first = { range: 3, epoch: 1, owner: 'pb' }
  assert.equal(map.merge([first, first]), [first])
  assert.is(map.revision, 1)
  assert.equal(map.merge([{ range: 3, epoch: 1, owner: 'pc' }]), [])
  assert.is(map.revision, 1)
  assert.is(map.merge([{ range: 3, epoch: 1, owner: 'pa' }]).length, 1, 'equal epochs go to the lower peer id')
  assert.is(map.merge([{ range: 3, epoch: 2, owner: 'pz' }]).length, 1, 'a higher epoch wins')
  assert.is(map.revision, 3)
  assert.is(map.owner(3), 'pz')
  assert.is(map.claim(3)?.epoch, 2)
  assert.is(map.owner(4), undefined)
})

test('a claim that comes again with its grant brings the grant in', () => {
  const bare = { range: 1, epoch: 2, owner: 'pa' }
  const granted = { ...bare, grant: { by: 'pb', signature: new Uint8Array([1]) } }
  const map = mapOf([bare])
  assert.equal(map.merge([granted]), [granted])
  assert.equal(map.merge([bare]), [])
  assert.equal(map.claim(1), granted)
})

test('claims that no ring of this size can hold are dropped and counted', () => {
  const map = new OwnerMap(Q)
  const wrong = [
    { range: Q, epoch: 1, owner: 'pa' },
    { range: -1, epoch: 1, owner: 'pa' },
    { range: 1.5, epoch: 1, owner: 'pa' },
    { range: 0, epoch: 0, owner: 'pa' },
    { range: 0, epoch: Number.NaN, owner: 'pa' },
    { range: 0, epoch: 1, owner: '' }
  ]
  assert.equal(map.merge([...wrong, { range: 0, epoch: 1, owner: 'pa' }]).length, 1)
  assert.is(map.dropped, wrong.length)
})

test('owners are counted', () => {
  fc.assert(
    fc.property(fc.array(claimArb, { maxLength: 30 }), list => {
      const map = mapOf(list)
      const owners = map.ownerList()
      assert.is(owners.length, Q)
      const known = owners.filter(owner => owner !== undefined)
      assert.equal(map.owners(), [...new Set(known)].sort())
      for (const peer of ['pa', 'pb', 'pc']) assert.is(map.countOf(peer), known.filter(owner => owner === peer).length)
      assert.is(map.isComplete(), known.length === Q)
    })
  )
})

test('a map survives its bytes', () => {
  fc.assert(
    fc.property(fc.array(claimArb, { maxLength: 30 }), list => {
      const map = mapOf(list)
      const back = OwnerMap.decode(map.encode())
      assert.equal(back.claims(), map.claims())
      assert.is(back.q, Q)
    })
  )
  const large = mapOf([{ range: 7, epoch: Number.MAX_SAFE_INTEGER, owner: 'pa' }])
  assert.equal(OwnerMap.decode(large.encode()).claims(), large.claims())
  // From a pooled buffer, as files are read.
  assert.equal(OwnerMap.decode(Buffer.from(large.encode())).claims(), large.claims())
})

test('every cut and every flipped byte is found', () => {
  const bytes = mapOf([
    { range: 0, epoch: 1, owner: 'pa' },
    { range: 5, epoch: 2, owner: 'pb', grant: { by: 'pa', signature: new Uint8Array(64) } }
  ]).encode()
  for (let index = 0; index < bytes.length; index++) {
    damaged(bytes.subarray(0, index))
    const changed = bytes.slice()
    changed[index] ^= 1
    damaged(changed)
  }
  damaged(Uint8Array.from([...bytes, 0]))
})

test('nonsense under a good checksum is damage too', () => {
  const sealed = (...content: number[]) => {
    const bytes = Buffer.concat([Buffer.from('COTRING1'), Uint8Array.from(content), Buffer.alloc(4)])
    bytes.writeUInt32BE(crc32(bytes.subarray(0, bytes.length - 4)), bytes.length - 4)
    return bytes
  }
  assert.is(OwnerMap.decode(sealed(1, 0, 0)).q, 1)
  damaged(sealed(1, 0, 1, 1, 0))
  damaged(sealed(1, 0, 0, 0))
  damaged(sealed(0xff, 0xff, 0x7f, 0))
  damaged(sealed(1, 0xff, 0xff, 0xff, 0xff, 0x0f))
})

test.run()
