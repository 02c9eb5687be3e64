import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Change, type Outlook, outlook, type PresentMember, type Warning } from '../../src/ring/outlook.ts'
import { planAhead } from '../../src/ring/plan-ahead.ts'
import { RingView } from '../../src/ring/ring-view.ts'

const test = suite('ring/outlook')

const present = (count: number, zones = 1, q = 64): PresentMember[] =>
  Array.from({ length: count }, (_, i) => ({
    peerId: `p${i}`,
    capacity: 1,
    zone: zones === 1 ? '' : `z${i % zones}`,
    isUp: true,
    // Three copies of each range on all together, of 1,000 bytes each.
    bytes: (Math.min(3, count) * q * 1000) / count
  }))
const none: Change = { joins: [], leaves: [], removals: [], capacities: new Map() }
const joiner = (peerId: string, zone = '', capacity = 1) => ({ peerId, zone, capacity, isUp: true })

/** An even ring of these members. */
function ring(members: readonly PresentMember[], q = 64, n = 3): RingView {
  const zones = new Map(members.map(({ peerId, zone }) => [peerId, zone]))
  const founder = new RingView(new Array(q).fill('p0'), peerId => zones.get(peerId) ?? '', n)
  return planAhead(founder, members).view
}

const warned = ({ warnings }: Outlook): string[] => warnings.map(({ what }) => what)
const warning = ({ warnings }: Outlook, what: Warning['what']) => warnings.find(one => one.what === what)
const nodeOf = ({ nodes }: Outlook, peerId: string) => nodes.find(one => one.peerId === peerId)!

test('no change: nothing moves, and nothing is wrong', () => {
  const members = present(4)
  const found = outlook(ring(members), members, none)
  assert.equal([found.moved, found.copied, found.bytes, found.moves, found.warnings], [0, 0, 0, [], []])
  assert.equal(found.least, { moved: 0, copied: 0, bytes: 0 })
  assert.equal(
    found.nodes.map(({ fate, before, after, share }) => [fate, before, after, share]),
    new Array(4).fill(['stays', 16, 16, 16])
  )
})

test('a join: from whom to whom, how many copies, about how many bytes, and no more than there has to be', () => {
  const members = present(4)
  const found = outlook(ring(members), members, { ...none, joins: [joiner('new')] })
  const { after, share } = nodeOf(found, 'new')
  assert.is(share, 12.8)
  assert.ok(after === 12 || after === 13)
  assert.ok(found.moves.every(({ to }) => to === 'new'))
  assert.equal([...new Set(found.moves.map(({ from }) => from))].sort(), ['p0', 'p1', 'p2', 'p3'])
  assert.equal([found.moved, found.copied], [after, 3 * after])
  assert.equal(found.least, { moved: found.moved, copied: found.copied, bytes: found.bytes })
  assert.is(found.bytes, 3 * after * 1000)
  assert.equal(found.warnings, [])
})

test('any plan adds up: moves to counts, and never below the least', () => {
  const caseArb = fc.record({
    count: fc.integer({ min: 2, max: 8 }),
    zones: fc.integer({ min: 1, max: 3 }),
    n: fc.integer({ min: 1, max: 4 }),
    joins: fc.nat(2),
    leave: fc.boolean(),
    remove: fc.boolean(),
    capacity: fc.constantFrom(1, 2, 5)
  })
  fc.assert(
    fc.property(caseArb, ({ count, zones, n, joins, leave, remove, capacity }) => {
      const members = present(count, zones)
      const before = ring(members, 64, n)
      const found = outlook(before, members, {
        joins: Array.from({ length: joins }, (_, i) => joiner(`new-${i}`, `z${i}`)),
        leaves: leave ? ['p1'] : [],
        removals: remove && count > 2 ? ['p2'] : [],
        capacities: new Map([['p0', capacity]])
      })
      assert.is(
        found.moved,
        found.moves.reduce((sum, { ranges }) => sum + ranges, 0)
      )
      for (const { peerId, before: had, after } of found.nodes) {
        const given = found.moves.filter(({ from }) => from === peerId).reduce((sum, one) => sum + one.ranges, 0)
        const got = found.moves.filter(({ to }) => to === peerId).reduce((sum, one) => sum + one.ranges, 0)
        assert.is(after, had - given + got, peerId)
      }
      for (const what of ['moved', 'copied', 'bytes'] as const) assert.ok(found[what] >= found.least[what], what)
      assert.is(Math.round(found.nodes.reduce((sum, { share }) => sum + share, 0)), 64)
      const goes = found.nodes.filter(({ fate }) => fate === 'leaves' || fate === 'removed')
      const left = goes.reduce((sum, { after }) => sum + after, 0)
      const stuck = warning(found, 'stuck')
      assert.is(left, stuck?.what === 'stuck' ? stuck.ranges.length : 0)
    }),
    { numRuns: 200 }
  )
})

