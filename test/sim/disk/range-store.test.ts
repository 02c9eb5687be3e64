/** The real store of ranges on simulated disks, through power cuts. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RangeStore, type StoredKey } from '../../../src/storage/range-store.ts'
import { Bench, DIR, eachSeed, SEEDS, simulate } from './disk-bench.ts'

const test = suite('SimDisk: range store')

const RANGE = 3
const Q = 8

function keyOf(i: number): StoredKey {
  return { bytes: Buffer.from(`key-${i}`), hi: 0x60000000 + i, lo: i }
}

/** Writes until the power fails, again and again; says what was acknowledged, and what was found. */
async function storeLife(bench: Bench, durability: 'disk' | 'interval', torn: boolean) {
  const acked = new Map<number, number>()
  const tried = new Map<number, number>()
  const lost: string[] = []
  let found = 0
  for (let boot = 0, write = 1; boot < 4; boot++) {
    const store = new RangeStore(bench.ports(), { dir: DIR, q: Q, durability, cacheBytes: 4096 })
    const report = await store.open()
    const setAside = report.damages.filter(({ length }) => length === 0)
    if (durability === 'disk') assert.equal(setAside, [])
    store.create(RANGE)
    for (const [i, least] of acked) {
      const value = await store.get(RANGE, keyOf(i)).catch(() => undefined)
      const got = value === undefined ? 0 : Number(Buffer.from(value).toString().trim())
      if (got < least || got > tried.get(i)!) lost.push(`key ${i}: ${got}, acknowledged ${least}`)
      else found++
    }
    const cutMs = bench.world.nowMs + 20 + bench.random.float() * 60
    const alive = bench.process
    const writer = async (first: number) => {
      for (let i = first; alive.alive; i = first + ((i + 5) % 40)) {
        const value = write++
        tried.set(i, value)
        await store.put(RANGE, keyOf(i), Buffer.from(String(value).padEnd(bench.random.below(900))), value)
        acked.set(i, value)
      }
    }
    for (let first = 0; first < 5; first++) void writer(100 * first)
    await bench.world.sleep(cutMs - bench.world.nowMs)
    bench.powerCut(torn)
  }
  return { lost, found }
}

test('a RangeStore with durability disk keeps all it acknowledged through power cuts', async () => {
  for (const seed of SEEDS) {
    for (const torn of [false, true]) {
      const { lost, found } = await simulate(seed, bench => storeLife(bench, 'disk', torn))
      assert.equal(lost, [], seed)
      assert.ok(found > 20, `${found} keys`)
    }
  }
})

test('with durability interval it does not: the cut is a real one', async () => {
  const lives = await eachSeed(bench => storeLife(bench, 'interval', true))
  assert.ok(lives.some(({ lost }) => lost.length > 0))
})

test('the same seed gives the same history', async () => {
  const run = async (seed: string) => {
    const bench = new Bench(seed)
    const store = await bench.world.run(() => storeLife(bench, 'disk', true))
    return [bench.log.digest(), bench.disk.operations, bench.disk.bytesWritten, store]
  }
  assert.equal(await run('a'), await run('a'))
  assert.not.equal((await run('a'))[0], (await run('b'))[0])
})

test.run()
