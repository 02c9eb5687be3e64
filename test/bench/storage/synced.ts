/** Section `synced`: 256 puts in flight into one range, each acknowledged when it is on the disk. */
import { join } from 'node:path'
import { load, randomValue } from '../measure.ts'
import { type Cell, type CellFunction, interleaved } from './children.ts'
import { CACHE_BYTES, type EngineInit, openEngine } from './engines.ts'
import { batchedAppends, perRecord } from './floors.ts'
import { ONE_RANGE, shuffled } from './keys.ts'
import { ratioTable } from './report.ts'
import type { Section } from './section.ts'
import { KEYS, SECONDS, SIZES } from './settings.ts'

const GROUP = 256

const syncedPuts: CellFunction<EngineInit & { size: number }> = async init => {
  const engine = await openEngine(init)
  const { count, size } = init
  let next = 0
  const index = () => shuffled(next++ % count, count)
  const options = { seconds: SECONDS, pids: [] }
  const figures = engine.batch
    ? perRecord(
        await load(() => engine.batch!(Array.from({ length: GROUP }, index), size, true), { ...options, inFlight: 1 }),
        GROUP
      )
    : await load(() => engine.put(index(), randomValue(size)), { ...options, inFlight: GROUP })
  await engine.close()
  return { ...figures }
}

const syncedFloor: CellFunction<{ dir: string; size: number }> = async ({ dir, size }) => ({
  ...(await batchedAppends(dir, size, GROUP, true, SECONDS))
})

export const syncedCells = { syncedPuts, syncedFloor }

export const benchSynced: Section = async ({ scratch, keys, peers }) => {
  const dir = join(scratch, 'fresh')
  const rows = []
  for (const size of SIZES) {
    const init = { dir, keys, count: KEYS, layout: ONE_RANGE, durability: 'disk', cacheBytes: CACHE_BYTES, size }
    const cells: Cell[] = [{ id: 'floor', name: 'syncedFloor', params: { dir, size }, dir }]
    for (const system of peers ? ['ours', 'classic-level', 'lmdb'] : ['ours']) {
      cells.push({ id: system, name: 'syncedPuts', params: { ...init, system }, dir })
    }
    const results = await interleaved(cells)
    rows.push(
      { what: `floor, writev of ${GROUP} records and fdatasync`, size, figures: results.get('floor') },
      {
        what: 'ours, one range',
        size,
        figures: results.get('ours'),
        floor: { of: results.get('floor'), target: 0.5 },
        level: { of: results.get('classic-level'), target: 2 },
        lmdb: { of: results.get('lmdb') }
      }
    )
    if (!peers) continue
    rows.push(
      { what: `classic-level, synced batches of ${GROUP}`, size, figures: results.get('classic-level') },
      { what: `lmdb, transactions of ${GROUP}, flushed`, size, figures: results.get('lmdb') }
    )
  }
  return `### Puts, synced, ${GROUP} in flight, one range\n\n${ratioTable(rows)}`
}
