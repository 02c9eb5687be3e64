/** When a node gives a hot range away, and what it does about it, alone and on virtual time; what it plans is in `ring/hot-planner`. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Claim } from '../../src/claim.ts'
import type { Peers } from '../../src/coordinator/peers.ts'
import { HotRanges } from '../../src/repair/hot-ranges.ts'
import type { Steal } from '../../src/ring/planner.ts'
import type { Flip } from '../../src/ring/ring-view.ts'
import { RingView } from '../../src/ring/ring-view.ts'
import { silentLog } from '../../src/runtime.ts'
import type { Topology } from '../../src/topology.ts'
import { virtualTime } from '../support/virtual-time.ts'

const test = suite('hot swaps')
const AFTER_MS = 60_000
const GIVE_UP_MS = 30_000
const RING = [...'ABCDEFGHABCDEFGHABCDEFGHABCDEFGH']
/** Two ranges of A's that make much work. */
const HOT = [8, 16]
const MUCH = 230
const LITTLE = 30

/** Node A of eight. `work`: a second, of each range. */
function world() {
  const { world, clock } = virtualTime()
  const owners = [...RING]
  const works: number[] = RING.map((_, range) => (HOT.includes(range) ? MUCH : LITTLE))
  let listener: (changed: Claim[]) => void = () => {}
  const it = { settled: true, takesOffers: true, others: 400 }
  const offers: (Flip & { atMs: number })[] = []
  const preferred: Steal[] = []
  const topology = {
    complete: true,
    get view() {
      return new RingView(owners, () => '', 3)
    },
    claim: (range: number) => ({ range, epoch: 1, owner: owners[range] }),
    onChange: (given: typeof listener) => {
      listener = given
    }
  } as unknown as Topology
  const hot = new HotRanges(
    {
      clock,
      log: silentLog,
      peers: { self: 'A', isReachable: () => true } as unknown as Peers,
      topology,
      handover: {
        offer: flip => {
          offers.push({ ...flip, atMs: world.nowMs })
          return it.takesOffers
        }
      },
      thief: { prefer: steal => void preferred.push(steal) },
      rangeLoads: {
        work: range => works[range],
        get total() {
          return works.reduce((sum, work) => sum + work, 0)
        }
      },
      shareholders: {
        plan: () => [...'ABCDEFGH'].map(peerId => ({ peerId, capacity: 1, zone: '' })),
        loads: () => new Map([...'BCDEFGH'].map(peer => [peer, it.others])),
        coolOf: peer =>
          RING.flatMap((owner, range) => (owner === peer && range > 23 ? [{ range, work: 3 * LITTLE }] : [])),
        areSettled: () => it.settled
      }
    },
    { afterMs: AFTER_MS, giveUpMs: GIVE_UP_MS }
  )
  const live = async (ms: number) => {
    for (const endMs = world.nowMs + ms; world.nowMs < endMs; await world.sleep(1000)) hot.tick()
  }
  const flip = (range: number, to: string) => {
    owners[range] = to
    listener([{ range, epoch: 2, owner: to }])
  }
  return Object.assign(it, { world, works, hot, offers, preferred, live, flip })
}

test('it must have been hot for long enough, and begins anew with every change of the ring', async () => {
  const it = world()
  await it.world.run(async () => {
    await it.live(AFTER_MS - 2000)
    assert.is(it.offers.length, 0)
    it.flip(3, 'E')
    await it.live(AFTER_MS - 2000)
    assert.is(it.offers.length, 0, 'the ring has changed')
    await it.live(5000)
    assert.is(it.offers[0].range, HOT[0])
  })
})

test('what is hot now and then is not hot', async () => {
  const it = world()
  await it.world.run(async () => {
    for (let i = 0; i < 6; i++) {
      await it.live(AFTER_MS / 2)
      for (const range of HOT) it.works[range] = i % 2 === 0 ? LITTLE : MUCH
    }
    assert.equal(it.offers, [])
  })
})

test('those that are not the hottest wait longer; nobody acts while a member comes, goes or is down', async () => {
  const it = world()
  await it.world.run(async () => {
    it.settled = false
    await it.live(5 * AFTER_MS)
    assert.equal(it.offers, [])
    it.settled = true
    await it.live(AFTER_MS + 5000)
    assert.ok(it.offers.length > 0)
  })
  const idle = world()
  await idle.world.run(async () => {
    idle.works.fill(1)
    idle.others = 1
    await idle.live(5 * AFTER_MS)
    assert.equal(idle.offers, [], 'next to no work')
  })
})

test('once the range has moved, its own thief is told what to take back; the range then rests', async () => {
  const it = world()
  await it.world.run(async () => {
    await it.live(AFTER_MS + 3000)
    const [{ to }] = it.offers
    assert.ok(
      it.offers.every(offer => offer.range === HOT[0] && offer.to === to) && it.offers.length > 1,
      'offered again and again'
    )
    assert.equal(it.preferred, [])
    it.flip(HOT[0], to)
    await it.live(1000)
    assert.is(it.preferred.length, 1)
    assert.is(it.preferred[0].from, to)
    assert.equal(it.hot.stats(), { given: 1, givenUp: 0, nothingToGain: 0 })
    it.flip(HOT[0], 'A')
    const before = it.offers.length
    await it.live(9 * AFTER_MS)
    assert.ok(!it.offers.slice(before).some(({ range }) => range === HOT[0]), 'it has just moved')
    await it.live(3 * AFTER_MS)
    assert.ok(
      it.offers.slice(before).some(({ range }) => range === HOT[0]),
      'and may again after a long time'
    )
  })
})

test('a range that cannot be given away in time, or not at all, is given up', async () => {
  for (const takesOffers of [true, false]) {
    const it = world()
    it.takesOffers = takesOffers
    await it.world.run(async () => {
      await it.live(AFTER_MS + GIVE_UP_MS + 5000)
      assert.is(it.hot.stats().givenUp, 1)
      assert.equal(it.preferred, [])
      if (!takesOffers) assert.is(it.offers.length, 1)
    })
  }
})

test.run()
