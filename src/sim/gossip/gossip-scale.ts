/**
 * Gossip alone, at scale: how fast news travels among hundreds of nodes, what that costs, how fast a crash is noticed and
 * how often a live node is taken for dead. The real membership code, on virtual time; the same seed gives the same figures.
 *
 * @example
 *   const result = await gossipScale({ nodes: 100, seed: '1', links: LAN })
 *   result.change.meanRounds   // beside result.change.theoryRounds
 */
import { DEFAULT_SETTINGS } from '../../config.ts'
import { entryBytes } from '../../membership/gossip-messages.ts'
import { EventLog } from '../world/event-log.ts'
import { SimRandom } from '../world/random.ts'
import { WORLD, World } from '../world/world.ts'
import { GossipCluster, type GossipNode, type Opinion, type Spread } from './gossip-cluster.ts'
import { type GossipLinks, GossipNet } from './gossip-net.ts'
import type { Detection, FalseAlarms, GossipScaleResult, Traffic } from './gossip-result.ts'
import { detectionMs, spreadRounds } from './gossip-theory.ts'

export const LAN: GossipLinks = { minMs: 0.2, maxMs: 2, loss: 0 }
export const WAN: GossipLinks = { minMs: 20, maxMs: 80, loss: 0.01 }

export interface GossipScaleOptions {
  nodes: number
  seed: string
  links?: GossipLinks
  /** Changes whose way to everybody is followed; default 100. */
  changes?: number
  /** Virtual milliseconds of idling, and of churn; default 20,000 each. */
  windowMs?: number
  /** Ranges each node claims, each with a grant; default 1. */
  claims?: number
  /** Called when a part of the measurement begins. */
  onPhase?: (phase: string, nowMs: number) => void
}

const INTERVAL_MS = DEFAULT_SETTINGS.gossipIntervalMs
/** Between two parts of the measurement: what the one began has ended before the other. */
const SETTLE_MS = 5000
const START_LIMIT_MS = 180_000
const CRASHES = 3
const JOINERS = 3
const PAUSE_MS = 3000
const DOWN_FOR_MS = 2000

export async function gossipScale(options: GossipScaleOptions): Promise<GossipScaleResult> {
  const log = new EventLog()
  const random = new SimRandom(`gossip/${options.seed}`)
  const world = new World(random, log)
  const measurement = new Measurement(world, options)
  const result = await world.run(() => measurement.run())
  return { ...result, digest: log.digest() }
}

class Measurement {
  readonly #world: World
  readonly #options: GossipScaleOptions
  readonly #random: SimRandom
  readonly #net: GossipNet
  readonly #cluster: GossipCluster
  readonly #windowMs: number

  constructor(world: World, options: GossipScaleOptions) {
    this.#world = world
    this.#options = options
    this.#random = world.random.fork('measurement')
    this.#net = new GossipNet(world, world.random.fork('net'), options.links ?? LAN)
    this.#cluster = new GossipCluster({ world, net: this.#net, claims: options.claims ?? 1 })
    this.#windowMs = options.windowMs ?? 20_000
  }

  async run(): Promise<Omit<GossipScaleResult, 'digest'>> {
    const { nodes } = this.#options
    const start = await this.#start(nodes)
    this.#phase('idle')
    await this.#world.sleep(SETTLE_MS)
    const fresh = await this.#traffic(() => this.#world.sleep(this.#windowMs / 4))
    this.#net.connectAll()
    await this.#world.sleep(SETTLE_MS)
    const idleAlarms = this.#alarms()
    const settled = await this.#traffic(() => this.#world.sleep(this.#windowMs))
    const idle = { fresh, settled, alarms: idleAlarms() }
    const digestEntryBytes = this.#digestEntryBytes()
    const change = await this.#change()
    const join = await this.#join()
    const pause = await this.#pause()
    const churn = await this.#churn()
    const { powerCut, processKill } = await this.#crash()
    return { nodes, start, change, idle, digestEntryBytes, churn, join, pause, powerCut, processKill }
  }

