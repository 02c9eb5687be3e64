/**
 * A disk that stalls (failures 24): ext4 on a loop device, frozen for some seconds, so that every write really waits in
 * the kernel; or whose own disk is frozen, so that writes reach the page cache and only syncs wait. Reads go on, the event
 * loop runs, too many writes are refused, and all settle after the thaw.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../src/config.ts'
import { RealDisk, whyNoDisks } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { Ledger, type LedgerKey, openStore } from './faults/stores.ts'

const stallSuite = suite('a stalled disk')
const reason = whyNoDisks('ext4')
if (reason !== undefined) console.log(`skipped: stalled disks (${reason})`)
const test = reason === undefined ? stallSuite : stallSuite.skip

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const STALL_MS = 5000
const Q = 16
const WORKERS = 64
/** Of one put while the disk stalls: some hundred of them reach the bound of 64 MiB for one file. */
const LARGE_BYTES = 512 * 1024
/** Loose: this machine has other things to do. What it should be is 100 ms. */
const MAX_LOOP_DELAY_MS = 1000

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** `below`: the disk to freeze, which the image of `disk` lies on; or `disk` itself. */
async function withDisk(below: boolean, body: (disk: RealDisk, frozen: RealDisk) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'coterie-stall-'))
  const disks: RealDisk[] = []
  try {
    if (below) disks.push(new RealDisk(join(root, 'below'), { kind: 'ext4', mib: 300 }))
    disks.push(new RealDisk(join(disks[0]?.dir ?? root, 'disk'), { kind: 'ext4', mib: 256 }))
    await body(disks.at(-1)!, disks[0]!)
  } finally {
    await disks[0]?.thaw()
    for (const disk of disks.reverse()) disk.remove()
    rmSync(root, { recursive: true, force: true })
  }
}

/** Slowest of some gets, in milliseconds; Infinity if one does not come within two seconds. */
async function slowest(get: (key: LedgerKey) => Promise<unknown>, keys: LedgerKey[]): Promise<number> {
  let worst = 0
  for (const key of keys) {
    const startMs = performance.now()
    const late = await Promise.race([get(key), sleep(2000).then(() => 'late')])
    if (late === 'late') return Number.POSITIVE_INFINITY
    worst = Math.max(worst, performance.now() - startMs)
  }
  return worst
}

async function stalled(durability: Durability, disk: RealDisk, frozen: RealDisk): Promise<void> {
  const what = disk === frozen ? 'writes' : 'syncs'
  const mayAck = what === 'syncs' && durability !== 'disk'
  const dir = join(disk.dir, 'ranges')
  const { store } = await openStore(dir, { q: Q, durability, cacheBytes: 256 * 1024 })
  const ledger = new Ledger({ keys: 2000, q: Q })
  await ledger.putAll(store)
  const [changed, read] = [ledger.keys.slice(0, 1000), ledger.keys.slice(1000)]
  const cached = read.slice(0, 20)
  for (const key of cached) await store.get(key.range, key)

  await frozen.freeze()
  const frozenAtMs = performance.now()
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const acksBefore = ledger.acks
  const putting = ledger.putAll(store, { keys: changed, inFlight: WORKERS })
  await sleep(500)
  const acks = ledger.acks - acksBefore
  const cachedMs = await slowest(async key => store.peek(key.range, key) ?? store.get(key.range, key), cached)
  const uncachedMs = await slowest(key => store.get(key.range, key), read.slice(100, 300))
  // More than may wait for one file; each in a turn of its own, as requests come.
  const large = { acks: 0, refused: 0 }
  const [{ range, bytes }] = changed as [LedgerKey]
  const larges = Array.from({ length: 200 }, async (_, i) => {
    await sleep(i * 5)
    const key = { bytes, hi: ((range << 28) | i) >>> 0, lo: i }
    await store.put(range, key, Buffer.alloc(LARGE_BYTES, 'large'), i).then(
      () => large.acks++,
      error => {
        assert.is(error.code, 'overloaded')
        assert.match(error.message, /bytes wait for .*try again later/)
        large.refused++
      }
    )
  })
  await sleep(Math.max(0, STALL_MS - (performance.now() - frozenAtMs)))
  const lagMs = store.syncLagMs()
  const refused = large.refused
  delay.disable()
  await frozen.thaw()
  const thawedAtMs = performance.now()
  await Promise.all([putting, ...larges])
  const settledMs = performance.now() - thawedAtMs
  await until('nothing is unsynced', () => store.syncLagMs() === 0)
  const loopMs = delay.max / 1e6
  console.log(
    `| ${durability}, stalled ${what}: event loop at most ${loopMs.toFixed(0)} ms late; ${acks} acknowledged while frozen; ` +
      `cached gets ${cachedMs.toFixed(1)} ms, others ${uncachedMs.toFixed(1)} ms at most; ${refused} of 200 large puts overloaded, ${large.acks} not; ` +
      `lag ${lagMs.toFixed(0)} ms; all settled ${settledMs.toFixed(0)} ms after the thaw`
  )
  if (mayAck) assert.ok(acks > 500, 'what needs no sync is acknowledged')
  else assert.is(acks, 0, 'nothing is acknowledged that is not there')
  assert.ok(cachedMs < 1000, `a cached get took ${cachedMs} ms`)
  assert.ok(uncachedMs < 2000, 'gets that the page cache holds are answered')
  if (!mayAck) assert.ok(refused > 50, `only ${refused} puts were refused`)
  if (mayAck && durability === 'interval') assert.ok(lagMs > STALL_MS / 2, `the lag is ${lagMs} ms`)
  assert.ok(loopMs < MAX_LOOP_DELAY_MS, `the event loop was ${loopMs} ms late`)
  // Small ones to the file that so many large ones wait for.
  assert.equal(
    Object.keys(ledger.refused).filter(code => code !== 'overloaded'),
    []
  )
  assert.equal(await ledger.wrong(store), [])
  await store.close()
  const again = await openStore(dir, { q: Q })
  assert.equal([again.report.damages, again.report.tornBytes], [[], 0])
  assert.equal(await ledger.wrong(again.store), [], 'after closing and opening')
  assert.is(again.report.keys, 2000 + large.acks)
  await again.store.close()
}

// First: hardly anything has been read in this process, and no thread of its own for reads has been started (io-thread.ts).
test('interval, stalled writes: reads go on, writes wait, too many are refused', () =>
  withDisk(false, (disk, frozen) => stalled('interval', disk, frozen)))

test('disk, stalled writes: the same', () => withDisk(false, (disk, frozen) => stalled('disk', disk, frozen)))

test('interval, stalled syncs: reads and writes go on, the lag grows', () =>
  withDisk(true, (disk, frozen) => stalled('interval', disk, frozen)))

test('disk, stalled syncs: reads go on, writes wait, too many are refused', () =>
  withDisk(true, (disk, frozen) => stalled('disk', disk, frozen)))

stallSuite.run()
