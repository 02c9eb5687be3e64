/**
 * What was asked of a store, when, and what was promised: from it follows, for a cut at any tick, which values a key may
 * have afterwards. Puts to one key take effect in the order of their calls.
 */
import type { Durability } from '../../../src/config.ts'
import type { RangeStore, StoredKey } from '../../../src/storage/range-store.ts'
import { bytesOf } from '../helpers.ts'
import type { JournalFiles } from './journal-files.ts'

/** `kill`: the process ends, the system goes on. */
export type CutKind = 'power' | 'kill'

interface Attempt {
  /** Undefined: the key was removed. */
  value: string | undefined
  calledAt: number
  ackedAt?: number
  refusedAt?: number
  /** Survives a power cut in every mode, once acknowledged. */
  durable: boolean
}

export class History {
  readonly durability: Durability
  readonly #files: JournalFiles
  /** What a key may be before anything was asked here. */
  readonly #before: (name: string) => (string | undefined)[]
  readonly #attempts = new Map<string, { range: number; key: StoredKey; attempts: Attempt[] }>()
  readonly #drops: { range: number; from: number; to: number }[] = []
  readonly #syncs: { range: number; from: number; to: number }[] = []
  #values = 0

  constructor(
    files: JournalFiles,
    durability: Durability,
    before: (name: string) => (string | undefined)[] = () => [undefined]
  ) {
    this.#files = files
    this.#before = before
    this.durability = durability
  }

  keys(): { name: string; range: number; key: StoredKey }[] {
    return [...this.#attempts].map(([name, { range, key }]) => ({ name, range, key }))
  }

  /** Puts a value that no other put has, of `bytes` bytes or a little more. Resolves in any case; true: acknowledged. */
  async put(store: RangeStore, range: number, key: StoredKey, bytes: number): Promise<boolean> {
    const value = `${textOf(key)} #${++this.#values} `.padEnd(bytes, `${this.#values}.`)
    return this.#settled(store.put(range, key, bytesOf(value), this.#values), this.#begin(range, key, value))
  }

  async remove(store: RangeStore, range: number, key: StoredKey): Promise<boolean> {
    return this.#settled(store.remove(range, key), this.#begin(range, key, undefined))
  }

  /** All that was acknowledged before now is promised once this has resolved. */
  async sync(store: RangeStore, range: number): Promise<void> {
    const from = this.#files.tick()
    await store.sync(range)
    this.#syncs.push({ range, from, to: this.#files.tick() })
  }

  /** As if each range had just been synced. */
  async close(store: RangeStore): Promise<void> {
    const from = this.#files.tick()
    await store.close()
    this.synced(from)
  }

  /** All that was acknowledged before `from` is promised from now on. */
  synced(from: number): void {
    const to = this.#files.tick()
    for (const range of new Set(this.keys().map(({ range }) => range))) this.#syncs.push({ range, from, to })
  }

  /** Every key of the range is removed, durably once the drop has resolved. */
  async drop(store: RangeStore, range: number): Promise<void> {
    const dropping = { range, from: this.#files.tick(), to: Number.POSITIVE_INFINITY }
    this.#drops.push(dropping)
    const removals = [...this.#attempts.values()]
      .filter(entry => entry.range === range)
      .map(({ key }) => this.#begin(range, key, undefined, true))
    await store.drop(range)
    for (const removal of removals) removal.ackedAt = this.#files.tick()
    dropping.to = this.#files.tick()
  }

  /** Ranges that are being dropped just before `tick`. */
  droppingAt(tick: number): number[] {
    return this.#drops.filter(({ from, to }) => from < tick && tick <= to).map(({ range }) => range)
  }

  /** Contents that `work` brings in, durably once it has resolved. */
  async brings(
    range: number,
    contents: { key: StoredKey; value: string | undefined }[],
    work: () => Promise<void>
  ): Promise<void> {
    const attempts = contents.map(({ key, value }) => this.#begin(range, key, value, true))
    await work()
    for (const attempt of attempts) attempt.ackedAt = this.#files.tick()
  }

  /** The values that a key may have after a cut just before `tick`; undefined among them: it may be absent. */
  allowed(name: string, tick: number, cut: CutKind): (string | undefined)[] {
    const { range, attempts } = this.#attempts.get(name)!
    const floor = attempts.findLastIndex(attempt => this.#isPromised(attempt, range, tick, cut))
    const values = attempts
      .slice(Math.max(0, floor))
      .filter(({ calledAt, refusedAt }) => {
        // What was refused is cut off, but the cutting is not synced.
        const isGone = refusedAt !== undefined && refusedAt < tick && cut === 'kill'
        return calledAt < tick && !isGone
      })
      .map(({ value }) => value)
    return floor < 0 ? [...this.#before(name), ...values] : values
  }

  /**
   * What is served after a start, key by key. With `disk` it is promised from now on, whoever put it; it is never lost by a
   * kill.
   */
  serves(keys: { name: string; range: number; key: StoredKey }[], values: Map<string, string>): void {
    for (const { name, range, key } of keys) {
      const value = values.get(name)
      const known = this.#attempts.get(name)?.attempts.findLast(attempt => attempt.value === value)
      const attempt = known ?? this.#begin(range, key, value)
      attempt.ackedAt ??= this.#files.tick()
    }
  }

  #isPromised({ ackedAt, durable }: Attempt, range: number, tick: number, cut: CutKind): boolean {
    if (ackedAt === undefined || ackedAt >= tick) return false
    if (cut === 'kill' || durable || this.durability === 'disk') return true
    return this.#syncs.some(sync => sync.range === range && ackedAt < sync.from && sync.to < tick)
  }

  #begin(range: number, key: StoredKey, value: string | undefined, durable = false): Attempt {
    const name = nameOf(range, key)
    const attempt: Attempt = { value, calledAt: this.#files.tick(), durable }
    const entry = this.#attempts.get(name)
    if (entry) entry.attempts.push(attempt)
    else this.#attempts.set(name, { range, key, attempts: [attempt] })
    return attempt
  }

  async #settled(promise: Promise<void>, attempt: Attempt): Promise<boolean> {
    try {
      await promise
      attempt.ackedAt = this.#files.tick()
      return true
    } catch {
      attempt.refusedAt = this.#files.tick()
      return false
    }
  }
}

export function nameOf(range: number, key: StoredKey): string {
  return `${range}/${textOf(key)}`
}

function textOf(key: StoredKey): string {
  return Buffer.from(key.bytes).toString()
}
