/**
 * Which keys of a copy are dead, and for how long this node has seen them so. The index finds the candidates (by a bit of
 * their tags); what they hold is read once, and again when they may have become due.
 */
import type { Clock } from '../ports.ts'
import type { Replicas } from '../replica/replicas.ts'
import { decodeState, mayBeDead, stateTag } from '../version/codec.ts'
import { isDead, type KeyState } from '../version/key-state.ts'

/** Candidates remembered, over all ranges; the others get their turn when some of these are gone. */
const MAX_KNOWN = 50_000

export interface DeadKey {
  hi: number
  lo: number
  tag: number
  key: Uint8Array
  state: KeyState
}

interface Known {
  tag: number
  /** Monotonic ms; not looked at before. */
  dueMs: number
  /** It was dead when it was last looked at. */
  dead: boolean
}

export interface Budget {
  /** Entries of the index to walk, and states to read, before others get their turn. */
  entries: number
  reads: number
}

export class Tombstones {
  readonly #clock: Clock
  readonly #replicas: Replicas
  readonly #byRange = new Map<number, Map<string, Known>>()

  constructor(parts: { clock: Clock; replicas: Replicas }) {
    this.#clock = parts.clock
    this.#replicas = parts.replicas
  }

  /** Dead keys seen, not reaped yet. */
  get count(): number {
    let count = 0
    for (const known of this.#byRange.values()) for (const { dead } of known.values()) if (dead) count++
    return count
  }

  /** Keys that have been dead, in the same state, for `waitMs`. */
  async due(range: number, waitMs: number, budget: Budget): Promise<DeadKey[]> {
    const before = this.#byRange.get(range)
    const known = new Map<string, Known>()
    const nowMs = this.#clock.monotonicMs()
    const toRead: { hi: number; lo: number; tag: number; dueMs: number | undefined }[] = []
    const others = this.#known() - (before?.size ?? 0)
    this.#replicas.forEach(range, (hi, lo, tag) => {
      budget.entries--
      if (!mayBeDead(tag)) return
      const name = `${hi}:${lo}`
      const seen = before?.get(name)
      if (seen?.tag === tag) known.set(name, seen)
      const dueMs = seen?.tag === tag && seen.dead ? seen.dueMs : undefined
      if (seen?.tag === tag && seen.dueMs > nowMs) return
      if (others + known.size + toRead.length < MAX_KNOWN) toRead.push({ hi, lo, tag, dueMs })
    })
    this.#byRange.set(range, known)
    const due: DeadKey[] = []
    for (const candidate of toRead) {
      if (budget.reads-- <= 0) break
      const found = await this.#look(range, candidate)
      if (found === undefined) continue
      const dead = isDead(found.state, this.#clock.wallMs())
      if (dead && candidate.dueMs !== undefined) due.push(found)
      else known.set(`${found.hi}:${found.lo}`, { tag: found.tag, dueMs: this.#dueMs(found.state, dead, waitMs), dead })
    }
    return due
  }

  /** The state at a position, if it has this tag. */
  async find(range: number, hi: number, lo: number, tag: number): Promise<DeadKey | undefined> {
    return this.#look(range, { hi, lo, tag })
  }

  /** What is no copy of this node's any more is forgotten. */
  keepOnly(ranges: ReadonlySet<number>): void {
    for (const range of this.#byRange.keys()) if (!ranges.has(range)) this.#byRange.delete(range)
  }

  #known(): number {
    let size = 0
    for (const known of this.#byRange.values()) size += known.size
    return size
  }

  async #look(range: number, { hi, lo, tag }: { hi: number; lo: number; tag: number }): Promise<DeadKey | undefined> {
    for (const { key, state } of await this.#replicas.lookup(range, hi, lo)) {
      const decoded = decodeState(state)
      if (stateTag(decoded) === tag) return { hi, lo, tag, key, state: decoded }
    }
    return undefined
  }

  /** A dead key is due when it has stayed so for a while; one that expires later is looked at then. */
  #dueMs(state: KeyState, dead: boolean, waitMs: number): number {
    const nowMs = this.#clock.monotonicMs()
    if (dead) return nowMs + waitMs
    const expiries = state.siblings.map(({ expiresAtMs }) => expiresAtMs)
    return nowMs + Math.max(0, Math.max(...expiries) - this.#clock.wallMs())
  }
}
