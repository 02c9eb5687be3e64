/**
 * A steady mixed load: so many operations a second, whether the earlier ones have been answered or not, each timed from
 * when it was due. One writer a key, each write replacing what the last one put: so the newest acknowledged one, or a
 * later one, must be there in the end.
 */
import type { CoterieClient } from '../../src/client/client.ts'
import type { Level } from '../../src/messages.ts'
import { quantiles } from '../bench/measure.ts'

const KEYS = 2000
const VALUE_BYTES = 100
const TICK_MS = 5

export interface Sample {
  /** When it was due, milliseconds since the load began. */
  atMs: number
  tookMs: number
  kind: 'get' | 'put'
  failed?: string
  sloppy?: boolean
}

interface Key {
  name: string
  seq: number
  acked: number
  context: string | undefined
  busy: boolean
}

export interface LoadInit {
  perSecond: number
  r?: Level
  w?: Level
}

export class Load {
  readonly samples: Sample[] = []
  readonly #clients: CoterieClient[]
  readonly #init: LoadInit
  readonly #keys: Key[]
  readonly #running = new Set<Promise<void>>()
  #startMs = 0
  #due = 0
  #timer: NodeJS.Timeout | undefined
  #next = 0

  /** `name`: of its keys, which are its own. */
  constructor(name: string, clients: CoterieClient[], init: LoadInit) {
    this.#clients = clients
    this.#init = init
    this.#keys = Array.from({ length: KEYS }, (_, i) => ({
      name: `${name}-${i}`,
      seq: 0,
      acked: 0,
      context: undefined,
      busy: false
    }))
  }

  get nowMs(): number {
    return performance.now() - this.#startMs
  }

  start(): void {
    this.#startMs = performance.now()
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#running)
  }

  /** Keys whose newest acknowledged value, or a later one, is not found. */
  async lost(client: CoterieClient): Promise<string[]> {
    const lost: string[] = []
    const queue = this.#keys.filter(({ acked }) => acked > 0)
    const worker = async () => {
      for (let key = queue.pop(); key; key = queue.pop()) {
        const { values } = await client.get(key.name, { r: 'all' })
        const newest = Math.max(0, ...values.map(seqOf))
        if (newest < key.acked) lost.push(`${key.name}: ${newest} where ${key.acked} was acknowledged`)
      }
    }
    await Promise.all(Array.from({ length: 32 }, worker))
    return lost
  }

  #tick(): void {
    const target = (this.nowMs / 1000) * this.#init.perSecond
    for (; this.#due < target; this.#due++) {
      const run: Promise<void> = this.#one((this.#due / this.#init.perSecond) * 1000).finally(() =>
        this.#running.delete(run)
      )
      this.#running.add(run)
    }
  }

  async #one(atMs: number): Promise<void> {
    const key = this.#keys[Math.floor(Math.random() * KEYS)]!
    const kind = key.busy || Math.random() < 0.5 ? 'get' : 'put'
    const client = this.#clients[this.#next++ % this.#clients.length]!
    const sample: Sample = { atMs, tookMs: 0, kind }
    try {
      if (kind === 'get') await client.get(key.name, { r: this.#init.r })
      else sample.sloppy = await this.#put(client, key)
    } catch (error) {
      sample.failed = error instanceof Error ? `${(error as { code?: string }).code}: ${error.message}` : String(error)
    }
    sample.tookMs = this.nowMs - atMs
    this.samples.push(sample)
  }

  async #put(client: CoterieClient, key: Key): Promise<boolean> {
    key.busy = true
    const seq = ++key.seq
    try {
      const value = `${seq} `.padEnd(VALUE_BYTES, 'x')
      const { context, sloppy } = await client.put(key.name, value, { context: key.context, w: this.#init.w })
      key.context = context
      key.acked = seq
      return sloppy
    } finally {
      key.busy = false
    }
  }
}

const seqOf = (value: Uint8Array) => Number(Buffer.from(value).toString().split(' ')[0])

/** Figures of the operations that were due in a window. */
export function figures(samples: Sample[]): Record<string, number> {
  const { p50, p99, p999 } = quantiles(samples.map(({ tookMs }) => tookMs))
  return {
    operations: samples.length,
    failed: samples.filter(({ failed }) => failed !== undefined).length,
    sloppy: samples.filter(({ sloppy }) => sloppy).length,
    p50,
    p99,
    p999,
    longestGapMs: longestGap(samples)
  }
}

/** The longest time in which no operation ended well. */
function longestGap(samples: Sample[]): number {
  const ends = samples
    .filter(({ failed }) => failed === undefined)
    .map(({ atMs, tookMs }) => atMs + tookMs)
    .sort((a, b) => a - b)
  let longest = 0
  for (let i = 1; i < ends.length; i++) longest = Math.max(longest, ends[i]! - ends[i - 1]!)
  return longest
}
