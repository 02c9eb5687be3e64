/** What `coterie sim` tells about its runs: progress, the summary, a failure and how to see it again. Pure. */
import type { Plan } from '../../sim/plan/plan.ts'
import type { RunResult, Simulator } from '../parts.ts'
import type { Style } from './style.ts'
import { count, duration, harmless, plural } from './text.ts'

/** Violations beyond these repeat what the first ones say. */
const MOST_MESSAGES = 10
const MOST_STORIES = 3
const MS_PER_MINUTE = 60_000
const MS_PER_HOUR = 3_600_000

/** All runs of one command so far, without those that made a failing plan smaller. */
export interface Tally {
  seeds: number
  events: number
  virtualMs: number
  realMs: number
  /** Seeds with a violation. */
  failed: string[]
}

export const emptyTally = (): Tally => ({ seeds: 0, events: 0, virtualMs: 0, realMs: 0, failed: [] })

export function addRun(tally: Tally, seed: string, { events, virtualMs, realMs, violations }: RunResult): void {
  tally.seeds++
  tally.events += events
  tally.virtualMs += virtualMs
  tally.realMs += realMs
  if (violations.length > 0) tally.failed.push(seed)
}

/** `17 of 100 seeds, 133 a minute, 3,290 × real time, no violation` */
export function progressLine(tally: Tally, total: number): string {
  const done = `${count(tally.seeds)} of ${plural(total, 'seed')}`
  const speed = tally.seeds === 0 ? '' : `, ${perMinute(tally)} a minute, ${ratio(tally)} × real time`
  return `${done}${speed}, ${failures(tally)}`
}

export function summaryLines(tally: Tally, total: number, style: Style): string[] {
  const ran = tally.seeds < total ? `${count(tally.seeds)} of ${plural(total, 'seed')}` : plural(total, 'seed')
  const verdict = tally.failed.length === 0 ? style.green(failures(tally)) : style.red(failures(tally))
  if (tally.seeds === 0) return [`${ran}: ${verdict}`]
  const failed = tally.failed.length > 0 ? [`with a violation: ${tally.failed.map(harmless).join(' ')}`] : []
  return [
    `${ran}: ${verdict}`,
    `${hours(tally.virtualMs)} simulated in ${hours(tally.realMs)}: ${ratio(tally)} × real time, ` +
      `${perMinute(tally)} seeds a minute, ${plural(tally.events, 'event')}`,
    ...failed
  ]
}

/** The violations of a run, what it was made of, and how they came about. */
export function failureLines(
  title: string,
  { plan, violations, history, findings }: RunResult,
  { planSummary, tellStory }: Pick<Simulator, 'planSummary' | 'tellStory'>,
  style: Style
): string[] {
  const more = violations.length - MOST_MESSAGES
  return [
    style.bold(title),
    ...violations.slice(0, MOST_MESSAGES).map(({ rule, message }) => `  ${style.red(rule)}: ${message}`),
    ...(more > 0 ? [`  and ${plural(more, 'violation')} more`] : []),
    'what was run:',
    ...indented(planSummary(plan)),
    ...violations.slice(0, MOST_STORIES).flatMap(violation => {
      const of = violation.key === undefined ? violation.rule : `${violation.rule} of ${violation.key}`
      return [`how it came about (${of}):`, ...indented(tellStory(violation, plan, history, findings))]
    })
  ]
}

/** `5 nodes, 12 faults, 100 operations` */
export const sizeOf = ({ nodes, faults, operations }: Pick<Plan, 'nodes' | 'faults' | 'operations'>): string =>
  [plural(nodes.length, 'node'), plural(faults.length, 'fault'), plural(operations.length, 'operation')].join(', ')

/** What a person types to see this run again, anywhere. */
export function replayCommand(seed: string, scenario: string, nodes: number | undefined): string {
  return `coterie sim --seed ${shellWord(seed)} --scenario ${shellWord(scenario)}${nodes === undefined ? '' : ` --nodes ${nodes}`}`
}

export const replayFile = (file: string): string => `coterie sim --plan ${shellWord(file)}`

/** One line of `--json`. */
export function runJson({ plan, violations, digest, events, virtualMs, realMs }: RunResult): unknown {
  return { seed: plan.seed, scenario: plan.scenario, events, virtualMs, realMs: Math.round(realMs), digest, violations }
}

const indented = (lines: string[]): string[] => lines.map(line => `  ${line}`)

const shellWord = (text: string): string =>
  /^[\w./:@-]+$/.test(text) ? text : `'${harmless(text).replaceAll("'", `'\\''`)}'`

function failures({ failed }: Tally): string {
  return failed.length === 0 ? 'no violation' : `${plural(failed.length, 'seed')} with a violation`
}

const ratio = ({ virtualMs, realMs }: Tally): string => rate(virtualMs, realMs)
const perMinute = ({ seeds, realMs }: Tally): string => rate(seeds * MS_PER_MINUTE, realMs)

/** Whole above ten. A run too short to measure counts as one of a millisecond. */
function rate(amount: number, realMs: number): string {
  const value = amount / Math.max(1, realMs)
  return count(value < 10 ? Number(value.toFixed(1)) : Math.round(value))
}

function hours(ms: number): string {
  return ms < MS_PER_HOUR ? duration(ms) : `${count(Number((ms / MS_PER_HOUR).toFixed(1)))} h`
}
