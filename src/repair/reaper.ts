/**
 * Forgets deleted and expired keys for good, once every member of the preference list has them, on disk, and covers all
 * their dots by its range clock (design §10). From then on those dots are dead, whoever brings them: a late hint, a
 * former member, an old backup. There is no grace time after which a member that was away would bring a key back: while
 * one cannot be reached, its ranges keep their tombstones.
 *
 * Every member reaps for itself, the first of the list first; it tells the others what all have agreed to.
 */
import type { Background } from '../background.ts'
import { expectAnswer, type Peers } from '../coordinator/peers.ts'
import type { Answer, Request, Tombstone } from '../messages.ts'
import type { Clock, Log } from '../ports.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { StandIns } from '../replica/stand-ins.ts'
import type { Topology } from '../topology.ts'
import { decodeBareContext, encodeBareContext } from '../version/codec.ts'
import { isDead } from '../version/key-state.ts'
import { type Budget, type DeadKey, Tombstones } from './tombstones.ts'

/** Keys in one question. */
const KEYS_AT_ONCE = 256
const CALL_TIMEOUT_MS = 5000
/** A pass walks at most so many entries of indexes, about 10 ms, and reads so many states. */
const ENTRIES_PER_PASS = 100_000
const READS_PER_PASS = 500
/** How much later than the one before it in the list a member reaps for itself, as a share of the waiting time. */
const LATER = 0.5
/** Range clocks that have changed are brought to disk this often: what is lost in a crash is garbage that stays. */
const SAVE_MS = 60_000

export interface ReaperParts {
  clock: Clock
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  replicas: Replicas
  standIns: StandIns
}

export class Reaper {
  readonly #parts: ReaperParts
  readonly #waitMs: number
  readonly #tombstones: Tombstones
  readonly #counts = { reaped: 0, refused: 0 }
  /** Ranges of this round that are still to be looked at. */
  #round: number[] = []
  #nextRoundMs = 0
  #savedMs: number
  #running = false

  constructor(parts: ReaperParts, init: { waitMs: number }) {
    this.#parts = parts
    this.#waitMs = init.waitMs
    this.#tombstones = new Tombstones(parts)
    this.#savedMs = parts.clock.monotonicMs()
  }

  /** `tombstones`: dead keys known and not reaped yet. `refused`: times that a member did not agree yet. */
  stats(): Readonly<{ reaped: number; refused: number; tombstones: number }> {
    return { ...this.#counts, tombstones: this.#tombstones.count }
  }

  tick(): void {
    const { topology, background } = this.#parts
    if (this.#running || !topology.complete) return
    this.#running = true
    const pass = this.#pass().finally(() => {
      this.#running = false
    })
    background.run('reaping deleted keys', pass)
  }

