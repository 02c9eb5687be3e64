/** The transfers under way into this node, for `transfers` and the progress bar. */
export interface Transfer {
  /** The first of the ranges that travel in this session. */
  range: number
  ranges: number
  from: string
  keysDone: number
  keysTotal: number
  /** Of range files; 0: the keys travel one by one. */
  bytesDone: number
  bytesTotal: number
}

export interface Progress {
  /** `bytes`: of the keys and states that came so far. */
  keys: (done: number, total: number, bytes: number) => void
  /** `received`: without what an earlier session had brought. */
  bytes: (done: number, total: number, received: number) => void
  end: () => void
}

export class Transfers {
  readonly #running = new Set<Transfer>()
  #keysReceived = 0
  #fileBytesReceived = 0
  #stateBytesReceived = 0

  begin(from: string, ranges: readonly number[]): Progress {
    const transfer = {
      range: ranges[0]!,
      ranges: ranges.length,
      from,
      keysDone: 0,
      keysTotal: 0,
      bytesDone: 0,
      bytesTotal: 0
    }
    let stateBytes = 0
    let fileBytes = 0
    this.#running.add(transfer)
    return {
      keys: (done, total, bytes) => {
        this.#stateBytesReceived += bytes - stateBytes
        stateBytes = bytes
        this.#keysReceived += done - transfer.keysDone
        transfer.keysDone = done
        transfer.keysTotal = total
      },
      bytes: (done, total, received) => {
        this.#fileBytesReceived += received - fileBytes
        fileBytes = received
        transfer.bytesDone = done
        transfer.bytesTotal = total
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

  /** Grows while anything comes in: keys, and files in units of 1 KiB. */
  get headway(): number {
    return this.#keysReceived + Math.floor(this.#fileBytesReceived / 1024)
  }

  /** In the same units, what is known to be still to come. */
  get outstanding(): number {
    const left = this.list().map(one => one.keysTotal - one.keysDone + (one.bytesTotal - one.bytesDone) / 1024)
    return Math.ceil(left.reduce((sum, one) => sum + Math.max(0, one), 0))
  }

  /** Of range files, and of keys and their states that came one by one. */
  get bytesReceived(): number {
    return this.#fileBytesReceived + this.#stateBytesReceived
  }
}
