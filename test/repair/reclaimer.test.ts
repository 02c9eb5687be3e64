/** When a node takes what dead members owned, and when it does not: a real topology, moves that succeed at once, virtual time. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import type { Move, Movement } from '../../src/repair/movement.ts'
import { Reclaimer } from '../../src/repair/reclaimer.ts'
import { silentLog } from '../../src/runtime.ts'
import { ringTopology } from '../support/ring-world.ts'
import { virtualTime } from '../support/virtual-time.ts'

const test = suite('reclaimer')
const AFTER_MS = 10_000
const TICK_MS = 1000

/** Node `self` of a ring such as `ABCABCAB`. */
async function world(ring: string, { self = 'A', members = [...new Set(ring)], reclaimAfterMs = AFTER_MS } = {}) {
  const { world, clock, timers } = virtualTime()
  const { topology } = await ringTopology(ring, { self, n: 2, r: 1, w: 1 })
  const it = {
    verdicts: {} as Record<string, 'up' | 'suspect' | 'down' | 'left' | 'removed'>,
    isHeard: true,
    isHeardNow: true,
    moves: [] as Move[],
    outcome: 'moved',
    isHeld: (_range: number) => false,
    during: (): void | Promise<void> => {}
  }
  const majority = {
    get isHeard() {
      return it.isHeard
    },
    get isHeardNow() {
      return it.isHeard && it.isHeardNow
    }
  }
  const movement = {
    async run(move: Move) {
      it.moves.push(move)
      await it.during()
      const free = move.asked.filter(({ range }) => !it.isHeld(range))
      if (free.length === 0) return { outcome: 'held', claims: [] }
      const claims = it.outcome === 'moved' ? await move.sign(free, () => true) : []
      return { outcome: it.outcome, claims }
    }
  } as unknown as Movement
  const reclaimer = new Reclaimer(
    {
      clock,
      log: silentLog,
      background: new Background({ log: silentLog, timers }),
      topology,
      movement,
      majority,
      verdict: peerId => it.verdicts[peerId] ?? 'up',
      survivors: () => members.map(peerId => ({ peerId, capacity: 1, zone: '' }))
    },
    { self, reclaimAfterMs, trustMs: reclaimAfterMs / 2, patienceMs: 5000, turnMs: AFTER_MS }
  )
  const live = (ms: number) =>
    world.run(async () => {
      for (const endMs = world.nowMs + ms; world.nowMs < endMs; await world.sleep(TICK_MS)) reclaimer.tick()
      reclaimer.tick()
      await world.sleep(1)
    })
  const standStill = (ms: number) => world.run(() => world.sleep(ms))
  const owners = () =>
    topology
      .claims()
      .map(({ owner }) => owner)
      .join('')
  const takeLost = (ranges: number[], accepted = ranges) => reclaimer.takeLost(new Set(ranges), new Set(accepted))
  return Object.assign(it, { topology, reclaimer, live, standStill, owners, takeLost })
}

test('a member that is down for long enough is dead: what it owned goes to the others, evenly', async () => {
  const it = await world('ABCABCAB')
  it.verdicts.C = 'down'
  await it.live(AFTER_MS - 2 * TICK_MS)
  assert.is(it.owners(), 'ABCABCAB')
  await it.live(3 * TICK_MS)
  assert.not.ok(it.owners().includes('C'))
  assert.is([...it.owners()].filter(owner => owner === 'A').length, 4)
  assert.is(it.reclaimer.reclaimed, 2)
  assert.is(it.topology.claim(2)?.grant?.by, 'A')
  assert.ok(
    it.topology.ownClaims().some(({ range }) => range === 2),
    'the others hear of it from this node’s record'
  )
})