  /** Another member's question, or what it says that all have agreed to. */
  async answer({ range, tombstones, proven }: Extract<Request, { type: 'reap' }>): Promise<Answer> {
    const { replicas } = this.#parts
    if (replicas.status(range) !== 'synced') return { type: 'reapable', places: [] }
    const agreed: { place: number; dead: DeadKey | undefined }[] = []
    for (const [place, tombstone] of tombstones.entries()) {
      const dead = await this.#agrees(range, tombstone)
      if (dead !== false) agreed.push({ place, dead })
    }
    if (proven)
      await this.#reap(
        range,
        agreed.flatMap(({ dead }) => dead ?? [])
      )
    // What is only in memory may be gone after a crash: the tombstone, and the value that it deleted be back; or the clock,
    // and nobody believe this copy that it knows of the delete.
    else if (agreed.length > 0) await replicas.clocks.save([range])
    const isSynced = replicas.status(range) === 'synced'
    return { type: 'reapable', places: isSynced ? agreed.map(({ place }) => place) : [] }
  }

  async #pass(): Promise<void> {
    const { clock, topology, peers, replicas, standIns } = this.#parts
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#savedMs >= SAVE_MS) {
      this.#savedMs = nowMs
      await Promise.all([replicas.saveClocks(), standIns.replicas.saveClocks()])
    }
    if (this.#round.length === 0) {
      if (nowMs < this.#nextRoundMs) return
      this.#nextRoundMs = nowMs + this.#waitMs / 4
      this.#round = [...topology.view.rangesHeldBy(peers.self)]
      this.#tombstones.keepOnly(new Set(this.#round))
    }
    const budget: Budget = { entries: ENTRIES_PER_PASS, reads: READS_PER_PASS }
    while (this.#round.length > 0 && budget.entries > 0 && budget.reads > 0)
      await this.#visit(this.#round.pop()!, budget)
  }

  async #visit(range: number, budget: Budget): Promise<void> {
    const { topology, peers, replicas } = this.#parts
    const list = topology.view.preferenceList(range)
    const rank = list.indexOf(peers.self)
    if (rank < 0 || replicas.status(range) !== 'synced') return
    if (!list.every(member => member === peers.self || peers.isReachable(member))) return
    const due = await this.#tombstones.due(range, this.#waitMs * (1 + LATER * rank), budget)
    for (let at = 0; at < due.length; at += KEYS_AT_ONCE)
      await this.#propose(range, list, due.slice(at, at + KEYS_AT_ONCE))
  }

  /** Asks all other members of the list, reaps what all agree to, and tells them. */
  async #propose(range: number, list: readonly string[], due: readonly DeadKey[]): Promise<void> {
    const { topology, peers, replicas } = this.#parts
    const clock = replicas.clocks.of(range)
    const covered = due.filter(({ state }) => clock.coversAll(state.context))
    this.#refuse(
      range,
      due.filter(key => !covered.includes(key))
    )
    if (covered.length === 0) return
    const tombstones = covered.map(({ hi, lo, tag, state }) => ({
      hi,
      lo,
      tag,
      context: encodeBareContext(state.context)
    }))
    const others = list.filter(member => member !== peers.self)
    const answers = await Promise.all(others.map(member => this.#ask(member, range, tombstones, false)))
    const agreed = covered.map((_, place) => place).filter(place => answers.every(places => places.has(place)))
    this.#refuse(
      range,
      covered.filter((_, place) => !agreed.includes(place))
    )
    // A member that has come onto the list meanwhile was not asked.
    const now = topology.view.preferenceList(range)
    if (agreed.length === 0 || now.some(member => !list.includes(member))) return
    await this.#reap(
      range,
      agreed.map(place => covered[place]!)
    )
    const proven = agreed.map(place => tombstones[place]!)
    for (const member of others)
      this.#parts.background.run('telling of reaped keys', this.#ask(member, range, proven, true))
  }

  #refuse(range: number, keys: readonly DeadKey[]): void {
    this.#counts.refused += keys.length
    this.#tombstones.postpone(range, keys, this.#waitMs)
  }

  /** The places that the member agrees to; none when it cannot be asked. */
  async #ask(member: string, range: number, tombstones: Tombstone[], proven: boolean): Promise<ReadonlySet<number>> {
    try {
      const request: Request = { type: 'reap', range, tombstones, proven }
      const answer = expectAnswer(
        await this.#parts.peers.call(member, request, { timeoutMs: CALL_TIMEOUT_MS }),
        'reapable'
      )
      return new Set(answer.places)
    } catch (error) {
      this.#parts.log.debug('a member could not be asked about deleted keys', { member, range, error: String(error) })
      return new Set()
    }
  }

  /** The key, if this copy has it in the same state and dead; undefined: it has gone already; false: it must stay. */
  async #agrees(range: number, { hi, lo, tag, context }: Tombstone): Promise<DeadKey | undefined | false> {
    const { replicas, clock } = this.#parts
    if (!replicas.clocks.of(range).coversAll(decodeBareContext(context))) return false
    const held = replicas.tagAt(range, hi, lo)
    if (held === undefined) return undefined
    if (held !== tag) return false
    const found = await this.#tombstones.find(range, { hi, lo, tag })
    return found !== undefined && isDead(found.state, clock.wallMs()) ? found : false
  }

  /** The clock that covers them is on disk first: without it, a restarted copy would take an old value for a new one. */
  async #reap(range: number, keys: readonly DeadKey[]): Promise<void> {
    const { replicas } = this.#parts
    if (keys.length === 0) return
    await replicas.clocks.save([range])
    // By the clock of now: one that was forgotten meanwhile covers nothing.
    const covered = keys.filter(({ state }) => replicas.clocks.of(range).coversAll(state.context))
    const reaped = await Promise.all(covered.map(({ key, tag }) => replicas.reap(range, key, tag)))
    this.#counts.reaped += reaped.filter(Boolean).length
  }
}
