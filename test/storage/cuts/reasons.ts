/** What was found wrong, by kind: how often, and the first case in full. */
export class Reasons {
  readonly #found = new Map<string, { count: number; first: string }>()

  add(reason: string, detail: () => string): void {
    const found = this.#found.get(reason)
    if (found) found.count++
    else this.#found.set(reason, { count: 1, first: detail() })
  }

  get(reason: string): number {
    return this.#found.get(reason)?.count ?? 0
  }

  count(which: (reason: string) => boolean): number {
    return [...this.#found].reduce((sum, [reason, { count }]) => sum + (which(reason) ? count : 0), 0)
  }

  /** Kinds and how often. */
  summary(): string {
    return [...this.#found].map(([reason, { count }]) => `${count} × ${reason}`).join('; ')
  }

  /** Throws unless nothing was found. */
  mustBeEmpty(): void {
    if (this.#found.size === 0) return
    const cases = [...this.#found].map(
      ([reason, { count, first }]) => `${reason} (${count} times), first:\n    ${first}`
    )
    throw new Error(cases.join('\n'))
  }
}
