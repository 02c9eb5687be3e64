/** The transfers under way into this node, for `transfers` and the progress bar. */
export interface Transfer {
  /** The first of the ranges that travel in this session. */
  range: number
  ranges: number
  from: string
  keysDone: number
  keysTotal: number
}

export class Transfers {
  readonly #running = new Set<Transfer>()
  #keysReceived = 0

  begin(from: string, ranges: number[]): { progress: (keysDone: number, keysTotal: number) => void; end: () => void } {
    const transfer: Transfer = { range: ranges[0], ranges: ranges.length, from, keysDone: 0, keysTotal: 0 }
    this.#running.add(transfer)
    return {
      progress: (keysDone, keysTotal) => {
        this.#keysReceived += keysDone - transfer.keysDone
        transfer.keysDone = keysDone
        transfer.keysTotal = keysTotal
      },
      end: () => this.#running.delete(transfer)
    }
  }

  list(): Transfer[] {
    return [...this.#running].map(transfer => ({ ...transfer }))
  }

  get keysReceived(): number {
    return this.#keysReceived
  }
}
