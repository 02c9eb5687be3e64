/**
 * Bounds the load that hedges add: one for every ten requests, and a few more at once when a node has just become slow.
 */
const SHARE = 0.1
const BURST = 100

export class HedgeBudget {
  #tokens = BURST
  readonly #counts = { spent: 0, refused: 0 }

  stats(): Readonly<{ spent: number; refused: number }> {
    return this.#counts
  }

  /** A request that was asked for. */
  earn(): void {
    this.#tokens = Math.min(BURST, this.#tokens + SHARE)
  }

  /** False: no more for now. */
  spend(): boolean {
    const may = this.#tokens >= 1
    if (may) this.#tokens--
    this.#counts[may ? 'spent' : 'refused']++
    return may
  }
}
