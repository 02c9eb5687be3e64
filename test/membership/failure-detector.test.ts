import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FailureDetector, MAX_SUSPICION_MS, SUSPICION_MS } from '../../src/membership/failure-detector.ts'
import { describe, deviationFloorMs, emptyWindow, observe, phi, WINDOW_SIZE } from '../../src/membership/phi.ts'
import { ManualTime, seededRandom } from './harness.ts'

function detectorAt(time: ManualTime) {
  const verdicts: string[] = []
  const detector = new FailureDetector(time, {
    gossipIntervalMs: 1000,
    phiThreshold: 8,
    onVerdict: (peerId, verdict) => verdicts.push(`${peerId} ${verdict}`)
  })
  const pass = (ms: number) => {
    for (let rest = ms; rest > 0; rest -= 1000) {
      detector.expectTick(Math.min(rest, 1000))
      time.advance(Math.min(rest, 1000))
      detector.tick()
    }
  }
  return { detector, verdicts, pass }
}

const test = suite('membership: failure detector')

test('phi grows with silence, never falls below 0, and is about 8 at 5.6 deviations', () => {
  const ms = fc.double({ min: 0, max: 1e6, noNaN: true })
  fc.assert(
    fc.property(ms, ms, fc.double({ min: 1, max: 1e4, noNaN: true }), (a, b, deviation) => {
      const [less, more] = a < b ? [a, b] : [b, a]
      assert.ok(phi(less, 1000, deviation) <= phi(more, 1000, deviation))
      assert.ok(phi(less, 1000, deviation) >= 0)
      assert.ok(Number.isFinite(phi(more, 1000, deviation)))
    })
  )
  assert.ok(Math.abs(phi(1000, 1000, 100) - Math.log10(2)) < 0.01)
  assert.ok(Math.abs(phi(1000 + 5.612 * 100, 1000, 100) - 8) < 0.05)
  assert.ok(Math.abs(phi(1000 + 2.3263 * 100, 1000, 100) - 2) < 0.02)
  assert.ok(Math.abs(phi(1000 - 1.2816 * 100, 1000, 100) - -Math.log10(0.9)) < 0.005)
})

test('a window describes its last gaps', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 10_000 }), { minLength: 1, maxLength: 200 }), gaps => {
      const window = emptyWindow()
      for (const gap of gaps) observe(window, gap)
      const last = gaps.slice(-WINDOW_SIZE)
      const mean = last.reduce((sum, gap) => sum + gap, 0) / last.length
      const deviation = Math.sqrt(last.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / last.length)
      const found = describe(window, 1000)
      assert.ok(Math.abs(found.meanMs - mean) < 0.01 && Math.abs(found.deviationMs - deviation) < 0.1)
    })
  )
})

test('a peer that falls silent is down within seconds, and up again when it is heard', () => {
  const time = new ManualTime()
  const { detector, verdicts, pass } = detectorAt(time)
  assert.is(detector.verdict('a'), 'down', 'a stranger')
  for (let i = 0; i < 30; i++) {
    detector.heard('a')
    pass(1000)
  }
  assert.equal(verdicts, ['a up'])
  pass(2000)
  assert.is(detector.verdict('a'), 'up', 'a few seconds are nothing special')
  pass(6000)
  assert.is(detector.verdict('a'), 'down')
  detector.heard('a')
  assert.equal(verdicts, ['a up', 'a down', 'a up'])
})

test('the jitter of a gossip path raises no alarm in clusters of 3, 40 and 300, and a death is noticed', () => {
  for (const size of [3, 40, 300]) {
    const { alarms, noticed } = gossipModel(size, 300)
    assert.is(alarms, 0, `${size} members: false alarms`)
    assert.ok(noticed > 0 && noticed <= 25, `${size} members: death noticed after ${noticed} s`)
  }
})

