import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingView } from '../../src/ring/ring-view.ts'
import { plainList, ringArb, zoneOf } from './rings.ts'

const test = suite('ring/ring-view')
const none = () => ''
const ranges = (q: number) => Array.from({ length: q }, (_, range) => range)

test('preference lists are those of the plain reading', () => {
  fc.assert(
    fc.property(ringArb, ring => {
      const view = new RingView(ring.owners, zoneOf(ring), ring.n)
      for (const range of ranges(view.q)) assert.equal(view.preferenceList(range), plainList(ring, range), `${range}`)
    }),
    { numRuns: 500 }
  )
})

test('a list has N distinct owners whenever there are N, in N zones whenever there are N', () => {
  fc.assert(
    fc.property(ringArb, ring => {
      const view = new RingView(ring.owners, zoneOf(ring), ring.n)
      const zones = new Set(view.owners().map(zoneOf(ring)))
      for (const range of ranges(view.q)) {
        const list = view.preferenceList(range)
        assert.is(new Set(list).size, Math.min(ring.n, view.owners().length))
        assert.is(list.length, new Set(list).size)
        assert.is(new Set(list.map(zoneOf(ring))).size, Math.min(ring.n, zones.size))
        if (view.owner(range) !== undefined) assert.is(list[0], view.owner(range), 'the owner comes first')
      }
    }),
    { numRuns: 500 }
  )
})

test('lists wrap around the end of the ring without repeating a peer', () => {
  const view = new RingView(['a', 'b', 'c', 'd', 'a', 'b', 'a', 'a'], none, 3)
  assert.equal(view.preferenceList(7), ['a', 'b', 'c'])
  assert.equal(view.preferenceList(6), ['a', 'b', 'c'])
  assert.equal(view.preferenceList(5), ['b', 'a', 'c'])
  assert.equal(view.preferenceList(3), ['d', 'a', 'b'])
})

test('other zones come before nearer peers of the same zone, and those fill up', () => {
  const zones: Record<string, string> = { a: 'x', b: 'x', c: 'x', d: 'y' }
  const view = new RingView(['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd'], peer => zones[peer], 3)
  assert.equal(view.preferenceList(0), ['a', 'd', 'b'])
  assert.equal(view.preferenceList(3), ['d', 'a', 'b'])
})

test('fewer owners than N, one owner and no owner', () => {
  assert.equal(new RingView(['a', 'b', 'a', 'a'], none, 3).preferenceList(2), ['a', 'b'])
  assert.equal(new RingView(['a', 'a', 'a', 'a'], none, 3).preferenceList(2), ['a'])
  const empty = new RingView([undefined, undefined], none, 3)
  assert.equal(empty.preferenceList(1), [])
  assert.equal(empty.fallbacks(1), [])
  assert.equal(empty.owners(), [])
})

test('membership, held ranges and fallbacks agree with the lists', () => {
  fc.assert(
    fc.property(ringArb, ring => {
      const view = new RingView(ring.owners, zoneOf(ring), ring.n)
      for (const peer of [...view.owners(), 'stranger']) {
        const held = ranges(view.q).filter(range => view.preferenceList(range).includes(peer))
        assert.equal(view.rangesHeldBy(peer), held)
        for (const range of ranges(view.q)) assert.is(view.isMember(range, peer), held.includes(range))
      }
      for (const range of ranges(view.q)) {
        const list = view.preferenceList(range)
        const turned = [...ring.owners.slice(range), ...ring.owners.slice(0, range)]
        const others = new Set(turned.filter(owner => owner !== undefined && !list.includes(owner)))
        assert.equal(view.fallbacks(range), [...others])
      }
    })
  )
})

test('changing the array it was built from changes no view', () => {
  const owners = ['a', 'b', 'c', 'd']
  const view = new RingView(owners, none, 2)
  owners[0] = 'd'
  view.toLayout().set(1, 'd')
  assert.equal(view.preferenceList(0), ['a', 'b'])
})

test('the largest ring is walked at once, also towards one rare zone', () => {
  const q = 4096
  const owners = ranges(q).map(range => `p${(range * 7919) % 1000}`)
  const view = new RingView(owners, peer => (peer === 'p17' ? 'rare' : peer.endsWith('1') ? 'x' : 'y'), 3)
  for (const range of ranges(q)) assert.ok(view.isMember(range, 'p17'))
  assert.is(view.rangesHeldBy('p17').length, q)
  assert.is(view.fallbacks(0).length, 997)
})

test.run()
