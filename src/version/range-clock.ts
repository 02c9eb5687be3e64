/**
 * A range clock: actor → n. Every dot of that actor up to n in this range is here, in this copy, or superseded (design
 * §10; Gonçalves et al., "DottedDB", SRDS 2017). So a dot that the clock covers and no key of the copy knows was deleted
 * and reaped: it is dead, whoever brings it.
 *
 * Dots that come before those below them wait beside the clock until the gap has closed, or a join covers them.
 *
 * @example
 *   clock.note({ actor, counter: 1 })               // this copy holds it, in its file
 *   clock.join(theirs)                              // only after pulling all that the other copy held at that clock
 *   if (clock.covers(dot) && !held) …               // dead
 */
import type { CausalContext } from './causal-context.ts'
import type { Dot } from './dot.ts'

/** Actor (16 hex digits) and n, sorted by actor. */
export type ClockEntries = readonly (readonly [string, number])[]

/**
 * Dots of one actor that wait for those below them; more are forgotten, and covered by the next join. A copy that missed
 * one write of a busy actor gets there within seconds.
 */
const MAX_WAITING = 256

export class RangeClock {
  readonly #reach = new Map<string, number>()
  readonly #waiting = new Map<string, Set<number>>()

  constructor(entries: ClockEntries = []) {
    for (const [actor, counter] of entries) this.#reach.set(actor, counter)
  }

  get isEmpty(): boolean {
    return this.#reach.size === 0
  }

  covers({ actor, counter }: Dot): boolean {
    return counter <= (this.#reach.get(actor) ?? 0)
  }

  /** True when every dot of the context is here or superseded. */
  coversAll({ vector, cloud }: CausalContext): boolean {
    for (const [actor, counter] of vector) if (!this.covers({ actor, counter })) return false
    return cloud.every(dot => this.covers(dot))
  }

  /** True when it covers all that a clock with these entries covers. */
  includes(entries: ClockEntries): boolean {
    return entries.every(([actor, counter]) => this.covers({ actor, counter }))
  }

  /** This copy holds the dot, or what superseded it, in its file. */
  note({ actor, counter }: Dot): void {
    const reach = this.#reach.get(actor) ?? 0
    if (counter <= reach) return
    if (counter === reach + 1) this.#advance(actor, counter)
    else this.#wait(actor, counter)
  }

  /** All dots that a key state knows of: each of them was minted for that key. */
  noteAll({ vector, cloud }: CausalContext): void {
    for (const [actor, counter] of vector) this.note({ actor, counter })
    for (const dot of cloud) this.note(dot)
  }

  join(entries: ClockEntries): void {
    for (const [actor, counter] of entries) if (!this.covers({ actor, counter })) this.#advance(actor, counter)
  }

  /** Covers nothing of this actor any more. */
  drop(actor: string): void {
    this.#reach.delete(actor)
    this.#waiting.delete(actor)
  }

  entries(): ClockEntries {
    return [...this.#reach].sort(([a], [b]) => (a < b ? -1 : 1))
  }

  #advance(actor: string, counter: number): void {
    const waiting = this.#waiting.get(actor)
    let reach = counter
    if (waiting !== undefined) {
      while (waiting.delete(reach + 1)) reach++
      for (const passed of waiting) if (passed <= reach) waiting.delete(passed)
      if (waiting.size === 0) this.#waiting.delete(actor)
    }
    this.#reach.set(actor, reach)
  }

  #wait(actor: string, counter: number): void {
    let waiting = this.#waiting.get(actor)
    if (waiting === undefined) this.#waiting.set(actor, (waiting = new Set()))
    if (waiting.size < MAX_WAITING) waiting.add(counter)
  }
}
