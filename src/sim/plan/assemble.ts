/** The parts of a drawing as one plan: when it heals, and by when it must have settled. */
import type { Scene } from './draw-scene.ts'
import type { Fault, Operation, Plan } from './plan.ts'
import { endBy, lastStartMs, settleLimitMs } from './plan-times.ts'

/** Faults that would last longer end when the run heals, 1 to 3 s after the last thing has begun. */
export function assemble(scene: Scene, operations: Operation[], faults: readonly Fault[]): Plan {
  const { seed, scenario, params, settings, nodes, links, disks } = scene
  const healAtMs =
    lastStartMs({ nodes, operations, faults: [...faults] }) + scene.random.fork('heal').between(1000, 3000)
  return {
    seed,
    scenario,
    params,
    settings,
    nodes,
    links,
    disks,
    operations,
    faults: endBy(faults, healAtMs),
    healAtMs,
    settleMs: settleLimitMs({ settings, nodes, faults: [...faults] })
  }
}
