import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HedgeBudget } from '../src/hedge-budget.ts'

const test = suite('hedge budget')

/** What a budget gives at once, and then for a thousand requests. */
function spendAll(budget: HedgeBudget, spend: () => boolean): { burst: number; spent: number } {
  const all = () => {
    let count = 0
    while (spend()) count++
    return count
  }
  const burst = all()
  let spent = 0
  for (let i = 0; i < 1000; i++) {
    budget.earn()
    spent += all()
  }
  return { burst, spent }
}

test('one hedge for ten requests, and some more at once', () => {
  const budget = new HedgeBudget()
  const { burst, spent } = spendAll(budget, () => budget.spend())
  assert.is(burst, 100)
  assert.ok(spent >= 99 && spent <= 100, `${spent}`)
  assert.is(budget.stats().spent, burst + spent)
})

test('once they have waited long, one more for two requests, and some more at once', () => {
  const budget = new HedgeBudget()
  const { burst, spent } = spendAll(budget, () => budget.spendLong())
  assert.is(burst, 100)
  assert.ok(spent >= 499 && spent <= 500, `${spent}`)
  assert.is(budget.stats().spent, burst + spent)
})

test.run()
