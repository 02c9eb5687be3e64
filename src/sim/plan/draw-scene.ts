/**
 * The stage of a run, drawn from its seed: the cluster, its settings, clocks, links and disks, and when clients are at
 * work. The timeouts are scaled down, so that what takes an hour in life takes a minute of virtual time.
 */
import { DEFAULT_SETTINGS, type Durability, type NodeSettings } from '../../config.ts'
import { SimRandom } from '../world/random.ts'
import type { DiskProfile, LinkProfile, NodePlan, Plan } from './plan.ts'

type Bounds = readonly [low: number, high: number]

/** What a scenario asks for; everything else is drawn. */
export interface SceneWish {
  /** All nodes, those that join later too; by default drawn from `size`. */
  nodes?: number
  size?: Bounds
  /** Nodes that join while clients are at work; fewer where there are too few nodes. */
  joins?: Bounds
  durability?: Durability
  /** Copies, and how many must answer. */
  levels?: Pick<Plan['params'], 'n' | 'r' | 'w'>
  /** Lowest W of the cluster and of any operation: what W = 1 acknowledges, one broken disk may lose. */
  minW?: number
  /** Sometimes clients start before the cluster has formed: their first operations may fail. */
  mayStartEarly?: boolean
  /** `clean`: nothing is lost or sent twice; `lossy`: much is. */
  links?: 'clean' | 'lossy'
  /** Nodes are far apart: what takes two messages there and back takes long enough for others to see. By default in some runs. */
  isWan?: boolean
  /** What nodes owned that are down for long is taken over; by default nothing is while a run lasts. */
  reclaims?: boolean
  /** At least so long are clients at work. */
  leastMs?: number
}

export interface Scene extends Pick<Plan, 'params' | 'nodes' | 'links' | 'disks'> {
  seed: string
  scenario: string
  /** Of the whole plan: fork it for every concern. */
  random: SimRandom
  settings: Partial<NodeSettings> & { durability: Durability; gossipIntervalMs: number }
  minW: number
  /** Operations and faults start between these. */
  startMs: number
  endMs: number
  /** By now the first nodes have shared the ranges among them: before, there may be one copy of everything. */
  formedMs: number
}

/** Different scenarios draw different scenes from one seed. */
export function drawScene(seed: string, scenario: string, wish: SceneWish): Scene {
  const random = new SimRandom(`plan/${seed}`).fork(scenario)
  const size = drawSize(random.fork('size'), wish)
  const isWan = wish.isWan ?? random.fork('wan').chance(0.15)
  const settings = drawSettings(random.fork('settings'), wish)
  const window = drawWindow(random.fork('window'), { size, isWan, gossipIntervalMs: settings.gossipIntervalMs, wish })
  const minW = wish.minW ?? 1
  return {
    seed,
    scenario,
    random,
    params: { ...drawParams(random.fork('params'), size, minW), ...wish.levels },
    settings,
    nodes: drawNodes(random.fork('nodes'), size, window, wish),
    links: drawLinks(random.fork('links'), isWan, wish),
    disks: drawDisks(random.fork('disks')),
    minW,
    ...window
  }
}

/** Evenly distributed over the orders of magnitude: short ones are as likely as long ones. */
export function logBetween(random: SimRandom, low: number, high: number): number {
  return Math.round(low * (high / low) ** random.float())
}

export const betweenBounds = (random: SimRandom, [low, high]: Bounds): number => random.between(low, high)

/** With two places, so that a plan is pleasant to read. */
export const uniform = (random: SimRandom, low: number, high: number): number =>
  Math.round((low + random.float() * (high - low)) * 100) / 100

function drawSize(random: SimRandom, { nodes, size }: SceneWish): number {
  if (nodes !== undefined) return nodes
  if (size !== undefined) return betweenBounds(random, size)
  const bounds = random.weighted<Bounds>([
    [[1, 2], 10],
    [[3, 7], 70],
    [[8, 12], 12],
    [[13, 20], 8]
  ])
  return betweenBounds(random, bounds)
}

function drawParams(random: SimRandom, size: number, minW: number): Plan['params'] {
  const smallest = size <= 3 ? 8 : size <= 7 ? 16 : size <= 14 ? 32 : 64
  const q = Math.min(64, smallest * random.pick([1, 1, 2, 4]))
  const choices = [
    [3, 60],
    [2, 12],
    [1, 8],
    [4, 8],
    [5, 12]
  ] as const
  const n = random.weighted(choices.filter(([count]) => count >= minW))
  const majority = Math.floor(n / 2) + 1
  const w = Math.max(minW, random.chance(0.5) ? majority : random.between(1, n))
  // Mostly a read meets the last write, sometimes neither is waited for.
  if (random.chance(0.8)) return { q, n, r: random.between(n - w + 1, n), w }
  return random.chance(0.5) ? { q, n, r: 1, w } : { q, n, r: random.between(1, n), w: minW }
}

