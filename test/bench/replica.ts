/** The copies of one node on the real disk, without the node, for benchmarks. */
import { CopyFiles } from '../../src/replica/copy-files.ts'
import { CopyTable } from '../../src/replica/copy-table.ts'
import { RangeClocks } from '../../src/replica/range-clocks.ts'
import { Replicas, type WriteIntent } from '../../src/replica/replicas.ts'
import { silentLog, systemClock, systemRandom, systemTimers } from '../../src/runtime.ts'
import { nodeFiles } from '../../src/storage/disk/node-files.ts'
import { RangeStore } from '../../src/storage/range-store.ts'
import { randomValue } from './measure.ts'

export type Replica = Awaited<ReturnType<typeof openReplica>>

/** `synced`: the ranges that have a copy, empty and synced. */
export async function openReplica(dir: string, { q, synced }: { q: number; synced: number[] }) {
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom, files: nodeFiles, log: silentLog }
  const store = new RangeStore(ports, { dir: `${dir}/ranges`, q, durability: 'os', cacheBytes: 32 << 20 })
  const copies = new CopyTable(ports, { dir })
  const clocks = new RangeClocks(ports, { store }, { path: `${dir}/clocks.json` })
  const replicas = new Replicas(ports, { store, copies, clocks }, { q })
  await nodeFiles.makeDir(dir)
  await store.open()
  await replicas.create(synced)
  await copies.set(synced, 'synced')
  return { store, copies, replicas, copyFiles: new CopyFiles({ store, replicas }, { leastBytes: 1 }) }
}

let writes = 0

/** A put of a random value. */
export function intentOf(valueBytes: number): WriteIntent {
  const writeId = (++writes).toString(16).padStart(16, '0')
  return { value: randomValue(valueBytes).slice(), context: undefined, writeId, expiresAtMs: 0 }
}
