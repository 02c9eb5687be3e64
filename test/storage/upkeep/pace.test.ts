/** How much of the time background work takes: all of it while it is alone, little of it while others need the disk. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Pace, WriteLatency } from '../../../src/storage/upkeep/pace.ts'
import { codeOfRejection, ManualTime, settle } from '../helpers.ts'

const test = suite('pace')

/** A pace, and how long it rests after a slice of `sliceMs` in which others did `operations`. */
function paced(latency = new WriteLatency()) {
  const time = new ManualTime()
  let others = 0
  const pace = new Pace({ clock: time, timers: time }, latency, () => others)
  const rest = async (sliceMs: number, operations: number, urgency?: number): Promise<number> => {
    pace.begin()
    others += operations
    time.nowMs += sliceMs
    let rested = false
    const resting = pace.breathe(urgency).then(() => (rested = true))
    await settle()
    await settle()
    const startMs = time.nowMs
    while (!rested && time.nowMs < startMs + 10_000) await time.advance(1)
    await resting
    return time.nowMs - startMs
  }
  return { pace, time, rest }
}

/** Batches that took so long. */
function noted(...runs: [count: number, ms: number][]): WriteLatency {
  const latency = new WriteLatency()
  for (const [count, ms] of runs) for (let i = 0; i < count; i++) latency.note(ms)
  return latency
}

test('alone it takes all of the time, with others a quarter, with slow writes a tenth', async () => {
  const { rest } = paced()
  assert.is(await rest(5, 0), 0)
  assert.is(await rest(5, 1), 15)
  assert.is(await rest(5, 1000), 15)
  assert.is(await rest(5, 0), 0, 'alone again')
  const slow = paced(noted([1000, 1], [40, 10]))
  assert.is(await slow.rest(5, 1), 45)
  assert.is(await slow.rest(5, 0), 0, 'nobody waits for it')
})

test('a rest has a bound, however long the slice took', async () => {
  assert.is(await paced().rest(1000, 1), 200)
  assert.is(await paced(noted([1000, 1], [40, 10])).rest(1000, 1), 200)
})

test('the more pressing the work, the shorter the rest', async () => {
  const { rest } = paced()
  assert.is(await rest(10, 1, 0.5), 15)
  assert.is(await rest(10, 1, 1), 0)
  assert.is(await rest(10, 1, 7), 0)
  assert.is(await paced(noted([1000, 1], [40, 10])).rest(10, 1, 0.5), 45)
})

test('slow is what takes twice the usual time, and some milliseconds', () => {
  assert.not(new WriteLatency().isSlow)
  assert.not(noted([1000, 0.1], [100, 1]).isSlow, 'ten times the usual, and nothing')
  assert.not(noted([5000, 20]).isSlow, 'a disk that is like that')
  assert.not(noted([1000, 5], [100, 8]).isSlow)
  assert.ok(noted([1000, 5], [100, 15]).isSlow)
  assert.not(noted([1000, 5], [100, 15], [200, 5]).isSlow, 'over')
})

test('once stopped, the next slice does not begin', async () => {
  const { pace, time } = paced()
  pace.begin()
  const resting = codeOfRejection(pace.breathe())
  pace.stop()
  await time.advance(1)
  assert.is(await resting, 'closed')
  assert.throws(() => pace.begin(), /closing/)
})

test.run()
