/** "Did you mean …?": the closest of some names to a mistyped one. Pure. */

/** At most a third of the letters wrong, and never more than three: further away, a guess only misleads. */
export function closest(typed: string, names: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.min(3, Math.ceil(typed.length / 3)) + 1
  for (const name of names) {
    const distance = typed.length > 1 && name.startsWith(typed) ? 1 : editDistance(typed, name)
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}

/** ` (did you mean X?)`, or nothing. */
export function hint(typed: string, names: Iterable<string>, prefix = ''): string {
  const name = closest(typed, names)
  return name === undefined ? '' : ` (did you mean ${prefix}${name}?)`
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1)
      row.push(cost)
    }
    before = last
    last = row
  }
  return last[b.length]!
}