test('one that is back for a moment begins again; suspicion is no silence; 0 means never', async () => {
  const it = await world('ABCABCAB')
  it.verdicts.C = 'down'
  await it.live(AFTER_MS - 2 * TICK_MS)
  it.verdicts.C = 'suspect'
  await it.live(2 * TICK_MS)
  it.verdicts.C = 'down'
  await it.live(AFTER_MS - 2 * TICK_MS)
  assert.is(it.moves.length, 0)
  const never = await world('ABCABCAB', { reclaimAfterMs: 0 })
  never.verdicts.C = 'down'
  await never.live(10 * AFTER_MS)
  assert.is(never.moves.length, 0)
})

test('who owns nothing yet has the last turn: a joiner may not know the ring', async () => {
  const it = await world('BCDBCDBC', { self: 'B', members: ['A', 'B', 'C', 'D'] })
  it.verdicts.D = 'removed'
  await it.live(AFTER_MS / 2 + 2 * TICK_MS)
  assert.not.match(it.owners(), /D/)
  const joiner = await world('BCDBCDBC', { self: 'A', members: ['A', 'B', 'C', 'D'] })
  joiner.verdicts.D = 'removed'
  await joiner.live(AFTER_MS)
  assert.is(joiner.moves.length, 0)
  await joiner.live(2 * AFTER_MS)
  assert.not.match(joiner.owners(), /D/, 'should nothing come of the others')
})

test('who does not hear most of the others takes nothing, and its silence counts from when it hears them again', async () => {
  const it = await world('ABCABCAB')
  it.verdicts.C = 'down'
  it.isHeard = false
  await it.live(3 * AFTER_MS)
  it.isHeard = true
  await it.live(AFTER_MS - 2 * TICK_MS)
  assert.is(it.moves.length, 0)
  await it.live(4 * TICK_MS)
  assert.ok(it.moves.length > 0)
})

test('who suspects most of the others signs nothing: it may have been cut off just now', async () => {
  const it = await world('ABCABCAB')
  it.verdicts.C = 'down'
  it.isHeardNow = false
  await it.live(2 * AFTER_MS)
  assert.ok(it.moves.length > 0)
  assert.is(it.owners(), 'ABCABCAB')
  it.isHeardNow = true
  await it.live(4 * TICK_MS)
  assert.not.match(it.owners(), /C/)
})

test('what this process did not live through proves nothing', async () => {
  const it = await world('ABCABCAB')
  it.verdicts.C = 'down'
  await it.live(AFTER_MS - 3 * TICK_MS)
  await it.standStill(AFTER_MS)
  await it.live(AFTER_MS - 3 * TICK_MS)
  assert.is(it.moves.length, 0)
})

test('one acts for all: the first of those that are up; the next when nothing comes of it', async () => {
  const second = await world('ABCABCAB', { self: 'B' })
  second.verdicts.C = 'down'
  await second.live(2 * AFTER_MS - 2 * TICK_MS)
  assert.is(second.moves.length, 0)
  await second.live(3 * TICK_MS)
  assert.ok(second.moves.length > 0)
  const sooner = await world('ABCABCAB', { self: 'B' })
  sooner.verdicts.C = 'down'
  sooner.verdicts.A = 'suspect'
  await sooner.live(AFTER_MS + 2 * TICK_MS)
  assert.ok(sooner.moves.length > 0)
})

test('one that left is dead at once; one that was removed when it can no longer trust its view; silence counts too', async () => {
  for (const reclaimAfterMs of [0, AFTER_MS]) {
    const it = await world('ABCABCAB', { reclaimAfterMs, members: ['A', 'B'] })
    it.verdicts.C = 'left'
    await it.live(TICK_MS)
    assert.not.ok(it.owners().includes('C'))
  }
  const removed = await world('ABCABCAB', { members: ['A', 'B'] })
  removed.verdicts.C = 'removed'
  await removed.live(AFTER_MS / 2 - 2 * TICK_MS)
  assert.is(removed.moves.length, 0)
  await removed.live(3 * TICK_MS)
  assert.not.ok(removed.owners().includes('C'))
})

test('a dead node that owns nothing any more, and one that is down, are given nothing', async () => {
  const it = await world('ABCABCAB', { members: ['A', 'B', 'C', 'D', 'E'] })
  it.verdicts.C = 'down'
  it.verdicts.D = 'down'
  await it.live(AFTER_MS + 2 * TICK_MS)
  assert.match(it.owners(), /^[ABE]+$/)
})

