/**
 * One run: a plan carried out on a simulated cluster, judged when it is over. The same plan gives the same run, event for
 * event, in every process.
 *
 * @example
 *   const { violations, digest } = await runSeed('42')
 *   const again = await runPlan(smaller, { trace: line => console.log(line) })
 */
import { check } from './checker/check.ts'
import { Cluster } from './cluster.ts'
import { Faults } from './faults.ts'
import { type Findings, History, NOTHING_FOUND, type Violation } from './history.ts'
import { Inspector } from './inspector.ts'
import { keyName, type Plan } from './plan/plan.ts'
import { drawPlan } from './plan/swarm.ts'
import { type Breach, guarded, watchRejections } from './sentry.ts'
import { EventLog, type Trace } from './world/event-log.ts'
import { SimRandom } from './world/random.ts'
import { WORLD, World } from './world/world.ts'

export interface RunOptions {
  trace?: Trace
  /** Watch for real timers and real I/O, too; slower. */
  strict?: boolean
  /** Real milliseconds from an arbitrary start, to tell how fast a run was; without it `realMs` is 0. */
  realMs?: () => number
}

export interface SeedOptions extends RunOptions {
  /** Default `swarm`. */
  scenario?: string
  /** Of this many nodes, instead of as many as the seed draws. */
  nodes?: number
}

export interface RunResult {
  plan: Plan
  violations: Violation[]
  history: History
  findings: Findings
  /** SHA-256 over the event log, 64 hex digits. */
  digest: string
  events: number
  virtualMs: number
  realMs: number
}

export function runSeed(seed: string, { scenario, nodes, ...options }: SeedOptions = {}): Promise<RunResult> {
  return runPlan(drawPlan(seed, { scenario, nodes }), options)
}

/** Never rejects for what the code under test does: that becomes a violation. */
export async function runPlan(
  plan: Plan,
  { trace, strict = false, realMs = () => 0 }: RunOptions = {}
): Promise<RunResult> {
  const startMs = realMs()
  const log = new EventLog(trace)
  const world = new World(new SimRandom(`run/${plan.seed}`), log)
  const history = new History()
  const run = new Run(world, plan, history)
  const violations: Violation[] = []
  const onBreach = ({ what, where }: Breach) => {
    const message = `${what} at ${where}: a run must not depend on it`
    if (violations.every(one => one.message !== message)) violations.push({ rule: 'nondeterminism', message })
  }
  const findings = await guarded({ strict, onBreach }, () => run.findings())
  if (findings.broke !== undefined) violations.push(findings.broke)
  else violations.push(...run.violations(), ...check(plan, history, findings.found))
  return {
    plan,
    violations,
    history,
    findings: findings.found,
    digest: log.digest(),
    events: log.events,
    virtualMs: world.nowMs,
    realMs: realMs() - startMs
  }
}

class Run {
  readonly #world: World
  readonly #plan: Plan
  readonly #cluster: Cluster
  readonly #faults: Faults

  constructor(world: World, plan: Plan, history: History) {
    this.#world = world
    this.#plan = plan
    this.#cluster = new Cluster(world, plan, history)
    this.#faults = new Faults(this.#cluster)
  }

  async findings(): Promise<{ found: Findings; broke?: Violation }> {
    const stopWatching = watchRejections(error => this.#world.fail(new Error('unhandled rejection', { cause: error })))
    try {
      return { found: await this.#world.run(() => this.#main()) }
    } catch (error) {
      const broke = { rule: 'broke', message: inFull(error) }
      return { found: { ...NOTHING_FOUND, ...this.#watched }, broke }
    } finally {
      stopWatching()
    }
  }

  /** What the machines themselves have to say. */
  violations(): Violation[] {
    return this.#cluster.machines.flatMap(({ name, deaths }) =>
      deaths
        .filter(why => !this.#isExcused(name, why))
        .map(why => ({ rule: 'process-died', message: `the process of ${name} gave up: ${why}` }))
    )
  }

  /** A process may give up for what its disk did to it. */
  #isExcused(name: string, why: string): boolean {
    const onDisk = ['disk-full', 'eio', 'bit-rot', 'lost-write', 'misdirected-write']
    return (
      this.#plan.faults.some(fault => 'node' in fault && fault.node === name && onDisk.includes(fault.kind)) &&
      /start/.test(why)
    )
  }

  async #main(): Promise<Findings> {
    const world = this.#world
    const plan = this.#plan
    this.#cluster.schedule()
    this.#faults.schedule()
    const operations = plan.operations.map(operation => this.#operation(operation))
    await world.sleep(plan.healAtMs)
    world.log.add(world.nowMs, WORLD.name, 'heal')
    this.#faults.heal()
    await Promise.all(operations)
    const keys = [...new Set(plan.operations.map(({ key }) => keyName(key)))].sort()
    const found = await new Inspector(this.#cluster, () => this.#faults.destroyed.length > 0).look(keys, plan.settleMs)
    return { ...found, ...this.#watched }
  }

  /** What was noted while the run was on. */
  get #watched(): Pick<Findings, 'destroyed' | 'ring'> {
    return { destroyed: this.#faults.destroyed, ring: this.#cluster.ring.found }
  }

  async #operation(operation: Plan['operations'][number]): Promise<void> {
    await this.#world.sleep(operation.atMs)
    await this.#cluster.client(operation.client).run(operation)
  }
}

/** An error with its causes and where it came from. */
function inFull(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `; caused by ${inFull(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}
