/**
 * What a node does with its copies and ranges when nobody asks: builds the parts of `repair/` on one another, and has each
 * look at its affairs in turn, every `reconcileIntervalMs` and whenever the ring has changed. Each repeats itself until there
 * is nothing to do, so a crash or a lost message costs time only.
 */
import type { Background } from './background.ts'
import type { NodeSettings } from './config.ts'
import type { Peers } from './coordinator/peers.ts'
import { Majority, TRUST_SHARE } from './majority.ts'
import type { Membership } from './membership/membership.ts'
import type { Duplex, Ports } from './ports.ts'
import { AcceptedCopies } from './repair/accepted-copies.ts'
import { AntiEntropy } from './repair/anti-entropy.ts'
import { Collisions } from './repair/collisions.ts'
import { answerSync } from './repair/compare.ts'
import { CopyKeeper } from './repair/copy-keeper.ts'
import { FileFills } from './repair/file-fills.ts'
import { Handover } from './repair/handover.ts'
import { HintDelivery } from './repair/hint-delivery.ts'
import { HotRanges } from './repair/hot-ranges.ts'
import { Leaver, type LeaverInit } from './repair/leaver.ts'
import { Losses } from './repair/losses.ts'
import { Mirrors } from './repair/mirrors.ts'
import { Movement } from './repair/movement.ts'
import { PreparedCopies } from './repair/prepared-copies.ts'
import { Reaper } from './repair/reaper.ts'
import { Reclaimer } from './repair/reclaimer.ts'
import { Thief } from './repair/thief.ts'
import type { Transfers } from './repair/transfers.ts'
import type { CopyFiles } from './replica/copy-files.ts'
import type { CopyTable } from './replica/copy-table.ts'
import type { RangeLoads } from './replica/range-loads.ts'
import type { Replicas } from './replica/replicas.ts'
import type { StandIns } from './replica/stand-ins.ts'
import type { Shareholders } from './shareholders.ts'
import type { RangeStore } from './storage/range-store.ts'
import type { Topology } from './topology.ts'

/** Of the time for which a copy that is on its way is kept up: how long the lists of a dead member wait for copies that are syncing. */
const PATIENCE_SHARE = 1 / 3
/** Gossip rounds without a new member after which a joiner works out its share. */
const SETTLE_ROUNDS = 2

export interface ReconcilerParts extends Ports {
  background: Background
  peers: Peers
  topology: Topology
  membership: Membership
  shareholders: Shareholders
  replicas: Replicas
  store: RangeStore
  copies: CopyTable
  standIns: StandIns
  transfers: Transfers
  copyFiles: CopyFiles
  rangeLoads: RangeLoads
}

export class Reconciler {
  readonly majority: Majority
  readonly mirrors: Mirrors
  readonly prepared: PreparedCopies
  readonly keeper: CopyKeeper
  readonly handover: Handover
  readonly hotRanges: HotRanges
  readonly thief: Thief
  readonly reclaimer: Reclaimer
  readonly leaver: Leaver
  readonly losses: Losses
  readonly accepted: AcceptedCopies
  readonly antiEntropy: AntiEntropy
  readonly hints: HintDelivery
  readonly reaper: Reaper
  readonly #parts: ReconcilerParts
  readonly #fills: FileFills
  readonly #movement: Movement

  constructor(parts: ReconcilerParts, init: { settings: NodeSettings; leaver: LeaverInit }) {
    const { topology, membership, shareholders, replicas } = parts
    const { leaseMs, reclaimAfterMs, balanceAfterMs, ...settings } = init.settings
    this.#parts = parts
    this.majority = new Majority(parts, { reclaimAfterMs })
    this.mirrors = new Mirrors(parts, { leaseMs })
    replicas.mirror = (range, key, state, except) => this.mirrors.send(range, key, state, except)
    this.#fills = new FileFills(parts, { leaseMs })
    this.prepared = new PreparedCopies({ ...parts, fills: this.#fills }, { leaseMs })
    this.keeper = new CopyKeeper({ ...parts, prepared: this.prepared })
    const members = () => membership.members().map(({ peerId }) => peerId)
    this.#movement = new Movement({ ...parts, members }, { leaseMs })
    this.handover = new Handover(
      {
        ...parts,
        movement: this.#movement,
        mayGive: () => this.majority.isCurrent && this.majority.isHeard,
        mayOwn: peerId => shareholders.mayOwn(peerId)
      },
      { leaseMs }
    )
    this.thief = new Thief(
      { ...parts, shareholders: () => shareholders.plan(), hotRanges: () => shareholders.hotRanges() },
      { settleMs: SETTLE_ROUNDS * settings.gossipIntervalMs }
    )
    this.hotRanges = new HotRanges(
      { ...parts, handover: this.handover, thief: this.thief },
      { afterMs: balanceAfterMs, giveUpMs: 2 * leaseMs }
    )
    this.reclaimer = new Reclaimer(
      {
        ...parts,
        movement: this.#movement,
        majority: this.majority,
        verdict: peerId => shareholders.verdict(peerId),
        survivors: () => shareholders.plan().filter(({ capacity }) => capacity > 0)
      },
      {
        self: membership.self,
        reclaimAfterMs,
        trustMs: reclaimAfterMs * TRUST_SHARE,
        patienceMs: leaseMs * PATIENCE_SHARE,
        turnMs: leaseMs
      }
    )
    this.leaver = new Leaver(parts, init.leaver)
    const hasGone = (peerId: string) => ['left', 'removed'].includes(shareholders.verdict(peerId))
    this.losses = new Losses({ ...parts, members, hasGone, majority: this.majority, reclaimer: this.reclaimer })
    this.accepted = new AcceptedCopies({ ...parts, keeper: this.keeper })
    this.antiEntropy = new AntiEntropy(parts, { intervalMs: settings.antiEntropyIntervalMs })
    this.hints = new HintDelivery(parts)
    this.reaper = new Reaper(parts, { waitMs: settings.reapAfterMs })
    const collisions = new Collisions(parts, { self: membership.self, dir: init.leaver.dir })
    topology.onCollision(lost => collisions.settle(lost))
  }

  /** At start: copies that are synced and not (or not yet known to be) a member's, and ranges of which a part was received. */
  reopened(synced: number[], unfinished: number[]): void {
    this.prepared.reopened(synced)
    this.#fills.reopened(unfinished)
  }

  /** A sync stream that another node has opened. */
  answer(stream: Duplex): Promise<void> {
    const { q } = this.#parts.topology.params
    const prepare = (ranges: number[]) => this.keeper.ensure(ranges.filter(range => range < q))
    const mayProve = (range: number) => !this.#movement.isChanging(range)
    return answerSync({ ...this.#parts, prepare, mayProve }, stream)
  }

  tick(): void {
    const { store, copies } = this.#parts
    const filed = store.ranges().filter(range => store.stats(range).fileBytes > 0)
    copies.noteFiles(filed, range => store.fileLasts(range))
    this.mirrors.tick()
    this.prepared.tick()
    this.keeper.tick()
    this.handover.tick()
    // Before the thief, which is to know what to take back.
    this.hotRanges.tick()
    this.thief.tick()
    this.reclaimer.tick()
    this.antiEntropy.tick()
    this.hints.tick()
    this.reaper.tick()
    this.leaver.tick()
  }

  peerReturned(peerId: string): void {
    this.antiEntropy.peerReturned(peerId)
    this.hints.peerReturned(peerId)
  }
}
