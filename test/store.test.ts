import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError, isCoterieError } from '../src/errors.ts'
import type { Answer, Request } from '../src/messages.ts'
import { systemClock, systemRandom, systemTimers } from '../src/runtime.ts'
import {
  latestOf,
  type OperationOptions,
  type Sibling,
  type Store,
  type UpdateOptions,
  updateByRetry
} from '../src/store.ts'
import { StoreRequests } from '../src/store-requests.ts'

const test = suite('store')

const siblingArb: fc.Arbitrary<Sibling> = fc
  .record({ dot: fc.nat(9).map(n => `${n}`.padStart(16, '0').concat(':1')), at: fc.nat(3) })
  .map(({ dot, at }) => ({ value: new Uint8Array(), dot, ...(at > 0 && { writtenAt: at }) }))

test('the latest of siblings is one, the same in whatever order they come, and none older than a delete', () => {
  const allArb = fc.uniqueArray(siblingArb, { selector: ({ dot }) => dot, maxLength: 6 })
  fc.assert(
    fc.property(allArb, fc.nat(4), (siblings, deletedAtMs) => {
      const [last, ...more] = latestOf(siblings, deletedAtMs)
      assert.equal(more, [])
      assert.is(latestOf([...siblings].reverse(), deletedAtMs)[0]?.dot, last?.dot)
      const newest = Math.max(...siblings.map(({ writtenAt = 0 }) => writtenAt))
      if (siblings.length === 0 || deletedAtMs > newest) assert.is(last, undefined)
      else assert.is(last!.writtenAt ?? 0, newest)
    })
  )
})

/** A key that somebody else writes all the time; every step of an update takes 400 ms. */
function contended() {
  const it = { nowMs: 0, given: [] as (number | undefined)[], pauses: [] as number[] }
  const step = async ({ timeoutMs }: OperationOptions = {}) => {
    it.given.push(timeoutMs)
    it.nowMs += 400
  }
  const get: Store['get'] = async (_, options) => {
    await step(options)
    return { values: [], context: 'c', replies: 2, siblings: [] }
  }
  const put: Store['put'] = async (_key, _value, options) => {
    await step(options)
    return { context: 'c', dot: 'd', acks: 2, sloppy: false, siblings: 2, replaced: 0 }
  }
  const retries = { nowMs: () => it.nowMs, pause: async (attempt: number) => void it.pauses.push(attempt) }
  const update = (options: UpdateOptions) =>
    updateByRetry({ get, put, delete: (key, options) => put(key, '', options) }, 'k', () => 'v', options, retries)
  return Object.assign(it, { update })
}

test('the timeout of an update is that of all its reads and writes together', async () => {
  const { update, given } = contended()
  assert.is((await update({ timeoutMs: 2000 })).siblings, 2, 'it ends with what it has written')
  assert.equal(given, [2000, 1600, 1200, 800, 400, 1], 'what was read and merged is written')
})

test('without a timeout each step of an update has the default of the node asked; between attempts it pauses', async () => {
  const { update, given, pauses } = contended()
  await update({ attempts: 3 })
  assert.equal(given, [undefined, undefined, undefined, undefined, undefined, undefined])
  assert.equal(pauses, [1, 2])
})

test('a delete of a key whose values are too large to travel has the node asked read it', async () => {
  const asked: Request[] = []
  const send = async (request: Request): Promise<Answer> => {
    asked.push(request)
    if (request.type === 'get') throw new CoterieError('too-large', 'values of 70 MiB')
    return { type: 'stored', context: new Uint8Array([1]), dot: 'd', acks: 2, sloppy: false, siblings: 0, replaced: 70 }
  }
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom }
  const store = new StoreRequests({ ...ports, q: () => 8, timeoutMs: 1000, send })
  assert.is((await store.delete('k')).replaced, 70)
  const [, put] = asked
  assert.ok(put?.type === 'put' && put.value === undefined && put.context === undefined)
  const failed = await store.get('k').catch(error => error)
  assert.ok(isCoterieError(failed, 'too-large'))
  const tooLong = await store.delete('x'.repeat(2000)).catch(error => error)
  assert.ok(isCoterieError(tooLong, 'too-large'))
})

test.run()
