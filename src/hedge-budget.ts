/**
 * Bounds the load that requests add which are sent a second time because the first has not been answered: one for every ten
 * requests as soon as it is late, one for every two once it has waited long, and some more at once when a node has just become
 * slow. Without such bounds an overload makes the load that keeps it alive (Bronson et al., Metastable Failures in Distributed
 * Systems, HotOS 2021).
 */
const SHARE = 0.1
const LONG_SHARE = 0.5
const BURST = 100

export class HedgeBudget {
  #tokens = BURST
  #longTokens = BURST
  readonly #counts = { spent: 0, refused: 0 }

  stats(): Readonly<{ spent: number; refused: number }> {
    return this.#counts
  }

  /** A request that was asked for. */
  earn(): void {
    this.#tokens = Math.min(BURST, this.#tokens + SHARE)
    this.#longTokens = Math.min(BURST, this.#longTokens + LONG_SHARE)
  }

  /** For a request that is late. False: no more for now. */
  spend(): boolean {
    const may = this.#tokens >= 1
    if (may) this.#tokens--
    this.#counts[may ? 'spent' : 'refused']++
    return may
  }

  /** For one that has waited long. False: no more for now. */
  spendLong(): boolean {
    const may = this.#longTokens >= 1
    if (may) this.#longTokens--
    this.#counts[may ? 'spent' : 'refused']++
    return may
  }
}
