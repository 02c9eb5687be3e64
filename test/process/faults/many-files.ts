/**
 * `node many-files.ts DIR DURABILITY`: under a small limit of open files, puts into each of 4,096 ranges, 64 in flight,
 * reads them all, closes, and goes on with what it finds when it opens again. Prints its account as JSON.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import process from 'node:process'
import type { Durability } from '../../../src/config.ts'
import { keepAlive } from '../../../src/runtime.ts'
import { Ledger, openStore } from './stores.ts'

const Q = 4096
/** Of each life. */
const ROUNDS = [1, 1]
/** One in each range. */
const KEYS = Q

const [dir, durability] = process.argv.slice(2) as [string, Durability]
const letGo = keepAlive()
const ledger = new Ledger({ keys: KEYS, q: Q, valueBytes: 200 })
// One key in each range, wherever its hash would put it.
for (const [i, key] of ledger.keys.entries())
  Object.assign(key, { range: i, hi: ((i << 20) | (key.hi & 0xfffff)) >>> 0 })

let looks = 0
let looksWithoutHandle = 0
const watch = setInterval(() => {
  looks++
  try {
    readdirSync('/proc/self/fd')
  } catch {
    looksWithoutHandle++
  }
}, 20)
const problems: string[] = []
for (const [life, rounds] of ROUNDS.entries()) {
  const { store, report } = await openStore(dir, { q: Q, durability })
  if (report.damages.length > 0 || report.tornBytes > 0) problems.push(JSON.stringify(report))
  if (life > 0) problems.push(...(await ledger.wrong(store)))
  for (let round = 0; round < rounds; round++) await ledger.putAll(store)
  if (life === 0) problems.push(...(await ledger.wrong(store)))
  await store.close()
}
clearInterval(watch)
letGo()
const limit = Number(spawnSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).stdout)
const { acks, refused } = ledger
console.log(
  JSON.stringify({
    limit,
    acks,
    expected: ROUNDS.reduce((sum, rounds) => sum + rounds * KEYS, 0),
    refused,
    looks,
    looksWithoutHandle,
    problems: problems.slice(0, 5)
  })
)
