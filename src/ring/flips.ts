/**
 * What changes of owner do to the preference lists, and which of them are safe together. Safety of movement 3 (design
 * §6): no list may change two members at once, or a quorum of the old list and one of the new could miss each other.
 */
import { CoterieError } from '../errors.ts'
import type { Layout } from './preference.ts'
import type { Flip, RingView } from './ring-view.ts'

/** A preference list whose membership changes. */
export interface FlipEffect {
  range: number
  before: readonly string[]
  after: readonly string[]
  entering: string[]
  leaving: string[]
}

/**
 * The lists that all the flips together change, by range. A list that only changes its order is none of them.
 * Throws `internal` for a flip of a range that the ring does not have.
 */
export function flipEffects(view: RingView, flips: readonly Flip[]): FlipEffect[] {
  const layout = view.toLayout()
  const { size, zones } = layout
  let touched = new Set<number>()
  for (const { range } of flips) {
    if (!isRange(view, range)) throw new CoterieError('internal', `range ${range} is not on a ring of ${view.q}`)
    for (const reaching of layout.rangesReaching(range)) touched.add(reaching)
  }
  for (const { range, to } of flips) layout.set(range, to)
  if (layout.size !== size || layout.zones !== zones) touched = new Set(everyRange(view))
  const effects: FlipEffect[] = []
  for (const range of [...touched].sort((a, b) => a - b)) {
    const effect = effectOn(view, layout, range)
    if (effect.entering.length > 0 || effect.leaving.length > 0) effects.push(effect)
  }
  return effects
}

/**
 * Those of the asked flips that are safe together, in the order asked: no list has more than one member entering or
 * more than one leaving, and no list of a range in `held` changes its members at all. Flips of ranges that the ring
 * does not have, to the present owner, or of a range flipped already are left out.
 */
export function chooseFlips(view: RingView, asked: readonly Flip[], held: ReadonlySet<number> = new Set()): Flip[] {
  const layout = view.toLayout()
  const chosen: Flip[] = []
  const used = new Set<number>()
  for (const flip of asked) {
    const { range, to } = flip
    if (!isRange(view, range) || used.has(range) || layout.owner(range) === to) continue
    if (!tryFlip(view, layout, flip, held)) continue
    used.add(range)
    chosen.push(flip)
  }
  return chosen
}

/** Puts one more flip on the layout, or takes it back and says false when that is not safe with those before. */
function tryFlip(view: RingView, layout: Layout, { range, to }: Flip, held: ReadonlySet<number>): boolean {
  const before = layout.owner(range)
  const { size, zones } = layout
  const near = layout.rangesReaching(range)
  layout.set(range, to)
  // A first or last range of an owner or a zone can change how far every walk goes.
  const touched = layout.size === size && layout.zones === zones ? near : everyRange(view)
  const safe = touched.every(start => {
    const { entering, leaving } = effectOn(view, layout, start)
    if (held.has(start)) return entering.length === 0 && leaving.length === 0
    return entering.length <= 1 && leaving.length <= 1
  })
  if (!safe) layout.set(range, before)
  return safe
}

function effectOn(view: RingView, layout: Layout, range: number): FlipEffect {
  const before = view.preferenceList(range)
  const after = layout.walk(range).members
  return {
    range,
    before,
    after,
    entering: after.filter(member => !before.includes(member)),
    leaving: before.filter(member => !after.includes(member))
  }
}

function isRange(view: RingView, range: number): boolean {
  return Number.isInteger(range) && range >= 0 && range < view.q
}

function everyRange(view: RingView): number[] {
  return Array.from({ length: view.q }, (_, range) => range)
}
