/**
 * The checker: judges a run by what clients did and saw and by what was found in the end. Pure: the same run, the same
 * verdict. One file a family of rules; each rule says where its promise comes from, and what excuses a breach.
 *
 * @example
 *   for (const { rule, message } of check(plan, history, findings)) console.log(`${rule}: ${message}`)
 *   check(plan, history, findings, { rules: { 'stale-read-moving': false } })
 */
import type { Findings, History, Violation } from '../history.ts'
import type { Plan } from '../plan/plan.ts'
import { expiredRead, falseSibling, phantom } from './answers.ts'
import { unbounded } from './bounds.ts'
import { Case } from './case.ts'
import { failedAfterHeal, neverAnswered, notSettled, refusedInCalm } from './liveness.ts'
import { droppedSibling, lostWrite } from './lost-writes.ts'
import { diverged, owners, unreadable } from './replicas.ts'
import { resurrected } from './resurrected.ts'
import { twoGrants, twoMembersFlipped } from './ring.ts'
import type { Rule } from './rule.ts'
import { falseAbsence, staleRead, staleReadMoving } from './stale-reads.ts'

export interface CheckOptions {
  /** By name: false switches a rule off. */
  rules?: Readonly<Record<string, boolean>>
}

/** More of the same rule say nothing new. */
const MOST_A_RULE = 10

/**
 * What weighs most comes first. Here belong, when they come: stand-ins (a hint is handed over exactly once), reaping (a
 * tombstone goes only when every member's range clock covers it), leaving (a node that left owns nothing), reclaiming (a
 * minority takes nothing over).
 */
export const RULES: readonly Rule[] = [
  lostWrite,
  droppedSibling,
  resurrected,
  falseSibling,
  phantom,
  staleRead,
  falseAbsence,
  expiredRead,
  diverged,
  unreadable,
  owners,
  twoGrants,
  twoMembersFlipped,
  staleReadMoving,
  notSettled,
  neverAnswered,
  refusedInCalm,
  failedAfterHeal,
  unbounded
]

export function check(
  plan: Plan,
  history: History,
  findings: Findings,
  { rules = {} }: CheckOptions = {}
): Violation[] {
  const run = new Case(plan, history, findings)
  return RULES.filter(({ name, always }) => rules[name] !== false && (always || run.settled)).flatMap(rule => {
    const breaches = rule.check(run)
    return breaches.slice(0, MOST_A_RULE).map(breach => ({ rule: rule.name, ...breach }))
  })
}