function drawSettings(random: SimRandom, wish: SceneWish): Scene['settings'] {
  const reconcileIntervalMs = random.between(10, 20) * 50
  const durability = wish.durability ?? random.pick<Durability>(['os', 'interval', 'disk'])
  const gossipIntervalMs = logBetween(random, 10, 40) * 50
  return {
    durability,
    gossipIntervalMs,
    reconcileIntervalMs,
    antiEntropyIntervalMs: random.between(10, 40) * 500,
    leaseMs: Math.max(5 * reconcileIntervalMs, random.between(10, 60) * 500),
    requestTimeoutMs: random.between(20, 50) * 100,
    hedgeDelayMs: random.between(5, 20) * 10,
    reapAfterMs: drawReaping(random.fork('reaping')),
    // Now and then nearly every read goes to the disk.
    cacheBytes: random.chance(0.25) ? random.pick([1, 256, 4096]) : DEFAULT_SETTINGS.cacheBytes,
    ...(wish.reclaims && { reclaimAfterMs: drawReclaiming(random.fork('reclaiming'), gossipIntervalMs) }),
    ...drawUpkeep(random.fork('upkeep'))
  }
}

/** A node that has heard nothing of most others for half of it trusts itself no more: some rounds of gossip have to fit. */
function drawReclaiming(random: SimRandom, gossipIntervalMs: number): number {
  return Math.max(random.between(12, 40) * 500, 8 * gossipIntervalMs)
}

/** Longer than any try of a client: a write that another has replaced is not tried again. In some runs nothing is reaped. */
function drawReaping(random: SimRandom): number {
  return random.chance(0.8) ? random.between(11, 30) * 500 : DEFAULT_SETTINGS.reapAfterMs
}

/** Files are small here: in most runs they are rewritten, hinted and handed over all the time, in the others never. */
function drawUpkeep(random: SimRandom): Pick<NodeSettings, 'compactBytes' | 'hintBytes' | 'fileTransferBytes'> {
  const bytes = (usual: number) => (random.chance(0.7) ? random.pick([200, 1000, 5000]) : usual)
  return {
    compactBytes: bytes(DEFAULT_SETTINGS.compactBytes),
    hintBytes: bytes(DEFAULT_SETTINGS.hintBytes),
    fileTransferBytes: random.chance(0.7) ? random.pick([1, 200, 1000]) : DEFAULT_SETTINGS.fileTransferBytes
  }
}

function drawWindow(
  random: SimRandom,
  { size, isWan, gossipIntervalMs, wish }: { size: number; isWan: boolean; gossipIntervalMs: number; wish: SceneWish }
) {
  // Everybody hears of everybody; joiners wait two quiet rounds; then the ranges move.
  const formedMs = 2500 + 4 * gossipIntervalMs + 200 * size + (isWan ? 2000 : 0)
  const isEarly = random.chance(0.15) && wish.mayStartEarly
  const startMs = isEarly ? random.between(500, 2500) : formedMs + random.between(0, 1500)
  return {
    formedMs: formedMs + 2000,
    startMs,
    endMs: startMs + Math.max(wish.leastMs ?? 0, logBetween(random, 10_000, 40_000))
  }
}

function drawNodes(
  random: SimRandom,
  size: number,
  { startMs, endMs }: { startMs: number; endMs: number },
  wish: SceneWish
): NodePlan[] {
  const zones = random.chance(0.35) ? random.between(2, 4) : 0
  const areUneven = random.chance(0.2)
  const clocks = random.weighted([
    ['right', 25],
    ['off', 60],
    ['hours', 15]
  ] as const)
  const drift = random.weighted([
    [0, 65],
    [1e-4, 30],
    [1e-2, 5]
  ])
  const bounds: Bounds = wish.joins ?? (random.chance(0.5) ? [1, 3] : [0, 0])
  const joins = Math.min(size - 1, betweenBounds(random, bounds))
  // Joiners that come together ask the same owners at once.
  const togetherMs = random.chance(0.4) ? random.between(startMs, endMs - 4000) : undefined
  return Array.from({ length: size }, (_, index) => {
    const joinAtMs =
      togetherMs === undefined ? random.between(startMs, endMs - 3000) : togetherMs + random.between(0, 300)
    const skewMs = clocks === 'off' || random.chance(0.5) ? random.between(-50, 50) : random.between(-60, 60) * 60_000
    return {
      name: `n${index}`,
      joinAtMs: index < size - joins ? 0 : joinAtMs,
      zone: zones === 0 ? '' : `z${random.below(zones)}`,
      capacity: areUneven ? random.pick([0.5, 1, 2, 3]) : 1,
      skewMs: clocks === 'right' ? 0 : skewMs,
      drift: drift === 0 ? 0 : drift * random.pick([-1, -0.5, 0.5, 1])
    }
  })
}

function drawLinks(random: SimRandom, isWan: boolean, { links }: SceneWish): LinkProfile {
  const share = () => {
    if (links === 'lossy') return uniform(random, 0.01, 0.05)
    return random.chance(0.3) ? uniform(random, 0.01, 0.05) : 0
  }
  const isSlow = random.chance(0.3)
  const profile = {
    minMs: isWan ? uniform(random, 20, 80) : uniform(random, 0.1, 1),
    meanMs: isWan ? uniform(random, 1, 10) : uniform(random, 0.1, 1),
    slowChance: isSlow ? 0.01 : 0,
    slowMs: isSlow ? random.between(5, 50) * 10 : 0,
    loss: share(),
    replay: share()
  }
  return links === 'clean' ? { ...profile, loss: 0, replay: 0 } : profile
}

function drawDisks(random: SimRandom): DiskProfile {
  const isSlow = random.chance(0.2)
  return {
    readMs: uniform(random, 0.05, isSlow ? 8 : 0.5),
    writeMs: uniform(random, 0.02, 0.5),
    syncMs: isSlow ? uniform(random, 5, 30) : uniform(random, 0.5, 5)
  }
}
