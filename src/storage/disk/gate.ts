/**
 * Lets a few at a time to the disk, in the order they asked. Syncs that wait before it go on gathering writes, so the
 * more files are hot, the more each sync covers: no storm of syncs, and no file waits for many turns.
 */
export class Gate {
  readonly #limit: number
  readonly #waiting: (() => void)[] = []
  #inside = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Resolves when it is the caller's turn, who must `leave` afterwards. Undefined: it is at once. */
  enter(): Promise<void> | undefined {
    if (this.#inside < this.#limit) {
      this.#inside++
      return undefined
    }
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#inside--
  }

  /** Runs `work` in its turn, and leaves when it has settled. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.enter()
    try {
      return await work()
    } finally {
      this.leave()
    }
  }
}
