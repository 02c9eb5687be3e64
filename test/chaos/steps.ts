/** Changes of the ring under load, one after the other: how long each took, what it moved, and what the load felt. */
import { round, table } from '../bench/measure.ts'
import { figures, type Load } from './load.ts'
import { type Moved, moved, shapeOf } from './shape.ts'
import type { Site } from './site.ts'

const SETTLE_MS = 300_000
/** Ranges that a node may be from its share in the end. */
const EVEN_WITHIN = 1
const MB = 1e6

const HEADS = [
  'step',
  'nodes',
  'even and whole after s',
  'ranges a node',
  'ideal',
  'copies moved',
  'MB received',
  'MB least',
  '÷ least',
  'failed',
  'p99 ms',
  'p99 ms before'
]

interface Step {
  name: string
  fromMs: number
  toMs: number
  nodes: number
  counts: number[]
  ranges: number
  moved: Moved
}

export class Steps {
  readonly #site: Site
  readonly #load: Load
  readonly #before: { fromMs: number; toMs: number }
  readonly #steps: Step[] = []

  /** `quietMs`: for so long until now the load had the cluster to itself, which each step is compared with. */
  constructor(site: Site, load: Load, quietMs: number) {
    this.#site = site
    this.#load = load
    this.#before = { fromMs: load.nowMs - quietMs, toMs: load.nowMs }
  }

  /** Lasts until every range has its copies, and every node its share and at most `within` ranges more or less. */
  async take(name: string, act: () => Promise<void>, within = EVEN_WITHIN): Promise<void> {
    const before = await shapeOf(this.#site)
    const fromMs = this.#load.nowMs
    await act()
    await this.#site.settled(SETTLE_MS, within)
    const toMs = this.#load.nowMs
    const after = await shapeOf(this.#site)
    const { counts } = after
    const step = {
      name,
      fromMs,
      toMs,
      nodes: counts.length,
      counts,
      ranges: after.lists.length,
      moved: moved(before, after)
    }
    this.#steps.push(step)
    console.error(
      `  ${this.#row(step)
        .map(cell => (typeof cell === 'number' ? round(cell) : cell))
        .join(' | ')}`
    )
  }

  table(): string {
    return table(
      HEADS,
      this.#steps.map(step => this.#row(step))
    )
  }

  #row({ name, fromMs, toMs, nodes, counts, ranges, moved: { copies, leastBytes, bytes } }: Step): (string | number)[] {
    const during = this.#figures({ fromMs, toMs })
    return [
      name,
      `${nodes}`,
      (toMs - fromMs) / 1000,
      `${Math.min(...counts)}–${Math.max(...counts)}`,
      ranges / nodes,
      `${copies}`,
      bytes / MB,
      leastBytes / MB,
      bytes / leastBytes,
      `${during.failed}`,
      during.p99!,
      this.#figures(this.#before).p99!
    ]
  }

  /** Of the operations that were due in that time; those still under way then are in it once they have ended. */
  #figures({ fromMs, toMs }: { fromMs: number; toMs: number }): Record<string, number> {
    return figures(this.#load.samples.filter(({ atMs }) => atMs >= fromMs && atMs < toMs))
  }
}
