/**
 * Section `index`: what a key costs in memory, and for how long one insert, or a store that a million keys are put into,
 * holds the event loop up. All keys in one range, which is the worst case: one table grows.
 */
import { join } from 'node:path'
import { KeyIndex } from '../../../src/storage/index/key-index.ts'
import { LoopDelay, table } from '../measure.ts'
import { type Cell, type CellFunction, interleaved } from './children.ts'
import { CACHE_BYTES, type EngineInit, fill, openOurs } from './engines.ts'
import { ONE_RANGE } from './keys.ts'
import { shown } from './report.ts'
import type { Section } from './section.ts'
import { COUNTS, KEYS, SIZES } from './settings.ts'

const RECORD_BYTES = 160
const MIB = 2 ** 20

/** Pseudo-random 32 bits (xorshift), cheap and without garbage. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

function memory(): { rss: number; arrayBuffers: number } {
  gc?.()
  gc?.()
  return process.memoryUsage()
}

const growIndex: CellFunction<{ count: number }> = async ({ count }) => {
  const random = generator(0x2545f491)
  const before = memory()
  const index = new KeyIndex(ONE_RANGE.q)
  let longest = 0
  const startMs = performance.now()
  for (let i = 0; i < count; i++) {
    const hi = (ONE_RANGE.first * 2 ** 29 + (random() >>> 3)) >>> 0
    const lo = random()
    const entry = { file: 1, offset: RECORD_BYTES * (i + 1), length: RECORD_BYTES - 4, tag: i }
    const insertMs = performance.now()
    index.insert(hi, lo, entry)
    longest = Math.max(longest, performance.now() - insertMs)
  }
  const seconds = (performance.now() - startMs) / 1000
  const after = memory()
  return {
    rssPerKey: (after.rss - before.rss) / count,
    arrayBuffersPerKey: (after.arrayBuffers - before.arrayBuffers) / count,
    longest,
    perSecond: index.size / seconds
  }
}

const fillOneRange: CellFunction<EngineInit & { size: number }> = async init => {
  const engine = await openOurs(init)
  const before = memory()
  const delay = new LoopDelay()
  const startMs = performance.now()
  await fill(engine, init.count, init.size, 64)
  const seconds = (performance.now() - startMs) / 1000
  const { p99 } = delay
  const longest = delay.takeMax()
  await engine.close()
  return { p99, longest, perSecond: init.count / seconds, rss: (memory().rss - before.rss) / MIB }
}

export const indexCells = { growIndex, fillOneRange }

export const benchIndex: Section = async ({ scratch, keys }) => {
  const dir = join(scratch, 'fill')
  const init = { system: 'ours', dir, keys, count: KEYS, layout: ONE_RANGE, durability: 'os', cacheBytes: CACHE_BYTES }
  const cells: Cell[] = COUNTS.map(count => ({ id: `index ${count}`, name: 'growIndex', params: { count } }))
  for (const size of SIZES) cells.push({ id: `fill ${size}`, name: 'fillOneRange', params: { ...init, size }, dir })
  const results = await interleaved(cells)
  const grown = COUNTS.map(count => {
    const figures = results.get(`index ${count}`)
    return [
      String(count),
      `${shown(figures?.rssPerKey)} (≤ 32)`,
      `${shown(figures?.arrayBuffersPerKey)} (≤ 32)`,
      shown(figures?.longest),
      shown(figures?.perSecond)
    ]
  })
  const filled = SIZES.map(size => {
    const figures = results.get(`fill ${size}`)
    return [`${KEYS} × ${size} B`, ...['perSecond', 'p99', 'longest', 'rss'].map(name => shown(figures?.[name]))]
  })
  const indexHeads = ['keys', 'RSS bytes a key', 'array buffer bytes a key', 'longest insert ms', 'inserts a second']
  const fillHeads = ['filled', 'puts a second', 'loop delay p99 ms', 'loop delay max ms', 'RSS grown MiB']
  return [
    `### The index alone, random positions in one range\n\n${table(indexHeads, grown)}`,
    `### One range filled, 64 in flight, not synced\n\n${table(fillHeads, filled)}`
  ].join('\n\n')
}
