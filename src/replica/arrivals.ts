/**
 * What comes into a copy from elsewhere while it is compared: live values whose dots its range clock does not cover. The
 * comparison has not seen them. A clock that is joined afterwards and covers one of them would say that it lives, though it
 * may have been deleted and reaped where that clock comes from (a late hint, design §10).
 */
import type { Dot } from '../version/dot.ts'
import type { Sibling } from '../version/key-state.ts'
import type { ClockEntries } from '../version/range-clock.ts'

export class Arrivals {
  /** The lowest counter of each actor. */
  readonly #lowest = new Map<string, number>()
  /** No more is noted. */
  readonly close: () => void

  constructor(close: () => void) {
    this.close = close
  }

  add({ actor, counter }: Dot): void {
    this.#lowest.set(actor, Math.min(counter, this.#lowest.get(actor) ?? counter))
  }

  /** Actors of which something came that this clock covers. */
  coveredBy(entries: ClockEntries): string[] {
    return entries
      .filter(([actor, counter]) => (this.#lowest.get(actor) ?? Infinity) <= counter)
      .map(([actor]) => actor)
  }
}

/** All that are open, of all ranges. */
export class ArrivalWatch {
  readonly #byRange = new Map<number, Set<Arrivals>>()

  open(range: number): Arrivals {
    const watching = this.#byRange.get(range) ?? new Set()
    this.#byRange.set(range, watching)
    const arrivals = new Arrivals(() => {
      watching.delete(arrivals)
      if (watching.size === 0 && this.#byRange.get(range) === watching) this.#byRange.delete(range)
    })
    watching.add(arrivals)
    return arrivals
  }

  /** `compared`: those that know of it, since it comes out of their session. `isNew`: neither dead nor covered. */
  note(
    range: number,
    siblings: readonly Sibling[],
    compared: Arrivals | undefined,
    isNew: (sibling: Sibling) => boolean
  ): void {
    const watching = this.#byRange.get(range)
    if (watching === undefined) return
    for (const sibling of siblings.filter(isNew)) {
      for (const arrivals of watching) if (arrivals !== compared) arrivals.add(sibling.dot)
    }
  }
}
