/** The syncer of `interval`: when it syncs, what it tells, and what it makes of failures. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../../src/errors.ts'
import { Syncer } from '../../../src/storage/disk/syncer.ts'
import { ManualTime, settle } from '../helpers.ts'

const test = suite('syncer')

function syncing(concurrency = 3) {
  const time = new ManualTime()
  const syncer = new Syncer({ clock: time, timers: time }, concurrency)
  const calls: string[] = []
  let under = 0
  const log = (name: string, outcome: () => Promise<void> = async () => {}) => ({
    async sync() {
      calls.push(name)
      assert.ok(++under <= concurrency)
      try {
        await outcome()
      } finally {
        under--
      }
    }
  })
  return { time, syncer, calls, log }
}

test('each dirty log is synced once, 50 ms after its first write', async () => {
  const { time, syncer, calls, log } = syncing()
  const [a, b] = [log('a'), log('b')]
  syncer.dirty(a)
  await time.advance(30)
  syncer.dirty(a)
  syncer.dirty(b)
  assert.is(syncer.lagMs(), 30)
  await time.advance(19)
  assert.equal(calls, [])
  await time.advance(1)
  assert.equal(calls, ['a', 'b'])
  assert.is(syncer.lagMs(), 0)
  await time.advance(1000)
  assert.equal(calls, ['a', 'b'])
})

test('what gets dirty during a round waits for the next, whose time counts from its write', async () => {
  const { time, syncer, calls, log } = syncing(1)
  const slow = Promise.withResolvers<void>()
  const a = log('a', () => (calls.length === 1 ? slow.promise : Promise.resolve()))
  syncer.dirty(a)
  await time.advance(50)
  syncer.dirty(a)
  await time.advance(200)
  assert.is(syncer.lagMs(), 250)
  slow.resolve()
  await settle()
  await time.advance(0)
  assert.equal(calls, ['a', 'a'], 'overdue: at once')
})

test('overloaded is tried again, later; all else is the affair of the log', async () => {
  const { time, syncer, calls, log } = syncing()
  const overloaded = () => Promise.reject(new CoterieError('overloaded', 'no handle'))
  syncer.dirty(log('a', () => (calls.length < 3 ? overloaded() : Promise.resolve())))
  syncer.dirty(log('b', () => Promise.reject(new CoterieError('range-fenced', 'gone'))))
  await time.advance(50)
  assert.equal(calls, ['a', 'b'])
  await time.advance(50)
  assert.equal(calls, ['a', 'b', 'a'])
  await time.advance(50)
  assert.equal(calls, ['a', 'b', 'a'])
  assert.is(syncer.lagMs(), 0)
})

test('flush does not wait for its time, and joins a round that runs', async () => {
  const { time, syncer, calls, log } = syncing()
  await syncer.flush()
  syncer.dirty(log('a'))
  await Promise.all([syncer.flush(), syncer.flush()])
  assert.equal(calls, ['a'])
  await time.advance(100)
  assert.equal(calls, ['a'])
})

test('a forgotten log, and a stopped syncer, sync nothing', async () => {
  const { time, syncer, calls, log } = syncing(1)
  const [a, b, c] = [log('a'), log('b'), log('c')]
  syncer.dirty(a)
  syncer.forget(a)
  assert.is(syncer.lagMs(), 0)
  const slow = log('slow', async () => syncer.forget(b))
  syncer.dirty(slow)
  syncer.dirty(b)
  await time.advance(50)
  assert.equal(calls, ['slow'], 'forgotten in the middle of a round')
  syncer.dirty(c)
  syncer.stop()
  syncer.dirty(a)
  await time.advance(100)
  assert.equal(calls, ['slow'])
  assert.is(syncer.lagMs(), 0)
})

test.run()
