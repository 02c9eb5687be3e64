/**
 * Bounds the load that requests add which are sent a second time because the first has not been answered: one for every ten
 * requests as soon as it is late, one for every two once it has waited long, and some more at once when a node has just become
 * slow. Without such bounds an overload makes the load that keeps it alive (Bronson et al., Metastable Failures in Distributed
 * Systems, HotOS 2021).
 */
const SHARE = 0.1
const LONG_SHARE = 0.5
const BURST = 100

interface Purse {
  readonly share: number
  tokens: number
}

export class HedgeBudget {
  readonly #late: Purse = { share: SHARE, tokens: BURST }
  readonly #long: Purse = { share: LONG_SHARE, tokens: BURST }
  readonly #counts = { spent: 0, refused: 0 }

  stats(): Readonly<{ spent: number; refused: number }> {
    return this.#counts
  }

  /** A request that was asked for. */
  earn(): void {
    for (const purse of [this.#late, this.#long]) purse.tokens = Math.min(BURST, purse.tokens + purse.share)
  }

  /** For a request that is late. False: no more for now. */
  spend(): boolean {
    return this.#spend(this.#late)
  }

  /** For one that has waited long. False: no more for now. */
  spendLong(): boolean {
    return this.#spend(this.#long)
  }

  #spend(purse: Purse): boolean {
    const may = purse.tokens >= 1
    if (may) purse.tokens--
    this.#counts[may ? 'spent' : 'refused']++
    return may
  }
}
