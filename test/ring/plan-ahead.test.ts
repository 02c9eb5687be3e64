import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type FutureMember, planAhead } from '../../src/ring/plan-ahead.ts'
import { RingView } from '../../src/ring/ring-view.ts'

const test = suite('ring/plan-ahead')

const member = (peerId: string, init: Partial<FutureMember> = {}): FutureMember => ({
  peerId,
  capacity: 1,
  zone: '',
  isUp: true,
  ...init
})
const viewOf = (owners: string[], members: readonly FutureMember[], n = 3) =>
  new RingView(owners, peerId => members.find(one => one.peerId === peerId)?.zone ?? '', n)
const ownersOf = (view: RingView) => Array.from({ length: view.q }, (_, range) => view.owner(range)!)
const countOf = (view: RingView, peerId: string) => ownersOf(view).filter(owner => owner === peerId).length

interface Case {
  view: RingView
  /** The first is up and stays; the ring knows others, which are dead. */
  members: FutureMember[]
  owners: string[]
}

/** Any ring, even or not, and any change: leavers, the dead, joiners, and those that are down. */
function caseArb(init: { zones: number; capacities: number[]; down: boolean }): fc.Arbitrary<Case> {
  const memberArb = fc.record({
    capacity: fc.constantFrom(...init.capacities, 0),
    zone: fc.nat(init.zones - 1),
    isUp: init.down ? fc.boolean() : fc.constant(true),
    isMember: fc.boolean()
  })
  return fc
    .record({
      q: fc.constantFrom(16, 32, 64),
      n: fc.integer({ min: 1, max: 4 }),
      first: fc.nat(init.zones - 1),
      others: fc.array(memberArb, { minLength: 1, maxLength: 8 }),
      joins: fc.nat(2)
    })
    .chain(({ q, n, first, others, joins }) => {
      const known = [
        member('p0', { zone: `z${first}`, capacity: init.capacities[0] }),
        ...others.map(({ capacity, zone, isUp }, i) => member(`p${i + 1}`, { capacity, zone: `z${zone}`, isUp }))
      ]
      const members = known.filter((_, i) => i === 0 || others[i - 1]!.isMember)
      for (let i = 0; i < joins; i++) members.push(member(`new-${i}`, { zone: `z${i % init.zones}` }))
      return fc
        .array(fc.constantFrom(...known.map(({ peerId }) => peerId)), { minLength: q, maxLength: q })
        .map(owners => ({ view: viewOf(owners, known, n), members, owners }))
    })
}

test('without zones: nothing is lost, all goes to nodes that stay, and each ends within one of its share', () => {
  const arb = caseArb({ zones: 1, capacities: [1, 1, 2, 3], down: false })
  fc.assert(
    fc.property(arb, ({ view, members }) => {
      const future = planAhead(view, members)
      assert.equal(future.stuck, [])
      const total = members.reduce((sum, { capacity }) => sum + capacity, 0)
      const counts = members.map(({ peerId }) => countOf(future.view, peerId))
      assert.is(
        counts.reduce((sum, count) => sum + count, 0),
        view.q
      )
      members.forEach(({ peerId, capacity }, i) => {
        const share = (view.q * capacity) / total
        assert.ok(Math.abs(counts[i]! - share) < 1, `${peerId} owns ${counts[i]}, its share is ${share}`)
      })
    }),
    { numRuns: 300 }
  )
})

test('any change: no range without an owner, none left with who goes but the stuck, and then nothing more moves', () => {
  const arb = caseArb({ zones: 3, capacities: [1, 2, 0.5], down: true })
  fc.assert(
    fc.property(arb, ({ view, members, owners }) => {
      const future = planAhead(view, members)
      const after = ownersOf(future.view)
      const byId = new Map(members.map(one => [one.peerId, one]))
      after.forEach((owner, range) => {
        const goes = (byId.get(owner)?.capacity ?? 0) === 0
        assert.is(goes, future.stuck.includes(range))
        if (owner !== owners[range]) {
          assert.ok(byId.get(owner)?.isUp, 'whoever takes a range is there')
          assert.ok(byId.get(owners[range]!)?.isUp !== false, 'nothing is taken from one that is down')
        } else assert.ok(!goes || future.stuck.includes(range))
      })
      assert.equal(
        ownersOf(planAhead(view, [...members].reverse()).view),
        after,
        'the order of members does not matter'
      )
      assert.equal(ownersOf(view), owners, 'the ring that was given is as it was')
      const again = planAhead(future.view, members)
      assert.equal([ownersOf(again.view), again.copies], [after, 0])
    }),
    { numRuns: 300 }
  )
})

test('without zones only what is down keeps anything from moving', () => {
  const arb = caseArb({ zones: 1, capacities: [1, 2], down: true })
  fc.assert(
    fc.property(arb, ({ view, members, owners }) => {
      const down = members.filter(({ isUp }) => !isUp)
      const { stuck } = planAhead(view, members)
      const leavingDown = down.filter(({ capacity }) => capacity === 0).map(({ peerId }) => peerId)
      const expected = owners.flatMap((owner, range) => (leavingDown.includes(owner) ? [range] : []))
      assert.equal(stuck, expected)
    }),
    { numRuns: 200 }
  )
})

test('a joiner of an even ring takes its share, and only it copies: N copies a range', () => {
  for (const [q, count] of [
    [64, 4],
    [256, 5],
    [256, 12],
    [1024, 40]
  ] as const) {
    const members = Array.from({ length: count }, (_, i) => member(`p${i}`))
    const { view } = planAhead(viewOf(new Array(q).fill('p0'), members), members)
    const future = planAhead(view, [...members, member('new')])
    const taken = countOf(future.view, 'new')
    assert.ok(taken === Math.floor(q / (count + 1)) || taken === Math.ceil(q / (count + 1)))
    const moved = ownersOf(future.view).filter((owner, range) => owner !== view.owner(range))
    assert.equal(moved, new Array(taken).fill('new'))
    assert.is(future.copies, 3 * taken)
  }
})

test('copies are counted by new members of lists: none where everybody holds everything', () => {
  const members = ['a', 'b', 'c'].map(peerId => member(peerId))
  const uneven = [...new Array(14).fill('a'), 'b', 'c'] as string[]
  assert.is(planAhead(viewOf(uneven, members), members).copies, 0)
  const alone = viewOf(new Array(16).fill('a'), members)
  assert.is(planAhead(alone, members).copies, 32)
  // Two of three stay, which hold everything already: lists only get shorter.
  const two = members.map(one => (one.peerId === 'c' ? { ...one, capacity: 0 } : one))
  assert.is(planAhead(viewOf(uneven, members), two).copies, 0)
})

test('where zones forbid those that are due to take what a leaver has, others do, one more than their share at most', () => {
  const zones = ['z0', 'z2', 'z1', 'z1', 'z0']
  const members = zones.map((zone, i) => member(`p${i}`, { zone, capacity: i === 0 ? 0 : 1 }))
  const owners = [...'10031432143214321432400230021432'].map(digit => `p${digit}`)
  const future = planAhead(viewOf(owners, members), members)
  assert.equal(future.stuck, [])
  const counts = members.map(({ peerId }) => countOf(future.view, peerId))
  assert.is(counts[0], 0)
  assert.ok(counts.slice(1).every(count => Math.abs(count - 8) <= 1))
  for (let range = 0; range < 32; range++) {
    const list = future.view.preferenceList(range)
    assert.is(new Set(list.map(peerId => zones[Number(peerId.slice(1))])).size, 3)
  }
})

test.run()
