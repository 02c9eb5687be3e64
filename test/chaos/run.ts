/**
 * `npm run chaos [-- FAULT …]`: five real nodes on hosts of their own, a steady load, and one fault after another
 * (issue: never refuse a write). Prints a table, and writes a picture of latency over time for each fault into DIR
 * (environment PICTURES), if given. RATE: operations a second. Needs root, iproute2, nftables and e2fsprogs.
 *
 * This process makes the hosts and pulls their cables; a child on a host of its own puts the load on and does the rest.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { keepAlive } from '../../src/runtime.ts'
import { machine, round, table } from '../bench/measure.ts'
import { makeLan, whyNoLan } from '../lan/lan.ts'
import { whyNoDisks } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { FAULTS, type Fault } from './faults.ts'
import { figures, Load } from './load.ts'
import { picture } from './picture.ts'
import { type HostInit, NODES, Site } from './site.ts'

const RATE = Number(process.env.RATE ?? 150)
const PICTURES = process.env.PICTURES
const BEFORE_MS = 4000
const AFTER_MS = 6000
const IDENTICAL_MS = 120_000
/** Before anything is measured code is compiled and connections are made: until so long a time has gone well. */
const CALM_MS = 3000
const CALM_P99_MS = 60
const MAX_WARM_MS = 90_000

type Order = { host: number; plugged: boolean }

async function parent(): Promise<number> {
  const reason = whyNoLan() ?? whyNoDisks('ext4')
  if (reason !== undefined) {
    console.error(`chaos cannot run here: ${reason}`)
    return 2
  }
  const lan = makeLan(NODES + 1)
  try {
    const hosts: HostInit[] = lan.hosts.map(({ address, inside }) => ({ address, inside }))
    const [program, ...before] = lan.hosts[NODES]!.inside
    const args = [...before, process.execPath, import.meta.filename, ...process.argv.slice(2)]
    const child = spawn(program!, args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, CHAOS_HOSTS: JSON.stringify(hosts) }
    })
    child.on('message', ({ host, plugged }: Order) => {
      if (plugged) lan.hosts[host]!.plug()
      else lan.hosts[host]!.unplug()
      child.send('done')
    })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill('SIGTERM'))
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? 1
  } finally {
    lan.remove()
  }
}

async function cable(host: number, plugged: boolean): Promise<void> {
  const done = once(process, 'message')
  process.send!({ host, plugged } satisfies Order)
  await done
}

const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

type Row = (string | number)[]
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

async function endure(site: Site, fault: Fault): Promise<{ row: Row; isGood: boolean }> {
  const clients = [await site.client(), await site.client()]
  const load = new Load(fault.name.replace(/\W+/g, '-'), clients, { perSecond: RATE, ...fault.load })
  load.start()
  const warmMs = await warm(load)
  await pause(BEFORE_MS)
  const beganMs = load.nowMs
  await fault.run(site, { pause, cable })
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
    `${hints}`,
    identicalS,
    `${lost.length}`
  ]
  return { row, isGood: failed === 0 && lost.length === 0 }
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

async function child(hosts: HostInit[]): Promise<number> {
  keepAlive()
  const wanted = process.argv.slice(2)
  const faults = FAULTS.filter(({ name }) => wanted.length === 0 || wanted.some(word => name.includes(word)))
  const site = new Site(hosts)
  const rows: Row[] = []
  let isGood = true
  try {
    await site.start()
    for (const fault of faults) {
      const result = await endure(site, fault)
      rows.push(result.row)
      isGood &&= result.isGood
      console.error(result.row.map(cell => (typeof cell === 'number' ? round(cell) : cell)).join(' | '))
    }
  } catch (error) {
    for (const { name, log } of site.nodes) console.error(`--- ${name}\n${log.slice(-4000)}`)
    throw error
  } finally {
    await site.close()
  }
  console.log(`${machine()}; ${RATE} operations a second, half of them puts of 100 B; 5 nodes, N = 3, R = W = 2\n`)
  console.log(table(HEADS, rows))
  return isGood ? 0 : 1
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const hosts = process.env.CHAOS_HOSTS
process.exit(await (hosts === undefined ? parent() : child(JSON.parse(hosts) as HostInit[])))