test('what would be unsafe is not planned again on the same ring', async () => {
  const it = await world('ABCABCAB', { members: ['A', 'B', 'C'] })
  it.verdicts.C = 'down'
  it.outcome = 'unsafe'
  await it.live(AFTER_MS + 4 * TICK_MS)
  const asked = it.moves.flatMap(move => move.asked.map(({ range, to }) => `${range} ${to}`))
  assert.is(new Set(asked).size, asked.length)
  assert.is(asked.length, 4, 'both ranges for either survivor, and no more')
})

test('where many ranges are held, those behind them have their turn; and the held ones, once they are held no more', async () => {
  const it = await world('C'.repeat(700) + 'AB'.repeat(162), { members: ['A', 'B'] })
  it.verdicts.C = 'left'
  it.isHeld = range => range < 600
  await it.live(6 * TICK_MS)
  assert.ok(it.moves.every(({ asked }) => asked.length <= 256))
  assert.equal([it.owners().lastIndexOf('C'), it.reclaimer.reclaimed], [599, 100])
  it.isHeld = () => false
  await it.live(6 * TICK_MS)
  assert.not.match(it.owners(), /C/)
  const few = await world('C'.repeat(200) + 'AB'.repeat(28), { members: ['A', 'B'] })
  few.verdicts.C = 'left'
  few.isHeld = () => true
  await few.live(2 * TICK_MS)
  assert.ok(few.moves.length > 1)
  assert.ok(
    few.moves.every(({ asked }) => asked.length === 200 && asked[0]!.range === 0),
    'all of them, in the same order'
  )
})

test('one that turns up before the claims are signed keeps its ranges', async () => {
  const it = await world('ABCABCAB')
  it.verdicts.C = 'down'
  it.during = () => {
    it.verdicts.C = 'up'
  }
  await it.live(AFTER_MS + 2 * TICK_MS)
  assert.is(it.moves.length, 1)
  assert.is(it.owners(), 'ABCABCAB')
})

test('lost ranges are taken by whoever is told to, those alone, and from nobody that is not dead', async () => {
  const it = await world('ABCABCAB', { self: 'B' })
  await it.live(TICK_MS)
  assert.is(await it.takeLost([2]), 'held')
  it.verdicts.C = 'down'
  it.outcome = 'held'
  await it.live(AFTER_MS + TICK_MS)
  assert.not.ok(it.reclaimer.isDead('A'))
  assert.ok(it.reclaimer.isDead('C'))
  it.outcome = 'moved'
  it.isHeard = false
  assert.is(await it.takeLost([2]), 'held')
  it.isHeard = true
  assert.is(await it.takeLost([0, 2], [0, 2, 3]), 'moved')
  assert.match(it.owners(), /^AB[AB]ABCAB$/)
  const { bereft } = it.moves.at(-1)!
  assert.equal([2, 3, 5].map(bereft!.isLost), [true, true, false], 'all that are accepted, and no more')
})

test('an operator who has to wait for a takeover is next, before the ranges that nobody waits for', async () => {
  const it = await world('ABCABCAB', { self: 'B' })
  const first = Promise.withResolvers<void>()
  it.verdicts.C = 'down'
  it.outcome = 'held'
  it.during = () => first.promise
  await it.live(AFTER_MS + 3 * AFTER_MS)
  const { length } = it.moves
  assert.ok(length > 0, 'one is under way')
  assert.is(await it.takeLost([2]), 'held')
  it.during = () => {}
  first.resolve()
  await it.standStill(1)
  await it.live(0)
  assert.is(it.moves.length, length, 'nothing else begins')
  it.outcome = 'moved'
  assert.is(await it.takeLost([2]), 'moved')
  await it.live(TICK_MS)
  assert.ok(it.moves.length > length + 1, 'then it goes on')
})

test.run()
