import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chooseFlips, flipEffects } from '../../src/ring/flips.ts'
import { type PlanMember, planSteals } from '../../src/ring/planner.ts'
import { RingView } from '../../src/ring/ring-view.ts'

const test = suite('ring/planner')

const member = (peerId: string, capacity = 1, zone = ''): PlanMember => ({ peerId, capacity, zone })
const count = (owners: readonly string[], peer: string) => owners.filter(owner => owner === peer).length

interface Joined {
  owners: string[]
  members: PlanMember[]
}

/** Members join one after another; `look` sees every ring before and after a join. */
function joinAll(q: number, joiners: readonly PlanMember[], n: number, look?: (before: Joined, after: Joined) => void) {
  let ring: Joined = { owners: new Array<string>(q).fill(joiners[0].peerId), members: [joiners[0]] }
  for (const joiner of joiners.slice(1)) {
    const members = [...ring.members, joiner]
    const owners = [...ring.owners]
    for (const { range, from } of planSteals(owners, members, joiner.peerId, n)) {
      assert.is(owners[range], from)
      owners[range] = joiner.peerId
    }
    look?.(ring, { owners, members })
    ring = { owners, members }
  }
  return ring
}

test('sequential joins stay even, and only the joiner gains', () => {
  for (const q of [64, 128, 256, 512, 1024]) {
    const joiners = Array.from({ length: 40 }, (_, index) => member(`node-${index}`))
    joinAll(q, joiners, 3, (before, after) => {
      const joiner = after.members.at(-1)!.peerId
      const ideal = q / after.members.length
      for (const { peerId } of after.members) {
        const owned = count(after.owners, peerId)
        assert.ok(Math.abs(owned - ideal) <= 2, `${peerId} owns ${owned} of ${q}, ideal ${ideal}`)
      }
      const moved = after.owners.filter((owner, range) => owner !== before.owners[range])
      assert.ok(moved.every(owner => owner === joiner))
      assert.ok(Math.abs(moved.length - ideal) <= 1, `${moved.length} moved, ideal ${ideal}`)
    })
  }
})

test('a joiner takes from many owners, and is safe to let in at one stroke', () => {
  const joiners = Array.from({ length: 24 }, (_, index) => member(`node-${index}`))
  joinAll(256, joiners, 3, (before, after) => {
    const joiner = after.members.at(-1)!.peerId
    const view = new RingView(before.owners, () => '', 3)
    const flips = after.owners.flatMap((to, range) => (to === before.owners[range] ? [] : [{ range, to }]))
    assert.is(chooseFlips(view, flips).length, flips.length, `all flips of ${joiner} are safe together`)
    for (const { entering } of flipEffects(view, flips)) {
      assert.ok(
        entering.every(peer => peer === joiner),
        'no third node has to copy anything'
      )
    }
    const givers = new Set(flips.map(({ range }) => before.owners[range]))
    assert.is(givers.size, Math.min(flips.length, before.members.length))
  })
})

test('the ranges of one node keep N steps apart as soon as there are enough nodes', () => {
  const { owners } = joinAll(
    256,
    Array.from({ length: 8 }, (_, index) => member(`node-${index}`)),
    3
  )
  owners.forEach((owner, range) => {
    for (let step = 1; step < 3; step++) assert.is.not(owners[(range + step) % 256], owner)
  })
})

test('shares follow capacity', () => {
  const capacities = [1, 2, 4, 1, 0.5, 3]
  const joiners = capacities.map((capacity, index) => member(`node-${index}`, capacity))
  const { owners, members } = joinAll(256, joiners, 3)
  const total = capacities.reduce((sum, capacity) => sum + capacity, 0)
  for (const { peerId, capacity } of members) {
    assert.ok(Math.abs(count(owners, peerId) - (256 * capacity) / total) <= 2, peerId)
  }
})

test('any ring: the thief ends within one of its share or as near as givers allow, nobody below theirs', () => {
  const peers = Array.from({ length: 8 }, (_, index) => `node-${index}`)
  const caseArb = fc.record({
    owners: fc.array(fc.option(fc.constantFrom(...peers, 'gone'), { nil: undefined, freq: 20 }), {
      minLength: 32,
      maxLength: 32
    }),
    capacities: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 8, maxLength: 8 }),
    down: fc.subarray(peers.slice(1), { maxLength: 3 }),
    n: fc.integer({ min: 1, max: 5 })
  })
  fc.assert(
    fc.property(caseArb, ({ owners, capacities, down, n }) => {
      const members = peers.map((peer, index) => member(peer, capacities[index], index % 2 === 0 ? '' : 'z'))
      const total = capacities.reduce((sum, capacity) => sum + capacity, 0)
      const share = (index: number) => (32 * capacities[index]) / total
      const thief = peers[0]
      const canGive = (peer: string) => !down.includes(peer)
      const steals = planSteals(owners, members, thief, n, { canGive })
      assert.equal(planSteals(owners, members, thief, n, { canGive }), steals, 'the same question has the same answer')
      const after = [...owners]
      for (const { range, from } of steals) {
        assert.is(after[range], from)
        assert.ok(from !== thief && from !== 'gone' && !down.includes(from))
        after[range] = thief
      }
      const had = owners.filter(owner => owner === thief).length
      const has = after.filter(owner => owner === thief).length
      assert.ok(has === had || has <= Math.ceil(share(0)))
      let mostOver = Number.NEGATIVE_INFINITY
      peers.forEach((peer, index) => {
        if (index === 0) return
        const left = after.filter(owner => owner === peer).length
        if (steals.some(({ from }) => from === peer)) assert.ok(left >= Math.floor(share(index)))
        if (canGive(peer) && left > share(index)) mostOver = Math.max(mostOver, left - share(index))
      })
      if (has < Math.floor(share(0))) {
        assert.ok(mostOver - (has - share(0)) <= 1 + 1e-6, 'it stops short only where no giver has more to spare')
      }
    }),
    { numRuns: 500 }
  )
})

