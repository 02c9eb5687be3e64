/** The thief alone: an owner that answers as the test says, on virtual time. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import { type Claim, grantMessage } from '../../src/claim.ts'
import type { Peers } from '../../src/coordinator/peers.ts'
import type { Answer, Request } from '../../src/messages.ts'
import { Thief } from '../../src/repair/thief.ts'
import { silentLog } from '../../src/runtime.ts'
import { Topology } from '../../src/topology.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { fakeSigner } from '../support/fake-signer.ts'
import { virtualTime } from '../support/virtual-time.ts'

const test = suite('thief')
const PARAMS = { clusterId: 'c'.repeat(32), name: 't', q: 2, n: 1, r: 1, w: 1 }
const TICK_MS = 100
/** Until an owner is asked again at the latest: a tick, and the poll of a range that it has been asked for meanwhile. */
const SLACK_MS = 500

interface Ring {
  hot?: ReadonlySet<number>
  /** By range. */
  owners?: string[]
  /** Of the members; 0: it leaves. */
  capacities?: Record<string, number>
}

/** `owner` has both ranges; the thief wants one of them. `refuses` says which the owner keeps. */
async function world(refuses: (range: number) => boolean, ring: Ring = {}) {
  const { hot = new Set<number>(), owners = ['owner', 'owner'], capacities = { owner: 1, thief: 1 } } = ring
  const { world, clock, timers } = virtualTime()
  const files = new FakeFiles()
  await files.makeDir('d')
  const topology = new Topology(
    { files, signer: fakeSigner('thief'), log: silentLog },
    { dir: 'd', params: { ...PARAMS, q: owners.length }, zoneOf: () => '' }
  )
  await topology.open()
  await topology.apply(owners.map((owner, range) => ({ range, epoch: 1, owner })))
  const asks: { atMs: number; range: number }[] = []
  const grant = (range: number): Claim => {
    const claim = { range, epoch: 2, owner: 'thief' }
    const signature = fakeSigner('owner').sign(grantMessage(PARAMS.clusterId, claim))
    return { ...claim, grant: { by: 'owner', signature } }
  }
  const peers = {
    self: 'thief',
    isReachable: () => true,
    call: async (_to: string, request: Request): Promise<Answer> => {
      if (request.type !== 'ask') throw new Error(request.type)
      for (const range of request.ranges) asks.push({ atMs: clock.monotonicMs(), range })
      const refused = request.ranges.filter(refuses)
      const granted = request.ranges.filter(range => !refuses(range)).map(grant)
      return { type: 'asked', granted, pending: [], refused }
    }
  } as unknown as Peers
  const background = new Background({ log: silentLog, timers })
  const shareholders = () => Object.entries(capacities).map(([peerId, capacity]) => ({ peerId, capacity, zone: '' }))
  const parts = { clock, timers, log: silentLog, background, peers, topology, shareholders, hotRanges: () => hot }
  const thief = new Thief(parts, { settleMs: 0 })
  const live = async (ms: number) => {
    for (const endMs = world.nowMs + ms; world.nowMs < endMs; await world.sleep(TICK_MS)) thief.tick()
  }
  /** Milliseconds between the asks for a range, from `fromMs` on. */
  const gaps = (range: number, fromMs = 0) => {
    const times = asks.filter(ask => ask.range === range && ask.atMs >= fromMs).map(({ atMs }) => atMs)
    return times.slice(1).map((atMs, i) => atMs - times[i])
  }
  return { world, topology, thief, asks, live, gaps }
}

function mustBe(gaps: number[], seconds: number[]): void {
  const text = `${gaps} ms, where ${seconds} s were due`
  assert.ok(gaps.length >= seconds.length, text)
  seconds.forEach((due, i) => void assert.ok(gaps[i] >= due * 1000 && gaps[i] <= due * 1000 + SLACK_MS, text))
}

test('a range that was refused is left alone twice as long each time, up to five minutes', async () => {
  const it = await world(() => true)
  await it.world.run(() => it.live(20 * 60_000))
  for (const range of [0, 1]) mustBe(it.gaps(range), [5, 10, 20, 40, 80, 160, 300, 300])
})

test('when the ring has changed, it is left alone for a short time again', async () => {
  const it = await world(() => true)
  await it.world.run(async () => {
    await it.live(60_000)
    it.topology.invalidate()
    const changedMs = it.world.nowMs
    await it.live(5 * 60_000)
    // What has been begun is waited for; from then on it is 5 s, then twice as long each time.
    for (const range of [0, 1]) mustBe(it.gaps(range, changedMs), [5, 10, 20, 40])
  })
})

test('one range that is refused does not keep the thief from another one', async () => {
  const it = await world(range => range === 0)
  await it.world.run(() => it.live(30_000))
  assert.is(it.topology.claim(1)?.owner, 'thief')
  assert.is(it.thief.pending, 0)
})

test('a range that is told to be hot is left for last', async () => {
  const it = await world(() => false)
  await it.world.run(() => it.live(5000))
  const [first, other] = it.topology.claim(0)?.owner === 'thief' ? [0, 1] : [1, 0]
  const again = await world(() => false, { hot: new Set([first]) })
  await again.world.run(() => again.live(5000))
  assert.is(again.topology.claim(other)?.owner, 'thief')
  assert.is(again.topology.claim(first)?.owner, 'owner')
  const both = await world(() => false, { hot: new Set([0, 1]) })
  await both.world.run(() => both.live(5000))
  assert.is(both.topology.claim(first)?.owner, 'thief', 'there is nothing else')
})

test('a range that it prefers is the one that it takes, if one is due', async () => {
  for (const range of [0, 1]) {
    const it = await world(() => false)
    it.thief.prefer({ range, from: 'owner' })
    await it.world.run(() => it.live(5000))
    assert.equal(
      [0, 1].map(each => it.topology.claim(each)?.owner),
      range === 0 ? ['thief', 'owner'] : ['owner', 'thief']
    )
    it.thief.prefer({ range: 1 - range, from: 'owner' })
    await it.world.run(() => it.live(5000))
    assert.is(it.topology.claim(1 - range)?.owner, 'owner', 'none is due any more')
  }
})

test('what leavers have that nobody takes is taken after a while, and the next of it at once', async () => {
  // Two ranges are its share; the other two are due to a third one, which never gets them.
  const ring = { owners: ['owner', 'owner', 'thief', 'thief'], capacities: { owner: 0, thief: 1, third: 1 } }
  const it = await world(() => false, ring)
  await it.world.run(async () => {
    await it.live(20_000)
    assert.is(it.asks.length, 1)
    assert.ok(it.asks[0].atMs >= 15_000, `asked for after ${it.asks[0].atMs} ms`)
    // The third one takes what it is due from the thief, as it may.
    const claim = { range: 2, epoch: 2, owner: 'third' }
    const signature = fakeSigner('thief').sign(grantMessage(PARAMS.clusterId, claim))
    await it.topology.apply([{ ...claim, grant: { by: 'thief', signature } }])
    const fromMs = it.world.nowMs
    await it.live(5000)
    assert.is(it.asks.length, 2)
    assert.ok(it.asks[1].atMs - fromMs <= SLACK_MS, `asked for after ${it.asks[1].atMs - fromMs} ms`)
  })
})

test.run()
