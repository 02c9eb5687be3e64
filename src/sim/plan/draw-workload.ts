/** What clients do during a run: which operations, on which keys, through which nodes, drawn for a scene. */

import type { SimRandom } from '../world/random.ts'
import { OPERATION_KINDS, reads, writes } from './check-plan.ts'
import { betweenBounds, logBetween, type Scene } from './draw-scene.ts'
import type { Operation, OperationKind } from './plan.ts'

type Bounds = readonly [low: number, high: number]

/** What a scenario asks for; everything else is drawn. */
export interface WorkloadWish {
  operations?: Bounds
  clients?: Bounds
  keys?: Bounds
  /** How likely each kind is; kinds that are not named do not occur. */
  kinds?: Partial<Record<OperationKind, number>>
  /** Share of the writes that ask for one copy only; by default some runs draw levels of their own. */
  oneCopy?: number
  /** Every operation goes to any node, so that all sides of a partition are asked. */
  spread?: boolean
  /** Beside everything else. */
  rushes?: readonly Rush[]
}

/** Many operations of one kind at once, through one node. */
export interface Rush {
  atMs: number
  forMs: number
  kind: OperationKind
  via: number
  operations: number
}

export function drawWorkload(scene: Scene, wish: WorkloadWish = {}): Operation[] {
  const random = scene.random.fork('workload')
  const kinds = wish.kinds === undefined ? drawKinds(random.fork('kinds')) : Object.entries(wish.kinds)
  const pickKind = () => random.weighted(kinds as [OperationKind, number][])
  const pickKey = drawKeys(random.fork('keys'), wish)
  const clients = betweenBounds(random, wish.clients ?? [1, 6])
  const homes = Array.from({ length: clients }, () => random.below(scene.nodes.length))
  const loyalty = wish.spread ? 0 : random.pick([0, 0.7, 1])
  const level = drawLevels(random.fork('levels'), scene, wish)
  const ttlOf = drawTtl(random.fork('ttl'))
  const drawn = drawTimes(random.fork('times'), scene, logBetween(random, ...(wish.operations ?? [40, 300]))).map(
    (atMs, id) => {
      const client = random.below(clients)
      const kind = pickKind()
      return {
        id,
        atMs,
        client,
        key: pickKey(),
        kind,
        via: random.chance(loyalty) ? homes[client] : pickNode(random, scene, atMs),
        ...(kind === 'expiring-put' && { ttlMs: ttlOf() }),
        ...(reads(kind) && level.r()),
        ...(writes(kind) && level.w())
      }
    }
  )
  const rushes = (wish.rushes ?? []).flatMap(rush => drawRush(random, rush, { clients, pickKey }))
  return [...drawn, ...rushes].sort((a, b) => a.atMs - b.atMs).map((operation, id) => ({ ...operation, id }))
}

function drawRush(
  random: SimRandom,
  { atMs, forMs, kind, via, operations }: Rush,
  { clients, pickKey }: { clients: number; pickKey: () => number }
): Operation[] {
  return Array.from({ length: operations }, () => ({
    id: 0,
    atMs: random.between(atMs, atMs + forMs),
    client: random.below(clients),
    key: pickKey(),
    kind,
    via
  }))
}

/** The smallest number of copies that a write of the plan is acknowledged by, once the first nodes have shared the ranges. */
export function leastCopies({ params, nodes }: Scene, operations: readonly Operation[]): number {
  const present = nodes.filter(node => node.joinAtMs === 0).length
  return Math.min(present, params.w, ...operations.map(operation => operation.w ?? params.w))
}

/** Each kind is on or off in a run; those that are on are not equally likely either. */
function drawKinds(random: SimRandom): [OperationKind, number][] {
  const weights = OPERATION_KINDS.map(kind => {
    const isOn = random.chance(kind === 'list' ? 0.3 : 0.6)
    // A listing asks every range: a few are enough.
    return [kind, isOn ? (kind === 'list' ? 0.05 : 0.2 + random.float()) : 0] as [OperationKind, number]
  })
  const isOn = (kinds: OperationKind[]) => weights.some(([kind, weight]) => weight > 0 && kinds.includes(kind))
  if (!isOn(['put', 'blind-put', 'update'])) weights.push([random.pick(['put', 'blind-put', 'update']), 1])
  if (!isOn(['get', 'update'])) weights.push(['get', 0.5])
  return weights
}

/** The first keys are hotter, by Zipf's law with an exponent of 0 (all alike) to 1.5. */
function drawKeys(random: SimRandom, wish: WorkloadWish): () => number {
  const count = betweenBounds(random, wish.keys ?? [1, 20])
  const exponent = random.pick([0, 1, 1.5])
  const weights = Array.from({ length: count }, (_, key) => [key, (key + 1) ** -exponent] as const)
  return () => random.weighted(weights)
}

function drawTimes(random: SimRandom, { startMs, endMs }: Scene, count: number): number[] {
  const rushes = random.chance(0.3) ? Array.from({ length: random.between(1, 4) }, () => between(startMs, endMs)) : []
  function between(lowMs: number, highMs: number): number {
    return random.between(lowMs, Math.max(lowMs, highMs))
  }
  const times = Array.from({ length: count }, () => {
    if (rushes.length === 0 || random.chance(0.3)) return between(startMs, endMs)
    const rushMs = random.pick(rushes)
    return between(rushMs, Math.min(endMs, rushMs + 1000))
  })
  return times.sort((a, b) => a - b)
}

/** Now and then one that has not joined yet: its client must find another. */
function pickNode(random: SimRandom, { nodes }: Scene, atMs: number): number {
  const present = nodes.flatMap((node, index) => (node.joinAtMs <= atMs ? [index] : []))
  return random.chance(0.05) ? random.below(nodes.length) : random.pick(present)
}

/** In some runs, operations bring their own R and W. */
function drawLevels(random: SimRandom, { params, minW }: Scene, { oneCopy }: WorkloadWish) {
  const share = random.chance(0.3) ? random.pick([0.2, 0.8]) : 0
  const leastW = Math.min(params.n, random.chance(0.5) ? Math.max(minW, 1) : Math.max(minW, 2))
  return {
    r: () => (random.chance(share) ? { r: random.between(1, params.n) } : {}),
    w: () => {
      if (oneCopy !== undefined) return random.chance(oneCopy) ? { w: 1 } : {}
      return random.chance(share) ? { w: random.between(leastW, params.n) } : {}
    }
  }
}

/** Some expire during the run, some afterwards, some never in its time. */
function drawTtl(random: SimRandom): () => number {
  const [lowMs, highMs] = random.pick([
    [1000, 20_000],
    [5000, 100_000],
    [3_600_000, 3_600_000]
  ] as const)
  return () => logBetween(random, lowMs, highMs)
}
