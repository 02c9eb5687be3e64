/**
 * Which keys of a copy are dead, and for how long this node has seen them so. The index finds the candidates (by a bit of
 * their tags); what they hold is read once, and again when they may have become due.
 */
import type { Clock } from '../ports.ts'
import type { Replicas } from '../replica/replicas.ts'
import { decodeState, mayBeDead, stateTag } from '../version/codec.ts'
import { isDead, type KeyState } from '../version/key-state.ts'

/** Dead keys remembered, over all ranges; the others get their turn when some of these are gone. */
const MAX_DEAD = 50_000
/** Keys that will expire, likewise; the others are read again each time. */
const MAX_EXPIRING = 50_000
/** A key that may not go yet is proposed again after the waiting time, then twice as long each time, up to so often longer. */
const MAX_PATIENCE = 64

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
  /** Undefined: alive until it expires. */
  patience: number | undefined
}

export interface Budget {
  /** Entries of the index to walk, and states to read, before others get their turn. */
  entries: number
  reads: number
}

interface Candidate {
  hi: number
  lo: number
  tag: number
  /** Seen dead before, for long enough. */
  isDue: boolean
}

export class Tombstones {
  readonly #clock: Clock
  readonly #replicas: Replicas
  readonly #byRange = new Map<number, Map<string, Known>>()
  /** Where the next look at a range begins: what the last one had no budget for comes first. */
  readonly #from = new Map<number, number>()

  constructor(parts: { clock: Clock; replicas: Replicas }) {
    this.#clock = parts.clock
    this.#replicas = parts.replicas
  }

  /** Dead keys seen, not reaped yet. */
  get count(): number {
    return this.#counts().dead
  }

  /** Keys that have been dead, in the same state, for `waitMs`. */
  async due(range: number, waitMs: number, budget: Budget): Promise<DeadKey[]> {
    const candidates = this.#candidates(range, budget)
    const known = this.#byRange.get(range)!
    const counts = this.#counts()
    const room = { dead: MAX_DEAD - counts.dead, expiring: MAX_EXPIRING - counts.expiring }
    const start = (this.#from.get(range) ?? 0) % Math.max(1, candidates.length)
    const inTurn = [...candidates.slice(start), ...candidates.slice(0, start)]
    const due: DeadKey[] = []
    let read = 0
    for (const candidate of inTurn) {
      if (budget.reads-- <= 0) break
      read++
      const found = await this.find(range, candidate)
      if (found === undefined) continue
      const dead = isDead(found.state, this.#clock.wallMs())
      if (dead && candidate.isDue) due.push(found)
      else if (dead ? room.dead-- > 0 : room.expiring-- > 0)
        known.set(nameOf(found), this.#firstSeen(found, dead, waitMs))
    }
    this.#from.set(range, start + read)
    return due
  }

  /** They may not go yet. */
  postpone(range: number, keys: readonly DeadKey[], waitMs: number): void {
    const known = this.#byRange.get(range)
    for (const key of keys) {
      const entry = known?.get(nameOf(key))
      if (entry === undefined || entry.tag !== key.tag) continue
      const patience = Math.min(MAX_PATIENCE, (entry.patience ?? 1) * 2)
      known!.set(nameOf(key), { tag: key.tag, patience, dueMs: this.#clock.monotonicMs() + (waitMs * patience) / 2 })
    }
  }

  /** The key at a position, if its state has this tag. */
  async find(range: number, { hi, lo, tag }: { hi: number; lo: number; tag: number }): Promise<DeadKey | undefined> {
    for (const { key, state } of await this.#replicas.lookup(range, hi, lo)) {
      const decoded = decodeState(state)
      if (stateTag(decoded) === tag) return { hi, lo, tag, key, state: decoded }
    }
    return undefined
  }

  /** What is no copy of this node's any more is forgotten. */
  keepOnly(ranges: ReadonlySet<number>): void {
    for (const range of this.#byRange.keys()) if (!ranges.has(range)) this.#byRange.delete(range)
    for (const range of this.#from.keys()) if (!ranges.has(range)) this.#from.delete(range)
  }

  /** Those to be read now; forgets what is known of keys that have changed. */
  #candidates(range: number, budget: Budget): Candidate[] {
    const before = this.#byRange.get(range)
    const known = new Map<string, Known>()
    const nowMs = this.#clock.monotonicMs()
    const candidates: Candidate[] = []
    this.#replicas.forEach(range, (hi, lo, tag) => {
      budget.entries--
      if (!mayBeDead(tag)) return
      const name = nameOf({ hi, lo })
      const seen = before?.get(name)
      const same = seen?.tag === tag ? seen : undefined
      if (same !== undefined) known.set(name, same)
      if (same === undefined || same.dueMs <= nowMs)
        candidates.push({ hi, lo, tag, isDue: same?.patience !== undefined })
    })
    this.#byRange.set(range, known)
    return candidates
  }

  /** A dead key is due when it has stayed so for a while; one that expires later is looked at then. */
  #firstSeen({ tag, state }: DeadKey, dead: boolean, waitMs: number): Known {
    const nowMs = this.#clock.monotonicMs()
    if (dead) return { tag, dueMs: nowMs + waitMs, patience: 1 }
    const expiries = state.siblings.map(({ expiresAtMs }) => expiresAtMs)
    return { tag, dueMs: nowMs + Math.max(0, Math.max(...expiries) - this.#clock.wallMs()), patience: undefined }
  }

  #counts(): { dead: number; expiring: number } {
    const counts = { dead: 0, expiring: 0 }
    for (const known of this.#byRange.values())
      for (const { patience } of known.values()) counts[patience === undefined ? 'expiring' : 'dead']++
    return counts
  }
}

const nameOf = ({ hi, lo }: { hi: number; lo: number }): string => `${hi}:${lo}`
