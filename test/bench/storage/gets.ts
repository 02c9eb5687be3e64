/** Section `gets`: random keys from files (page cache warm), and 10,000 hot ones from our own cache. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { load, loadSync } from '../measure.ts'
import { type Cell, type CellFunction, interleaved } from './children.ts'
import { type EngineInit, openEngine, openOurs } from './engines.ts'
import { canPeek } from './features.ts'
import { makeDataSet, warm } from './filling.ts'
import { randomReads } from './floors.ts'
import { ALL_RANGES, keyText, ONE_RANGE, randomIndex, shuffled } from './keys.ts'
import { openLmdb } from './peers.ts'
import { type Row, ratioTable } from './report.ts'
import type { Section } from './section.ts'
import { KEYS, SECONDS, SIZES } from './settings.ts'

const IN_FLIGHT = 16
const HOT_KEYS = 10_000
const HOT_CACHE_BYTES = 64 << 20
/** Nothing of use fits: gets come from files. */
const TINY_CACHE_BYTES = 1024

const coldGets: CellFunction<EngineInit> = async init => {
  const engine = await openEngine(init)
  warm(init.dir)
  const get = async () => {
    const i = randomIndex(init.count)
    if ((await engine.get(i)) === undefined) throw new Error(`key ${i} is missing`)
  }
  const figures = await load(get, { inFlight: IN_FLIGHT, seconds: SECONDS, pids: [] })
  await engine.close()
  return { ...figures }
}

const getFloor: CellFunction<{ dir: string; size: number }> = async ({ dir, size }) => {
  warm(dir)
  return { ...(await randomReads(dir, size, IN_FLIGHT, SECONDS)) }
}

const hotIndexes = (count: number) => Array.from({ length: Math.min(HOT_KEYS, count) }, (_, i) => shuffled(i, count))

/** `peek`: the synchronous way; none where the store has none. */
const hotGets: CellFunction<EngineInit & { peek: boolean }> = async ({ peek, ...init }) => {
  const { store, keys, close } = await openOurs(init)
  const hot = hotIndexes(init.count).map(i => ({ range: keys.rangeOf(i), key: keys.key(i) }))
  for (const { range, key } of hot) await store.get(range, key)
  const next = () => hot[randomIndex(hot.length)]!
  if (!peek) {
    const get = () => {
      const { range, key } = next()
      return store.get(range, key)
    }
    const figures = await load(get, { inFlight: IN_FLIGHT, seconds: SECONDS, pids: [] })
    await close()
    return { ...figures }
  }
  if (!canPeek(store)) return { perSecond: Number.NaN }
  const figures = loadSync(
    () => {
      const { range, key } = next()
      if (store.peek(range, key) === undefined) throw new Error('a hot key is not in the cache')
    },
    { seconds: SECONDS }
  )
  await close()
  return { ...figures }
}

const hotPeerGets: CellFunction<EngineInit> = async ({ dir, count }) => {
  const db = openLmdb(dir, true)
  const hot = hotIndexes(count).map(keyText)
  const get = () => {
    if (db.getBinary(hot[randomIndex(hot.length)]!) === undefined) throw new Error('a key is missing')
  }
  for (let i = 0; i < hot.length; i++) get()
  const figures = loadSync(get, { seconds: SECONDS })
  await db.close()
  return { ...figures }
}

export const getCells = { coldGets, getFloor, hotGets, hotPeerGets }

export const benchGets: Section = async ({ scratch, keys, peers }) => {
  const cold: Row[] = []
  const hot: Row[] = []
  for (const size of SIZES) {
    const init = { keys, count: KEYS, layout: ONE_RANGE, durability: 'os', cacheBytes: TINY_CACHE_BYTES } as const
    const one = { ...init, system: 'ours', dir: join(scratch, 'one') } as const
    const all = { ...init, system: 'ours', dir: join(scratch, 'all'), layout: ALL_RANGES } as const
    const level = { ...init, system: 'classic-level', dir: join(scratch, 'level') } as const
    const lmdb = { ...init, system: 'lmdb', dir: join(scratch, 'lmdb') } as const
    for (const set of peers ? [one, all, level, lmdb] : [one, all]) await makeDataSet({ ...set, size, end: 'close' })
    const cached = { ...all, cacheBytes: HOT_CACHE_BYTES }
    const cells: Cell[] = [
      { id: 'floor one', name: 'getFloor', params: { dir: one.dir, size } },
      { id: 'one', name: 'coldGets', params: one },
      { id: 'floor all', name: 'getFloor', params: { dir: all.dir, size } },
      { id: 'all', name: 'coldGets', params: all },
      { id: 'peek', name: 'hotGets', params: { ...cached, peek: true } },
      { id: 'hot', name: 'hotGets', params: { ...cached, peek: false } }
    ]
    if (peers) {
      cells.push(
        { id: 'level', name: 'coldGets', params: level },
        { id: 'lmdb hot', name: 'hotPeerGets', params: lmdb }
      )
    }
    const results = await interleaved(cells)
    for (const { dir } of [one, all, level, lmdb]) rmSync(dir, { recursive: true, force: true })
    const beside = (floor: string) => ({
      floor: { of: results.get(floor), target: 0.6 },
      level: { of: results.get('level'), target: 2 }
    })
    cold.push(
      { what: 'floor, reads of one file', size, figures: results.get('floor one') },
      { what: 'floor, reads of 256 files', size, figures: results.get('floor all') },
      { what: 'ours, one range', size, figures: results.get('one'), ...beside('floor one') },
      { what: 'ours, 256 ranges', size, figures: results.get('all'), ...beside('floor all') }
    )
    if (peers) cold.push({ what: 'classic-level', size, figures: results.get('level') })
    const lmdbHot = results.get('lmdb hot')
    hot.push(
      { what: 'ours, peek', size, figures: results.get('peek'), lmdb: { of: lmdbHot, target: 1 } },
      { what: `ours, get, ${IN_FLIGHT} in flight`, size, figures: results.get('hot'), lmdb: { of: lmdbHot } }
    )
    if (peers) hot.push({ what: 'lmdb, getBinary', size, figures: lmdbHot })
  }
  return [
    `### Gets of random keys, from files in the page cache, ${IN_FLIGHT} in flight\n\n${ratioTable(cold)}`,
    `### Gets of ${HOT_KEYS} hot keys, from our own cache\n\n${ratioTable(hot)}`
  ].join('\n\n')
}
