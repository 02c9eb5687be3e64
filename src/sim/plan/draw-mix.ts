/**
 * The swarm's mixture. A run in which everything may happen hardly ever has long stretches of one thing, so each seed
 * switches kinds of faults and operations on and off and has many of some and none of others (Groce, Zhang, Eide, Chen,
 * Regehr: Swarm testing, ISSTA 2012).
 */

import { SimRandom } from '../world/random.ts'
import { assemble } from './assemble.ts'
import { FAULT_KINDS } from './check-plan.ts'
import { FaultDraw } from './draw-faults.ts'
import { drawScene, logBetween, type Scene, type SceneWish, uniform } from './draw-scene.ts'
import { drawWorkload } from './draw-workload.ts'
import type { FaultKind, Plan } from './plan.ts'

/** Where a run without any fault must not fail an operation. */
const CALM_CHANCE = 0.05
/** Where more copies may be destroyed than acknowledged a write. */
const LAWLESS_CHANCE = 0.1
const MAX_FAULTS = 12

/** What hits joins and the distributed state hardest is on more often; what ruins data, less. */
const OFTEN: readonly FaultKind[] = ['crash', 'partition', 'one-way', 'swizzle', 'pause', 'power-cut']
const MACHINE: readonly FaultKind[] = ['crash', 'power-cut', 'restart', 'pause', 'one-way', 'partition', 'reset']

/** How often, in churn, somebody leaves or falls silent for longer than the others wait for it. */
const CHURN_MS = [1500, 8000] as const
const ABSENCES: readonly FaultKind[] = ['crash', 'crash', 'pause', 'partition', 'swizzle', 'power-cut']
const CHURN: SceneWish = { size: [4, 11], joins: [1, 4], reclaims: true, leastMs: 25_000, mayStartEarly: true }

export function drawMix(seed: string, options: { nodes?: number } = {}): Plan {
  const random = new SimRandom(`plan/${seed}`).fork('mix')
  const isCalm = random.chance(CALM_CHANCE)
  const scene = drawScene(seed, 'swarm', {
    nodes: options.nodes,
    ...(isCalm ? { links: 'clean' } : { mayStartEarly: true })
  })
  const operations = drawWorkload(scene)
  const draw = new FaultDraw(scene, operations, { lawless: random.chance(LAWLESS_CHANCE) })
  if (!isCalm) mixFaults(random, scene, draw)
  return assemble(scene, operations, draw.faults)
}

/**
 * The swarm's faults on a cluster that is never at rest: all the time nodes join, leave, or are away for so long that
 * others take over what they owned, and come back.
 */
export function drawChurn(seed: string, options: { nodes?: number } = {}): Plan {
  const random = new SimRandom(`plan/${seed}`).fork('churn/mix')
  const scene = drawScene(seed, 'churn', { ...CHURN, nodes: options.nodes })
  const operations = drawWorkload(scene)
  const draw = new FaultDraw(scene, operations, { lawless: random.chance(LAWLESS_CHANCE) })
  if (random.chance(0.8)) mixFaults(random, scene, draw)
  churn(random, scene, draw)
  return assemble(scene, operations, draw.faults)
}

function churn(random: SimRandom, { nodes, settings, startMs, endMs }: Scene, draw: FaultDraw): void {
  const mayLeave = random.shuffle(nodes).slice(0, Math.floor(nodes.length / 2))
  for (let atMs = startMs; atMs < endMs; atMs += logBetween(random, ...CHURN_MS)) {
    const leaver = random.chance(0.4) ? mayLeave.find(({ joinAtMs }) => joinAtMs < atMs) : undefined
    if (leaver !== undefined) {
      mayLeave.splice(mayLeave.indexOf(leaver), 1)
      draw.add('leave', { atMs, node: leaver.name })
      continue
    }
    const node = random.pick(nodes.filter(({ joinAtMs }) => joinAtMs < atMs)).name
    const forMs = Math.round(settings.reclaimAfterMs! * uniform(random, 0.5, 2.5))
    draw.add(random.pick(ABSENCES), { atMs, forMs, node })
  }
}

function mixFaults(random: SimRandom, scene: Scene, draw: FaultDraw): void {
  const kinds = FAULT_KINDS.filter(kind =>
    random.chance(OFTEN.includes(kind) ? 0.5 : draw.isRisky(kind) || kind === 'clock-jump' ? 0.2 : 0.25)
  )
  if (kinds.length === 0) kinds.push(random.pick(OFTEN))
  const count = logBetween(random, 1, MAX_FAULTS)
  strikeJoins(random, scene, draw, kinds)
  const bursts = random.chance(0.3) ? Array.from({ length: random.between(1, 2) }, () => draw.time()) : []
  // Some are refused, for lack of a node that may be struck.
  for (let tries = 0; tries < 3 * MAX_FAULTS && draw.faults.length < count; tries++) {
    const atMs = bursts.length > 0 && random.chance(0.7) ? random.pick(bursts) + random.between(0, 500) : undefined
    // Now and then before the cluster has formed.
    const isStartUp = atMs === undefined && random.chance(0.05)
    draw.add(random.pick(kinds), { atMs: isStartUp ? random.between(100, scene.startMs) : atMs })
  }
  // A node alone cannot be cut off, and may have no data to lose.
  if (draw.faults.length === 0) draw.add('crash')
}

/** While ranges move, whoever gives, takes or watches is struck. */
function strikeJoins(random: SimRandom, scene: Scene, draw: FaultDraw, kinds: readonly FaultKind[]): void {
  const striking = kinds.filter(kind => MACHINE.includes(kind))
  for (const { name, joinAtMs } of scene.nodes) {
    if (joinAtMs === 0 || striking.length === 0 || !random.chance(0.6)) continue
    draw.add(random.pick(striking), {
      atMs: joinAtMs + random.between(0, 4 * scene.settings.gossipIntervalMs + 3000),
      node: random.chance(0.5) ? name : undefined
    })
  }
}
