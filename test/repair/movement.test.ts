/** Moving what dead members owned: whom new members copy from, and what happens where too few are left. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import type { Answer, CopyStatus, Request } from '../../src/messages.ts'
import { Movement } from '../../src/repair/movement.ts'
import { silentLog } from '../../src/runtime.ts'
import { answeringPeers, ringTopology } from '../support/ring-world.ts'
import { virtualTime } from '../support/virtual-time.ts'

const test = suite('movement')

/** Node A of a ring, a letter a range, N = 3 and W = 2; it acts for the dead. */
async function world(ring: string, dead: string) {
  const { world, clock, timers } = virtualTime()
  const { files, topology } = await ringTopology(ring)
  const it = {
    statusOf: (_member: string, _range: number): CopyStatus => 'synced',
    lost: [] as number[],
    /** How long the disk takes for an owner map. */
    diskMs: 0,
    maySign: true,
    pulls: [] as { member: string; ranges: number[]; sources: string[] }[]
  }
  const isReachable = (peerId: string) => !dead.includes(peerId)
  const answer = (to: string, request: Request): Answer => {
    if (request.type === 'copies') {
      return { type: 'copies', copies: request.ranges.map(range => ({ range, status: it.statusOf(to, range) })) }
    }
    if (request.type !== 'pull') return { type: 'ok' }
    it.pulls.push({ member: to, ranges: request.ranges, sources: request.sources })
    return { type: 'pulled', synced: request.ranges, keysDone: 0, keysTotal: 0 }
  }
  const peers = answeringPeers(isReachable, answer)
  const background = new Background({ log: silentLog, timers })
  const members = () => [...new Set(ring)]
  const parts = { clock, timers, log: silentLog, background, peers, topology, members }
  const movement = new Movement(parts, { leaseMs: 30_000 })
  const take = (range: number, to: string, patient: boolean) =>
    world.run(() =>
      movement.run({
        asked: [{ range, to }],
        isWanted: () => true,
        sign: (flips, stillPlanned) => {
          if (it.diskMs > 0) timers.after(it.diskMs, files.hold('replaceFile', /ring/))
          const isDead = (owner: string) => dead.includes(owner)
          return topology.reclaim(flips, isDead, () => stillPlanned() && it.maySign)
        },
        bereft: { patient, isDead: owner => dead.includes(owner), isLost: range => it.lost.includes(range) }
      })
    )
  return Object.assign(it, { topology, take })
}

test('new members of a dead one’s lists copy from N − W + 1 synced members that are left', async () => {
  const it = await world('ABCDABCD', 'D')
  const { outcome, claims } = await it.take(3, 'C', true)
  assert.is(outcome, 'moved')
  assert.is(claims[0]!.owner, 'C')
  assert.ok(it.pulls.length > 0)
  for (const { member, sources } of it.pulls) {
    assert.is(sources.length, 2)
    assert.not.ok(sources.includes('D') || sources.includes(member))
  }
})

test('what was not signed has not moved: not now, unless the ring has changed under the plan', async () => {
  const it = await world('ABCDABCD', 'D')
  it.maySign = false
  assert.equal(await it.take(3, 'C', true), { outcome: 'held', claims: [] })
  assert.is(it.topology.claim(3)?.owner, 'D')
})

test('a list with a syncing member is waited for as long as there is patience; then one synced copy is enough', async () => {
  const it = await world('ABCDABCD', 'D')
  it.statusOf = member => (member === 'B' ? 'syncing' : 'synced')
  assert.is((await it.take(3, 'C', true)).outcome, 'held')
  assert.is(it.topology.claim(3)?.owner, 'D')
  const { outcome } = await it.take(3, 'C', false)
  assert.is(outcome, 'moved')
  assert.is(it.topology.claim(3)?.owner, 'C')
})

test('where one of three is left, new members begin empty at once; where nobody in sync is, nothing moves', async () => {
  const it = await world('ABCDEABCDE', 'DE')
  // Of the list C D E one is left, and of those before and after it two. Some go on with E, which is dead, for a while.
  assert.is((await it.take(3, 'B', true)).outcome, 'moved')
  const lost = await world('ABCDEABCDE', 'DE')
  lost.statusOf = () => 'syncing'
  assert.is((await lost.take(3, 'B', false)).outcome, 'held')
  assert.is(lost.topology.claim(3)?.owner, 'D')
})

test('a list whose loss was accepted changes, though nobody in sync is left; one beside it that is lost too holds it', async () => {
  const it = await world('ABCDEFABCDEF', 'DEF')
  it.statusOf = (_, range) => (range === 3 || range === 2 ? 'syncing' : 'synced')
  it.lost = [3]
  assert.is(
    (await it.take(3, 'A', false)).outcome,
    'held',
    'the list of range 2 would change, and nobody accepted that'
  )
  it.lost = [2, 3]
  const { outcome, claims } = await it.take(3, 'A', false)
  assert.is(outcome, 'moved')
  assert.equal([claims[0]!.range, claims[0]!.owner], [3, 'A'])
  assert.not.ok(
    it.pulls.some(({ ranges }) => ranges.includes(3)),
    'there is nobody to copy it from'
  )
})

test('a claim that the disk took so long to sign that the seals may have lapsed is none', async () => {
  const it = await world('ABCDABCD', 'D')
  it.diskMs = 16_000
  assert.equal((await it.take(3, 'A', true)).claims, [])
  assert.is(it.topology.claim(3)?.owner, 'D')
  it.diskMs = 1000
  assert.is((await it.take(3, 'A', true)).claims.length, 1)
})

test.run()
