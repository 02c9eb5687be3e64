/**
 * Section `compaction`: one range of 200 MB, overwritten and read at a moderate, fixed pace (RATE puts a second, a fifth as
 * many gets) until it has been compacted. Latencies count from when an operation was due.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RangeStore } from '../../../src/storage/range-store.ts'
import { LoopDelay, randomValue, table } from '../measure.ts'
import { type CellFunction, interleaved, type Result } from './children.ts'
import { CACHE_BYTES, type EngineInit, fill, openOurs } from './engines.ts'
import { compactingOf } from './features.ts'
import { recordSize } from './floors.ts'
import { ONE_RANGE, randomIndex } from './keys.ts'
import { Outcomes } from './outcomes.ts'
import { shown } from './report.ts'
import type { Section } from './section.ts'
import { KEYS, SECONDS } from './settings.ts'

const SIZE = 1024
const COUNT = Math.min(KEYS, Math.ceil(200e6 / recordSize(SIZE)))
const RATE = Number(process.env.RATE ?? 5000)
/** A get for so many puts. */
const PUTS_A_GET = 5
const MAX_PENDING = 4096
const TICK_MS = 1
const SAMPLE_MS = 20
/** It goes on longer, until everything has been overwritten twice, while nothing has been compacted. */
const LEAST_SECONDS = 5 * SECONDS
const MOST_SECONDS = LEAST_SECONDS + (2 * COUNT) / RATE
const PHASES = ['quiet', 'compacting'] as const
type Phase = (typeof PHASES)[number]

const compaction: CellFunction<EngineInit> = async init => {
  const engine = await openOurs(init)
  await fill(engine, COUNT, SIZE)
  const { store } = engine
  const says = compactingOf(store) !== 'unknown'
  const ops = Object.fromEntries(PHASES.map(phase => [phase, { put: new Outcomes(), get: new Outcomes() }])) as Record<
    Phase,
    Record<'put' | 'get', Outcomes>
  >
  const delay = new LoopDelay()
  const loop = { quiet: 0, compacting: 0 }
  const seconds = { quiet: 0, compacting: 0 }
  const disk = { peak: 0, live: 0 }
  let finished = 0
  let puts = 0
  let phase = phaseOf(store)
  const startMs = performance.now()
  let dueMs = startMs
  let sampledMs = startMs
  let turnMs = startMs
  const all = new Set<Promise<void>>()
  const elapsed = () => (performance.now() - startMs) / 1000
  while (elapsed() < LEAST_SECONDS || (finished === 0 && says && elapsed() < MOST_SECONDS)) {
    await sleep(TICK_MS)
    const nowMs = performance.now()
    seconds[phase] += (nowMs - turnMs) / 1000
    turnMs = nowMs
    const now = phaseOf(store)
    if (now !== phase) {
      loop[phase] = Math.max(loop[phase], delay.takeMax())
      if (phase === 'compacting') finished++
      phase = now
    }
    if (nowMs - sampledMs > SAMPLE_MS) {
      sampledMs = nowMs
      disk.peak = Math.max(disk.peak, bytesIn(init.dir))
      disk.live = store.totalStats().liveBytes
    }
    // An operation belongs to the phase that it was asked in.
    for (; dueMs <= nowMs && all.size < MAX_PENDING; dueMs += 1000 / RATE) {
      const outcomes = ops[phase]
      const put = outcomes.put.ask(() => engine.put(randomIndex(COUNT), randomValue(SIZE)), dueMs)
      track(all, put)
      if (++puts % PUTS_A_GET === 0)
        track(
          all,
          outcomes.get.ask(() => engine.get(randomIndex(COUNT)), dueMs)
        )
    }
  }
  loop[phase] = Math.max(loop[phase], delay.takeMax())
  await Promise.all(all)
  await engine.close()
  const result: Result = { finished, peak: disk.peak, live: disk.live, says: says ? 1 : 0 }
  for (const name of PHASES) {
    for (const kind of ['put', 'get'] as const) {
      const { asked, ok } = ops[name][kind]
      const figures = { ...ops[name][kind].latencies(), failed: asked - ok, perSecond: ok / seconds[name] }
      for (const [key, value] of Object.entries(figures)) result[`${kind}/${name}/${key}`] = value
    }
    result[`loop/${name}`] = seconds[name] > 0 ? loop[name] : Number.NaN
    result[`seconds/${name}`] = seconds[name]
  }
  return result
}

export const compactionCells = { compaction }

function phaseOf(store: RangeStore): Phase {
  return typeof compactingOf(store) === 'number' ? 'compacting' : 'quiet'
}

function track(all: Set<Promise<void>>, promise: Promise<void>): void {
  all.add(promise)
  void promise.then(() => all.delete(promise))
}

/** A file may go between its listing and its look-up. */
function bytesIn(dir: string): number {
  return readdirSync(dir)
    .map(name => statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0)
}

export const benchCompaction: Section = async ({ scratch, keys }) => {
  const dir = join(scratch, 'store')
  const params = { dir, keys, count: COUNT, layout: ONE_RANGE, durability: 'interval', cacheBytes: CACHE_BYTES }
  const figures = (await interleaved([{ id: 'compaction', name: 'compaction', params, dir }])).get('compaction')
  const columns = ['perSecond', 'failed', 'p50', 'p99', 'p999', 'max']
  const rows = PHASES.flatMap(phase =>
    (['put', 'get'] as const).map(kind => [
      kind,
      phase,
      ...columns.map(column => shown(figures?.[`${kind}/${phase}/${column}`])),
      shown(figures?.[`loop/${phase}`]),
      shown(figures?.[`seconds/${phase}`])
    ])
  )
  const heads = [
    'operation',
    'range is',
    'per second',
    'failed',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'max ms',
    'loop delay max ms',
    'seconds'
  ]
  const parts = [
    `### Compaction: ${COUNT} keys of ${SIZE} B in one range, ${RATE} overwrites a second`,
    table(heads, rows),
    `${shown(figures?.finished)} compactions finished. Files took ${shown(figures && figures.peak! / 1e6)} MB at most, ${shown(figures && figures.peak! / figures.live!)} times the ${shown(figures && figures.live! / 1e6)} MB of live records.`
  ]
  if (figures?.says === 0) parts.push('This store does not say when it compacts: all counts as quiet.')
  return parts.join('\n\n')
}
