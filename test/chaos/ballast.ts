/** Keys that are written once, before anything is measured, and must all be there in the end: what movements carry. */
import { randomBytes } from 'node:crypto'
import { until } from '../support/until.ts'
import type { Site } from './site.ts'

const POOL = randomBytes(4 << 20)
const AT_ONCE = 16
/** Nodes that are overloaded by it make it slow, and no failure. */
const PATIENCE_MS = 60_000
const AGAIN_MS = 500

export interface BallastInit {
  /** Of all values, each counted once. */
  bytes: number
  minBytes: number
  maxBytes: number
}

export class Ballast {
  readonly keys: number
  readonly #init: BallastInit

  constructor(init: BallastInit) {
    this.#init = init
    this.keys = Math.ceil((2 * init.bytes) / (init.minBytes + init.maxBytes))
  }

  async fill(site: Site): Promise<void> {
    const client = await site.client()
    await this.#each(this.keys, async i => {
      const key = `ballast-${i}`
      await until(`${key} is written`, () => client.put(key, this.#value(i)), PATIENCE_MS, AGAIN_MS)
    })
  }

  /** Those of `atMost` keys, spread over all, that are not there as they were written. */
  async missing(site: Site, atMost = this.keys): Promise<string[]> {
    const client = await site.client()
    const missing: string[] = []
    const asked = Math.min(atMost, this.keys)
    await this.#each(asked, async nth => {
      const i = Math.floor((nth * this.keys) / asked)
      const key = `ballast-${i}`
      const { values } = await until(`${key} is read`, () => client.get(key, { r: 'all' }), PATIENCE_MS, AGAIN_MS)
      // Twice where the first try took effect, though it was not answered in time.
      const isThere = values.length > 0 && values.every(value => this.#value(i).equals(value))
      if (!isThere) missing.push(key)
    })
    return missing
  }

  /** The same each time it is asked for. */
  #value(i: number): Buffer {
    const { minBytes, maxBytes } = this.#init
    const size = minBytes + ((i * 40_503) % (maxBytes - minBytes + 1))
    const at = (i * 65_537) % (POOL.length - size)
    return POOL.subarray(at, at + size)
  }

  async #each(count: number, work: (i: number) => Promise<void>): Promise<void> {
    let next = 0
    const worker = async () => {
      for (let i = next++; i < count; i = next++) await work(i)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }
}
