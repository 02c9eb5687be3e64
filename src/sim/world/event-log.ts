/** Everything that happens in a run, in order: hashed, so that two runs can be compared, and shown to whoever traces. */
import { createHash } from 'node:crypto'

/** Lines gathered before they are hashed together. */
const BATCH_CHARS = 1 << 16

export type Trace = (line: string) => void

export class EventLog {
  readonly #hash = createHash('sha256')
  readonly #trace: Trace | undefined
  #batch = ''
  #events = 0

  constructor(trace?: Trace) {
    this.#trace = trace
  }

  get events(): number {
    return this.#events
  }

  /** `who` is a machine, a client or `world`; `detail` must itself be the same in every run of a seed. */
  add(nowMs: number, who: string, what: string, detail: string | number = ''): void {
    this.#events++
    const line = `${nowMs} ${who} ${what} ${detail}`
    this.#batch += line
    this.#batch += '\n'
    if (this.#batch.length > BATCH_CHARS) this.#flush()
    this.#trace?.(`${nowMs.toFixed(3).padStart(12)} ${who.padEnd(6)} ${what} ${detail}`)
  }

  #flush(): void {
    this.#hash.update(this.#batch)
    this.#batch = ''
  }

  /** 64 hex digits over everything so far; ends the log. */
  digest(): string {
    this.#flush()
    return this.#hash.digest('hex')
  }
}
