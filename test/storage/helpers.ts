/** Keys, stores and time for the tests of storage. */
import { createHash } from 'node:crypto'
import type { Durability } from '../../src/config.ts'
import type { FileIo, Timer, Timers } from '../../src/ports.ts'
import { silentLog, systemRandom } from '../../src/runtime.ts'
import { sleepOn } from '../../src/sleep.ts'
import { RangeStore, type StoredKey } from '../../src/storage/range-store.ts'

export const Q = 8
export const DIR = 'node/ranges'

const encoder = new TextEncoder()
export const bytesOf = (text: string): Uint8Array => encoder.encode(text)
export const textOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes)

export function storedKey(key: string | Uint8Array): StoredKey {
  const bytes = typeof key === 'string' ? bytesOf(key) : key
  const hash = createHash('sha256').update(bytes).digest()
  return { bytes, hi: hash.readUInt32BE(0), lo: hash.readUInt32BE(4) }
}

/** A key of range 3, wherever its hash would put it; equal `position`s collide. */
export function keyAt(text: string, position: number): StoredKey {
  return { bytes: bytesOf(text), hi: 0x60000000 + position, lo: position }
}

/** Different keys of range 3, in order of position. */
export function keysOfRange(count: number): StoredKey[] {
  return Array.from({ length: count }, (_, i) => keyAt(`key-${i}`, i))
}

export const RANGE = 3
export const FILE = `${DIR}/0003-0000000001.log`

/** Time that stands until a test moves it. */
export class ManualTime implements Timers {
  nowMs = 0
  #waiting: { dueMs: number; fn: () => void }[] = []

  monotonicMs = (): number => this.nowMs
  wallMs = (): number => this.nowMs

  after(delayMs: number, fn: () => void): Timer {
    const entry = { dueMs: this.nowMs + delayMs, fn }
    this.#waiting.push(entry)
    return { cancel: () => (this.#waiting = this.#waiting.filter(other => other !== entry)) }
  }

  soon(fn: () => void): void {
    process.nextTick(fn)
  }

  afterIo(fn: () => void): void {
    setImmediate(fn)
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn((ms, fn) => this.after(ms, fn))(delayMs, signal)
  }

  /** Runs what is due, and lets everything that follows from it (on fake files) come to rest. */
  async advance(ms: number): Promise<void> {
    this.nowMs += ms
    const due = this.#waiting.filter(entry => entry.dueMs <= this.nowMs)
    this.#waiting = this.#waiting.filter(entry => entry.dueMs > this.nowMs)
    for (const { fn } of due) fn()
    await settle()
  }
}

/** Lets the housekeeper look around, and work until it rests. */
export async function upkeep(time: ManualTime): Promise<void> {
  for (let i = 0; i < 80; i++) await time.advance(100)
}

/** Fake files answer in microtasks: after one turn of the event loop nothing is under way but what is held. */
export function settle(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

export interface OpenOptions {
  durability?: Durability
  cacheBytes?: number
  dir?: string
  q?: number
  time?: ManualTime
  compactBytes?: number
  hintBytes?: number
}

export async function openStore(files: FileIo, options: OpenOptions = {}) {
  const time = options.time ?? new ManualTime()
  const ports = { clock: time, timers: time, random: systemRandom, files, log: silentLog }
  const { durability = 'os', cacheBytes = 0, dir = DIR, q = Q } = options
  const { compactBytes = Number.POSITIVE_INFINITY, hintBytes = Number.POSITIVE_INFINITY } = options
  const store = new RangeStore(ports, { dir, q, durability, cacheBytes, compactBytes, hintBytes })
  const report = await store.open()
  return { store, report, time }
}

/** A store with range 3 and these texts in it, key → value. */
export async function filledStore(files: FileIo, count: number, options: OpenOptions = {}) {
  const opened = await openStore(files, options)
  opened.store.create(RANGE)
  const keys = keysOfRange(count)
  for (const [i, key] of keys.entries()) await opened.store.put(RANGE, key, bytesOf(`value-${i}`), i)
  return { ...opened, keys }
}

/** The code of the error that a promise rejects with; undefined if it resolves. */
export async function codeOfRejection(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}
