/** One node's replicas on files in memory, without a node around them. */

import { BucketSums } from '../../src/replica/bucket-sums.ts'
import { CopyFiles } from '../../src/replica/copy-files.ts'
import { CopyTable } from '../../src/replica/copy-table.ts'
import { RangeClocks } from '../../src/replica/range-clocks.ts'
import { Replicas, type WriteIntent } from '../../src/replica/replicas.ts'
import { storedKey } from '../../src/replica/stored-key.ts'
import { silentLog, systemClock, systemRandom, systemTimers } from '../../src/runtime.ts'
import { RangeStore } from '../../src/storage/range-store.ts'
import type { CausalContext } from '../../src/version/causal-context.ts'
import { encodeState } from '../../src/version/codec.ts'
import { liveSiblings } from '../../src/version/key-state.ts'
import { FakeFiles } from './fake-files.ts'

export const Q = 8
/** Copies of less are sent key by key. */
export const LEAST_FILE_BYTES = 4096

const encoder = new TextEncoder()
export const bytesOf = (text: string): Uint8Array => encoder.encode(text)
export const textOf = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes)

let writes = 0
const newWriteId = () => (++writes).toString(16).padStart(16, '0')

export interface MemoryReplica {
  files: FakeFiles
  store: RangeStore
  copies: CopyTable
  replicas: Replicas
  copyFiles: CopyFiles
}

/** Opens what `files` hold; every range of a fresh one has a synced, empty copy. */
export async function openReplica(
  files = new FakeFiles(),
  init: { cacheBytes?: number; durability?: 'os' | 'interval' | 'disk'; ranges?: number[] } = {}
): Promise<MemoryReplica> {
  const { cacheBytes = 1024 * 1024, durability = 'os' } = init
  await files.makeDir('d')
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom, files, log: silentLog }
  const store = new RangeStore(ports, { dir: 'd/ranges', q: Q, durability, cacheBytes })
  const copies = new CopyTable(ports, { dir: 'd' })
  const clocks = new RangeClocks(ports, { store }, { path: 'd/clocks.json' })
  const replicas = new Replicas(ports, { store, copies, clocks }, { q: Q })
  const fresh = files.paths().length === 0
  const { ranges, damages } = await store.open()
  await copies.open(ranges, Q)
  const damaged = new Set(damages.map(({ range }) => range))
  const doubtful = await clocks.open(copies.withStatus('synced').filter(range => !damaged.has(range)))
  await copies.set([...damaged, ...doubtful], 'syncing')
  for (const range of copies.ranges()) store.create(range)
  if (fresh) {
    const all = init.ranges ?? Array.from({ length: Q }, (_, range) => range)
    await replicas.create(all)
    await copies.set(all, 'synced')
  }
  const copyFiles = new CopyFiles({ store, replicas }, { leastBytes: LEAST_FILE_BYTES })
  return { files, store, copies, replicas, copyFiles }
}

export const rangeOf = (node: MemoryReplica, key: string): number => node.replicas.rangeOf(bytesOf(key))

export const intent = (text: string | undefined, context?: CausalContext, writeId = newWriteId()): WriteIntent => ({
  value: text === undefined ? undefined : bytesOf(text),
  context,
  writeId,
  expiresAtMs: 0
})

/** A write that has been stored. */
export async function put(
  { replicas }: Pick<MemoryReplica, 'replicas'>,
  key: string,
  text: string | undefined,
  context?: CausalContext
) {
  const bytes = bytesOf(key)
  const written = await replicas.write(replicas.rangeOf(bytes), bytes, intent(text, context))
  await written.stored
  return written
}

export async function valuesOf({ replicas }: MemoryReplica, key: string): Promise<string[]> {
  const bytes = bytesOf(key)
  const state = await replicas.read(replicas.rangeOf(bytes), bytes)
  return state === undefined
    ? []
    : liveSiblings(state, Date.now())
        .map(({ value }) => textOf(value))
        .sort()
}

export async function stateOf({ replicas }: MemoryReplica, key: string): Promise<Uint8Array | undefined> {
  const bytes = bytesOf(key)
  const state = await replicas.read(replicas.rangeOf(bytes), bytes)
  // Without the ids of replaced writes, which replicas may remember for different times.
  return state && encodeState({ ...state, replaced: [] })
}

/** The sums as they would be built anew from the index. */
export function rebuiltSums({ store }: MemoryReplica, range: number): BucketSums {
  const sums = new BucketSums()
  store.forEach(range, (hi, lo, tag) => sums.add(hi, lo, tag))
  return sums
}

/** Keys of one range, as many as asked for. */
export function keysIn(range: number, count: number, label = 'key'): string[] {
  const keys: string[] = []
  for (let i = 0; keys.length < count; i++) {
    const key = `${label}-${i}`
    if (storedKey(bytesOf(key)).hi >>> (32 - Math.log2(Q)) === range) keys.push(key)
  }
  return keys
}
