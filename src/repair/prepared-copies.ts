/**
 * The new member's side of a movement: copies of ranges whose preference list this node is about to join. An owner asks
 * for them (`pull`), names the copies to compare with and calls again until they are synced; a copy that nobody asks for
 * any more is left to the copy keeper, which gives it up (design §6). Large ones come as files first (`file-fills.ts`).
 */
import type { Background } from '../background.ts'
import { expectAnswer, type Peers } from '../coordinator/peers.ts'
import { CoterieError } from '../errors.ts'
import type { Answer } from '../messages.ts'
import type { Clock, Log, Network, Timers } from '../ports.ts'
import type { CopyTable } from '../replica/copy-table.ts'
import type { Replicas } from '../replica/replicas.ts'
import type { Topology } from '../topology.ts'
import { compareRanges } from './compare.ts'
import { settleCopy, type Verdict } from './compare-clocks.ts'
import type { FileFills } from './file-fills.ts'
import type { Transfers } from './transfers.ts'

const CALL_TIMEOUT_MS = 5000

interface Prepared {
  /** Sources named by any owner (two may prepare the same list at once), and until when each is wanted. */
  sources: Map<string, number>
  /**
   * Sources that this copy was compared with while they mirrored every write to it, without a gap since; each with the
   * damages of the copy by then, because one that has lost something since is level with nobody.
   */
  level: Map<string, number>
  /** What the latest comparison with each source said of dead keys. */
  verdicts: Map<string, Verdict>
  /** What the comparisons said of dead keys has been acted on, and no mirror has had a gap since. */
  isSettled: boolean
}

export interface PreparedParts {
  clock: Clock
  timers: Timers
  network: Network
  log: Log
  background: Background
  peers: Peers
  topology: Topology
  replicas: Replicas
  copies: CopyTable
  transfers: Transfers
  fills: FileFills
}

export class PreparedCopies {
  readonly #parts: PreparedParts
  readonly #leaseMs: number
  readonly #byRange = new Map<number, Prepared>()
  /**
   * Damages of each copy when an owner was last told that it is level: what a grant is signed on. No longer than the seals
   * hold, which began later: whoever signs after that signs nothing that counts.
   */
  readonly #vouched = new Map<number, { damages: number; untilMs: number }>()
  #working: Promise<void> | undefined

  constructor(parts: PreparedParts, init: { leaseMs: number }) {
    this.#parts = parts
    this.#leaseMs = init.leaseMs
  }

  /**
   * Copies that were synced when the last process ended and are not (or not yet known to be) a member's: a grant may have
   * been signed on their strength meanwhile.
   */
  reopened(ranges: number[]): void {
    const untilMs = this.#parts.clock.monotonicMs() + this.#leaseMs
    for (const range of ranges) this.#vouched.set(range, { damages: this.#parts.replicas.damages(range), untilMs })
  }

  /** This directory is not what the cluster remembers: nothing that it says of its copies counts. */
  overtaken(): void {
    this.#vouched.clear()
  }

  has(range: number): boolean {
    return this.#byRange.has(range)
  }

