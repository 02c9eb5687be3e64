/** A store on real files, and a ledger of what it has acknowledged, to hold it against afterwards. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { isCoterieError } from '../../../src/errors.ts'
import type { Clock, FileIo, Timers } from '../../../src/ports.ts'
import { lineLog, systemClock, systemRandom, systemTimers } from '../../../src/runtime.ts'
import { sleepOn } from '../../../src/sleep.ts'
import { nodeFiles } from '../../../src/storage/disk/node-files.ts'
import { inspectFile } from '../../../src/storage/inspect.ts'
import { type OpenReport, RangeStore, type StoredKey } from '../../../src/storage/range-store.ts'
import { storedKey } from '../../storage/helpers.ts'

export interface StoreOptions {
  q?: number
  durability?: Durability
  cacheBytes?: number
  compactBytes?: number
  hintBytes?: number
  files?: FileIo
  /** How many times as fast time goes by for it: what a store does every few seconds, a test need not wait for. */
  speed?: number
}

export interface Opened {
  store: RangeStore
  report: OpenReport
  /** What it logged, from warnings upwards. */
  warnings: string[]
}

export async function openStore(dir: string, options: StoreOptions = {}): Promise<Opened> {
  const { q = 8, durability = 'interval', cacheBytes = 0, files = nodeFiles, speed = 1 } = options
  const { compactBytes = Number.POSITIVE_INFINITY, hintBytes = Number.POSITIVE_INFINITY } = options
  const warnings: string[] = []
  const ports = { ...fastTime(speed), random: systemRandom, files, log: lineLog('warn', line => warnings.push(line)) }
  const store = new RangeStore(ports, { dir, q, durability, cacheBytes, compactBytes, hintBytes })
  const report = await store.open()
  for (let range = 0; range < q; range++) store.create(range)
  return { store, report, warnings }
}

function fastTime(speed: number): { clock: Clock; timers: Timers } {
  if (speed === 1) return { clock: systemClock, timers: systemTimers }
  const after: Timers['after'] = (delayMs, fn) => systemTimers.after(delayMs / speed, fn)
  const clock = { wallMs: systemClock.wallMs, monotonicMs: () => systemClock.monotonicMs() * speed }
  return { clock, timers: { ...systemTimers, after, sleep: sleepOn(after) } }
}

export interface LedgerKey extends StoredKey {
  range: number
  /** Of the latest put, acknowledged or not; 0: none. */
  version: number
  /** Of the latest put that was acknowledged. */
  acked: number
}

/** Puts numbered versions, one at a time of each key, and knows which were acknowledged. */
export class Ledger {
  readonly keys: LedgerKey[]
  readonly #valueBytes: number
  /** Refused puts by the code of their error. */
  readonly refused: Record<string, number> = {}
  readonly messages = new Set<string>()
  acks = 0

  constructor({ keys, q = 8, valueBytes = 1024 }: { keys: number; q?: number; valueBytes?: number }) {
    this.#valueBytes = valueBytes
    this.keys = Array.from({ length: keys }, (_, i) => {
      const key = storedKey(`key-${i}`)
      return { ...key, range: q === 1 ? 0 : key.hi >>> (32 - Math.log2(q)), version: 0, acked: 0 }
    })
  }

  /** True once it is acknowledged; false for a refusal, which is counted. Throws what is no CoterieError. */
  async put(store: RangeStore, key: LedgerKey): Promise<boolean> {
    const version = ++key.version
    const value = Buffer.alloc(this.#valueBytes, `version ${version} of ${Buffer.from(key.bytes)} `)
    try {
      await store.put(key.range, key, value, version)
    } catch (error) {
      if (!isCoterieError(error)) throw error
      this.refused[error.code] = (this.refused[error.code] ?? 0) + 1
      this.messages.add(error.message)
      return false
    }
    key.acked = version
    this.acks++
    return true
  }

  /** Every key of these once, so many at a time, as long as `goOn` says. */
  async putAll(store: RangeStore, { keys = this.keys, inFlight = 64, goOn = () => true } = {}): Promise<void> {
    await atOnce(keys, inFlight, async key => {
      if (goOn()) await this.put(store, key)
    })
  }

  /** What is not as it should be: a key reads as its last acknowledged version; with `orNewer`, or as a refused one after that. */
  async wrong(store: RangeStore, { keys = this.keys, orNewer = false } = {}): Promise<string[]> {
    const wrong: string[] = []
    await atOnce(keys, 64, async key => {
      const value = await store.get(key.range, key).catch(error => Buffer.from(String(error)))
      const found = value === undefined ? 0 : Number(/^version (\d+) of /.exec(Buffer.from(value).toString())?.[1])
      const isRight = found === key.acked || (orNewer && found > key.acked && found <= key.version)
      if (!isRight) wrong.push(`${Buffer.from(key.bytes)}: ${value} instead of version ${key.acked}`.slice(0, 300))
    })
    return wrong
  }
}

export async function atOnce<T>(items: Iterable<T>, limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items[Symbol.iterator]()
  const worker = async () => {
    for (let next = rest.next(); !next.done; next = rest.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: limit }, worker))
}

/** No file of a quiet store has a bad record or a torn tail. Returns how many there are. */
export async function mustBeWhole(dir: string): Promise<number> {
  const files = readdirSync(dir).filter(name => name.endsWith('.log'))
  for (const name of files) {
    const { fileBytes, problem, damages, tornBytes } = await inspectFile(nodeFiles, join(dir, name))
    // Whoever began it was killed before it held anything.
    if (fileBytes === 0) continue
    assert.equal({ problem, damages, tornBytes }, { problem: undefined, damages: [], tornBytes: 0 }, name)
  }
  return files.length
}
