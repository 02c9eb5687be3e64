/** Under which names this process mints dots: one for each copy, drawn in memory and never read back from disk (design §7). */
import type { Random } from '../ports.ts'

export interface Actor {
  /** 16 hex digits. */
  id: string
  /** Of its newest dot; 0: none so far. */
  counter: number
}

export class Actors {
  readonly #random: Random
  readonly #byRange = new Map<number, Actor>()

  constructor({ random }: { random: Random }) {
    this.#random = random
  }

  of(range: number): Actor {
    let actor = this.#byRange.get(range)
    if (actor === undefined) {
      actor = { id: Buffer.from(this.#random.bytes(8)).toString('hex'), counter: 0 }
      this.#byRange.set(range, actor)
    }
    return actor
  }

  /** The copy may have forgotten something: it goes on under another name. */
  forget(range: number): void {
    this.#byRange.delete(range)
  }
}
