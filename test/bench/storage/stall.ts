/**
 * Section `stall`: the disk under four of sixteen ranges hangs. What happens to the event loop, to puts into these ranges,
 * and to everything else? Operations are asked at a fixed pace, whether answers come or not.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LoopDelay, randomValue, table } from '../measure.ts'
import { type CellFunction, interleaved, type Result } from './children.ts'
import { type EngineInit, fill, type Ours, openOurs } from './engines.ts'
import { interceptedFiles, rangeOfFile } from './intercepted-files.ts'
import { randomIndex } from './keys.ts'
import { Outcomes } from './outcomes.ts'
import { shown } from './report.ts'
import type { Section } from './section.ts'
import { KEYS, SECONDS, STALL_SECONDS } from './settings.ts'

const LAYOUT = { q: 16, first: 0, count: 16 }
const BAD_RANGES = 4
const ALL_KEYS = Math.min(KEYS, 22_000)
/** So many are there beforehand. */
const FILLED = Math.floor(ALL_KEYS / 1.1)
const SIZE = 1024
/** Large, so that what waits reaches its limit within seconds. */
const FLOOD_SIZE = 64 * 1024
const CACHE_BYTES = 64 << 20
const TICK_MS = 5
const GRACE_MS = 100
const SETTLE_SECONDS = 30
const MIB = 2 ** 20

/** What is asked every tick. The floods, for the limit of what may wait, come only while the disk hangs. */
const CLASSES = {
  'puts, good ranges': 10,
  'gets from the cache, good ranges': 10,
  'gets from files, good ranges': 10,
  'gets from the cache, bad ranges': 10,
  'gets from files, bad ranges': 1,
  'puts of 64 KiB, new keys, bad ranges': 8,
  'puts of 64 KiB, old keys not in the cache, bad ranges': 8
}
type Class = keyof typeof CLASSES
const NAMES = Object.keys(CLASSES) as Class[]
const isFlood = (name: Class): boolean => name.startsWith('puts of 64 KiB')

const stall: CellFunction<EngineInit> = async init => {
  const filling = await openOurs(init)
  await fill(filling, FILLED, SIZE)
  await filling.close()
  let hang: PromiseWithResolvers<void> | undefined
  const files = interceptedFiles((_, path) => {
    const range = rangeOfFile(path)
    return range !== undefined && range < BAD_RANGES ? hang?.promise : undefined
  })
  const engine = await openOurs({ ...init, files })
  const { cached, of } = operations(engine)
  for (const i of cached) await engine.get(i)
  const delay = new LoopDelay()

  const before = await paced(of, SECONDS, name => !isFlood(name))
  const result: Result = { quiet: delay.takeMax() }
  for (const name of NAMES) Object.assign(result, figuresOf(name, 'before', before.outcomes[name]))

  hang = Promise.withResolvers()
  const rssBefore = process.memoryUsage().rss
  const during = await paced(of, STALL_SECONDS, () => true)
  result.stalled = delay.takeMax()
  result.rss = (process.memoryUsage().rss - rssBefore) / MIB
  for (const name of NAMES) Object.assign(result, figuresOf(name, 'during', during.outcomes[name]))

  hang.resolve()
  hang = undefined
  await Promise.race([Promise.all(during.all), sleep(SETTLE_SECONDS * 1000)])
  result.after = delay.takeMax()
  for (const name of NAMES) {
    const { ok, pending } = during.outcomes[name]
    const late = ok - result[`${name}/during/ok`]!
    const refused = result[`${name}/during/pending`]! - late - pending
    Object.assign(result, prefixed(name, 'during', { late, refused, never: pending }))
  }
  await Promise.race([engine.close(), sleep(SETTLE_SECONDS * 1000)])
  return result
}

export const stallCells = { stall }

function figuresOf(name: Class, phase: string, outcomes: Outcomes): Result {
  const { asked, ok, overloaded, otherErrors, pending } = outcomes
  return prefixed(name, phase, { asked, ok, overloaded, otherErrors, pending, ...outcomes.latencies() })
}

function prefixed(name: Class, phase: string, figures: Result): Result {
  return Object.fromEntries(Object.entries(figures).map(([key, value]) => [`${name}/${phase}/${key}`, value]))
}

