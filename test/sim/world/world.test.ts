import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EventLog } from '../../../src/sim/world/event-log.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { type Owner, WORLD, World } from '../../../src/sim/world/world.ts'

const test = suite('sim world')

const HOUR_MS = 3_600_000

function newWorld(trace?: (line: string) => void): World {
  return new World(new SimRandom('world'), new EventLog(trace))
}

function owner(name: string): Owner & { alive: boolean; paused: boolean } {
  return { name, alive: true, paused: false }
}

async function failure(running: Promise<unknown>): Promise<string> {
  return running.then(
    () => 'none',
    error => (error as Error).message
  )
}

test('time jumps from event to event', async () => {
  const world = newWorld()
  const seen: [string, number][] = []
  world.after(HOUR_MS, WORLD, 'late', () => seen.push(['late', world.nowMs]))
  world.after(0.5, WORLD, 'early', () => seen.push(['early', world.nowMs]))
  world.after(-5, WORLD, 'now', () => seen.push(['now', world.nowMs]))
  const result = await world.run(async () => {
    await world.sleep(2 * HOUR_MS)
    return 'done'
  })
  assert.is(result, 'done')
  assert.equal(seen, [
    ['now', 0],
    ['early', 0.5],
    ['late', HOUR_MS]
  ])
  assert.is(world.nowMs, 2 * HOUR_MS)
  assert.is(world.pending, 0)
})

test('all promise callbacks and ticks that follow from an event run before the next', async () => {
  const world = newWorld()
  const seen: string[] = []
  // Of one moment, and more of them than the world queues at once.
  for (let i = 0; i < 1000; i++) {
    world.after(1, WORLD, 'event', () => {
      seen.push(`${i} event`)
      void (async () => {
        for (let depth = 0; depth < 20; depth++) await depth
        process.nextTick(() => {
          queueMicrotask(() => process.nextTick(() => void Promise.resolve().then(() => seen.push(`${i} after`))))
        })
      })()
    })
  }
  await world.run(() => world.sleep(2))
  assert.equal(seen, Array.from({ length: 1000 }, (_, i) => [`${i} event`, `${i} after`]).flat())
})

test('times keep their order to the last bit when they are given as times', async () => {
  const world = newWorld()
  const seen: number[] = []
  // For half of these moments, now and the difference between this and now do not add up to this.
  const atMs = 1.9 + Number.EPSILON
  await world.run(async () => {
    await world.sleep(0.5)
    for (let i = 0; i < 200; i++) {
      world.at(atMs, WORLD, 'message', () => seen.push(i))
      await world.sleep(0.00123)
    }
    await world.sleep(5)
  })
  assert.equal(
    seen,
    Array.from({ length: 200 }, (_, i) => i)
  )
})

test('a time that is past is now; one that never comes is refused', async () => {
  const world = newWorld()
  await world.run(() => world.sleep(10))
  let atMs = -1
  world.at(3, WORLD, 'past', () => (atMs = world.nowMs))
  await world.run(() => world.sleep(0))
  assert.is(atMs, 10)
  assert.throws(() => world.after(Number.NaN, WORLD, 'wait', () => {}), /world schedules wait at NaN ms/)
  assert.throws(() => world.at(Number.POSITIVE_INFINITY, WORLD, 'wait', () => {}), /Infinity/)
})

test('what is cancelled never runs', async () => {
  const world = newWorld()
  const seen: string[] = []
  const second = world.after(2, WORLD, 'second', () => seen.push('second'))
  const first = world.after(1, WORLD, 'first', () => {
    seen.push('first')
    second.cancel()
    first.cancel()
  })
  await world.run(() => world.sleep(5))
  assert.equal(seen, ['first'])
})

test('the dead run nothing, and leave no trace of it', async () => {
  const lines: string[] = []
  const world = newWorld(line => lines.push(line))
  const dead = owner('n1')
  const seen: string[] = []
  world.after(1, dead, 'timer', () => seen.push('before'))
  world.after(2, WORLD, 'kill', () => (dead.alive = false))
  world.after(3, dead, 'timer', () => seen.push('after'))
  await world.run(() => world.sleep(5))
  assert.equal(seen, ['before'])
  assert.equal(
    lines.map(line => line.trim().split(/\s+/)[1]),
    ['n1', 'world', 'world']
  )
})

