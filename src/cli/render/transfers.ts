/** Ranges on their way to a node: a progress bar each, or one for all. Pure. */
import type { TransferInfo } from '../parts.ts'
import type { Style } from './style.ts'
import { count, displayWidth, plural, shortPeer } from './text.ts'

const WIDEST_BAR = 40
const NARROWEST_BAR = 8

/** `████▌    ` of `width` columns; `done` above `total` counts as full, a total of 0 as empty. */
export function bar(done: number, total: number, width: number): string {
  const eighths = total <= 0 ? 0 : Math.round(Math.min(1, done / total) * width * 8)
  const part = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8]!
  return ('█'.repeat(Math.floor(eighths / 8)) + part).padEnd(width)
}

/** All transfers as one line. */
export function progressLine(transfers: TransferInfo[], width: number, style: Style): string {
  const done = transfers.reduce((sum, one) => sum + one.keysDone, 0)
  const total = transfers.reduce((sum, one) => sum + one.keysTotal, 0)
  const head = `filling ${plural(transfers.length, 'range')} `
  const tail = ` ${percent(done, total)} ${count(done)}/${count(total)} keys`
  const columns = Math.min(WIDEST_BAR, width - displayWidth(head) - displayWidth(tail) - 3)
  const middle =
    columns >= NARROWEST_BAR ? `${style.dim('[')}${style.green(bar(done, total, columns))}${style.dim(']')}` : ''
  return `${head}${middle}${tail}`
}

export function transferLines(transfers: TransferInfo[], width: number, style: Style): string[] {
  if (transfers.length === 0) return ['no range is being transferred']
  const columns = Math.max(NARROWEST_BAR, Math.min(WIDEST_BAR, width - 60))
  return transfers.map(({ range, from, keysDone, keysTotal }) => {
    const drawn = style.green(bar(keysDone, keysTotal, columns))
    const numbers = `${percent(keysDone, keysTotal)} ${count(keysDone)}/${count(keysTotal)} keys`
    return `range ${String(range).padStart(4)} from ${shortPeer(from)} ${style.dim('[')}${drawn}${style.dim(']')} ${numbers}`
  })
}

function percent(done: number, total: number): string {
  return `${Math.floor(total <= 0 ? 0 : Math.min(1, done / total) * 100)} %`.padStart(5)
}