  #phase(name: string): void {
    this.#options.onPhase?.(name, this.#world.nowMs)
  }

  /** All within a second, all with the first node for a seed. */
  async #start(nodes: number): Promise<GossipScaleResult['start']> {
    this.#phase('start')
    const startMs = this.#world.nowMs
    let allKnowAllMs = 0
    const seed = await this.#cluster.add(undefined)
    const traffic = await this.#traffic(async () => {
      const gapMs = INTERVAL_MS / nodes
      for (let i = 1; i < nodes; i++) {
        await this.#world.sleep(gapMs)
        await this.#cluster.add(seed)
      }
      await this.#must('the start', () => this.#cluster.allKnowAll(), START_LIMIT_MS)
      allKnowAllMs = this.#world.nowMs - startMs
    })
    return { allKnowAllMs, traffic }
  }

  async #change(): Promise<GossipScaleResult['change']> {
    this.#phase('changes')
    const count = this.#options.changes ?? 100
    const spreads: Spread[] = []
    for (const source of this.#some(count, true)) {
      spreads.push(this.#cluster.change(source))
      await this.#world.sleep(INTERVAL_MS / 20)
    }
    await this.#must('the changes', () => spreads.every(spread => spread.doneMs !== undefined), 60_000)
    const rounds = spreads.map(spread => (spread.doneMs! - spread.beganMs) / INTERVAL_MS).sort((a, b) => a - b)
    return {
      count,
      meanRounds: rounds.reduce((sum, each) => sum + each, 0) / count,
      p99Rounds: quantile(rounds, 0.99),
      maxRounds: rounds.at(-1)!,
      theoryRounds: spreadRounds(this.#options.nodes)
    }
  }

  async #join(): Promise<GossipScaleResult['join']> {
    this.#phase('joins')
    let knownByAllMs = 0
    let knowsAllMs = 0
    for (const seed of this.#some(JOINERS)) {
      const beganMs = this.#world.nowMs
      const joiner = await this.#cluster.add(seed)
      const others = this.#cluster.alive.filter(node => node !== joiner)
      let [knows, known] = [false, false]
      const bothWays = () => {
        if (!knows && joiner.known >= others.length) {
          knows = true
          knowsAllMs = Math.max(knowsAllMs, this.#world.nowMs - beganMs)
        }
        if (!known && others.every(node => node.membership.member(joiner.peerId))) {
          known = true
          knownByAllMs = Math.max(knownByAllMs, this.#world.nowMs - beganMs)
        }
        return knows && known
      }
      await this.#must('a join', bothWays, 60_000)
    }
    this.#net.connectAll()
    return { count: JOINERS, knownByAllMs, knowsAllMs }
  }

  /** A few processes stand still; everybody, they included, is judged before, then and after. */
  async #pause(): Promise<GossipScaleResult['pause']> {
    this.#phase('pauses')
    const paused = this.#some(Math.max(1, Math.round(this.#options.nodes / 100)))
    const alarms = this.#alarms()
    for (const node of paused) node.process.pause()
    await this.#world.sleep(PAUSE_MS)
    for (const node of paused) node.process.resume()
    await this.#world.sleep(2 * SETTLE_MS)
    return { paused: paused.length, alarms: alarms() }
  }

  /** One node in a hundred restarts in every ten seconds, and every node has a new load in every round. */
  async #churn(): Promise<GossipScaleResult['churn']> {
    this.#phase('churn')
    const perWindow = Math.max(1, Math.round((this.#options.nodes / 100) * (this.#windowMs / 10_000)))
    const alarms = this.#alarms()
    const endMs = this.#world.nowMs + this.#windowMs
    const loads = this.#loads(endMs)
    const traffic = await this.#traffic(async () => {
      for (const node of this.#some(perWindow)) {
        this.#cluster.kill(node, 'process')
        this.#world.after(DOWN_FOR_MS, WORLD, 'restart', () => {
          this.#cluster.restart(node).catch(error => this.#world.fail(error))
        })
        await this.#world.sleep(this.#windowMs / perWindow)
      }
      await loads
    })
    const counted = alarms()
    await this.#world.sleep(SETTLE_MS)
    return { restarts: perWindow, traffic, alarms: counted }
  }

  async #loads(endMs: number): Promise<void> {
    while (this.#world.nowMs < endMs) {
      for (const { membership } of this.#cluster.alive) {
        membership.update({ load: { keys: this.#random.below(1e6), bytes: this.#random.below(1e9), opsPerSecond: 1 } })
      }
      await this.#world.sleep(INTERVAL_MS)
    }
  }

  /** Some hosts and some processes die, in turn; how long each of the others takes to notice each of them. */
  async #crash(): Promise<Pick<GossipScaleResult, 'powerCut' | 'processKill'>> {
    this.#net.connectAll()
    await this.#world.sleep(SETTLE_MS)
    this.#phase('crashes')
    const from = this.#cluster.opinions.length
    const killedMs = new Map<GossipNode, number>()
    const victims = this.#some(2 * CRASHES)
    for (const [i, victim] of victims.entries()) {
      this.#cluster.kill(victim, i % 2 === 0 ? 'power' : 'process')
      killedMs.set(victim, this.#world.nowMs)
      await this.#world.sleep(INTERVAL_MS / 2)
    }
    const observers = this.#cluster.alive
    const isDown = (victim: GossipNode) => (node: GossipNode) =>
      node.membership.member(victim.peerId)?.verdict === 'down'
    await this.#world.until(() => victims.every(victim => observers.every(isDown(victim))), 60_000)
    const opinions = this.#cluster.opinions.slice(from)
    const detection = (dead: GossipNode[], matches: (opinion: Opinion) => boolean): Detection => {
      const first = new Map<string, number>()
      for (const opinion of opinions.filter(matches)) {
        const { by, about, alive, atMs } = opinion
        const pair = `${by.name} ${about.name}`
        const counts = dead.includes(about) && !alive && by.process.alive && !first.has(pair)
        if (counts) first.set(pair, atMs - killedMs.get(about)!)
      }
      const times = [...first.values()].sort((a, b) => a - b)
      return {
        firstMs: times[0] ?? Number.NaN,
        medianMs: quantile(times, 0.5),
        lastMs: times.at(-1) ?? Number.NaN,
        missing: observers.length * dead.length - times.length
      }
    }
    const both = (dead: GossipNode[]) => ({
      noticed: detection(dead, () => true),
      down: detection(dead, ({ verdict }) => verdict === 'down')
    })
    const cut = victims.filter((_, i) => i % 2 === 0)
    const killed = victims.filter((_, i) => i % 2 === 1)
    return {
      powerCut: {
        ...both(cut),
        theoryMs: detectionMs(this.#options.nodes, INTERVAL_MS, DEFAULT_SETTINGS.phiThreshold)
      },
      processKill: both(killed)
    }
  }

  /** Bytes that each node sends while `during` lasts, by second. Nodes that restart meanwhile are left out. */
  async #traffic(during: () => Promise<void>): Promise<Traffic> {
    const beganMs = this.#world.nowMs
    const before = new Map(this.#cluster.nodes.map(node => [node.membership, node.membership.stats().sentBytes]))
    await during()
    const seconds = (this.#world.nowMs - beganMs) / 1000
    const rates = this.#cluster.alive
      .filter(node => before.has(node.membership) || node.upSinceMs <= beganMs + INTERVAL_MS)
      .map(({ membership }) => (membership.stats().sentBytes - (before.get(membership) ?? 0)) / seconds)
    return { mean: rates.reduce((sum, rate) => sum + rate, 0) / rates.length, max: Math.max(...rates) }
  }

  #digestEntryBytes(): GossipScaleResult['digestEntryBytes'] {
    const members = this.#cluster.nodes[0]!.membership.members()
    const mean = (addSeq: number, addPulse: number) => {
      const bytes = members.map(({ pulse, record: { incarnation, seq } }) =>
        entryBytes({ prefix: 0n, incarnation, seq: seq + addSeq, pulse: pulse + addPulse })
      )
      return bytes.reduce((sum, each) => sum + each, 0) / bytes.length
    }
    const beats = (30 * 24 * 3_600_000) / INTERVAL_MS
    // A new load every ten minutes or so.
    return { now: mean(0, 0), afterMonth: mean(beats / 600, beats) }
  }

  /** Begins to count wrong verdicts; the function that it returns ends that. */
  #alarms(): () => FalseAlarms {
    const from = this.#cluster.opinions.length
    const beganMs = this.#world.nowMs
    return () => {
      const wrong = this.#cluster.opinions.slice(from).filter(({ alive }) => alive)
      return {
        suspect: wrong.filter(({ verdict }) => verdict === 'suspect').length,
        down: wrong.filter(({ verdict }) => verdict === 'down').length,
        nodeMinutes: ((this.#world.nowMs - beganMs) / 60_000) * this.#cluster.alive.length
      }
    }
  }

  /** Live nodes by chance, all different as long as there are enough. */
  #some(count: number, mayRepeat = false): GossipNode[] {
    const shuffled = this.#random.shuffle(this.#cluster.alive)
    const most = mayRepeat ? count : Math.min(count, shuffled.length)
    return Array.from({ length: most }, (_, i) => shuffled[i % shuffled.length]!)
  }

  async #must(what: string, holds: () => boolean, limitMs: number): Promise<void> {
    if (!(await this.#world.until(holds, limitMs, 50))) throw new Error(`${what} did not end in ${limitMs} ms`)
  }
}

function quantile(sorted: number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
}
