/**
 * Faults, one at a time, with drawn details: what the swarm mixes and the scenarios aim. Those that may take data from a
 * copy strike only nodes that were chosen for it, fewer than acknowledge a write, unless the run is lawless.
 */

import type { SimRandom } from '../world/random.ts'
import { logBetween, type Scene, uniform } from './draw-scene.ts'
import { leastCopies } from './draw-workload.ts'
import { destroysData, type Fault, type FaultKind, type LinkProfile, type NodePlan, type Operation } from './plan.ts'

/** What is given is not drawn. */
export interface Aim {
  atMs?: number
  forMs?: number
  node?: string
}

export class FaultDraw {
  readonly faults: Fault[] = []
  /** Nodes that may lose data. */
  readonly victims: readonly string[]
  readonly random: SimRandom
  readonly #scene: Scene
  readonly #operations: readonly Operation[]

  /** `lawless`: any number of nodes may lose data; the checker then knows what to excuse. */
  constructor(scene: Scene, operations: readonly Operation[], options: { lawless?: boolean } = {}) {
    this.#scene = scene
    this.#operations = operations
    this.random = scene.random.fork('faults')
    const names = this.random.fork('victims').shuffle(scene.nodes.map(node => node.name))
    this.victims = options.lawless ? names : names.slice(0, leastCopies(scene, operations) - 1)
  }

  /** When something may happen: any time while clients are at work. */
  time(): number {
    return this.random.between(this.#scene.startMs, this.#scene.endMs)
  }

  /** While an operation is most likely still on its way to the disks. */
  busyTime(): number {
    return this.random.pick(this.#operations).atMs + logBetween(this.random, 1, 30)
  }

  /** Adds a fault of this kind; false when there is no node for it, or no time at which it would be within the budget. */
  add(kind: FaultKind, aim: Aim = {}): boolean {
    const atMs = this.#timeOf(kind, aim)
    if (atMs === undefined) return false
    const node = this.#nodeOf(kind, atMs, aim)
    if (node === undefined) return false
    const forMs = aim.forMs ?? logBetween(this.random, 500, 20_000)
    const fault = this.#draw(kind, { atMs, forMs, node }, aim.node !== undefined)
    if (fault === undefined) return false
    this.faults.push(fault)
    return true
  }

  isRisky(kind: FaultKind): boolean {
    return destroysData({ kind } as Fault, this.#scene.settings.durability)
  }

  /** Before the ranges are shared, one node may hold all there is. */
  #timeOf(kind: FaultKind, { atMs }: Aim): number | undefined {
    const { startMs, endMs, formedMs } = this.#scene
    if (!this.isRisky(kind)) return atMs ?? this.time()
    if (atMs !== undefined) return atMs >= formedMs ? atMs : undefined
    return formedMs < endMs ? this.random.between(Math.max(startMs, formedMs), endMs) : undefined
  }

  #nodeOf(kind: FaultKind, atMs: number, aim: Aim): string | undefined {
    const mayStrike = ({ name, joinAtMs }: NodePlan) =>
      joinAtMs <= atMs && (aim.node === undefined || name === aim.node)
    const allowed = this.#scene.nodes.filter(
      node => mayStrike(node) && (!this.isRisky(kind) || this.victims.includes(node.name))
    )
    return allowed.length === 0 ? undefined : this.random.pick(allowed).name
  }

  /** `isAimed`: it is this node that is to be cut off, not any. */
  #draw(kind: FaultKind, at: { atMs: number; forMs: number; node: string }, isAimed: boolean): Fault | undefined {
    const { random } = this
    const { atMs, forMs, node } = at
    switch (kind) {
      case 'crash':
      case 'restart':
      case 'pause':
      case 'wipe':
      case 'disk-stall':
      case 'disk-full':
        return { kind, ...at }
      case 'power-cut':
        return { kind, ...at, torn: random.chance(0.6) }
      case 'clock-jump':
        return { kind, atMs, node, byMs: random.pick([-1, 1]) * logBetween(random, 500, 3_600_000) }
      case 'partition':
        if (this.#scene.nodes.length < 2) return undefined
        return { kind, atMs, forMs, groups: isAimed ? [[node]] : this.#groups() }
      case 'swizzle':
        if (this.#scene.nodes.length < 2) return undefined
        return { kind, atMs, forMs, nodes: isAimed ? [node] : this.#some() }
      case 'bad-links':
        return { kind, ...at, change: drawChange(random) }
      case 'reset':
      case 'leave':
      case 'misdirected-write':
        return { kind, atMs, node }
      case 'eio':
        return { kind, atMs, node, operation: random.pick(['write', 'sync', 'read']), times: random.between(1, 3) }
      case 'bit-rot':
        return { kind, atMs, node, bits: random.between(1, 8) }
      case 'lost-write':
        return { kind, atMs, node, times: random.between(1, 3) }
      case 'one-way':
      case 'forge':
      case 'replay-record': {
        const other = this.#other(node)
        if (other === undefined) return undefined
        if (kind !== 'one-way') return { kind, atMs, from: other, victim: node }
        const [from, to] = random.chance(0.5) ? [node, other] : [other, node]
        return { kind, atMs, forMs, from, to }
      }
    }
  }

  #other(node: string): string | undefined {
    const others = this.#scene.nodes.filter(({ name }) => name !== node)
    return others.length === 0 ? undefined : this.random.pick(others).name
  }

  /** At least one node, at most half of them. */
  #some(): string[] {
    const names = this.#scene.nodes.map(({ name }) => name)
    return this.random.shuffle(names).slice(0, this.random.between(1, Math.max(1, Math.floor(names.length / 2))))
  }

  /** A zone against the others, a minority against the rest, or three islands. */
  #groups(): string[][] {
    const { nodes } = this.#scene
    const zone = this.random.pick(nodes).zone
    const inZone = nodes.filter(node => node.zone === zone).map(({ name }) => name)
    if (inZone.length < nodes.length && this.random.chance(0.4)) return [inZone]
    const minority = this.#some()
    const rest = nodes.map(({ name }) => name).filter(name => !minority.includes(name))
    if (rest.length < 2 || this.random.chance(0.8)) return [minority]
    return [minority, this.random.shuffle(rest).slice(0, this.random.between(1, rest.length - 1))]
  }
}

function drawChange(random: SimRandom): Partial<LinkProfile> {
  const changes: Partial<LinkProfile>[] = [
    { loss: uniform(random, 0.05, 0.5) },
    { replay: uniform(random, 0.05, 0.3) },
    { meanMs: random.between(10, 300) },
    { slowChance: uniform(random, 0.05, 0.3), slowMs: random.between(200, 5000) }
  ]
  return Object.assign({}, ...random.shuffle(changes).slice(0, random.between(1, 3)))
}
