import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Deadline, withinDeadline } from '../../src/coordinator/deadline.ts'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import type { Clock, Timer, Timers } from '../../src/ports.ts'

const test = suite('deadline')

/** A clock that the test moves, and timers that run when it does. */
class Hands implements Clock, Pick<Timers, 'after'> {
  now = 0
  readonly waiting = new Set<{ atMs: number; fn: () => void }>()
  wallMs = () => this.now
  monotonicMs = () => this.now

  after(delayMs: number, fn: () => void): Timer {
    const entry = { atMs: this.now + delayMs, fn }
    this.waiting.add(entry)
    return { cancel: () => this.waiting.delete(entry) }
  }

  move(ms: number): void {
    this.now += ms
    for (const entry of [...this.waiting]) if (entry.atMs <= this.now && this.waiting.delete(entry)) entry.fn()
  }
}

const late = () => new CoterieError('not-available', 'too late')

async function outcome(work: Promise<unknown>): Promise<unknown> {
  return work.catch(error => error)
}

test('what is left shrinks to nothing, and options never ask for less than a millisecond', () => {
  const hands = new Hands()
  const deadline = new Deadline(hands, { timeoutMs: 100 })
  hands.move(60)
  assert.is(deadline.remainingMs, 40)
  deadline.check('this')
  hands.move(60)
  assert.is(deadline.remainingMs, 0)
  assert.is(deadline.options().timeoutMs, 1)
  assert.throws(
    () => deadline.check('this'),
    (error: unknown) => isCoterieError(error, 'not-available') && /this was not done within 100 ms/.test(error.message)
  )
})

test('an aborted signal comes through as its reason', async () => {
  const hands = new Hands()
  const controller = new AbortController()
  const deadline = new Deadline(hands, { timeoutMs: 100, signal: controller.signal })
  const work = outcome(withinDeadline(new Promise(() => {}), deadline, hands as unknown as Timers, late))
  controller.abort(new Error('changed my mind'))
  assert.match(String(await work), 'changed my mind')
  assert.throws(() => deadline.check('this'), /changed my mind/)
  assert.is(hands.waiting.size, 0)
})

test('work, its failure or the deadline: whichever is first, and no timer stays behind', async () => {
  const hands = new Hands()
  const timers = hands as unknown as Timers
  const within = (work: Promise<unknown>) =>
    outcome(withinDeadline(work, new Deadline(hands, { timeoutMs: 50 }), timers, late))
  assert.is(await within(Promise.resolve(7)), 7)
  assert.match(String(await within(Promise.reject(new Error('broken')))), 'broken')
  const slow = within(new Promise(() => {}))
  hands.move(50)
  assert.ok(isCoterieError(await slow, 'not-available'))
  assert.is(hands.waiting.size, 0)
})

test.run()