test('once even, nobody plans anything', () => {
  const joiners = Array.from({ length: 7 }, (_, index) => member(`node-${index}`, 1 + (index % 3)))
  const { owners, members } = joinAll(128, joiners, 3)
  // A joiner comes last, so earlier ones may still even out a little; each does so once, and then it rests.
  for (let round = 0; round < 2; round++) {
    for (const { peerId } of members) {
      for (const { range } of planSteals(owners, members, peerId, 3)) owners[range] = peerId
    }
  }
  for (const { peerId } of members) assert.equal(planSteals(owners, members, peerId, 3), [])
})

test('zones are kept apart where there are several', () => {
  const joiners = Array.from({ length: 9 }, (_, index) => member(`node-${index}`, 1, `z${index % 3}`))
  const { owners } = joinAll(256, joiners, 3)
  const zone = (range: number) => Number(owners[range % 256].slice(5)) % 3
  const mixed = owners.filter((_, range) => new Set([zone(range), zone(range + 1), zone(range + 2)]).size === 3)
  const blind = joinAll(
    256,
    joiners.map(({ peerId }) => member(peerId)),
    3
  ).owners
  const zoneBlind = (range: number) => Number(blind[range % 256].slice(5)) % 3
  const byChance = blind.filter(
    (_, range) => new Set([zoneBlind(range), zoneBlind(range + 1), zoneBlind(range + 2)]).size === 3
  )
  assert.ok(
    mixed.length > 1.5 * byChance.length,
    `${mixed.length} windows of three zones, ${byChance.length} by chance`
  )
})

test('thieves at the same time begin at different places', () => {
  const owners = new Array<string>(256).fill('node-0')
  const members = Array.from({ length: 5 }, (_, index) => member(`node-${index}`))
  const first = members.slice(1).map(({ peerId }) => planSteals(owners, members, peerId, 3)[0].range)
  assert.is(new Set(first).size, 4)
})

test('whoever leaves gives everything to those that are there, evenly, and nothing else moves', () => {
  const caseArb = fc.record({
    capacities: fc.array(fc.constantFrom(1, 1, 1, 2, 3), { minLength: 3, maxLength: 12 }),
    leavers: fc.integer({ min: 1, max: 2 }),
    down: fc.integer({ min: 0, max: 2 }),
    q: fc.constantFrom(64, 128, 256)
  })
  fc.assert(
    fc.property(caseArb, ({ capacities, leavers, down, q }) => {
      const joiners = capacities.map((capacity, index) => member(`node-${index}`, capacity))
      const before = joinAll(q, joiners, 3)
      const gone = new Set(joiners.slice(0, leavers).map(({ peerId }) => peerId))
      const silent = new Set(
        joiners.slice(leavers, Math.min(leavers + down, joiners.length - 1)).map(one => one.peerId)
      )
      const members = before.members.map(one => (gone.has(one.peerId) ? { ...one, capacity: 0 } : one))
      const owners = [...before.owners]
      const thieves = members.filter(({ peerId }) => !gone.has(peerId) && !silent.has(peerId))
      for (let round = 0; owners.some(owner => gone.has(owner)) && round < 5; round++) {
        for (const { peerId } of thieves) {
          const steals = planSteals(owners, members, peerId, 3, { canGive: peer => !silent.has(peer) })
          for (const { range, from } of steals) {
            assert.is(owners[range], from)
            owners[range] = peerId
          }
        }
      }
      assert.ok(!owners.some(owner => gone.has(owner)), 'leavers own nothing any more')
      for (const peer of gone) assert.equal(planSteals(owners, members, peer, 3), [])
      const total = thieves.reduce((sum, { capacity }) => sum + capacity, 0)
      const pool = owners.filter(owner => !silent.has(owner)).length
      for (const { peerId, capacity } of thieves) {
        const share = (pool * capacity) / total
        const owned = count(owners, peerId)
        // Each takes by itself: what the first rounds up is what the last rounds down.
        assert.ok(
          Math.abs(owned - share) <= Math.max(2, 0.1 * share) + 1,
          `${peerId} owns ${owned}, its share is ${share}`
        )
      }
      const moved = owners.filter((owner, range) => owner !== before.owners[range]).length
      const had = before.owners.filter(owner => gone.has(owner)).length
      assert.ok(moved <= had + members.length, `${moved} moved, ${had} had to`)
    }),
    { numRuns: 500 }
  )
})

test('strangers, a full thief and a lone node plan nothing', () => {
  const owners = ['a', 'b', 'a', 'b', 'a', 'b', 'a', 'b']
  const members = [member('a'), member('b')]
  assert.equal(planSteals(owners, members, 'x', 3), [])
  assert.equal(planSteals(owners, members, 'a', 3), [])
  assert.equal(planSteals(new Array(8).fill('a'), [member('a')], 'a', 3), [])
  assert.equal(planSteals(new Array(8).fill('gone'), members, 'a', 3), [])
})

test.run()
