/**
 * The phi accrual arithmetic (Hayashibara, Défago, Yared, Katayama: The φ accrual failure detector, SRDS 2004): how
 * surprising is a silence, given how regularly a heart was heard so far? Pure.
 */

/** Recent gaps between heartbeats, as running sums. Values in milliseconds. */
export interface Window {
  gaps: number[]
  /** Where the next gap goes once the window is full. */
  next: number
  sum: number
  squares: number
}

/** Enough for a mean that is steady and forgets a bad minute within a few more. */
export const WINDOW_SIZE = 64

export const emptyWindow = (): Window => ({ gaps: [], next: 0, sum: 0, squares: 0 })

/** Adds one gap, in place; the oldest leaves a full window. */
export function observe(window: Window, gapMs: number): void {
  const old = window.gaps[window.next] ?? 0
  window.gaps[window.next] = gapMs
  window.next = (window.next + 1) % WINDOW_SIZE
  window.sum += gapMs - old
  window.squares += gapMs * gapMs - old * old
}

/** Mean and standard deviation; of an empty window, those of `fallbackMs`. */
export function describe(window: Window, fallbackMs: number): { meanMs: number; deviationMs: number } {
  const count = window.gaps.length
  if (count === 0) return { meanMs: fallbackMs, deviationMs: 0 }
  const meanMs = window.sum / count
  return { meanMs, deviationMs: Math.sqrt(Math.max(0, window.squares / count - meanMs * meanMs)) }
}

/**
 * −log10 of the chance that a gap lasts longer than `elapsedMs`, for normally distributed gaps: 8 at 5.6 deviations. The
 * tail is Pollak's bound of the Mills ratio (1956): a few per cent too likely around the mean, 1 % where it matters, and
 * without overflow, however long the silence.
 */
export function phi(elapsedMs: number, meanMs: number, deviationMs: number): number {
  const y = (elapsedMs - meanMs) / deviationMs
  const distance = Math.abs(y)
  const mills = 2 / (distance + Math.sqrt(distance * distance + 8 / Math.PI))
  const tail = 0.5 * Math.log10(2 * Math.PI) - Math.log10(mills) + 0.5 * distance * distance * Math.LOG10E
  return y >= 0 ? tail : -Math.log10(1 - 10 ** -tail)
}

/**
 * Least deviation to reckon with. Heartbeats come through others, O(log S) hops, so that gaps of a few rounds are nothing
 * special even where the last minute happened to be smooth (a deviation near 0 would make the next hiccup a death).
 */
export function deviationFloorMs(intervalMs: number, members: number): number {
  return intervalMs * (0.5 + Math.log2(Math.max(2, members)) / 4)
}