  /** Answers as soon as all ranges are synced, or with what is done when a good part of the caller's time has passed. */
  async pull(ranges: number[], sources: string[], timeoutMs: number): Promise<Answer> {
    if (sources.length === 0 || sources.includes(this.#parts.peers.self))
      throw new CoterieError('protocol', 'a pull names other nodes to copy from')
    const untilMs = this.#parts.clock.monotonicMs() + this.#leaseMs
    const { fills, replicas, copies } = this.#parts
    // A question that comes late must not make a preparation of what is a member's copy by now.
    const wanted = ranges.filter(range => !this.#isMember(range))
    for (const range of wanted) {
      const prepared = this.#byRange.get(range) ?? {
        sources: new Map(),
        level: new Map(),
        verdicts: new Map(),
        isSettled: false
      }
      for (const source of sources) prepared.sources.set(source, untilMs)
      this.#byRange.set(range, prepared)
      if (copies.status(range) === 'none') fills.want(range, sources[0]!)
    }
    await replicas.create(wanted.filter(range => fills.isOver(range)))
    const finished = await this.#freshPass(wanted, timeoutMs / 2)
    const { headway, outstanding } = this.#parts.transfers
    const synced = finished ? ranges.filter(range => this.#isLevel(range, sources)) : []
    for (const range of synced) this.#vouched.set(range, { damages: this.#parts.replicas.damages(range), untilMs })
    return {
      type: 'pulled',
      synced,
      keysDone: headway,
      keysTotal: headway + outstanding
    }
  }

  /** Renews the mirrors, compares again where one had a gap, and lets go of what has become ours or is not wanted. */
  tick(): void {
    const { clock, background, copies } = this.#parts
    this.#takeGranted()
    const lapsed: number[] = []
    for (const [range, { sources, level, verdicts }] of this.#byRange) {
      for (const [source, untilMs] of sources) {
        if (untilMs > clock.monotonicMs()) continue
        sources.delete(source)
        level.delete(source)
        verdicts.get(source)?.arrivals.close()
        verdicts.delete(source)
      }
      if (!this.#isMember(range) && sources.size > 0) continue
      for (const { arrivals } of verdicts.values()) arrivals.close()
      this.#byRange.delete(range)
      this.#parts.fills.forget(range)
      if (this.#mayCompare && !this.#isMember(range) && copies.status(range) === 'synced') lapsed.push(range)
    }
    // Should a grant come after all: its seals have lapsed as well.
    if (lapsed.length > 0) background.run('doubting copies that nobody asks for', copies.set(lapsed, 'syncing'))
    this.#parts.fills.tick()
    if (this.#byRange.size > 0) background.run('renewing the mirrors of prepared copies', this.#work())
  }

  /**
   * A grant is signed only once we have said, behind a seal, that our copy is level: what became of the mirror after that
   * takes nothing away. Where the new owner is the whole list, there is nobody to be compared with again.
   */
  #takeGranted(): void {
    const { clock, topology, peers, replicas, copies, background } = this.#parts
    for (const [range, { damages, untilMs }] of this.#vouched) {
      const status = copies.status(range)
      const granted = topology.claim(range)?.owner === peers.self
      if (this.#mayCompare && untilMs <= clock.monotonicMs()) {
        this.#vouched.delete(range)
        continue
      }
      if (!granted && status !== 'none') continue
      this.#vouched.delete(range)
      if (!granted || status === 'none' || replicas.damages(range) !== damages) continue
      background.run('marking a granted copy', copies.set([range], 'synced'))
    }
  }

  /**
   * A pass that begins now, or once the files of these ranges have come, since only what sources said after the question is
   * an answer to it: a mirror may have had a gap during an earlier pass. False when it takes longer than `waitMs`; it goes on
   * then.
   */
  async #freshPass(ranges: readonly number[], waitMs: number): Promise<boolean> {
    const pass = this.#filled(ranges)
      .then(() => this.#working)
      .then(() => this.#work())
    this.#parts.background.run('copying prepared ranges', pass)
    return Promise.race([pass.then(() => true), this.#parts.timers.sleep(waitMs).then(() => false)])
  }

  #isMember(range: number): boolean {
    const { topology, peers } = this.#parts
    return topology.complete && topology.view.isMember(range, peers.self)
  }

  #isLevel(range: number, sources: string[]): boolean {
    return this.#parts.copies.status(range) === 'synced' && sources.every(source => this.#isLevelWith(range, source))
  }

  #isLevelWith(range: number, source: string): boolean {
    return this.#byRange.get(range)?.level.get(source) === this.#parts.replicas.damages(range)
  }

  #isLevelWithAll(range: number): boolean {
    const sources = this.#byRange.get(range)?.sources
    return sources !== undefined && [...sources.keys()].every(source => this.#isLevelWith(range, source))
  }

  /** One pass over all sources at a time; a call during a pass waits for it. */
  #work(): Promise<void> {
    if (this.#working === undefined) {
      this.#working = this.#pass().finally(() => {
        this.#working = undefined
      })
    }
    return this.#working
  }

  async #filled(ranges: readonly number[]): Promise<void> {
    const { fills } = this.#parts
    if (!ranges.every(range => fills.isOver(range))) await fills.run(ranges)
  }

  async #pass(): Promise<void> {
    const { fills, replicas, copies } = this.#parts
    const ready = [...this.#byRange].filter(([range]) => fills.isOver(range))
    const unmade = ready.map(([range]) => range).filter(range => copies.status(range) === 'none')
    if (unmade.length > 0) await replicas.create(unmade)
    // A copy that is level with nobody takes all from one of its sources: from several at once, each would send the whole of it.
    const fresh = ready.filter(([, { level, sources }]) => level.size === 0 && sources.size > 1)
    const first = new Map(fresh.map(([range, { sources }]) => [range, sources.keys().next().value]))
    if (first.size > 0) await this.#passSources(ready, (range, source) => first.get(range) === source)
    await this.#passSources(ready, (range, source) => first.get(range) !== source)
    const isDone = (range: number) => this.#isLevelWithAll(range)
    const done = [...this.#byRange.keys()].filter(isDone)
    for (const range of done) {
      const prepared = this.#byRange.get(range)
      if (prepared === undefined || prepared.isSettled) continue
      prepared.isSettled = await settleCopy(this.#parts, range, [...prepared.verdicts.values()], () => isDone(range))
    }
    const isSettled = (range: number) => isDone(range) && this.#byRange.get(range)!.isSettled
    await copies.set(done.filter(isSettled), 'synced')
  }

  async #passSources(
    ready: readonly [number, Prepared][],
    isMeant: (range: number, source: string) => boolean
  ): Promise<void> {
    const bySource = new Map<string, number[]>()
    for (const [range, { sources }] of ready) {
      for (const source of sources.keys()) {
        if (isMeant(range, source)) bySource.set(source, [...(bySource.get(source) ?? []), range])
      }
    }
    await Promise.all([...bySource].map(([source, ranges]) => this.#passSource(source, ranges)))
  }

  async #passSource(source: string, ranges: number[]): Promise<void> {
    try {
      const toCompare = await this.#renewMirror(source, ranges)
      if (toCompare.length > 0) await this.#compare(source, toCompare)
    } catch (error) {
      // Whoever asked for the copies sees that they are not synced, and calls again or goes elsewhere.
      this.#parts.log.debug('copying from a source failed', { source, error: String(error) })
    }
  }

  /** What has to be compared with this source: now, or again after a gap. */
  async #renewMirror(source: string, ranges: number[]): Promise<number[]> {
    const { peers, copies } = this.#parts
    let broken = ranges
    try {
      const call = peers.call(source, { type: 'mirror', ranges }, { timeoutMs: CALL_TIMEOUT_MS })
      const answer = expectAnswer(await call, 'mirrored')
      broken = [...answer.started, ...answer.absent]
      const unproven = answer.continued.filter(range => !this.#isLevelWith(range, source))
      return [...answer.started, ...unproven].filter(range => this.#byRange.has(range))
    } finally {
      // Without an answer, too: it may have said "started", and the next one would say "continued".
      for (const range of broken) {
        const prepared = this.#byRange.get(range)
        if (prepared === undefined) continue
        prepared.level.delete(source)
        prepared.isSettled = false
      }
      await copies.set(
        broken.filter(range => this.#isToDoubt(range)),
        'syncing'
      )
    }
  }

  /**
   * Where the new owner is the whole list, and this node has said that its copy is level, a grant may be on its way that was
   * signed on the strength of it: nobody would be left to bring it level again, were it doubted on disk and this process killed
   * before it hears of the grant.
   */
  #isToDoubt(range: number): boolean {
    // It may have been given up, and be wanted again, while the source did not answer.
    if (!this.#byRange.has(range) || this.#parts.copies.status(range) === 'none') return false
    return this.#mayCompare || !this.#vouched.has(range)
  }

  /** False: a list is one node, and nobody else has what this one lacks. */
  get #mayCompare(): boolean {
    return this.#parts.topology.params.n > 1
  }

  async #compare(source: string, ranges: number[]): Promise<void> {
    const transfer = this.#parts.transfers.begin(source, ranges)
    const damages = new Map(ranges.map(range => [range, this.#parts.replicas.damages(range)]))
    try {
      const { statuses, verdicts } = await compareRanges(this.#parts, source, ranges, {
        verdicts: true,
        onProgress: transfer.keys,
        signal: this.#parts.background.signal
      })
      for (const range of ranges) {
        const prepared = this.#byRange.get(range)
        const verdict = verdicts.get(range)
        prepared?.verdicts.get(source)?.arrivals.close()
        if (prepared === undefined) verdict?.arrivals.close()
        else if (verdict !== undefined) prepared.verdicts.set(source, verdict)
        // Synced only against a synced copy (design §6, safety of movement 1).
        if (statuses.get(range) === 'synced') prepared?.level.set(source, damages.get(range)!)
      }
    } finally {
      transfer.end()
    }
  }
}
