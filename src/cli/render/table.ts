/** A table fitted to a width: numbers to the right, wide texts cut with an ellipsis. Pure. */
import type { Style } from './style.ts'
import { displayWidth, fit, pad } from './text.ts'

export interface Column {
  title: string
  align?: 'left' | 'right'
  /** May be cut, down to this many columns, when the table is too wide. */
  shrinkTo?: number
}

/** A cell with a colour that is put on after fitting. */
export type Cell = string | { text: string; paint: (text: string) => string }

const GAP = '  '
const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text)

/** Lines, the titles first; no rows: the titles alone. */
export function table(columns: Column[], rows: Cell[][], width: number, style: Style): string[] {
  const widths = columns.map((column, i) =>
    Math.max(displayWidth(column.title), ...rows.map(row => displayWidth(textOf(row[i]!))))
  )
  let excess = widths.reduce((sum, one) => sum + one, GAP.length * (columns.length - 1)) - width
  // The last columns matter least.
  for (let i = columns.length - 1; i >= 0 && excess > 0; i--) {
    const least = columns[i]!.shrinkTo
    if (least === undefined || widths[i]! <= least) continue
    const cut = Math.min(excess, widths[i]! - least)
    widths[i]! -= cut
    excess -= cut
  }
  const line = (cells: Cell[], paintAll?: (text: string) => string) =>
    cells
      .map((cell, i) => {
        const text = fit(textOf(cell), widths[i]!)
        const last = i === cells.length - 1 && columns[i]!.align !== 'right'
        const padded = last ? text : pad(text, widths[i]!, columns[i]!.align)
        const paint = paintAll ?? (typeof cell === 'string' ? undefined : cell.paint)
        return paint ? paint(padded) : padded
      })
      .join(GAP)
  return [
    line(
      columns.map(column => column.title),
      style.dim
    ),
    ...rows.map(row => line(row))
  ]
}
