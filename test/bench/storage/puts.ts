/** Section `puts`: unsynced puts, 64 in flight, of fresh keys and over old ones, into one range and into 256. */
import { join } from 'node:path'
import { load, randomValue } from '../measure.ts'
import { type Cell, type CellFunction, interleaved } from './children.ts'
import { CACHE_BYTES, type EngineInit, openEngine, type System } from './engines.ts'
import { makeDataSet } from './filling.ts'
import { batchedAppends, scatteredWrites } from './floors.ts'
import { ALL_RANGES, type Layout, ONE_RANGE, randomIndex, shuffled } from './keys.ts'
import { type Row, ratioTable } from './report.ts'
import type { Section } from './section.ts'
import { KEYS, SECONDS, SIZES } from './settings.ts'

const IN_FLIGHT = 64

type PutParams = EngineInit & { size: number; overwrites: boolean }

/** Fresh keys, wrapping at `count`; or random ones of those that are there. */
const puts: CellFunction<PutParams> = async init => {
  const { count, size, overwrites } = init
  const engine = await openEngine(init)
  let next = 0
  const index = overwrites ? () => randomIndex(count) : () => shuffled(next++ % count, count)
  const figures = await load(() => engine.put(index(), randomValue(size)), {
    inFlight: IN_FLIGHT,
    seconds: SECONDS,
    pids: []
  })
  await engine.close()
  return { ...figures }
}

const putFloor: CellFunction<{ dir: string; size: number; scattered: boolean }> = async ({ dir, size, scattered }) => ({
  ...(scattered
    ? await scatteredWrites(dir, size, IN_FLIGHT, SECONDS)
    : await batchedAppends(dir, size, IN_FLIGHT, false, SECONDS))
})

export const putCells = { puts, putFloor }

const WAYS: { way: string; system: System; layout: Layout }[] = [
  { way: 'one range', system: 'ours', layout: ONE_RANGE },
  { way: '256 ranges', system: 'ours', layout: ALL_RANGES },
  { way: 'classic-level', system: 'classic-level', layout: ONE_RANGE },
  { way: 'lmdb', system: 'lmdb', layout: ONE_RANGE }
]

export const benchPuts: Section = async ({ scratch, keys, peers }) => {
  const ways = WAYS.filter(({ system }) => peers || system === 'ours')
  const rows: Row[] = []
  for (const size of SIZES) {
    const cells: Cell[] = []
    for (const scattered of [false, true]) {
      const dir = join(scratch, 'floor')
      cells.push({ id: floorId(scattered), name: 'putFloor', params: { dir, size, scattered }, dir })
    }
    for (const { way, system, layout } of ways) {
      const init = { system, keys, count: KEYS, layout, durability: 'os', cacheBytes: CACHE_BYTES, size } as const
      const fresh = join(scratch, 'fresh')
      const params = { ...init, overwrites: false }
      cells.push({ id: `fresh ${way}`, name: 'puts', params: { ...params, dir: fresh }, dir: fresh })
      const dir = join(scratch, `overwrites-${size}-${way.replace(' ', '-')}`)
      if (!(await makeDataSet({ ...init, dir, end: 'close' }))) continue
      cells.push({ id: `overwrites ${way}`, name: 'puts', params: { ...init, dir, overwrites: true } })
    }
    const results = await interleaved(cells)
    for (const scattered of [false, true]) {
      rows.push({ what: `floor, ${floorId(scattered)}`, size, figures: results.get(floorId(scattered)) })
    }
    for (const kind of ['fresh', 'overwrites']) {
      const level = { of: results.get(`${kind} classic-level`), target: 2 }
      const lmdb = { of: results.get(`${kind} lmdb`), target: 4 }
      for (const { way, system, layout } of ways) {
        const row = {
          what: `${system === 'ours' ? 'ours, ' : ''}${way}, ${kind}`,
          size,
          figures: results.get(`${kind} ${way}`)
        }
        const scattered = layout.count > 1
        const floor = { of: results.get(floorId(scattered)), target: scattered ? 0.5 : 0.3 }
        rows.push(system === 'ours' ? { ...row, floor, level, lmdb } : row)
      }
    }
  }
  return `### Puts, not synced, ${IN_FLIGHT} in flight\n\n${ratioTable(rows)}`
}

const floorId = (scattered: boolean): string => (scattered ? 'a write a record, 256 files' : 'writev of 64 records')
