import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { staggered } from '../src/staggered.ts'
import { virtualTime } from './support/virtual-time.ts'

const test = suite('staggered')

/** What each candidate does, and after how many milliseconds. */
type Play = Record<string, { afterMs: number; fails?: 'softly' | 'finally' }>

async function play(candidates: Play, hedges = Number.POSITIVE_INFINITY, patienceMs?: number, ends: boolean[] = []) {
  const { world, clock, timers } = virtualTime()
  const asked: string[] = []
  const slow: string[] = []
  let left = hedges
  const outcome = await world.run(async () => {
    const result = await staggered(
      Object.keys(candidates),
      async name => {
        asked.push(`${name}@${clock.monotonicMs()}`)
        const { afterMs, fails } = candidates[name]
        await timers.sleep(afterMs)
        if (fails) throw new Error(`${name} ${fails}`)
        return name
      },
      {
        timers,
        delayMs: () => 100,
        patience: patienceMs === undefined ? undefined : { ms: patienceMs, mayEnd: () => ends.shift() ?? true },
        onSlow: name => {
          slow.push(name)
          return left-- > 0
        },
        isFinal: error => (error as Error).message.endsWith('finally')
      }
    ).catch((error: Error) => error.message)
    return `${result}@${clock.monotonicMs()}`
  })
  return { outcome, asked, slow }
}

test('the next is asked when one fails, or is slow; the first answer counts', async () => {
  assert.equal(await play({ a: { afterMs: 7 }, b: { afterMs: 1 } }), { outcome: 'a@7', asked: ['a@0'], slow: [] })
  assert.equal(await play({ a: { afterMs: 7, fails: 'softly' }, b: { afterMs: 1 } }), {
    outcome: 'b@8',
    asked: ['a@0', 'b@7'],
    slow: []
  })
  assert.equal(await play({ a: { afterMs: 1000 }, b: { afterMs: 1 } }), {
    outcome: 'b@101',
    asked: ['a@0', 'b@100'],
    slow: ['a']
  })
  assert.equal((await play({ a: { afterMs: 150 }, b: { afterMs: 900 }, c: { afterMs: 900 } })).outcome, 'a@150')
})

test('one that fails while another is still at it brings nobody new before their time', async () => {
  const { outcome, asked } = await play({ a: { afterMs: 140 }, b: { afterMs: 20, fails: 'softly' }, c: { afterMs: 1 } })
  assert.equal([outcome, asked], ['a@140', ['a@0', 'b@100']])
})

test('without a hedge to spend it waits its patience out, if that has an end', async () => {
  const { outcome, asked } = await play({ a: { afterMs: 5000 }, b: { afterMs: 1 } }, 0, 400)
  assert.equal([outcome, asked], ['b@401', ['a@0', 'b@400']])
})

test('where patience may not end it is waited for once more', async () => {
  const { outcome, asked } = await play({ a: { afterMs: 5000 }, b: { afterMs: 1 } }, 0, 400, [false, false, true])
  assert.equal([outcome, asked], ['b@1201', ['a@0', 'b@1200']])
})

test('without a hedge to spend it waits', async () => {
  const { outcome, asked } = await play({ a: { afterMs: 500, fails: 'softly' }, b: { afterMs: 1 } }, 0)
  assert.equal([outcome, asked], ['b@501', ['a@0', 'b@500']])
})

test('what is final ends it at once; what is not, when all have failed', async () => {
  const final = await play({ a: { afterMs: 5, fails: 'finally' }, b: { afterMs: 1 } })
  assert.equal([final.outcome, final.asked], ['a finally@5', ['a@0']])
  const all = await play({ a: { afterMs: 500, fails: 'softly' }, b: { afterMs: 1, fails: 'softly' } })
  assert.is(all.outcome, 'a softly@500')
})

test.run()