test('a leaver and a removed node end with nothing, and copies are made for all that they held', () => {
  const members = present(5)
  const view = ring(members)
  for (const change of [
    { ...none, leaves: ['p2'] },
    { ...none, removals: ['p2'] }
  ]) {
    const found = outlook(view, members, change)
    const node = nodeOf(found, 'p2')
    assert.equal([node.after, node.share], [0, 0])
    assert.is(node.fate, change.leaves.length > 0 ? 'leaves' : 'removed')
    assert.ok(found.copied >= view.rangesHeldBy('p2').length)
    assert.ok(found.moved >= node.before)
    assert.equal(warned(found), change.removals.length > 0 ? ['alive'] : [])
  }
})

test('an owner that is no member is dead: its ranges go with any plan', () => {
  const all = present(4)
  const found = outlook(ring(all), all.slice(0, 3), none)
  assert.equal(
    found.moves.map(({ from }) => from).every(from => from === 'p3'),
    true
  )
  assert.equal([nodeOf(found, 'p3').fate, nodeOf(found, 'p3').after, found.moved], ['removed', 0, 16])
})

test('warnings: too few nodes, zones that go, more nodes than ranges allow, nodes that are down', () => {
  const three = present(3, 3)
  const two = outlook(ring(three), three, { ...none, leaves: ['p2'] })
  assert.equal(two.warnings, [
    { what: 'few-nodes', nodes: 2 },
    { what: 'fewer-zones', before: 3, after: 2 }
  ])
  const few = present(3)
  const many = { ...none, joins: Array.from({ length: 6 }, (_, i) => joiner(`new-${i}`)) }
  assert.equal(outlook(ring(few), few, many).warnings, [{ what: 'thin', nodes: 9 }])
  assert.equal(outlook(ring(few), few, { ...many, joins: many.joins.slice(1) }).warnings, [])
  const four = present(4)
  const silent = four.map(one => (one.peerId === 'p3' ? { ...one, isUp: false } : one))
  const down = outlook(ring(four), silent, { ...none, joins: [joiner('new')] })
  assert.equal(warning(down, 'down'), { what: 'down', peerIds: ['p3'] })
  // It gives nothing, so it keeps 16, and its share is 12.8.
  assert.ok(warned(down).includes('off-share'))
  assert.is(nodeOf(down, 'p3').after, 16)
})

test('warnings: a zone whose node gets no range is on no list', () => {
  const members = present(4, 2)
  const found = outlook(ring(members), members, { ...none, joins: [joiner('new', 'z9', 0.01)] })
  assert.is(nodeOf(found, 'new').after, 0)
  assert.equal(warning(found, 'crowded'), { what: 'crowded', ranges: Array.from({ length: 64 }, (_, i) => i) })
})

test('a node with another capacity gets another share', () => {
  const members = present(4)
  const found = outlook(ring(members), members, { ...none, capacities: new Map([['p0', 5]]) })
  assert.equal([nodeOf(found, 'p0').share, nodeOf(found, 'p0').after, nodeOf(found, 'p0').capacity], [40, 40, 5])
  assert.equal(
    found.moves.map(({ to }) => to),
    ['p0', 'p0', 'p0']
  )
})

test.run()
