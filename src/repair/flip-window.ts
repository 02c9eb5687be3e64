/**
 * Which of many planned flips one movement tries: so many from a range on, around the ring. Some are held until somebody
 * returns, or until an operator accepts a loss; were they always the first, what comes behind them would wait for that too.
 */
import type { Flip } from '../ring/ring-view.ts'

export class FlipWindow {
  readonly #size: number
  #fromRange = 0

  constructor(size: number) {
    this.#size = size
  }

  /** `flips` by range. All of them, as they are, where they fit. */
  of(flips: readonly Flip[]): readonly Flip[] {
    if (flips.length <= this.#size) return flips
    const found = flips.findIndex(({ range }) => range >= this.#fromRange)
    const start = Math.max(found, 0)
    return [...flips.slice(start), ...flips.slice(0, start)].slice(0, this.#size)
  }

  /** Nothing of `tried` has moved: the next ones are those behind it. */
  passOver(tried: readonly Flip[]): void {
    if (tried.length === this.#size) this.#fromRange = tried.at(-1)!.range + 1
  }
}