/** Node 0's view of node 1's pulse, which spreads by one push-pull exchange per node and second. */
function gossipModel(size: number, seconds: number): { alarms: number; noticed: number } {
  const time = new ManualTime()
  const { detector, verdicts } = detectorAt(time)
  for (let i = 2; i < size; i++) detector.heard(`other-${i}`)
  const random = seededRandom(size)
  const known = new Array<number>(size).fill(0)
  let alarms = 0
  let noticed = 0
  for (let second = 1; second <= seconds + 40 && !noticed; second++) {
    const dead = second > seconds
    if (!dead) known[1]!++
    const before = known[0]!
    for (let i = 0; i < size; i++) {
      const j = Math.floor(random.float() * size)
      if (dead && (i === 1 || j === 1)) continue
      known[i] = known[j] = Math.max(known[i]!, known[j]!)
    }
    time.advance(1000 * (0.9 + 0.2 * random.float()))
    if (known[0]! > before) detector.heard('node-1')
    detector.tick()
    if (verdicts.includes('node-1 down')) {
      if (dead) noticed = second - seconds
      else alarms++
    }
  }
  return { alarms, noticed }
}

test('the floor of the deviation grows with the cluster', () => {
  assert.ok(deviationFloorMs(1000, 3) < deviationFloorMs(1000, 40))
  assert.ok(deviationFloorMs(1000, 40) < deviationFloorMs(1000, 1000))
})

test('a failed request makes suspect at once; suspicion lapses, doubles when it fails again, and ends with success', () => {
  const time = new ManualTime()
  const { detector, verdicts, pass } = detectorAt(time)
  const beating = (ms: number) => {
    for (let rest = ms; rest > 0; rest -= 1000) {
      detector.heard('a')
      pass(Math.min(1000, rest))
    }
  }
  beating(3000)
  detector.reportFailure('a')
  assert.is(detector.verdict('a'), 'suspect')
  detector.reportFailure('a')
  beating(SUSPICION_MS)
  assert.is(detector.verdict('a'), 'up', 'two failures at once count once')
  detector.reportFailure('a')
  beating(SUSPICION_MS)
  assert.is(detector.verdict('a'), 'suspect', 'the second time it lasts twice as long')
  beating(SUSPICION_MS)
  assert.is(detector.verdict('a'), 'up')
  for (let i = 0; i < 10; i++) {
    detector.reportFailure('a')
    beating(MAX_SUSPICION_MS)
    assert.is(detector.verdict('a'), 'up', 'never longer than the longest')
  }
  detector.reportFailure('a')
  detector.reportSuccess('a')
  assert.is(verdicts.at(-1), 'a up')
  detector.reportFailure('a')
  beating(SUSPICION_MS)
  assert.is(detector.verdict('a'), 'up', 'success starts the count again')
})

test('a broken connection makes suspect until the peer is met or its heart beats twice', () => {
  const time = new ManualTime()
  const { detector, pass } = detectorAt(time)
  detector.heard('a')
  pass(1000)
  detector.lost('a')
  assert.is(detector.verdict('a'), 'suspect')
  pass(1000)
  assert.is(detector.verdict('a'), 'suspect')
  detector.heard('a')
  assert.is(detector.verdict('a'), 'suspect')
  detector.heard('a')
  assert.is(detector.verdict('a'), 'up')
  detector.lost('a')
  detector.met('a')
  assert.is(detector.verdict('a'), 'up')
  detector.lost('a')
  pass(20_000)
  assert.is(detector.verdict('a'), 'down')
})

test('reports about strangers say nothing', () => {
  const { detector, verdicts } = detectorAt(new ManualTime())
  detector.reportFailure('x')
  detector.reportSuccess('x')
  detector.lost('x')
  detector.met('x')
  assert.equal(verdicts, [])
})

test('after a pause of its own a node condemns nobody, for a while, whatever its timers and requests say', () => {
  const time = new ManualTime()
  const { detector, verdicts, pass } = detectorAt(time)
  for (let i = 0; i < 10; i++) {
    detector.heard('a')
    detector.heard('b')
    pass(1000)
  }
  detector.expectTick(1000)
  time.now += 16_000
  // On waking, overdue request timers may fire before the overdue round.
  detector.reportFailure('a')
  detector.lost('b')
  assert.is(detector.tick(), 15_000)
  detector.reportFailure('a')
  pass(4000)
  assert.equal(verdicts, ['a up', 'b up'])
  // Then silence counts again.
  pass(20_000)
  assert.equal(verdicts.slice(2).sort(), ['a down', 'b down'])
})

test.run()
