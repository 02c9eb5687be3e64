/** Ours and the peers behind one shape, so that one loop measures them all. Keys are given by number. */
import type { Durability } from '../../../src/config.ts'
import type { FileIo } from '../../../src/ports.ts'
import { lineLog, systemClock, systemRandom, systemTimers } from '../../../src/runtime.ts'
import { nodeFiles } from '../../../src/storage/disk/node-files.ts'
import { RangeStore } from '../../../src/storage/range-store.ts'
import { randomValue } from '../measure.ts'
import { keyText, LaidKeys, type Layout, shuffled } from './keys.ts'
import { openLevel, openLmdb } from './peers.ts'

export interface Engine {
  put(i: number, value: Uint8Array): Promise<unknown>
  get(i: number): Promise<Uint8Array | undefined>
  /** Puts these keys with one commit; resolved when they are on the disk, if `sync`. */
  batch?(indexes: number[], size: number, sync: boolean): Promise<unknown>
  close(): Promise<unknown>
}

export type System = 'ours' | 'classic-level' | 'lmdb'

/** What a child needs to open a system. */
export interface EngineInit {
  system: System
  dir: string
  /** Of `writeKeys`. */
  keys: string
  count: number
  /** The rest is for ours alone. */
  layout: Layout
  durability: Durability
  cacheBytes: number
}

export const CACHE_BYTES = 32 << 20

export async function openEngine(init: EngineInit): Promise<Engine> {
  if (init.system === 'ours') return openOurs(init)
  return init.system === 'classic-level' ? levelEngine(init) : lmdbEngine(init)
}

export interface Ours extends Engine {
  store: RangeStore
  keys: LaidKeys
}

type OursInit = Omit<EngineInit, 'system'> & { files?: FileIo }

export async function openOurs(init: OursInit): Promise<Ours> {
  const keys = new LaidKeys(init.keys, init.count, init.layout)
  const store = newStore(init)
  await store.open()
  createRanges(store, init.layout)
  return {
    store,
    keys,
    put: (i, value) => store.put(keys.rangeOf(i), keys.key(i), value, i),
    get: i => store.get(keys.rangeOf(i), keys.key(i)),
    close: () => store.close()
  }
}

export function newStore({ dir, layout, durability, cacheBytes, files = nodeFiles }: Omit<OursInit, 'keys' | 'count'>) {
  const log = lineLog('warn', line => console.error(line))
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom, files, log }
  return new RangeStore(ports, { dir, q: layout.q, durability, cacheBytes })
}

export function createRanges(store: RangeStore, { first, count }: Layout): void {
  for (let range = first; range < first + count; range++) store.create(range)
}

async function levelEngine({ dir }: EngineInit): Promise<Engine> {
  const db = await openLevel(dir)
  return {
    put: (i, value) => db.put(keyText(i), value, { sync: false }),
    get: i => db.get(keyText(i)),
    batch: (indexes, size, sync) =>
      db.batch(
        indexes.map(i => ({ type: 'put', key: keyText(i), value: randomValue(size) })),
        { sync }
      ),
    close: () => db.close()
  }
}

async function lmdbEngine({ dir, durability }: EngineInit): Promise<Engine> {
  const db = openLmdb(dir, durability === 'os')
  return {
    put: (i, value) => db.put(keyText(i), value),
    get: async i => db.getBinary(keyText(i)),
    async batch(indexes, size, sync) {
      await db.batch(() => {
        for (const i of indexes) void db.put(keyText(i), randomValue(size))
      })
      if (sync) await db.flushed
    },
    close: () => db.close()
  }
}

const FILL_BATCH = 1000
const FILL_IN_FLIGHT = 256

/** Every key once, in a shuffled order. */
export async function fill(engine: Engine, count: number, size: number, inFlight = FILL_IN_FLIGHT): Promise<void> {
  let next = 0
  if (engine.batch) {
    while (next < count) {
      const length = Math.min(FILL_BATCH, count - next)
      const indexes = Array.from({ length }, (_, i) => shuffled(next + i, count))
      await engine.batch(indexes, size, false)
      next += length
    }
    return
  }
  const worker = async () => {
    while (next < count) await engine.put(shuffled(next++, count), randomValue(size))
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
}