/** Of the filled keys, half are read into the cache beforehand and never put; of the rest some are put, others read. */
function operations({ keys, get, put }: Ours) {
  const sorted = { good: lists(), bad: lists() }
  for (let i = 0; i < ALL_KEYS; i++) {
    const { cached, read, written, fresh } = keys.rangeOf(i) < BAD_RANGES ? sorted.bad : sorted.good
    const list = i >= FILLED ? fresh : i % 8 < 4 ? cached : i % 8 < 7 ? read : written
    list.push(i)
  }
  const { good, bad } = sorted
  const one = (indexes: number[]) => indexes[randomIndex(indexes.length)]!
  // In turn: what was read once may be in the cache.
  let goodReads = 0
  let badReads = 0
  const of: Record<Class, () => Promise<unknown>> = {
    'puts, good ranges': () => put(one(good.written), randomValue(SIZE)),
    'gets from the cache, good ranges': () => get(one(good.cached)),
    'gets from files, good ranges': () => get(good.read[goodReads++ % good.read.length]!),
    'gets from the cache, bad ranges': () => get(one(bad.cached)),
    'gets from files, bad ranges': () => get(bad.read[badReads++ % bad.read.length]!),
    'puts of 64 KiB, new keys, bad ranges': () => put(one(bad.fresh), randomValue(FLOOD_SIZE)),
    'puts of 64 KiB, old keys not in the cache, bad ranges': () => put(one(bad.written), randomValue(FLOOD_SIZE))
  }
  return { cached: [...good.cached, ...bad.cached], of }
}

function lists() {
  return { cached: [] as number[], read: [] as number[], written: [] as number[], fresh: [] as number[] }
}

async function paced(of: Record<Class, () => Promise<unknown>>, seconds: number, takes: (name: Class) => boolean) {
  const outcomes = Object.fromEntries(NAMES.map(name => [name, new Outcomes()])) as Record<Class, Outcomes>
  const all: Promise<void>[] = []
  const endMs = performance.now() + seconds * 1000
  for (let dueMs = performance.now(); dueMs < endMs; dueMs += TICK_MS) {
    await sleep(Math.max(0, dueMs - performance.now()))
    for (const name of NAMES.filter(takes)) {
      for (let i = 0; i < CLASSES[name]; i++) all.push(outcomes[name].ask(of[name], dueMs))
    }
  }
  // For the answers to the last ones.
  await sleep(GRACE_MS)
  return { outcomes, all }
}

export const benchStall: Section = async ({ scratch, keys }) => {
  const dir = join(scratch, 'store')
  const params = { dir, keys, count: ALL_KEYS, layout: LAYOUT, durability: 'interval', cacheBytes: CACHE_BYTES }
  const figures = (await interleaved([{ id: 'stall', name: 'stall', params, dir }])).get('stall')
  const columns = [
    'asked',
    'ok',
    'overloaded',
    'otherErrors',
    'pending',
    'late',
    'refused',
    'never',
    'p50',
    'p99',
    'max'
  ]
  const rows = ['before', 'during'].flatMap(phase =>
    NAMES.filter(name => phase === 'during' || !isFlood(name)).map(name => [
      phase,
      name,
      ...columns.map(column => shown(figures?.[`${name}/${phase}/${column}`]))
    ])
  )
  const heads = [
    'stall',
    'operation',
    'asked',
    'answered',
    'overloaded',
    'other errors',
    'pending at its end',
    'of these answered after it',
    'of these refused after it',
    'never settled',
    'p50 ms',
    'p99 ms',
    'max ms'
  ]
  const [quiet, stalled, after, rss] = ['quiet', 'stalled', 'after', 'rss'].map(name => shown(figures?.[name]))
  return [
    `### A disk that hangs for ${STALL_SECONDS} s under ${BAD_RANGES} of ${LAYOUT.count} ranges`,
    table(heads, rows),
    `Longest delay of the event loop: ${quiet} ms before the stall, ${stalled} ms during it, ${after} ms while it was worked off. RSS grew by ${rss} MiB during the stall.`
  ].join('\n\n')
}
