import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EventQueue, type Scheduled } from '../../../src/sim/world/event-queue.ts'

const test = suite('sim event queue')

const nothing = () => {}

function drain(queue: EventQueue<string>): string[] {
  const names: string[] = []
  for (let event = queue.pop(); event !== undefined; event = queue.pop()) names.push(event.what)
  return names
}

test('by time, and of equal times by order of scheduling', () => {
  const queue = new EventQueue<string>()
  for (const [atMs, what] of [
    [5, 'e'],
    [1, 'b'],
    [1, 'c'],
    [0, 'a'],
    [1, 'd']
  ] as const)
    queue.push(atMs, 'n1', what, nothing)
  assert.is(queue.size, 5)
  assert.equal(drain(queue), ['a', 'b', 'c', 'd', 'e'])
  assert.is(queue.size, 0)
})

test('what is cancelled does not come, keeps nothing alive and is not counted', () => {
  const queue = new EventQueue<string>()
  const fn = () => {}
  const [a, b, c] = ['a', 'b', 'c'].map(what => queue.push(1, what, what, fn))
  queue.cancel(b!)
  queue.cancel(b!)
  assert.is(queue.size, 2)
  assert.is.not(b!.fn, fn)
  assert.is(
    queue.count(({ owner }) => owner === 'b'),
    0
  )
  assert.is(
    queue.count(({ owner }) => owner !== 'b'),
    2
  )
  assert.is(queue.pop(), a)
  queue.cancel(a!)
  assert.is(queue.size, 1)
  assert.is(queue.pop(), c)
  assert.is(queue.pop(), undefined)
  assert.is(queue.size, 0)
})

test('what was taken out can be put back, last of its time, and be cancelled again', () => {
  const queue = new EventQueue<string>()
  const first = queue.push(1, 'n1', 'first', nothing)
  queue.push(5, 'n1', 'second', nothing)
  assert.is(queue.pop(), first)
  queue.put(first, 5)
  assert.is(queue.size, 2)
  assert.is(first.atMs, 5)
  assert.equal(drain(queue), ['second', 'first'])
  queue.put(first, 6)
  queue.cancel(first)
  assert.is(queue.size, 0)
  assert.is(queue.pop(), undefined)
})

test('thousands of cancelled events do not stay', () => {
  const queue = new EventQueue<string>()
  const events = Array.from({ length: 10_000 }, (_, i) => queue.push(i, 'n1', `${i}`, nothing))
  for (const [i, event] of events.entries()) if (i % 10 !== 0) queue.cancel(event)
  assert.is(queue.size, 1000)
  assert.equal(
    drain(queue),
    Array.from({ length: 1000 }, (_, i) => `${i * 10}`)
  )
})

test('any history of pushes, cancellations and pops agrees with a sorted list', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('push' as const), at: fc.nat(8) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), at: fc.nat(50) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('pop' as const), at: fc.constant(0) }) }
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), steps => {
      const queue = new EventQueue<string>()
      const all: Scheduled<string>[] = []
      let model: Scheduled<string>[] = []
      for (const { kind, at } of steps) {
        if (kind === 'push') {
          const event = queue.push(at, 'n1', `${all.length}`, nothing)
          all.push(event)
          // Stable: of equal times the older stays first.
          model = [...model, event].sort((a, b) => a.atMs - b.atMs)
        } else if (kind === 'cancel' && all.length > 0) {
          const event = all[at % all.length]!
          queue.cancel(event)
          model = model.filter(other => other !== event)
        } else if (kind === 'pop') assert.is(queue.pop(), model.shift())
        assert.is(queue.size, model.length)
      }
      assert.equal(
        drain(queue),
        model.map(({ what }) => what)
      )
    })
  )
})

test.run()
