/** How many damages were tried, what came of them, and what was wrong: by kind, with the first case. */
import { Reasons } from '../cuts/reasons.ts'
import type { Examined } from './examine.ts'

export class Findings {
  #tried = 0
  #reported = 0
  #torn = 0
  readonly reasons = new Reasons()

  async note(what: string, work: () => Promise<Examined>): Promise<Examined | undefined> {
    this.#tried++
    try {
      const examined = await work()
      if (examined.damages > 0) this.#reported++
      else if (examined.tornBytes > 0) this.#torn++
      return examined
    } catch (error) {
      const words = String(error)
      const kind = words
        .split('\n')[0]!
        .replace(/key-\d+ (is|was) .*/, 'a key $1 wrong')
        .replace(/\d+/g, 'n')
      const how = what.replace(/^.*: /, '').replace(/\d+/g, 'n')
      this.reasons.add(
        `${how}: ${kind.slice(0, 100)}`,
        () => `${what}: ${error instanceof Error ? error.stack : words}`
      )
      return undefined
    }
  }

  summary(): string {
    return `${this.#tried} tried, ${this.#reported} reported, ${this.#torn} cut off`
  }

  mustBeEmpty(): void {
    this.reasons.mustBeEmpty()
  }
}
