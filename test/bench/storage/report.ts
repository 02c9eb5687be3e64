/** Rows of figures with their ratios to a floor and to peers, each next to its target. */
import { table } from '../measure.ts'
import type { Result } from './children.ts'

export interface Row {
  what: string
  size?: number
  /** Undefined: not measured. */
  figures: Result | undefined
  /** What it is compared with, and the least ratio that is aimed at. */
  floor?: Base
  level?: Base
  lmdb?: Base
}

export interface Base {
  of: Result | undefined
  target?: number
}

const HEADS = ['what', 'value', 'per second', 'p50 ms', 'p99 ms', 'CPU s per 10 k']
const BASES = ['÷ floor (target)', '÷ classic-level (target)', '÷ lmdb (target)']

export function ratioTable(rows: Row[]): string {
  const cells = rows.map(({ what, size, figures, floor, level, lmdb }) => [
    what,
    size === undefined ? '' : `${size} B`,
    ...['perSecond', 'p50', 'p99', 'cpuPer10k'].map(name => shown(figures?.[name])),
    ...[floor, level, lmdb].map(base => ratio(figures, base))
  ])
  return table([...HEADS, ...BASES], cells)
}

function ratio(figures: Result | undefined, base: Base | undefined): string {
  if (base === undefined) return ''
  const target = base.target === undefined ? '' : ` (≥ ${base.target})`
  if (figures === undefined || base.of === undefined) return `–${target}`
  return `${shown(figures.perSecond! / base.of.perSecond!)}${target}`
}

/** Three digits, however small. */
export function shown(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '–'
  return Math.abs(value) >= 100 || value === 0 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
}
