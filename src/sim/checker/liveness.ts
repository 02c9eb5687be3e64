/** What must come to pass: answers, and rest. */
import type { ReadRecord, WriteRecord } from '../history.ts'
import type { Case } from './case.ts'
import { type Breach, type Rule, seconds } from './rule.ts'

/** Errors that tell of a key, not of a cluster. */
const OF_THE_KEY = ['too-many-siblings', 'too-large']

/**
 * `not-settled`. After the healing everything comes to rest within the plan's time: all nodes serve and see each other,
 * agree on the owners, have no copy that is syncing or frozen, and replicas are equal. Source: design §10, §11; issue 3
 * (liveness within a stated virtual time: `plan/plan-times.ts`).
 */
export const notSettled: Rule = {
  name: 'not-settled',
  what: 'after the healing everything settles within the time that the plan allows',
  source: 'design §10, §11; failures 26, 34, 36, 43, 48',
  always: true,
  check: ({ plan, findings, settled }) => {
    if (settled) return []
    const keys = /\bk\d+\b/.exec(findings.unsettled.join(' '))
    return [
      {
        message: `${seconds(plan.settleMs)} after the healing: ${findings.unsettled.join('; ') || 'nothing at the last look, but it never stayed so'}`,
        ...(keys && { key: keys[0] })
      }
    ]
  }
}

/**
 * `never-answered`. Every operation ends, with an answer or an error: each request carries a deadline.
 * Source: design §4.
 */
export const neverAnswered: Rule = {
  name: 'never-answered',
  what: 'every operation is answered or refused in the end',
  source: 'design §4; failures 24, 30',
  always: true,
  check: run =>
    operations(run)
      .filter(({ outcome }) => outcome === 'pending')
      .map(operation => told(operation, 'was never answered'))
}

/**
 * `refused-in-calm`. Where no fault is planned, no message is lost and no range moves, every operation succeeds. Ranges
 * move for a while after a node has joined (`Case.movingMs`); joins are judged by what they keep, not by what they refuse.
 * A key that is over its limits may be refused always. Source: design §8 (a write fails only if fewer than W nodes can be reached).
 */
export const refusedInCalm: Rule = {
  name: 'refused-in-calm',
  what: 'without faults, losses and joins no operation fails',
  source: 'design §8',
  always: true,
  check: run => {
    const { faults, links } = run.plan
    if (faults.length > 0 || links.loss > 0) return []
    return operations(run)
      .filter(({ startMs, endMs, error }) => isRefused(error) && !run.isMoving(startMs, endMs ?? startMs))
      .map(operation => told(operation, `failed, with no fault in the run: ${operation.error}`))
  }
}

/**
 * `failed-after-heal`. Once the time to settle is over, and for the reads that look at a settled cluster, every operation
 * succeeds. Source: design §8, §11; failures 27, 28.
 */
export const failedAfterHeal: Rule = {
  name: 'failed-after-heal',
  what: 'once everything has settled no operation fails',
  source: 'design §8, §11; failures 27, 28',
  always: false,
  check: run =>
    operations(run)
      .filter(({ startMs, error }) => isRefused(error) && startMs >= run.plan.healAtMs + run.plan.settleMs)
      .map(operation => told(operation, `failed long after the healing: ${operation.error}`))
}

type Told = (ReadRecord | WriteRecord) & { name: string; ids: Pick<Breach, 'reads' | 'writes'> }

function operations({ history }: Case): Told[] {
  return [
    ...history.writes.map(write => ({ ...write, name: `w${write.id}`, ids: { writes: [write.id] } })),
    ...history.reads.map(read => ({ ...read, name: `read r${read.id}`, ids: { reads: [read.id] } }))
  ]
}

const isRefused = (error: string | undefined): boolean =>
  error !== undefined && !OF_THE_KEY.some(code => error.startsWith(code))

function told({ name, key, client, startMs, ids }: Told, what: string): Breach {
  return { key, message: `${name} of ${key} by client ${client}, sent at ${seconds(startMs)}, ${what}`, ...ids }
}
