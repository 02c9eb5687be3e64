/**
 * Runs aimed at one hard corner each, with drawn details, beside the swarm that mixes everything.
 */

import { SimRandom } from '../world/random.ts'
import { assemble } from './assemble.ts'
import { FaultDraw } from './draw-faults.ts'
import { drawChurn, drawMix } from './draw-mix.ts'
import { drawScene, logBetween, type Scene, type SceneWish } from './draw-scene.ts'
import { drawWorkload, type WorkloadWish } from './draw-workload.ts'
import type { FaultKind, Plan } from './plan.ts'

export interface Scenario {
  name: string
  /** One line, for people who choose. */
  what: string
  draw(seed: string, options: { nodes?: number }): Plan
}

interface Script {
  scene?: SceneWish
  workload?: WorkloadWish | ((scene: Scene) => WorkloadWish)
  /** Share of seeds in which any number of copies may be destroyed. */
  lawless?: number
  faults?(draw: FaultDraw, scene: Scene): void
}

function scripted(name: string, what: string, write: (random: SimRandom) => Script): Scenario {
  return {
    name,
    what,
    draw(seed, { nodes }) {
      const random = new SimRandom(`plan/${seed}`).fork(`${name}/script`)
      const script = write(random)
      const scene = drawScene(seed, name, nodes === undefined ? (script.scene ?? {}) : { ...script.scene, nodes })
      const wish = typeof script.workload === 'function' ? script.workload(scene) : script.workload
      const operations = drawWorkload(scene, wish)
      const draw = new FaultDraw(scene, operations, { lawless: random.chance(script.lawless ?? 0) })
      script.faults?.(draw, scene)
      return assemble(scene, operations, draw.faults)
    }
  }
}

/** So many faults of these kinds at any time; fewer where a kind finds no node. */
function scatter(draw: FaultDraw, kinds: readonly FaultKind[], low: number, high: number): void {
  for (let left = draw.random.between(low, high); left > 0; left--) draw.add(draw.random.pick(kinds))
}

const EDITS = { get: 1, put: 1, 'blind-put': 0.3, update: 1, delete: 0.5 } as const
/** What is there once never goes: whoever does not find it is wrong. */
const ADDITIONS = { get: 3, put: 1, 'blind-put': 0.3, update: 0.5 } as const

