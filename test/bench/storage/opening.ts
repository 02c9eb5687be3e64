/** Section `open`: how long a store takes to open, by hints, without them, and after `kill -9`; page cache warm. */
import { cpSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { table } from '../measure.ts'
import { type Cell, type CellFunction, interleaved, type Result } from './children.ts'
import { CACHE_BYTES, newStore } from './engines.ts'
import { makeDataSet, warm } from './filling.ts'
import { ALL_RANGES, type Layout, ONE_RANGE } from './keys.ts'
import { shown } from './report.ts'
import type { Section } from './section.ts'
import { COUNTS } from './settings.ts'

const SIZE = 100
const MIB = 2 ** 20

interface OpenParams {
  dir: string
  count: number
  layout: Layout
  /** Or the process just ends. */
  close: boolean
}

const openStore: CellFunction<OpenParams> = async ({ dir, count, layout, close }) => {
  warm(dir)
  const rssBefore = process.memoryUsage().rss
  const store = newStore({ dir, layout, durability: 'os', cacheBytes: CACHE_BYTES })
  const startMs = performance.now()
  const { keys } = await store.open()
  const seconds = (performance.now() - startMs) / 1000
  if (keys !== count) throw new Error(`${keys} keys after opening, ${count} were put`)
  const rss = (process.memoryUsage().rss - rssBefore) / MIB
  if (close) await store.close()
  return { seconds, rss }
}

/** The same files, only read. */
const openFloor: CellFunction<{ dir: string }> = async ({ dir }) => {
  warm(dir)
  const startMs = performance.now()
  const bytes = warm(dir)
  return { seconds: (performance.now() - startMs) / 1000, mib: bytes / MIB }
}

export const openCells = { openStore, openFloor }

const HOW = [
  { how: 'after close, with hints', targetSeconds: 1 },
  { how: 'after close, hints deleted', targetSeconds: 5 },
  { how: 'after kill -9', targetSeconds: undefined }
]

export const benchOpen: Section = async ({ scratch, keys }) => {
  const rows = []
  for (const [count, layout] of [
    [COUNTS[0]!, ONE_RANGE] as const,
    ...COUNTS.map(count => [count, ALL_RANGES] as const)
  ]) {
    const results = await openings(scratch, keys, count, layout)
    const floor = results.get('floor')
    for (const { how, targetSeconds } of HOW) {
      const figures = results.get(how)
      const target = count === 1_000_000 && targetSeconds !== undefined ? ` (≤ ${targetSeconds})` : ''
      rows.push([
        String(count),
        String(layout.count),
        how,
        `${shown(figures?.seconds)}${target}`,
        shown(floor?.seconds),
        shown(figures && floor && figures.seconds! / floor.seconds!),
        shown(figures?.rss)
      ])
    }
  }
  const heads = [
    'keys',
    'ranges',
    'opened',
    'seconds (target)',
    'raw read of all files s',
    '÷ raw read',
    'RSS grown MiB'
  ]
  return `### Opening, values of ${SIZE} B, page cache warm\n\n${table(heads, rows)}`
}

async function openings(scratch: string, keys: string, count: number, layout: Layout): Promise<Map<string, Result>> {
  const closed = join(scratch, 'closed')
  const bare = join(scratch, 'bare')
  const killed = join(scratch, 'killed')
  const copy = join(scratch, 'copy')
  const set = { system: 'ours', keys, count, layout, size: SIZE, durability: 'os', cacheBytes: CACHE_BYTES } as const
  const made = await makeDataSet({ ...set, dir: closed, end: 'close' })
  if (!made || !(await makeDataSet({ ...set, dir: killed, end: 'kill' }))) return new Map()
  cpSync(closed, bare, { recursive: true })
  const withoutHints = () => {
    for (const name of globSync('**/*.hint', { cwd: bare })) rmSync(join(bare, name))
  }
  // Opening may mend what a kill left: each run gets it as it was.
  const asKilled = () => cpSync(killed, copy, { recursive: true })
  const params = { count, layout }
  const cells: Cell[] = [
    { id: 'floor', name: 'openFloor', params: { dir: closed } },
    { id: HOW[0]!.how, name: 'openStore', params: { ...params, dir: closed, close: true } },
    { id: HOW[1]!.how, name: 'openStore', params: { ...params, dir: bare, close: false }, before: withoutHints },
    { id: HOW[2]!.how, name: 'openStore', params: { ...params, dir: copy, close: false }, before: asKilled, dir: copy }
  ]
  const results = await interleaved(cells)
  for (const dir of [closed, bare, killed]) rmSync(dir, { recursive: true, force: true })
  return results
}
