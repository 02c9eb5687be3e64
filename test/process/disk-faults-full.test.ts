/**
 * A disk that is full (failures 20): what is there is read on, nothing acknowledged is lost, no record is torn, and all
 * goes on once there is room.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../src/config.ts'
import { type DiskKind, RealDisk, whyNoDisks } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { Ledger, mustBeWhole, openStore } from './faults/stores.ts'

const fullSuite = suite('a full disk')
const reason = whyNoDisks('tmpfs', 'ext4')
if (reason !== undefined) console.log(`skipped: full disks (${reason})`)
const test = reason === undefined ? fullSuite : fullSuite.skip

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

async function withDisk(kind: DiskKind, mib: number, body: (disk: RealDisk) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'coterie-full-'))
  const disk = new RealDisk(join(root, 'disk'), { kind, mib })
  try {
    await body(disk)
  } finally {
    disk.remove()
    rmSync(root, { recursive: true, force: true })
  }
}

const CASES: [DiskKind, Durability][] = [
  ['tmpfs', 'os'],
  ['tmpfs', 'interval'],
  ['tmpfs', 'disk'],
  ['ext4', 'os'],
  ['ext4', 'interval'],
  ['ext4', 'disk']
]
for (const [kind, durability] of CASES) {
  test(`${kind}, ${durability}: refused with disk-full, read on, written again when there is room`, () =>
    withDisk(kind, 16, async disk => {
      const dir = join(disk.dir, 'ranges')
      const { store } = await openStore(dir, { durability })
      const ledger = new Ledger({ keys: 500, valueBytes: 3000 })
      await ledger.putAll(store)
      assert.equal(ledger.refused, {})
      disk.fill(512 * 1024)
      let rounds = 0
      while (!ledger.refused['disk-full'] && rounds++ < 20) await ledger.putAll(store)
      // Refusals that come on top of others, and smaller records that may still fit.
      await ledger.putAll(store)
      const refused = ledger.refused['disk-full'] ?? 0
      assert.ok(refused > 0)
      assert.equal(Object.keys(ledger.refused), ['disk-full'])
      for (const message of ledger.messages) assert.match(message, /no room to write to .*ENOSPC.*free some space/)
      assert.equal(await ledger.wrong(store), [], 'while the disk is full')
      await mustBeWhole(dir)

      disk.makeRoom()
      const acksBefore = ledger.acks
      await ledger.putAll(store)
      assert.is(ledger.acks - acksBefore, 500, 'every put succeeds once there is room')
      assert.equal(await ledger.wrong(store), [])
      await store.close()
      const again = await openStore(dir, { durability })
      assert.equal([again.report.damages, again.report.tornBytes], [[], 0])
      assert.equal(await ledger.wrong(again.store), [], 'after closing and opening')
      await again.store.close()
      console.log(`| ${kind}, ${durability}: ${ledger.acks} acknowledged, ${refused} refused, none lost`)
    }))
}

test('rewriting that found no room goes on when there is some', () =>
  withDisk('ext4', 24, async disk => {
    const dir = join(disk.dir, 'ranges')
    const options = { q: 8, speed: 20 }
    const first = await openStore(dir, options)
    // One range only: it needs as much room again as it has live bytes.
    const ledger = new Ledger({ keys: 8000, valueBytes: 3000 })
    const keys = ledger.keys.filter(({ range }) => range === 3)
    for (let i = 0; i < 3; i++) await ledger.putAll(first.store, { keys })
    await first.store.close()
    disk.fill(1024 * 1024)
    const { store, warnings } = await openStore(dir, { ...options, compactBytes: 64 * 1024, hintBytes: 64 * 1024 })
    const before = store.stats(3).fileBytes
    await until('rewriting has met the full disk', () => warnings.some(line => /rewriting .* stopped/.test(line)))
    assert.match(warnings.join('\n'), 'it goes on later')
    assert.equal(await ledger.wrong(store, { keys }), [], 'while the disk is full')
    assert.is(store.compactions, 0)
    disk.makeRoom()
    await until('the rewriting is done', () => store.compactions > 0, 20_000)
    await until('and it rests', () => store.compacting === undefined)
    const after = store.stats(3).fileBytes
    assert.equal(await ledger.wrong(store, { keys }), [])
    await ledger.putAll(store, { keys })
    assert.equal(ledger.refused, {})
    await store.close()
    const again = await openStore(dir, options)
    assert.equal([again.report.damages, again.report.tornBytes], [[], 0])
    assert.equal(await ledger.wrong(again.store, { keys }), [])
    await again.store.close()
    await mustBeWhole(dir)
    console.log(`| rewritten from ${before} to ${after} bytes once there was room; ${warnings.length} warnings before`)
  }))

fullSuite.run()
