/** A simulator that simulates nothing: for tests of what `coterie sim` does with runs. */
import type { RunResult, SeedOptions, Simulator } from '../../src/cli/parts.ts'
import { History, NOTHING_FOUND, type Violation } from '../../src/sim/history.ts'
import type { Plan } from '../../src/sim/plan/plan.ts'

export const MINUTE_MS = 60_000

export function planOf(seed: string, nodes: number, scenario = 'swarm'): Plan {
  return {
    seed,
    scenario,
    params: { q: 8, n: 3, r: 2, w: 2 },
    settings: {},
    nodes: Array.from({ length: nodes }, (_, i) => ({
      name: `n${i}`,
      joinAtMs: 0,
      zone: '',
      capacity: 1,
      skewMs: 0,
      drift: 0
    })),
    links: { minMs: 1, meanMs: 1, slowChance: 0, slowMs: 0, loss: 0, replay: 0 },
    disks: { readMs: 0, writeMs: 0, syncMs: 0 },
    operations: [],
    faults: [],
    healAtMs: 0,
    settleMs: 0
  }
}

/** Fails as `broken` says, whatever the size of the plan down to two nodes. */
export class FakeSimulator implements Simulator {
  readonly ran: { seed: string; options: SeedOptions }[] = []
  readonly plans: Plan[] = []
  readonly #broken: (seed: string) => Violation[]
  onRun: () => void = () => {}

  constructor(broken: (seed: string) => Violation[] = () => []) {
    this.#broken = broken
  }

  #result(plan: Plan, violations: Violation[]): RunResult {
    const findings = { ...NOTHING_FOUND, settledAfterMs: 5 }
    const digest = `digest-of-${plan.seed}`
    return {
      plan,
      violations,
      history: new History(),
      findings,
      digest,
      events: 1000,
      virtualMs: 36 * MINUTE_MS,
      realMs: 450
    }
  }

  async runSeed(seed: string, options: SeedOptions = {}): Promise<RunResult> {
    this.ran.push({ seed, options })
    options.trace?.(`an event of ${seed}`)
    this.onRun()
    return this.#result(planOf(seed, options.nodes ?? 5, options.scenario), this.#broken(seed))
  }

  async runPlan(plan: Plan): Promise<RunResult> {
    this.plans.push(plan)
    return this.#result(plan, plan.nodes.length >= 2 ? this.#broken(plan.seed) : [])
  }

  async shrink(plan: Plan, fails: (candidate: Plan) => Promise<boolean>, options: Parameters<Simulator['shrink']>[2]) {
    let smallest = plan
    for (let nodes = plan.nodes.length - 1; nodes > 0; nodes--) {
      const candidate = { ...smallest, nodes: plan.nodes.slice(0, nodes) }
      options.onProgress?.({ runs: plan.nodes.length - nodes, smaller: true, best: smallest })
      if (await fails(candidate)) smallest = candidate
    }
    return smallest
  }

  checkPlan(document: unknown): Plan {
    if (typeof (document as Plan | null)?.seed !== 'string') throw new Error('it has no seed')
    return document as Plan
  }

  planSummary = (plan: Plan) => [`${plan.nodes.length} nodes of ${plan.seed}`]
  tellStory = (violation: Violation) => [`the story of ${violation.rule}`]
}
