import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimRandom } from '../../../src/sim/world/random.ts'

const test = suite('sim random')

const draws = (random: SimRandom, count: number): number[] => Array.from({ length: count }, () => random.float())

test('a seed gives these draws, on every machine and for ever', () => {
  const random = new SimRandom('42')
  assert.equal(
    draws(random, 4).map(float => float * 2 ** 32),
    [1105894782, 3459987211, 1333408895, 1205262428]
  )
  assert.equal(Buffer.from(random.bytes(8)).toString('hex'), '73d8d43e37661c4c')
})

test('other seeds and other labels give other draws', () => {
  const streams = ['1', '2', ''].flatMap(seed => [
    new SimRandom(seed),
    new SimRandom(seed).fork('a'),
    new SimRandom(seed).fork('b')
  ])
  assert.is(new Set(streams.map(stream => draws(stream, 3).join())).size, streams.length)
})

test('a fork depends on its label alone, not on what was drawn before, and changes nothing in its parent', () => {
  const parent = new SimRandom('42')
  const early = draws(parent.fork('net'), 5)
  const rest = draws(parent, 5)
  assert.equal(draws(parent.fork('net'), 5), early)
  assert.equal(draws(new SimRandom('42'), 5), rest)
})

test('floats are spread evenly over [0, 1)', () => {
  const random = new SimRandom('even')
  const buckets = new Array<number>(16).fill(0)
  for (const float of draws(random, 16_000)) {
    assert.ok(float >= 0 && float < 1)
    buckets[Math.floor(float * 16)]!++
  }
  // 1,000 each, standard deviation 31.
  for (const count of buckets) assert.ok(count > 850 && count < 1150, `${buckets}`)
})

test('bytes take every value', () => {
  assert.is(new Set(new SimRandom('bytes').bytes(8192)).size, 256)
  assert.is(new SimRandom('bytes').bytes(0).length, 0)
})

test('whole numbers stay within their bounds and reach both ends', () => {
  const random = new SimRandom('whole')
  const below = new Set(Array.from({ length: 500 }, () => random.below(7)))
  assert.equal([...below].sort(), [0, 1, 2, 3, 4, 5, 6])
  const between = new Set(Array.from({ length: 500 }, () => random.between(-2, 2)))
  assert.equal(
    [...between].sort((a, b) => a - b),
    [-2, -1, 0, 1, 2]
  )
  assert.is(random.between(3, 3), 3)
})

test('what has chance 0 never happens, what has chance 1 always', () => {
  const random = new SimRandom('chance')
  const of = (probability: number) =>
    Array.from({ length: 2000 }, () => random.chance(probability)).filter(Boolean).length
  assert.is(of(0), 0)
  assert.is(of(1), 2000)
  const quarter = of(0.25)
  assert.ok(quarter > 400 && quarter < 600, `${quarter}`)
})

test('picks from a list, and refuses an empty one', () => {
  const random = new SimRandom('pick')
  assert.is(new Set(Array.from({ length: 200 }, () => random.pick(['a', 'b', 'c']))).size, 3)
  assert.throws(() => random.pick([]), /nothing to pick/)
})

test('weights decide; what weighs nothing is never picked', () => {
  const random = new SimRandom('weights')
  const counts: Record<string, number> = { never: 0, seldom: 0, often: 0 }
  for (let i = 0; i < 4000; i++) {
    counts[
      random.weighted([
        ['never', 0],
        ['seldom', 1],
        ['often', 3],
        ['never', 0]
      ] as const)
    ]!++
  }
  assert.is(counts.never, 0)
  assert.ok(counts.seldom! > 850 && counts.seldom! < 1150, JSON.stringify(counts))
})

test('a shuffle is a permutation, leaves the list alone, and puts everybody everywhere', () => {
  const random = new SimRandom('shuffle')
  const list = ['a', 'b', 'c', 'd'] as const
  const orders = new Set<string>()
  for (let i = 0; i < 1000; i++) {
    const shuffled = random.shuffle(list)
    assert.equal([...shuffled].sort(), ['a', 'b', 'c', 'd'])
    orders.add(shuffled.join(''))
  }
  assert.is(orders.size, 24)
  assert.equal(list, ['a', 'b', 'c', 'd'])
  assert.equal(random.shuffle([]), [])
})

test('an exponential draw has the mean asked for and is never negative or endless', () => {
  const random = new SimRandom('exponential')
  const values = Array.from({ length: 20_000 }, () => random.exponential(10))
  assert.ok(values.every(value => value >= 0 && Number.isFinite(value)))
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  assert.ok(mean > 9.6 && mean < 10.4, `${mean}`)
})

test.run()
