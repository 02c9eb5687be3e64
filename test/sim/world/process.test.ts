import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EventLog } from '../../../src/sim/world/event-log.ts'
import { EPOCH_MS, SimProcess } from '../../../src/sim/world/process.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { World } from '../../../src/sim/world/world.ts'

const test = suite('sim process')

const RIGHT = { skewMs: 0, drift: 0 }

function newWorld(): World {
  return new World(new SimRandom('process'), new EventLog())
}

test('its monotonic clock starts with it; its wall clock is as wrong as it is told, now too', async () => {
  const world = newWorld()
  await world.run(async () => {
    await world.sleep(1000)
    const wall = { skewMs: -60_000, drift: 0.001 }
    const process = new SimProcess(world, 'n1', wall)
    assert.is(process.clock.monotonicMs(), 0)
    assert.is(process.clock.wallMs(), EPOCH_MS - 60_000 + 1001)
    await world.sleep(9000)
    assert.is(process.clock.monotonicMs(), 9000)
    assert.is(process.clock.wallMs(), EPOCH_MS - 60_000 + 10_010)
    wall.skewMs += 3_600_000
    assert.is(process.clock.wallMs(), EPOCH_MS + 3_540_000 + 10_010)
    assert.is(process.clock.monotonicMs(), 9000)
  })
})

test('its wall clock shows whole milliseconds', async () => {
  const world = newWorld()
  const process = new SimProcess(world, 'n1', RIGHT)
  await world.run(() => world.sleep(1.75))
  assert.is(process.clock.wallMs(), EPOCH_MS + 1)
})

test('timers fire in time, those of the next turn before any later time, and not when cancelled', async () => {
  const world = newWorld()
  const { timers } = new SimProcess(world, 'n1', RIGHT)
  const seen: string[] = []
  const say = (what: string) => () => seen.push(`${what} ${world.nowMs}`)
  timers.after(20, say('after'))
  timers.after(10, say('cancelled')).cancel()
  timers.afterIo(say('after-io'))
  timers.soon(say('soon'))
  await world.run(() => timers.sleep(30))
  assert.equal(seen.slice(0, 2).sort(), ['after-io 0', 'soon 0'])
  assert.equal(seen.slice(2), ['after 20'])
})

test('as in Node, no timer is shorter than a millisecond; one that Node cannot count is refused', async () => {
  const world = newWorld()
  const { timers } = new SimProcess(world, 'n1', RIGHT)
  const seen: number[] = []
  timers.after(0, () => seen.push(world.nowMs))
  timers.after(-7, () => seen.push(world.nowMs))
  await world.run(() => timers.sleep(0))
  await world.run(() => timers.sleep(2))
  assert.equal(seen, [1, 1])
  assert.throws(() => timers.after(2 ** 31, () => {}), /cannot wait for 2147483648 ms/)
  assert.throws(() => timers.after(Number.NaN, () => {}), /NaN/)
  const refused = await timers.sleep(Number.POSITIVE_INFINITY).catch(error => error as Error)
  assert.match(String(refused), /Infinity/)
})

test('a sleep ends with its time, or with the reason of its signal', async () => {
  const world = newWorld()
  const { timers } = new SimProcess(world, 'n1', RIGHT)
  const reason = new Error('enough')
  const caught = (sleeping: Promise<void>) => sleeping.catch(error => error)
  await world.run(async () => {
    assert.is(await caught(timers.sleep(5, AbortSignal.abort(reason))), reason)
    assert.is(world.nowMs, 0)
    const control = new AbortController()
    timers.after(3, () => control.abort(reason))
    assert.is(await caught(timers.sleep(5, control.signal)), reason)
    assert.is(world.nowMs, 3)
    assert.is(world.pending, 0)
    await timers.sleep(5, new AbortController().signal)
    assert.is(world.nowMs, 8)
  })
})

test('after its death nothing of it runs', async () => {
  const world = newWorld()
  const process = new SimProcess(world, 'n1', RIGHT)
  const seen: string[] = []
  process.timers.after(1, () => seen.push('alive'))
  process.timers.after(3, () => seen.push('dead'))
  void process.timers.sleep(3).then(() => seen.push('dead'))
  await world.run(async () => {
    await world.sleep(2)
    process.kill()
    process.timers.soon(() => seen.push('dead'))
    await world.sleep(10)
  })
  assert.is(process.alive, false)
  assert.equal(seen, ['alive'])
})

test('in a pause its clocks go on and it does not; then all comes at once, but what is cancelled meanwhile', async () => {
  const world = newWorld()
  const process = new SimProcess(world, 'n1', RIGHT)
  const seen: string[] = []
  process.timers.after(5, () => {
    seen.push(`heartbeat ${process.clock.monotonicMs()}`)
    timeout.cancel()
  })
  const timeout = process.timers.after(8, () => seen.push('timeout'))
  await world.run(async () => {
    process.pause()
    assert.is(process.paused, true)
    await world.sleep(16_000)
    assert.equal(seen, [])
    process.resume()
    process.resume()
    assert.is(process.paused, false)
    await world.sleep(10)
  })
  assert.equal(seen, ['heartbeat 16000'])
})

test('whoever is killed in a pause does not come back with the resumption', async () => {
  const world = newWorld()
  const process = new SimProcess(world, 'n1', RIGHT)
  const seen: string[] = []
  process.timers.after(5, () => seen.push('dead'))
  await world.run(async () => {
    process.pause()
    await world.sleep(10)
    process.kill()
    process.resume()
    await world.sleep(10)
  })
  assert.equal(seen, [])
  assert.is(world.pendingOf(process), 0)
})

test.run()
