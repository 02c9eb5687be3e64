import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Majority } from '../src/majority.ts'
import type { Membership } from '../src/membership/membership.ts'
import type { Topology } from '../src/topology.ts'

const test = suite('majority')

function world(owners: string[] = []) {
  const it = {
    nowMs: 0,
    members: [] as { peerId: string; self: boolean; verdict: string; record: { status: string }; aliveMs: number }[],
    removed: [] as string[],
    add(peerId: string, { verdict = 'up', status = 'up', aliveMs = 0 } = {}) {
      it.members.push({ peerId, self: peerId === 'me', verdict, record: { status }, aliveMs })
    }
  }
  const membership = {
    self: 'me',
    members: () => it.members,
    member: (peerId: string) => it.members.find(member => member.peerId === peerId),
    isRemoved: (peerId: string) => it.removed.includes(peerId),
    aliveMs: (peerId: string) =>
      peerId === 'me' ? it.nowMs : (it.members.find(one => one.peerId === peerId)?.aliveMs ?? Number.NEGATIVE_INFINITY)
  } as unknown as Membership
  const topology = { view: { owners: () => owners } } as unknown as Topology
  const clock = { monotonicMs: () => it.nowMs, wallMs: () => 0 }
  it.add('me')
  const majority = new Majority({ clock, membership, topology }, { reclaimAfterMs: 1000 })
  return Object.assign(it, {
    owners,
    majority,
    never: new Majority({ clock, membership, topology }, { reclaimAfterMs: 0 })
  })
}

test('a node that is alone is the majority; of an owner that nobody has told of, it is not', () => {
  assert.ok(world().majority.isHeard)
  assert.ok(world().majority.isCurrent)
  const silent = world(['me', 'other'])
  assert.not(silent.majority.isHeard)
  assert.not(silent.majority.isCurrent)
  silent.removed.push('other')
  assert.ok(silent.majority.isHeard)
  assert.ok(silent.majority.isCurrent)
})

test('joiners on the small side of a cut make no majority of it; before the ring is known, all members count', () => {
  const it = world(['me', 'a', 'b', 'c', 'd'])
  it.add('a')
  for (const peerId of ['b', 'c', 'd']) it.add(peerId, { verdict: 'down', aliveMs: -2000 })
  for (const peerId of ['e', 'f']) it.add(peerId, { status: 'joining' })
  assert.not(it.majority.isHeard)
  assert.not(it.majority.isCurrent)
  const unknowing = world()
  unknowing.add('a', { verdict: 'down' })
  assert.not(unknowing.majority.isHeard)
})

test('more than half have to be up; those that left do not count', () => {
  const it = world(['me', 'a', 'b', 'c'])
  const { owners } = it
  it.add('a')
  it.add('b', { verdict: 'down' })
  it.add('c', { verdict: 'down' })
  assert.not(it.majority.isHeard, 'two of four')
  owners.push('d')
  it.add('d')
  assert.ok(it.majority.isHeard, 'three of five')
  it.members[1]!.verdict = 'suspect'
  assert.ok(it.majority.isHeard, 'suspects are heard')
  assert.not(it.majority.isHeardNow, 'but not now')
  owners.push('e')
  it.add('e', { verdict: 'down', status: 'left' })
  assert.ok(it.majority.isHeard)
})

test('its view is trusted for half the time after which others take it for dead, whatever a verdict says', () => {
  const it = world()
  for (const peerId of ['a', 'b', 'c', 'd']) it.add(peerId, { aliveMs: 100 })
  it.nowMs = 599
  assert.ok(it.majority.isCurrent)
  it.nowMs = 600
  assert.not(it.majority.isCurrent, 'nobody has been heard for 500 ms, though all seem up')
  it.members[1]!.aliveMs = 580
  assert.not(it.majority.isCurrent, 'one is not most of them')
  it.members[2]!.aliveMs = 590
  assert.ok(it.majority.isCurrent)
  it.nowMs = 1080
  assert.not(it.majority.isCurrent)
  assert.ok(it.never.isCurrent, 'where nobody is ever taken for dead')
})

test.run()