test('the paused run what they missed when they resume, in the order in which it was due', async () => {
  const world = newWorld()
  const paused = owner('n1')
  const seen: string[] = []
  const say = (what: string) => () => seen.push(`${what} ${world.nowMs}`)
  world.after(4, paused, 'c', say('c'))
  world.after(2, paused, 'a', say('a'))
  world.after(3, paused, 'b', say('b'))
  world.after(20, paused, 'd', say('d'))
  world.after(5, WORLD, 'other', say('other'))
  await world.run(async () => {
    await world.sleep(1)
    paused.paused = true
    await world.sleep(9)
    assert.is(world.pendingOf(paused), 4)
    paused.paused = false
    world.resumed(paused)
    world.resumed(paused)
    await world.sleep(30)
  })
  assert.equal(seen, ['other 5', 'a 10', 'b 10', 'c 10', 'd 20'])
  assert.is(world.pendingOf(paused), 0)
})

test('what was due in a pause can still be cancelled, in the pause and after it', async () => {
  const world = newWorld()
  const paused = owner('n1')
  const seen: string[] = []
  paused.paused = true
  const inPause = world.after(1, paused, 'in-pause', () => seen.push('in-pause'))
  world.after(2, paused, 'canceller', () => {
    seen.push('canceller')
    afterIt.cancel()
  })
  const afterIt = world.after(3, paused, 'after-it', () => seen.push('after-it'))
  await world.run(async () => {
    await world.sleep(5)
    inPause.cancel()
    assert.is(world.pendingOf(paused), 2)
    paused.paused = false
    world.resumed(paused)
    await world.sleep(5)
  })
  assert.equal(seen, ['canceller'])
  assert.is(world.pending, 0)
})

test('a second pause defers again what the first one deferred', async () => {
  const world = newWorld()
  const paused = owner('n1')
  const seen: string[] = []
  paused.paused = true
  world.after(1, paused, 'timer', () => seen.push(`timer ${world.nowMs}`))
  await world.run(async () => {
    await world.sleep(5)
    world.resumed(paused)
    await world.sleep(5)
    paused.paused = false
    world.resumed(paused)
    await world.sleep(5)
  })
  assert.equal(seen, ['timer 10'])
})

test('until looks again and again, and gives up at its limit', async () => {
  const world = newWorld()
  await world.run(async () => {
    let ready = false
    world.after(1000, WORLD, 'ready', () => (ready = true))
    assert.is(await world.until(() => ready, 5000), true)
    assert.is(world.nowMs, 1000)
    assert.is(await world.until(async () => false, 5000, 100), false)
    assert.is(world.nowMs, 6000)
    assert.is(await world.until(() => true, 0), true)
  })
})

test('an error in an event, a reported one and one of the run itself end the run', async () => {
  const throwing = newWorld()
  throwing.after(1, WORLD, 'bad', () => {
    throw new Error('in an event')
  })
  assert.is(await failure(throwing.run(() => throwing.sleep(10))), 'in an event')

  const failing = newWorld()
  failing.after(1, WORLD, 'bad', () => {
    failing.fail(new Error('reported'))
    failing.fail(new Error('reported later'))
  })
  assert.is(await failure(failing.run(() => failing.sleep(10))), 'reported')
  assert.is(failing.nowMs, 1)

  const rejecting = newWorld()
  const main = async () => {
    await rejecting.sleep(1)
    throw new Error('in the run')
  }
  assert.is(await failure(rejecting.run(main)), 'in the run')
  const atOnce = () => {
    throw new Error('at once')
  }
  assert.is(await failure(rejecting.run(atOnce)), 'at once')
})

test('a run that waits for what no event brings ends with an error', async () => {
  const world = newWorld()
  assert.match(await failure(world.run(() => new Promise(() => {}))), /the world stands still/)
})

test('a run that is over leaves what was not due, and a later one goes on from there', async () => {
  const world = newWorld()
  const seen: string[] = []
  world.after(10, WORLD, 'later', () => seen.push('later'))
  await world.run(() => world.sleep(5))
  await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
  assert.equal([seen, world.nowMs, world.pending], [[], 5, 1])
  await world.run(() => world.sleep(5))
  assert.equal([seen, world.nowMs], [['later'], 10])
})

test('the same events give the same digest', async () => {
  const digest = async (delayMs: number) => {
    const world = newWorld()
    for (let i = 0; i < 300; i++) world.after(world.random.float() * 100, WORLD, `event ${i}`, () => {})
    await world.run(() => world.sleep(delayMs))
    return world.log.digest()
  }
  assert.is(await digest(200), await digest(200))
  assert.is.not(await digest(200), await digest(201))
})

test.run()
