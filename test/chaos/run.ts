/**
 * `npm run chaos [-- FAULT …]`: real nodes on hosts of their own, a steady load, and one fault after another
 * (issue: never refuse a write). Prints a table, and writes a picture of latency over time for each fault into DIR
 * (environment PICTURES), if given. RATE: operations a second; BYTES: what `sixth` stores. Needs root, iproute2, nftables and
 * e2fsprogs.
 *
 * This process makes the hosts and pulls their cables; a child on a host of its own puts the load on and does the rest.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { keepAlive } from '../../src/runtime.ts'
import { machine } from '../bench/measure.ts'
import { makeLan, whyNoLan } from '../lan/lan.ts'
import { whyNoDisks } from '../support/real-disks.ts'
import type { HostInit } from './chaos-node.ts'
import { endureAll, RATE, type Run, runsTable } from './endure.ts'
import { FAULTS, type Fault, FIVE } from './faults.ts'
import { Grow } from './grow.ts'
import { RANGES } from './site.ts'
import { sixth } from './sixth.ts'
import { ZONE } from './zone.ts'

/** Those that change the cluster, or need another one: run when they are named only. */
const APART: Fault[] = [new Grow(), ZONE]
/** No fault, and without load. */
const SIXTH = 'sixth'
/** One more than the nodes of the largest cluster (grow.ts): the load has a host of its own. */
const HOSTS = 9

type Order = { host: number; plugged: boolean }

async function parent(): Promise<number> {
  const unknown = unknownWord(process.argv.slice(2))
  if (unknown !== undefined) {
    console.error(`chaos knows no "${unknown}"; it takes parts of these names: ${NAMES.join(', ')}`)
    return 2
  }
  const reason = whyNoLan() ?? whyNoDisks('ext4')
  if (reason !== undefined) {
    console.error(`chaos cannot run here: ${reason}`)
    return 2
  }
  const lan = makeLan(HOSTS)
  try {
    const hosts: HostInit[] = lan.hosts.map(({ address, inside }) => ({ address, inside }))
    const [program, ...before] = lan.hosts.at(-1)!.inside
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

async function child(hosts: HostInit[]): Promise<number> {
  keepAlive()
  const { shared, apart, withSixth } = chosen(process.argv.slice(2))
  const runs: Run[] = []
  if (shared.length > 0) runs.push(...(await endureAll(hosts, FIVE, shared, cable)))
  for (const fault of apart) runs.push(...(await endureAll(hosts, fault.site!, [fault], cable)))
  const tables = runs.length === 0 ? [] : [runsTable(runs)]
  for (const { report } of runs) if (report !== undefined) tables.push(report)
  if (withSixth) tables.push(await sixth(hosts))
  const load = runs.length === 0 ? '' : `; ${RATE} operations a second, half of them puts of 100 B`
  console.log(`${machine()}; N = 3, R = W = 2, ${RANGES} ranges${load}\n`)
  console.log(tables.join('\n\n'))
  return runs.every(({ isGood }) => isGood) ? 0 : 1
}

const NAMES = [...FAULTS.map(({ name }) => name), ...APART.map(({ name }) => name), SIXTH]

const unknownWord = (words: string[]) => words.find(word => !NAMES.some(name => name.includes(word)))

/** By a part of the name; without words, those that share a cluster. */
function chosen(words: string[]): { shared: Fault[]; apart: Fault[]; withSixth: boolean } {
  const isNamed = (name: string) => words.some(word => name.includes(word))
  return {
    shared: FAULTS.filter(({ name }) => words.length === 0 || isNamed(name)),
    apart: APART.filter(({ name }) => isNamed(name)),
    withSixth: isNamed(SIXTH)
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const hosts = process.env.CHAOS_HOSTS
process.exit(await (hosts === undefined ? parent() : child((JSON.parse(hosts) as HostInit[]).slice(0, -1))))
