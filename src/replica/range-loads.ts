/**
 * What each range costs this node: moving averages of operations and bytes a second. Counting is an addition to a typed array; the
 * averages are brought up to date when the node looks at its affairs.
 */
import { BYTES_PER_WORK, COORDINATING_WORK } from '../heat.ts'
import type { Clock } from '../ports.ts'

/** One look soon after another would divide a handful of operations by next to no time. */
const LEAST_MS = 100

export class RangeLoads {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #overMs: number
  readonly #operations: Float64Array
  readonly #bytes: Float64Array
  readonly #operationRates: Float64Array
  readonly #byteRates: Float64Array
  #lookedMs: number
  #total = 0

  /** `overMs`: what is this long ago weighs e times less than what is now. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, init: { q: number; overMs: number }) {
    this.#clock = clock
    this.#overMs = init.overMs
    this.#operations = new Float64Array(init.q)
    this.#bytes = new Float64Array(init.q)
    this.#operationRates = new Float64Array(init.q)
    this.#byteRates = new Float64Array(init.q)
    this.#lookedMs = clock.monotonicMs()
  }

  /** This node has run a client's operation, as a member of the list; with `answers` of its own copy that are not counted as such. */
  coordinated(range: number, bytes: number, answers: number): void {
    this.#operations[range] += COORDINATING_WORK + answers
    this.#bytes[range] += bytes
  }

  /** This node has answered as a replica. */
  answered(range: number, bytes: number): void {
    this.#operations[range]++
    this.#bytes[range] += bytes
  }

  /** Takes what was counted since the last look into the averages. */
  look(): void {
    const elapsedMs = this.#clock.monotonicMs() - this.#lookedMs
    if (elapsedMs < LEAST_MS) return
    this.#lookedMs += elapsedMs
    const weight = 1 - Math.exp(-elapsedMs / this.#overMs)
    const seconds = elapsedMs / 1000
    for (let range = 0; range < this.#operations.length; range++) {
      this.#operationRates[range] += weight * (this.#operations[range] / seconds - this.#operationRates[range])
      this.#byteRates[range] += weight * (this.#bytes[range] / seconds - this.#byteRates[range])
    }
    this.#operations.fill(0)
    this.#bytes.fill(0)
    this.#total = this.#operationRates.reduce((sum, _, range) => sum + this.work(range), 0)
  }

  /** Steps of operations a second; to coordinate is several. */
  operations(range: number): number {
    return this.#operationRates[range]
  }

  bytes(range: number): number {
    return this.#byteRates[range]
  }

  /** Work a second on all ranges, those that have gone lately among them. */
  get total(): number {
    return this.#total
  }

  /** Work a second (`heat.ts`). */
  work(range: number): number {
    return this.#operationRates[range] + this.#byteRates[range] / BYTES_PER_WORK
  }
}
