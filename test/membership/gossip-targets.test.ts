import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Candidates, chooseTargets, ONE_TARGET_ABOVE } from '../../src/membership/gossip-targets.ts'
import { seededRandom } from './harness.ts'

const none: Candidates = { live: [], doubtful: [], newcomers: [], remembered: [] }
const list = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}-${i}`)

/** How often each kind is among the targets of 2,000 rounds. */
function tally(candidates: Candidates): Record<string, number> {
  const random = seededRandom(1)
  const counts: Record<string, number> = { live: 0, doubtful: 0, newcomer: 0, remembered: 0, most: 0 }
  for (let round = 0; round < 2000; round++) {
    const targets = chooseTargets(candidates, random)
    assert.is(new Set(targets).size, targets.length)
    for (const target of targets) counts[target.split('-')[0]!]!++
    counts.most = Math.max(counts.most!, targets.length)
  }
  return counts
}

const test = suite('membership: gossip targets')

test('one live member every round, the doubtful and the remembered now and then, newcomers at once', () => {
  const counts = tally({
    live: list('live', 10),
    doubtful: list('doubtful', 1),
    newcomers: list('newcomer', 1),
    remembered: list('remembered', 3)
  })
  assert.equal([counts.live, counts.newcomer, counts.most], [2000, 2000, 3])
  assert.ok(counts.doubtful! > 300 && counts.doubtful! < 500)
  assert.ok(counts.remembered! > 100 && counts.remembered! < 300)
})

test('a node that sees nobody tries whom it remembers, every round', () => {
  const counts = tally({ ...none, doubtful: list('doubtful', 2), remembered: list('remembered', 2) })
  assert.equal([counts.doubtful, counts.remembered], [2000, 2000])
  assert.equal(chooseTargets(none, seededRandom(1)), [])
})

test('all live members are chosen about equally often', () => {
  const random = seededRandom(2)
  const counts = new Map<string, number>()
  for (let round = 0; round < 10_000; round++) {
    for (const target of chooseTargets({ ...none, live: list('live', 10) }, random)) {
      counts.set(target, (counts.get(target) ?? 0) + 1)
    }
  }
  assert.is(counts.size, 10)
  for (const count of counts.values()) assert.ok(count > 850 && count < 1150, `${count}`)
})

test('above 300 members one target only, mostly a live one', () => {
  const counts = tally({ ...none, live: list('live', ONE_TARGET_ABOVE + 1), newcomers: list('newcomer', 1) })
  assert.is(counts.most, 1)
  assert.is(counts.live! + counts.newcomer!, 2000)
  assert.ok(counts.newcomer! > 150 && counts.newcomer! < 350)
})

test.run()
