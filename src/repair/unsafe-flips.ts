/** Flips that change two members of a list at once, each by itself: of no use as long as the ring is the same. */
import type { Flip } from '../ring/ring-view.ts'

export class UnsafeFlips {
  readonly #topology: { readonly version: number }
  #version = -1
  readonly #flips = new Set<string>()

  constructor(topology: { readonly version: number }) {
    this.#topology = topology
  }

  add({ range, to }: Flip): void {
    this.#forgetOthers()
    this.#flips.add(`${range} ${to}`)
  }

  has({ range, to }: Flip): boolean {
    this.#forgetOthers()
    return this.#flips.has(`${range} ${to}`)
  }

  /** Of another ring than the present one. */
  #forgetOthers(): void {
    if (this.#version !== this.#topology.version) this.#flips.clear()
    this.#version = this.#topology.version
  }
}
