/** Whole nodes on virtual time, with traffic on the ranges of one of them only. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { storedKey } from '../../src/replica/stored-key.ts'
import { rangeOf } from '../../src/ring/position.ts'
import { bytesOf } from '../support/memory-replica.ts'
import { VirtualCluster } from '../support/virtual-cluster.ts'

const test = suite('hot ranges')
const Q = 32
const BALANCE_AFTER_MS = 2000
/** Ranges that have moved, as all have when nodes join, stay for so long. */
const REST_MS = 10 * BALANCE_AFTER_MS

const clusterOf = (balanceAfterMs: number) =>
  new VirtualCluster({ q: Q, seed: 'hot ranges', settings: { balanceAfterMs } })

/** A hundred reads and writes a second, of as many keys as there are ranges, in these ranges. */
function load(site: VirtualCluster, ranges: number[]): void {
  const keys = ranges.map(keyIn)
  site.load(i => keys[(i * 7) % keys.length], { everyMs: 10, getsAPut: 1 })
}

function keyIn(range: number): string {
  for (let i = 0; ; i++) if (rangeOf(storedKey(bytesOf(`key-${i}`)), Q) === range) return `key-${i}`
}

test('skewed traffic has hot ranges swapped for cool ones, one after another, and then nothing moves', async () => {
  const site = clusterOf(BALANCE_AFTER_MS)
  await site.world.run(async () => {
    await site.start()
    await site.world.sleep(REST_MS)
    const before = site.claims()
    load(site, site.ownedBy('n1'))
    await site.world.sleep(BALANCE_AFTER_MS)
    const skew = await site.most()
    assert.ok(skew > 1.4, `the busiest does ${skew} times the mean`)
    const heat = () => site.nodes[0].core!.membership.member('n1')!.record.load.heat
    assert.ok(await site.world.until(() => (heat()?.work ?? 0) > 200, 5 * BALANCE_AFTER_MS), 'the others hear of it')
    assert.ok(heat()!.cool.length > 0)
    assert.ok(await site.world.until(async () => (await site.given()) > 0, 5 * BALANCE_AFTER_MS), 'a hot range moves')
    let ring = ''
    let sinceMs = 0
    const isQuiet = () => {
      const now = site
        .claims()
        .map(({ owner }) => owner)
        .join()
      if (now !== ring) sinceMs = site.world.nowMs
      ring = now
      // Longer than ranges rest: those that have moved might move back by now.
      return site.world.nowMs - sinceMs > REST_MS + 5 * BALANCE_AFTER_MS
    }
    assert.ok(await site.world.until(isQuiet, 6 * REST_MS), 'nothing moves any more')
    const moves = site.claims().map(({ epoch }, range) => epoch - before[range].epoch)
    assert.ok(Math.max(...moves) === 1, `ranges moved ${moves.join(' ')} times`)
    const swaps = await site.given()
    assert.ok(swaps <= 6, `${swaps} swaps`)
    const after = await site.most()
    assert.ok(after < skew - 0.1, `the busiest did ${skew} times the mean, and does ${after} times`)
    assert.ok(
      site.counts().every(count => count === 6 || count === 7),
      `${site.counts()} ranges`
    )
    await site.unload()
    assert.equal(site.failures, [])
  })
})

test('where it is turned off, nothing moves', async () => {
  const site = clusterOf(0)
  await site.world.run(async () => {
    await site.start()
    const before = site.claims()
    load(site, site.ownedBy('n1'))
    await site.world.sleep(6 * BALANCE_AFTER_MS)
    assert.equal(site.claims(), before)
    assert.is(await site.given(), 0)
    await site.unload()
    assert.equal(site.failures, [])
  })
})

test.run()
