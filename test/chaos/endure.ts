/** A cluster under a steady load, and what is done to it: what failed, how long operations took, what is lost. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { round, table } from '../bench/measure.ts'
import { until } from '../support/until.ts'
import type { HostInit } from './chaos-node.ts'
import type { Fault, Tools } from './faults.ts'
import { figures, Load } from './load.ts'
import { picture } from './picture.ts'
import { Site, type SiteInit } from './site.ts'

export const RATE = Number(process.env.RATE ?? 150)
const PICTURES = process.env.PICTURES
const BEFORE_MS = 4000
const AFTER_MS = 6000
const IDENTICAL_MS = 120_000
/** Before anything is measured code is compiled and connections are made: until so long a time has gone well. */
const CALM_MS = 3000
const CALM_P99_MS = 60
const MAX_WARM_MS = 90_000

const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

type Row = (string | number)[]

export interface Run {
  row: Row
  /** Tables of its own. */
  report: string | undefined
  /** Nothing failed, and nothing is lost. */
  isGood: boolean
}

const HEADS = [
  'fault',
  'seconds',
  'operations',
  'failed',
  'sloppy',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'longest gap ms',
  'hints when it ended',
  'identical after s',
  'lost'
]

/** These faults, one after another, on one cluster, which is made for them. */
export async function endureAll(
  hosts: HostInit[],
  init: SiteInit,
  faults: Fault[],
  cable: Tools['cable']
): Promise<Run[]> {
  const site = new Site(hosts, init)
  const runs: Run[] = []
  try {
    await site.start()
    for (const fault of faults) {
      const run = await endure(site, fault, cable)
      runs.push(run)
      console.error(run.row.map(cell => (typeof cell === 'number' ? round(cell) : cell)).join(' | '))
    }
  } catch (error) {
    for (const { name, log } of site.nodes) console.error(`--- ${name}\n${log.slice(-4000)}`)
    throw error
  } finally {
    await site.close()
  }
  return runs
}

export function runsTable(runs: Run[]): string {
  return table(
    HEADS,
    runs.map(({ row }) => row)
  )
}

async function endure(site: Site, fault: Fault, cable: Tools['cable']): Promise<Run> {
  await fault.prepare?.(site)
  const clients = [await site.client(), await site.client()]
  const load = new Load(fault.name.replace(/\W+/g, '-'), clients, { perSecond: RATE, ...fault.load })
  load.start()
  const warmMs = await warm(load)
  await pause(BEFORE_MS)
  const beganMs = load.nowMs
  await fault.run(site, { pause, cable, load })
  const endedMs = load.nowMs
  const hints = await site.hints().catch(() => Number.NaN)
  await pause(AFTER_MS)
  await load.stop()
  const stoppedMs = load.nowMs
  await site.identical(IDENTICAL_MS)
  const identicalS = (load.nowMs - endedMs) / 1000
  const lost = await load.lost(clients[0]!)
  if (fault.check) console.error(`  ${await fault.check(site)}`)
  const measured = load.samples.filter(({ atMs }) => atMs >= warmMs)
  const { operations, failed, sloppy, p50, p99, p999, longestGapMs } = figures(measured)
  const reasons = new Map<string, number>()
  for (const { failed: reason } of measured) if (reason) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  for (const [reason, count] of [...reasons].slice(0, 5)) console.error(`  ${count} × ${reason}`)
  for (const key of lost.slice(0, 5)) console.error(`  lost ${key}`)
  if (PICTURES !== undefined) {
    mkdirSync(PICTURES, { recursive: true })
    const path = join(PICTURES, `chaos-${fault.name.replace(/[^\w]+/g, '-')}.svg`)
    writeFileSync(path, picture(fault.name, load.samples, { fromMs: warmMs, toMs: stoppedMs, beganMs, endedMs }))
  }
  const row = [
    fault.name,
    (endedMs - beganMs) / 1000,
    `${operations}`,
    `${failed}`,
    `${sloppy}`,
    p50!,
    p99!,
    p999!,
    longestGapMs!,
    Number.isNaN(hints) ? '–' : `${hints}`,
    identicalS,
    `${lost.length}`
  ]
  return { row, report: fault.report?.(), isGood: failed === 0 && lost.length === 0 }
}

/** When the load had gone well for a while; throws when it never does: it is more than the machine carries. */
async function warm(load: Load): Promise<number> {
  await until(
    `the load goes well for ${CALM_MS} ms`,
    () => {
      const latest = load.samples.filter(({ atMs }) => atMs >= load.nowMs - CALM_MS)
      const { failed, p99 } = figures(latest)
      return load.nowMs > CALM_MS && latest.length > (RATE * CALM_MS) / 2000 && failed === 0 && p99! < CALM_P99_MS
    },
    MAX_WARM_MS,
    250
  )
  return load.nowMs
}