export const SCENARIOS: readonly Scenario[] = [
  { name: 'swarm', what: 'everything mixed, each seed with its own faults on and off (the default)', draw: drawMix },
  { name: 'churn', what: 'the same, while nodes join, leave, die and come back all the time', draw: drawChurn },

  scripted('calm', 'no faults, perhaps joins: no operation may fail', () => ({ scene: { links: 'clean' } })),

  scripted('partition', 'reads and writes on all sides of partitions, which heal', random => ({
    scene: { size: [3, 9], joins: random.chance(0.2) ? [1, 2] : [0, 0] },
    workload: { kinds: EDITS, keys: [1, 6], spread: true },
    faults(draw) {
      for (let left = random.between(1, 3); left > 0; left--) {
        draw.add('partition', { forMs: logBetween(random, 3000, 15_000) })
      }
      if (random.chance(0.4)) scatter(draw, ['one-way', 'swizzle', 'reset', 'bad-links'], 1, 3)
    }
  })),

  scripted('join', 'two to six nodes join under load, while owners and joiners crash, hang or are cut off', random => {
    const isParted = random.chance(0.4)
    const oneCopy = random.chance(isParted ? 0.7 : 0.15) ? random.pick([0.3, 0.8]) : undefined
    return {
      scene: { size: [3, 11], joins: [2, 6] },
      workload: oneCopy === undefined ? {} : { oneCopy, spread: true },
      faults(draw, scene) {
        if (isParted) partJoins(random, draw, scene)
        strikeJoins(random, draw, scene)
      }
    }
  }),

  scripted(
    'leave',
    'one to four nodes leave under load, some while others join, crash, hang or are cut off',
    random => ({
      scene: { size: [3, 9], joins: random.chance(0.4) ? [1, 3] : [0, 0] },
      faults(draw, { nodes, startMs, endMs }) {
        const leavers = random.shuffle(nodes).slice(0, random.between(1, Math.min(4, nodes.length - 1)))
        for (const { name, joinAtMs } of leavers) {
          const atMs = random.between(Math.max(startMs, joinAtMs + 1000), endMs)
          draw.add('leave', { atMs, node: name })
          if (!random.chance(0.5)) continue
          const kind = random.pick(['crash', 'pause', 'restart', 'power-cut', 'partition', 'one-way'] as const)
          const struck = random.chance(0.5) ? name : undefined
          draw.add(kind, { atMs: atMs + random.between(0, 3000), forMs: logBetween(random, 500, 10_000), node: struck })
        }
      }
    })
  ),

  scripted(
    'death',
    'nodes are down, hang or are cut off for so long that the others take over what they owned',
    random => ({
      scene: { size: [3, 9], joins: random.chance(0.2) ? [1, 1] : [0, 0], reclaims: true, leastMs: 70_000 },
      workload: { spread: random.chance(0.5) },
      faults(draw, { nodes, startMs, settings }) {
        const most = Math.max(1, Math.floor((nodes.length - 1) / 2))
        const struck = random.shuffle(nodes.filter(({ joinAtMs }) => joinAtMs === 0)).slice(0, random.between(1, most))
        const together = random.chance(0.4) ? startMs + random.between(1000, 8000) : undefined
        for (const { name } of struck) {
          const kind = random.weighted([
            ['crash', 5],
            ['pause', 2],
            ['partition', 3],
            ['swizzle', 1],
            ['power-cut', 1]
          ] as const)
          const atMs = together ?? startMs + random.between(1000, 15_000)
          // Some are back before anybody has given them up, most are not.
          draw.add(kind, { atMs, forMs: logBetween(random, 15_000, 2 * settings.reclaimAfterMs! + 60_000), node: name })
        }
        if (random.chance(0.4)) scatter(draw, ['one-way', 'reset', 'restart', 'bad-links', 'pause'], 1, 3)
      }
    })
  ),

  scripted('power', 'power cuts of one node or of all at once, in every durability', random => ({
    scene: powerScene(random),
    workload: { kinds: { get: 0.6, put: 1, 'blind-put': 0.5, update: 1, delete: 0.4, 'expiring-put': 0.2 } },
    lawless: 0.3,
    faults(draw, { nodes }) {
      for (let left = random.between(1, 4); left > 0; left--) {
        const atMs = random.chance(0.6) ? draw.busyTime() : draw.time()
        if (random.chance(0.4)) {
          draw.add('power-cut', { atMs, forMs: logBetween(random, 500, 8000) })
          continue
        }
        // The house goes dark; machines come back when each has booted. Where that is beyond the budget, few are struck.
        for (const { name } of nodes) {
          draw.add('power-cut', { atMs: atMs + random.below(20), forMs: logBetween(random, 500, 8000), node: name })
        }
      }
    }
  })),

  scripted('disk', 'rot, I/O errors, lost and misdirected writes, full and stalled disks', random => ({
    scene: { size: [3, 7], joins: random.chance(0.3) ? [1, 1] : [0, 0], minW: 2 },
    faults(draw) {
      const ruin = ['bit-rot', 'eio', 'lost-write', 'misdirected-write'] as const
      scatter(draw, [...ruin, 'disk-full', 'disk-stall'], 2, 8)
      // What is wrong on a disk is found when it is read: after a start at the latest.
      for (const fault of [...draw.faults]) {
        if (!ruin.some(kind => kind === fault.kind) || !('node' in fault) || !random.chance(0.5)) continue
        draw.add(random.pick(['crash', 'restart', 'power-cut']), {
          atMs: fault.atMs + random.between(200, 4000),
          forMs: logBetween(random, 500, 4000),
          node: fault.node
        })
      }
    }
  })),

  scripted('deletes', 'deletes while nodes are away, which return with what was deleted', random => ({
    scene: { size: [3, 7], joins: [0, 1] },
    workload: {
      kinds: { get: 0.5, put: 1, update: 0.5, delete: 1.2, 'blind-delete': 0.6 },
      keys: [2, 8],
      spread: true
    },
    faults(draw, { nodes }) {
      for (const { name } of random.shuffle(nodes).slice(0, random.between(1, 2))) {
        for (let left = random.between(1, 2); left > 0; left--) {
          const kind = random.pick(['crash', 'pause', 'partition', 'swizzle', 'disk-stall'] as const)
          draw.add(kind, { forMs: logBetween(random, 5000, 20_000), node: name })
        }
      }
      if (random.chance(0.3)) scatter(draw, ['one-way', 'restart', 'power-cut'], 1, 2)
    }
  })),

  scripted(
    'returns',
    'a node is cut off while keys are deleted, for so long that they could be reaped, and is asked as soon as it is back',
    random => {
      const awayMs = random.between(12_000, 20_000)
      const away = ({ startMs, nodes }: Scene) => ({ atMs: startMs + 2000, node: nodes.length - 1 })
      return {
        scene: { size: [3, 5], joins: [0, 0], levels: { n: 3, r: 2, w: 2 }, isWan: true, leastMs: awayMs + 8000 },
        workload(scene) {
          const { atMs, node } = away(scene)
          return {
            kinds: { get: 1, put: 0.3 },
            keys: [8, 20],
            operations: [10, 40],
            spread: true,
            rushes: [
              { atMs: scene.startMs, forMs: 1500, kind: 'blind-put', via: 0, operations: 30 },
              { atMs: atMs + 500, forMs: 2000, kind: 'delete', via: 0, operations: 30 },
              { atMs: atMs + awayMs, forMs: 4000, kind: 'get', via: node, operations: random.between(80, 200) }
            ]
          }
        },
        faults(draw, scene) {
          const { atMs, node } = away(scene)
          const { name } = scene.nodes[node]!
          draw.add(random.pick(['partition', 'partition', 'swizzle', 'pause']), { atMs, forMs: awayMs, node: name })
          if (random.chance(0.3)) scatter(draw, ['one-way', 'restart', 'power-cut'], 1, 2)
        }
      }
    }
  ),

  scripted('hot-key', 'many clients on one or two keys, over links that lose and repeat', random => ({
    scene: { size: [2, 7], links: 'lossy' },
    workload: {
      clients: [4, 6],
      keys: [1, 2],
      operations: [60, 250],
      kinds: { get: 0.8, put: 1, 'blind-put': 0.4, update: 1, delete: 0.2 },
      spread: random.chance(0.7)
    },
    faults: draw => scatter(draw, ['crash', 'pause', 'one-way', 'bad-links', 'reset', 'disk-stall'], 0, 3)
  })),

  scripted('adversary', 'a member gossips forged and replayed records of others', random => ({
    scene: { size: [2, 9] },
    faults(draw) {
      scatter(draw, ['forge', 'replay-record'], 4, 10)
      if (random.chance(0.6)) scatter(draw, ['crash', 'restart', 'partition', 'pause'], 1, 3)
    }
  })),

  scripted('pauses', 'nodes hang for 5 to 20 s, clocks jump', random => ({
    scene: { size: [2, 7] },
    faults(draw) {
      for (let left = random.between(1, 4); left > 0; left--) {
        draw.add('pause', { forMs: logBetween(random, 5000, 20_000) })
      }
      scatter(draw, ['clock-jump'], 0, 4)
    }
  })),

  scripted('wipe', 'nodes lose their directories and are filled again', random => ({
    ...wipeScript(random),
    faults(draw) {
      for (let left = random.between(1, 4); left > 0; left--) {
        draw.add('wipe', { forMs: logBetween(random, 500, 8000) })
      }
      if (random.chance(0.5)) scatter(draw, ['crash', 'restart', 'pause', 'partition', 'one-way'], 1, 3)
    }
  })),

  scripted('restarts', 'rolling restarts, and all nodes at once', random => ({
    scene: { size: [2, 9] },
    faults(draw, { nodes, startMs, endMs }) {
      const kind = random.pick(['restart', 'restart', 'crash'] as const)
      const down = () => logBetween(random, 300, 3000)
      if (random.chance(0.7)) {
        const gapMs = Math.min(random.between(500, 4000), Math.floor((endMs - startMs) / nodes.length))
        random.shuffle(nodes).forEach(({ name }, index) => {
          draw.add(kind, { atMs: startMs + index * gapMs, forMs: down(), node: name })
        })
      }
      if (random.chance(0.5) || draw.faults.length === 0) {
        const atMs = draw.time()
        for (const { name } of nodes) draw.add(kind, { atMs: atMs + random.below(200), forMs: down(), node: name })
      }
    }
  }))
]

