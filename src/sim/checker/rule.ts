/** What a rule of the checker is. To add one: a file of this folder, and a line in the list of `check.ts`. */
import type { Violation } from '../history.ts'
import type { Case } from './case.ts'

/** A violation before it is known which rule found it. */
export type Breach = Omit<Violation, 'rule'>

export interface Rule {
  /** Kebab-case; also the `rule` of its violations, and its name in `CheckOptions.rules`. */
  name: string
  /** What must hold, in one sentence. */
  what: string
  /** Where that is promised: a section of the design, a line of the list of failures, a page of `docs/`. */
  source: string
  /**
   * False: only judged when the cluster has settled. What a cluster holds that has not is no verdict: `not-settled` says
   * so, and says what differs.
   */
  always: boolean
  check(run: Case): Breach[]
}

/** Milliseconds as seconds, for messages. */
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(3)} s`

/** `w1, w2, w3 and 7 more`; `none` of an empty list. */
export function some(ids: readonly number[], most = 6): string {
  if (ids.length === 0) return 'none'
  const told = ids.slice(0, most).map(id => `w${id}`)
  return ids.length > most ? `${told.join(', ')} and ${ids.length - most} more` : told.join(', ')
}
