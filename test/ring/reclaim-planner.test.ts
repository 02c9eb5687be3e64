import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PlanMember } from '../../src/ring/planner.ts'
import { planReclaims } from '../../src/ring/reclaim-planner.ts'
import { RingView } from '../../src/ring/ring-view.ts'

const test = suite('ring/reclaim-planner')

const member = (peerId: string, capacity = 1, zone = ''): PlanMember => ({ peerId, capacity, zone })

test('exactly what the dead owned goes to survivors, within their shares, the same for whoever asks', () => {
  const caseArb = fc.record({
    q: fc.constantFrom(32, 64, 128),
    capacities: fc.array(fc.constantFrom(1, 1, 1, 2, 3), { minLength: 2, maxLength: 12 }),
    dead: fc.integer({ min: 1, max: 3 }),
    zones: fc.integer({ min: 1, max: 4 }),
    n: fc.integer({ min: 1, max: 4 }),
    picks: fc.infiniteStream(fc.nat())
  })
  fc.assert(
    fc.property(caseArb, ({ q, capacities, dead, zones, n, picks }) => {
      const all = capacities.map((capacity, i) => member(`n${i}`, capacity, `z${i % zones}`))
      const gone = new Set(all.slice(0, Math.min(dead, all.length - 1)).map(({ peerId }) => peerId))
      const survivors = all.filter(({ peerId }) => !gone.has(peerId))
      const owners = Array.from({ length: q }, () => all[(picks.next().value as number) % all.length]!.peerId)
      const flips = planReclaims(owners, survivors, owner => gone.has(owner), n)
      assert.equal(
        planReclaims(owners, [...survivors].reverse(), owner => gone.has(owner), n),
        flips
      )
      assert.equal(
        flips.map(({ range }) => range),
        owners.flatMap((owner, range) => (gone.has(owner) ? [range] : []))
      )
      const after = [...owners]
      for (const { range, to } of flips) {
        assert.ok(!gone.has(to))
        after[range] = to
      }
      const total = survivors.reduce((sum, { capacity }) => sum + capacity, 0)
      for (const { peerId, capacity } of survivors) {
        const had = owners.filter(owner => owner === peerId).length
        const has = after.filter(owner => owner === peerId).length
        assert.ok(has <= Math.max(had, Math.ceil((q * capacity) / total)), `${peerId} has ${has}, and had ${had}`)
      }
    }),
    { numRuns: 300 }
  )
})

test('lists go on spanning all zones', () => {
  const all = Array.from({ length: 9 }, (_, i) => member(`n${i}`, 1, `z${i % 3}`))
  const owners = Array.from({ length: 126 }, (_, range) => all[range % 9]!.peerId)
  const after = [...owners]
  for (const { range, to } of planReclaims(owners, all.slice(1), owner => owner === 'n0', 3)) after[range] = to
  const zoneOf = (peerId: string) => all.find(one => one.peerId === peerId)!.zone
  const view = new RingView(after, zoneOf, 3)
  for (let range = 0; range < 126; range++) {
    assert.is(new Set(view.preferenceList(range).map(zoneOf)).size, 3)
  }
})

test('nobody is left, or nobody is dead', () => {
  assert.equal(
    planReclaims(['a', 'b'], [], () => true, 3),
    []
  )
  assert.equal(
    planReclaims(['a', 'b'], [member('a'), member('b')], () => false, 3),
    []
  )
})

test.run()