/** Where every range has one copy, and that is synced, no other copy makes up for what a cut takes. */
function powerScene(random: SimRandom): SceneWish {
  if (random.chance(0.25)) return { size: [1, 5], levels: { n: 1, r: 1, w: 1 }, durability: 'disk' }
  const durability = random.chance(0.4) ? 'disk' : undefined
  return { size: [1, 7], minW: random.chance(0.75) ? 2 : 1, durability }
}

/** In half of the runs nothing is deleted, so that an absence is an error; in some of those, one copy answers for all. */
function wipeScript(random: SimRandom): Script {
  const scene: SceneWish = { size: [3, 7], joins: random.chance(0.3) ? [1, 1] : [0, 0], minW: 2 }
  if (random.chance(0.5)) return { scene, workload: { kinds: EDITS } }
  const levels = random.chance(0.5) ? { n: 3, r: 1, w: 3 } : undefined
  return { scene: { ...scene, levels }, workload: { kinds: ADDITIONS, operations: [100, 300], spread: true } }
}

/** Lists change without members that are cut off, take writes that the others do not hear of, and return. */
function partJoins(random: SimRandom, draw: FaultDraw, { nodes, settings }: Scene): void {
  for (const { joinAtMs } of nodes) {
    if (joinAtMs === 0 || !random.chance(0.6)) continue
    const atMs = Math.max(0, joinAtMs - 1500) + random.between(0, 3) * settings.gossipIntervalMs
    draw.add('partition', { atMs, forMs: logBetween(random, 2000, 15_000) })
  }
}

/**
 * A joiner asks once nobody new has turned up for two rounds of gossip, and asks again every 200 ms: around then copies
 * are sealed and granted.
 */
function strikeJoins(random: SimRandom, draw: FaultDraw, { nodes, settings }: Scene): void {
  const kinds = [
    'crash',
    'crash',
    'pause',
    'power-cut',
    'restart',
    'one-way',
    'partition',
    'reset',
    'disk-stall'
  ] as const
  for (const { name, joinAtMs } of nodes) {
    if (joinAtMs === 0) continue
    for (let left = random.between(0, 2); left > 0; left--) {
      const atMs = joinAtMs + random.between(1, 4) * settings.gossipIntervalMs + random.between(0, 2000)
      const node = random.chance(0.4) ? name : undefined
      draw.add(random.pick(kinds), { atMs, forMs: logBetween(random, 500, 10_000), node })
    }
  }
}
