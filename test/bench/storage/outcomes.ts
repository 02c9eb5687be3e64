/** What became of many operations that were asked at their own pace, whether the answers came or not. */
import { quantiles } from '../measure.ts'

const NO_LATENCY = { p50: Number.NaN, p99: Number.NaN, p999: Number.NaN, max: Number.NaN }

export class Outcomes {
  asked = 0
  ok = 0
  overloaded = 0
  otherErrors = 0
  readonly #latencies: number[] = []

  get pending(): number {
    return this.asked - this.ok - this.overloaded - this.otherErrors
  }

  /** `dueMs`: when it should have been asked; the latency counts from then, so that a held-up loop shows. */
  ask(op: () => Promise<unknown>, dueMs = performance.now()): Promise<void> {
    this.asked++
    // An `op` that throws counts like one that rejects.
    const asked = (async () => op())()
    return asked.then(
      () => {
        this.ok++
        this.#latencies.push(performance.now() - dueMs)
      },
      error => {
        if ((error as { code?: string }).code === 'overloaded') this.overloaded++
        else this.otherErrors++
      }
    )
  }

  /** Of those answered well. */
  latencies(): { p50: number; p99: number; p999: number; max: number } {
    if (this.#latencies.length === 0) return NO_LATENCY
    const found = quantiles(this.#latencies)
    return { ...found, max: this.#latencies.at(-1)! }
  }
}
