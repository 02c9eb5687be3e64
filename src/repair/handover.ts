/**
 * The owner's side of a movement. Thieves ask for ranges; the owner works out which preference lists each flip changes,
 * has every new member copy first, and only then signs one grant per range and epoch (design §6). While an owner is up,
 * nobody else can give its ranges away.
 */
import type { Background } from '../background.ts'
import type { Peers } from '../coordinator/peers.ts'
import type { Answer } from '../messages.ts'
import type { Clock, Log } from '../ports.ts'
import type { Flip } from '../ring/ring-view.ts'
import type { Topology } from '../topology.ts'
import type { Movement } from './movement.ts'
import { UnsafeFlips } from './unsafe-flips.ts'

interface Ask {
  to: string
  untilMs: number
}

export interface HandoverParts {
  clock: Clock
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  movement: Movement
  /**
   * False while this node may not know that others own by now what it takes for its own, or hears too few of them: what it gave
   * to joiners on its side of a cut would make owners of them, and a majority of the smaller side.
   */
  mayGive: () => boolean
  /** True for a member that may be given ranges: known, and neither leaving nor left. */
  mayOwn: (peerId: string) => boolean
}

export class Handover {
  readonly #parts: HandoverParts
  readonly #leaseMs: number
  readonly #asks = new Map<number, Ask>()
  readonly #unsafe: UnsafeFlips
  #running = false
  #granted = 0

  constructor(parts: HandoverParts, init: { leaseMs: number }) {
    this.#parts = parts
    this.#leaseMs = init.leaseMs
    this.#unsafe = new UnsafeFlips(parts.topology)
  }

  get granted(): number {
    return this.#granted
  }

  /** `ranges` is all that the thief wants from us now: what it asked for before and leaves out is forgotten. */
  ask(thief: string, ranges: number[]): Answer {
    const { topology, peers } = this.#parts
    const answer = {
      type: 'asked' as const,
      granted: [] as NonNullable<ReturnType<Topology['claim']>>[],
      pending: [] as number[],
      refused: [] as number[]
    }
    for (const [range, { to }] of this.#asks) if (to === thief) this.#asks.delete(range)
    const untilMs = this.#parts.clock.monotonicMs() + this.#leaseMs
    for (const range of ranges) {
      const claim = topology.claim(range)
      if (claim !== undefined && claim.owner === thief) answer.granted.push(claim)
      else if (
        claim?.owner !== peers.self ||
        this.#asks.has(range) ||
        !this.#parts.mayOwn(thief) ||
        this.#unsafe.has({ range, to: thief })
      )
        answer.refused.push(range)
      else {
        this.#asks.set(range, { to: thief, untilMs })
        answer.pending.push(range)
      }
    }
    this.tick()
    return answer
  }

  /** Gives a range away unasked; again until it has moved. False when nothing will come of it as long as the ring is this one. */
  offer(flip: Flip): boolean {
    const { range, to } = flip
    if (!this.#parts.mayOwn(to) || this.#unsafe.has(flip)) return false
    const untilMs = this.#parts.clock.monotonicMs() + this.#leaseMs
    if ((this.#asks.get(range)?.to ?? to) === to) this.#asks.set(range, { to, untilMs })
    this.tick()
    return true
  }

  /** Goes on with what is asked for, if nothing is under way. */
  tick(): void {
    const nowMs = this.#parts.clock.monotonicMs()
    for (const [range, { untilMs }] of this.#asks) if (untilMs <= nowMs) this.#asks.delete(range)
    if (this.#running || this.#asks.size === 0) return
    this.#running = true
    const rounds = async () => {
      try {
        while (this.#asks.size > 0 && !this.#parts.background.signal.aborted && (await this.#round()));
      } finally {
        this.#running = false
      }
    }
    this.#parts.background.run('handing ranges over', rounds())
  }

  /** One set of flips that go together; false when nothing could be given away now. */
  async #round(): Promise<boolean> {
    const { topology, peers, movement, log } = this.#parts
    // Nor would the next round: it is for the next look to find that this node may give again.
    if (!this.#parts.mayGive()) return false
    const asked: Flip[] = [...this.#asks]
      .filter(([range]) => topology.claim(range)?.owner === peers.self)
      .map(([range, { to }]) => ({ range, to }))
    for (const range of this.#asks.keys()) if (!asked.some(flip => flip.range === range)) this.#asks.delete(range)
    const { outcome, claims } = await movement.run({
      asked,
      isWanted: () => this.#asks.size > 0,
      sign: (flips, stillPlanned) => topology.grant(flips, () => stillPlanned() && this.#parts.mayGive())
    })
    if (outcome === 'unsafe') this.#refuse(asked)
    if (claims.length > 0) {
      this.#granted += claims.length
      for (const { range } of claims) this.#asks.delete(range)
      log.info('gave ranges away', {
        ranges: claims.length,
        to: [...new Set(claims.map(({ owner }) => owner))].join(',')
      })
    }
    return outcome === 'moved' || outcome === 'again'
  }

  /**
   * Flips that change two members of one list at once, each by itself (with zones, one range may move several members):
   * their thieves are told, and take others, until the ring is another one.
   */
  #refuse(flips: Flip[]): void {
    for (const flip of flips) {
      // Several thieves may want one range: what one of them was told must not make room for the next to be told afresh.
      this.#unsafe.add(flip)
      this.#asks.delete(flip.range)
    }
  }
}
