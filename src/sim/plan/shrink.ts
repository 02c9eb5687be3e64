/**
 * A failing plan made smaller, so that a person can follow it: delta debugging (Zeller, Hildebrandt: Simplifying and
 * isolating failure-inducing input, TSE 2002) over its faults, operations and nodes, then simpler values, again and again until
 * nothing helps.
 *
 * @example
 *   const small = await shrink(plan, async plan => (await run(plan)).violations.some(({ rule }) => rule === 'lost-write'))
 */
import { isCoterieError } from '../../errors.ts'
import { checkPlan } from './check-plan.ts'
import type { Plan } from './plan.ts'
import { keepNodes } from './plan-edit.ts'
import { ways } from './simplify.ts'

/** Whether a plan fails in the way that is looked into; a run in another way is another failure. */
export type Fails = (plan: Plan) => Promise<boolean>

export interface ShrinkOptions {
  /** Default 200. */
  maxRuns?: number
  /** After every run: how many there were, whether the last made the plan smaller, and the smallest so far. */
  onProgress?: (progress: { runs: number; smaller: boolean; best: Plan }) => void
}

/** `plan` fails. Returns a valid plan that fails and is at most as large; throws what `fails` throws. */
export async function shrink(plan: Plan, fails: Fails, options: ShrinkOptions = {}): Promise<Plan> {
  const search = new Search(plan, fails, options)
  let before: Plan
  do {
    before = search.best
    await search.reduce('faults')
    await search.reduce('operations')
    await search.reduceNodes()
    await search.simplify()
  } while (search.best !== before)
  return search.best
}

class Search {
  best: Plan
  readonly #fails: Fails
  readonly #maxRuns: number
  readonly #onProgress: ShrinkOptions['onProgress']
  /** What did not fail need not run again. */
  readonly #passed = new Set<string>()
  #runs = 0

  constructor(plan: Plan, fails: Fails, { maxRuns = 200, onProgress }: ShrinkOptions) {
    this.best = plan
    this.#fails = fails
    this.#maxRuns = maxRuns
    this.#onProgress = onProgress
  }

  reduce(field: 'faults' | 'operations'): Promise<void> {
    const entries: Plan[typeof field][number][] = this.best[field]
    return minimise(entries, kept => this.#try({ ...this.best, [field]: kept }))
  }

  reduceNodes(): Promise<void> {
    const whole = this.best
    return minimise(whole.nodes, kept => {
      const names = new Set(kept.map(({ name }) => name))
      return this.#try(keepNodes(whole, name => names.has(name)))
    })
  }

  /** Once through all ways; what one opens for an earlier one is for the next time. */
  async simplify(): Promise<void> {
    for (const way of ways(this.best)) await this.#try(way(this.best))
  }

  /** True if the candidate fails as well: it is the best then. */
  async #try(candidate: Plan): Promise<boolean> {
    if (this.#runs >= this.#maxRuns || !isValid(candidate)) return false
    const text = JSON.stringify(candidate)
    if (this.#passed.has(text) || text === JSON.stringify(this.best)) return false
    this.#runs++
    const smaller = await this.#fails(candidate)
    if (smaller) this.best = candidate
    else this.#passed.add(text)
    this.#onProgress?.({ runs: this.#runs, smaller, best: this.best })
    return smaller
  }
}

/**
 * ddmin: `fails` is true for the whole list; leaves out ever smaller parts until no single entry can be left out. The last
 * list for which it was true is the result. Parts are not tried alone, as in the paper: where fewer entries never fail more,
 * leaving out the other half has found the same before.
 */
async function minimise<T>(whole: readonly T[], fails: (kept: T[]) => Promise<boolean>): Promise<void> {
  if (whole.length === 0 || (await fails([]))) return
  let list = whole
  for (let size = Math.ceil(list.length / 2); ; size = Math.max(1, Math.floor(size / 2))) {
    const smaller = await leaveOut(list, size, fails)
    if (size === 1 && smaller.length === list.length) return
    list = smaller
  }
}

/** The list without every run of `size` entries that it fails without. */
async function leaveOut<T>(
  list: readonly T[],
  size: number,
  fails: (kept: T[]) => Promise<boolean>
): Promise<readonly T[]> {
  let left = list
  for (let at = 0; at < left.length; ) {
    const kept = left.toSpliced(at, size)
    if (kept.length > 0 && (await fails(kept))) left = kept
    else at += size
  }
  return left
}

function isValid(plan: Plan): boolean {
  try {
    checkPlan(plan)
    return true
  } catch (error) {
    if (isCoterieError(error, 'bad-config')) return false
    throw error
  }
}
