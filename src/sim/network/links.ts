/**
 * The links of the simulated network, each one direction between two peers: how long a message takes, which ones are lost
 * or come twice, whether the link is cut. Every link has chance of its own, so that traffic on one changes nothing on another.
 */
import type { LinkProfile } from '../plan/plan.ts'
import type { SimRandom } from '../world/random.ts'
import type { World } from '../world/world.ts'

/** TCP sends again after this long, then after twice as long, and so on. */
const RETRANSMIT_MS = 200
const LONGEST_RETRANSMIT_MS = 12_800
/** How much later than the first a replayed request comes, in the mean. */
const REPLAY_MS = 1000

export class Link {
  readonly from: string
  /** `n1>n2`, as in the event log. */
  readonly name: string
  readonly #links: Links
  /** Made when the first message is sent: a cut alone needs none. */
  #random: SimRandom | undefined
  #cuts = 0
  readonly #stalled = new Set<() => void>()
  #profile: LinkProfile | undefined
  #profileVersion = -1
  readonly #to: string

  constructor(links: Links, from: string, to: string) {
    this.#links = links
    this.from = from
    this.#to = to
    this.name = `${from}>${to}`
  }

  get isCut(): boolean {
    return this.#cuts > 0
  }

  /** How long a message takes that overtakes others and is overtaken. */
  delayMs(): number {
    const { minMs, meanMs, slowChance, slowMs } = this.#now
    const delayMs = minMs + this.#chance.exponential(meanMs)
    return this.#chance.chance(slowChance) ? delayMs + slowMs : delayMs
  }

  /** How long a message takes that is sent again until it arrives. */
  reliableDelayMs(): number {
    let delayMs = this.delayMs()
    for (let againMs = RETRANSMIT_MS; againMs <= LONGEST_RETRANSMIT_MS && this.loses(); againMs *= 2) delayMs += againMs
    return delayMs
  }

  /** Draws whether this message is lost. */
  loses(): boolean {
    const { loss } = this.#now
    return loss > 0 && this.#chance.chance(loss)
  }

  /** Draws whether this request comes a second time, and how much later; undefined: it does not. */
  replaysAfterMs(): number | undefined {
    const { replay } = this.#now
    return replay > 0 && this.#chance.chance(replay) ? this.delayMs() + this.#chance.exponential(REPLAY_MS) : undefined
  }

  /** Calls `fn` once when nothing cuts the link any more. */
  onceMended(fn: () => void): void {
    this.#stalled.add(fn)
  }

  cut(): void {
    this.#cuts++
  }

  mend(entirely: boolean): void {
    if (this.#cuts === 0) return
    this.#cuts = entirely ? 0 : this.#cuts - 1
    if (this.#cuts > 0) return
    const stalled = [...this.#stalled]
    this.#stalled.clear()
    for (const resume of stalled) resume()
  }

  get #chance(): SimRandom {
    return (this.#random ??= this.#links.random.fork(this.name))
  }

  get #now(): LinkProfile {
    if (this.#profile === undefined || this.#profileVersion !== this.#links.version) {
      this.#profile = this.#links.profileOf(this.from, this.#to)
      this.#profileVersion = this.#links.version
    }
    return this.#profile
  }
}

export class Links {
  readonly random: SimRandom
  /** Changes with every change of a profile. */
  version = 0
  readonly #base: LinkProfile
  readonly #links = new Map<string, Map<string, Link>>()
  readonly #changes = new Map<string, Set<Partial<LinkProfile>>>()

  constructor(world: World, base: LinkProfile) {
    this.random = world.random.fork('links')
    this.#base = base
  }

  /** What `from` sends to `to`. */
  between(from: string, to: string): Link {
    let row = this.#links.get(from)
    if (row === undefined) this.#links.set(from, (row = new Map()))
    let link = row.get(to)
    if (link === undefined) row.set(to, (link = new Link(this, from, to)))
    return link
  }

  mendAll(): void {
    for (const row of this.#links.values()) for (const link of row.values()) link.mend(true)
  }

  /** Changes all links of a peer, both ways; of several changes the last counts. Returns the way back. */
  degrade(peerId: string, change: Partial<LinkProfile>): () => void {
    const own = { ...change }
    const changes = this.#changes.get(peerId) ?? new Set()
    this.#changes.set(peerId, changes.add(own))
    this.version++
    return () => {
      if (!changes.delete(own)) return
      if (changes.size === 0 && this.#changes.get(peerId) === changes) this.#changes.delete(peerId)
      this.version++
    }
  }

  profileOf(from: string, to: string): LinkProfile {
    if (this.#changes.size === 0) return this.#base
    return Object.assign({}, this.#base, ...(this.#changes.get(from) ?? []), ...(this.#changes.get(to) ?? []))
  }
}
