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
 * −log10 of the chance that a gap lasts longer than `elapsedMs`, for normally distributed gaps. The normal tail is the
 * logistic approximation that Akka and Cassandra's descendants use; it is exact enough (±1 %) up to phi ≈ 15 and only
 * grows beyond.
 */
export function phi(elapsedMs: number, meanMs: number, deviationMs: number): number {
  const y = (elapsedMs - meanMs) / deviationMs
  const exponent = y * (1.5976 + 0.070566 * y * y)
  // log10(1 + e^x) without overflow: far out, e^x is all there is.
  return exponent > 30 ? exponent * Math.LOG10E : Math.log10(1 + Math.exp(exponent))
}

/**
 * Least deviation to reckon with. Heartbeats come through others, O(log S) hops, so that gaps of a few rounds are nothing
 * special even where the last minute happened to be smooth (a deviation near 0 would make the next hiccup a death).
 */
export function deviationFloorMs(intervalMs: number, members: number): number {
  return intervalMs * (0.5 + Math.log2(Math.max(2, members)) / 4)
}
