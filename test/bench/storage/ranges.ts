/** Section `ranges`: what it costs to have 1, 16, 64 or 256 ranges written at once, in fdatasyncs and in lag. */
import { join } from 'node:path'
import type { Durability } from '../../../src/config.ts'
import { load, randomValue, table } from '../measure.ts'
import { type Cell, type CellFunction, interleaved } from './children.ts'
import { CACHE_BYTES, type EngineInit, openOurs } from './engines.ts'
import { interceptedFiles } from './intercepted-files.ts'
import { shuffled } from './keys.ts'
import { shown } from './report.ts'
import type { Section } from './section.ts'
import { KEYS, SECONDS, SIZES } from './settings.ts'

const Q = 256
const HOT_RANGES = [1, 16, 64, 256]
const MODES: { durability: Durability; inFlight: number }[] = [
  { durability: 'disk', inFlight: 256 },
  { durability: 'interval', inFlight: 64 }
]
const SAMPLE_MS = 20

const rangePuts: CellFunction<EngineInit & { size: number; inFlight: number }> = async init => {
  let syncs = 0
  const files = interceptedFiles(operation => {
    if (operation === 'sync') syncs++
    return undefined
  })
  const engine = await openOurs({ ...init, files })
  let lag = 0
  const sampling = setInterval(() => (lag = Math.max(lag, engine.store.syncLagMs())), SAMPLE_MS)
  let next = 0
  const put = () => engine.put(shuffled(next++ % init.count, init.count), randomValue(init.size))
  const startMs = performance.now()
  const figures = await load(put, { inFlight: init.inFlight, seconds: SECONDS, pids: [] })
  const syncsPerSecond = syncs / ((performance.now() - startMs) / 1000)
  clearInterval(sampling)
  await engine.close()
  return { ...figures, syncsPerSecond, lag }
}

export const rangeCells = { rangePuts }

export const benchRanges: Section = async ({ scratch, keys }) => {
  const dir = join(scratch, 'fresh')
  const rows: string[][] = []
  for (const size of SIZES) {
    const cells: Cell[] = []
    for (const { durability, inFlight } of MODES) {
      for (const count of HOT_RANGES) {
        const layout = { q: Q, first: 0, count }
        const init = { dir, keys, count: KEYS, cacheBytes: CACHE_BYTES, size }
        cells.push({
          id: `${durability} ${count}`,
          name: 'rangePuts',
          params: { ...init, layout, durability, inFlight },
          dir
        })
      }
    }
    const results = await interleaved(cells)
    for (const { durability, inFlight } of MODES) {
      const base = results.get(`${durability} 1`)
      for (const count of HOT_RANGES) {
        const figures = results.get(`${durability} ${count}`)
        const names = ['perSecond', 'p50', 'p99', 'cpuPer10k', 'syncsPerSecond']
        rows.push([
          durability,
          String(inFlight),
          String(count),
          `${size} B`,
          ...names.map(name => shown(figures?.[name])),
          shown(figures && figures.perSecond! / figures.syncsPerSecond!),
          durability === 'interval' ? shown(figures?.lag) : '',
          shown(figures && base && figures.perSecond! / base.perSecond!)
        ])
      }
    }
  }
  const heads = [
    'durability',
    'in flight',
    'hot ranges',
    'value',
    'puts a second',
    'p50 ms',
    'p99 ms',
    'CPU s per 10 k',
    'fdatasyncs a second',
    'puts a sync',
    'worst sync lag ms',
    '÷ one range'
  ]
  return `### Puts over several ranges\n\n${table(heads, rows)}`
}
