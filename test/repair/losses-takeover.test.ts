/** `accept-loss` of ranges whose whole list is gone: real decisions and a real topology, members that answer at once, virtual time. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import type { Answer, CopyStatus, Request } from '../../src/messages.ts'
import { Losses } from '../../src/repair/losses.ts'
import { Movement } from '../../src/repair/movement.ts'
import { Reclaimer } from '../../src/repair/reclaimer.ts'
import { silentLog } from '../../src/runtime.ts'
import { answeringPeers, ringTopology } from '../support/ring-world.ts'
import { virtualTime } from '../support/virtual-time.ts'

const test = suite('losses: takeover')
/** The list of range 3 is D, E and F, that of range 2 is C, D and E. */
const RING = 'ABCDEFABCDEF'
const GONE = 'DEF'
/** A loop that never pauses never ends otherwise: it holds up virtual time, and every timeout with it. */
const MANY_LOOKS = 10_000

/** Node A; D, E and F have left, and each member's copy of a range is what `statusOf` says. */
async function world(statusOf: (range: number) => CopyStatus) {
  const { world, clock, timers } = virtualTime()
  const { topology } = await ringTopology(RING)
  const isReachable = (peerId: string) => !GONE.includes(peerId)
  const it = { isHeardNow: true, looks: 0, accepted: new Set<number>() }
  const majority = {
    isHeard: true,
    get isHeardNow() {
      if (++it.looks > MANY_LOOKS) throw new Error('looked without end')
      return it.isHeardNow
    }
  }
  const answer = (request: Request): Answer => {
    if (request.type === 'copies')
      return { type: 'copies', copies: request.ranges.map(range => ({ range, status: statusOf(range) })) }
    if (request.type === 'pull') return { type: 'pulled', synced: request.ranges, keysDone: 0, keysTotal: 0 }
    if (request.type === 'accept') for (const range of request.ranges) it.accepted.add(range)
    return { type: 'ok' }
  }
  const peers = answeringPeers(isReachable, (_to, request) => answer(request))
  const background = new Background({ log: silentLog, timers })
  const members = () => [...new Set(RING)]
  const parts = { clock, timers, log: silentLog, background, peers, topology, members, majority }
  const reclaimer = new Reclaimer(
    {
      ...parts,
      movement: new Movement(parts, { leaseMs: 30_000 }),
      verdict: peerId => (isReachable(peerId) ? 'up' : 'left'),
      survivors: () => [...'ABC'].map(peerId => ({ peerId, capacity: 1, zone: '' }))
    },
    { self: 'A', reclaimAfterMs: 10_000, trustMs: 5000, patienceMs: 5000, turnMs: 10_000 }
  )
  const losses = new Losses({ ...parts, hasGone: peerId => !isReachable(peerId), reclaimer })
  /** `ok`, or the code and the reason; and how long it took. */
  const accept = (ranges: number[], timeoutMs: number) =>
    world.run(async () => {
      // Who is dead it knows from its looks; the takeovers that it begins by itself stop at what is lost.
      reclaimer.tick()
      await world.until(() => Object.keys(background.list()).length === 0, 60_000, 1)
      const startMs = world.nowMs
      const outcome = await losses.accept(ranges, { force: false, timeoutMs }).then(
        () => 'ok',
        error => `${error.code}: ${error.message}`
      )
      return { outcome, tookMs: world.nowMs - startMs }
    })
  return Object.assign(it, { topology, accept })
}

test('a node that may sign nothing now says so in time, and lets the rest of the process go on meanwhile', async () => {
  const it = await world(range => (range === 3 ? 'none' : 'synced'))
  it.isHeardNow = false
  const { outcome, tookMs } = await it.accept([3], 5000)
  assert.match(outcome, /^range-busy: nobody could take over range 3 in time/)
  assert.ok(tookMs > 4000 && tookMs <= 5000, `after ${tookMs} ms`)
  assert.is(it.topology.claim(3)?.owner, 'D')
})

test('ranges beside one another that are lost are taken over and accepted together, though members of one list live', async () => {
  const isLost = (range: number) => range === 2 || range === 3
  const alone = await world(range => (isLost(range) ? 'syncing' : 'synced'))
  assert.match((await alone.accept([3], 5000)).outcome, /^range-busy: .*accept their loss along with it/)
  const it = await world(range => (isLost(range) ? 'syncing' : 'synced'))
  assert.is((await it.accept([2, 3], 5000)).outcome, 'ok')
  assert.match(it.topology.claim(3)!.owner, /^[ABC]$/)
  assert.equal([...it.accepted].sort(), [2, 3])
})

test.run()
