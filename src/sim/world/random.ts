/** Chance from a seed: the same seed and label give the same draws, on every machine and in every process. */
import { hash } from 'node:crypto'
import type { Random } from '../../ports.ts'

/** sfc32 (Chris Doty-Humphrey, PractRand), seeded by SHA-256 of a text. Streams of different labels are independent. */
export class SimRandom implements Random {
  readonly #label: string
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(label: string) {
    this.#label = label
    const digest = hash('sha256', label, 'buffer')
    this.#a = digest.readInt32LE(0)
    this.#b = digest.readInt32LE(4)
    this.#c = digest.readInt32LE(8)
  }

  /** A stream of its own, so that more draws in one place change nothing in another. */
  fork(label: string): SimRandom {
    return new SimRandom(`${this.#label}/${label}`)
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return sum >>> 0
  }

  /** In [0, 1). */
  float(): number {
    return this.#next() / 2 ** 32
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.#next() & 0xff
    return bytes
  }

  /** A whole number, 0 to `below` − 1. */
  below(below: number): number {
    return Math.floor(this.float() * below)
  }

  /** A whole number, both ends included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  chance(probability: number): boolean {
    return this.float() < probability
  }

  /** Throws for an empty list. */
  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError('nothing to pick from')
    return list[this.below(list.length)]!
  }

  /** `pick`, each entry as likely as its weight. */
  weighted<T>(choices: readonly (readonly [T, number])[]): T {
    let left = this.float() * choices.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [choice, weight] of choices) if ((left -= weight) < 0) return choice
    return choices.at(-1)![0]
  }

  shuffle<T>(list: readonly T[]): T[] {
    const shuffled = [...list]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      ;[shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!]
    }
    return shuffled
  }

  /** Exponentially distributed, with this mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.float()) * mean
  }
}
