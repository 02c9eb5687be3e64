/** On virtual time. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BYTES_PER_WORK, COORDINATING_WORK } from '../../src/heat.ts'
import { RangeLoads } from '../../src/replica/range-loads.ts'
import { virtualTime } from '../support/virtual-time.ts'

const test = suite('range loads')
const OVER_MS = 30_000

function loadsOf() {
  const { world, clock } = virtualTime()
  const loads = new RangeLoads(clock, { q: 4, overMs: OVER_MS })
  /** `count` runs ten times a second; the averages are looked at once a second. */
  const live = async (seconds: number, count: () => void = () => {}) => {
    for (let second = 0; second < seconds; second++) {
      for (let i = 0; i < 10; i++) count()
      await world.sleep(1000)
      loads.look()
    }
  }
  return { world, loads, live }
}

const near = (value: number, due: number, off = 0.02) =>
  assert.ok(Math.abs(value - due) <= off * due, `${value}, where ${due} was due`)

test('a steady rate is what the average comes to, by time and not by how often it is looked at', async () => {
  const { world, loads, live } = loadsOf()
  await world.run(async () => {
    await live(OVER_MS / 1000, () => loads.answered(1, 100))
    near(loads.operations(1), 10 * (1 - Math.exp(-1)))
    await live(180, () => loads.answered(1, 100))
    near(loads.operations(1), 10)
    near(loads.bytes(1), 1000)
    near(loads.work(1), 10 + 1000 / BYTES_PER_WORK)
    assert.is(loads.work(0), 0)
  })
})

test('what is over is forgotten at the same pace', async () => {
  const { world, loads, live } = loadsOf()
  await world.run(async () => {
    await live(240, () => loads.answered(2, 0))
    await live(OVER_MS / 1000)
    near(loads.operations(2), 10 / Math.E)
    await live(300)
    assert.ok(loads.work(2) < 0.001)
  })
})

test('to coordinate is more than to answer, and the own copy of a write counts', async () => {
  const { world, loads, live } = loadsOf()
  await world.run(async () => {
    await live(240, () => {
      loads.coordinated(0, 0, 0)
      loads.coordinated(3, 0, 1)
    })
    near(loads.operations(0), 10 * COORDINATING_WORK)
    near(loads.operations(3), 10 * (COORDINATING_WORK + 1))
  })
})

test('two looks in one moment change nothing', async () => {
  const { world, loads, live } = loadsOf()
  await world.run(async () => {
    await live(10, () => loads.answered(0, 1))
    const before = loads.work(0)
    loads.answered(0, 1)
    loads.look()
    loads.look()
    assert.is(loads.work(0), before)
  })
})

test.run()
