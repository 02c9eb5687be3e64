/** The values of a key for a person: one, or several side by side with their dots. Pure. */
import type { Sibling } from '../../store.ts'
import type { Style } from './style.ts'
import { table } from './table.ts'
import { byteCount, displayWidth, duration, pad, printable, wrap } from './text.ts'

/** A dot is 16 hex digits, a colon and a counter. */
const NARROWEST_COLUMN = 22
const SEPARATOR = ' │ '
/** Lines of one value shown beside others; the rest is told, not shown. */
const MOST_LINES = 12

/** Side by side where the width allows, else a row each. `nowMs`: wall clock, for the time left. */
export function siblingLines(siblings: Sibling[], width: number, nowMs: number, style: Style): string[] {
  const share = Math.floor((width + SEPARATOR.length) / siblings.length) - SEPARATOR.length
  return share >= NARROWEST_COLUMN
    ? sideBySide(siblings, share, nowMs, style)
    : oneBelowAnother(siblings, width, nowMs, style)
}

function sideBySide(siblings: Sibling[], share: number, nowMs: number, style: Style): string[] {
  const columns = siblings.map(sibling => {
    const all = wrap(printable(sibling.value), share)
    const shown = all.slice(0, MOST_LINES)
    const rest = all.length > shown.length ? [`… ${byteCount(sibling.value.length)} in all`] : []
    const head = [...wrap(sibling.dot, share), ...wrap(lifeLeft(sibling, nowMs), share).filter(Boolean)]
    return { head, body: [...shown, ...rest] }
  })
  const widths = columns.map(({ head, body }) => Math.max(...[...head, ...body].map(displayWidth)))
  const block = (part: 'head' | 'body', paint: (text: string) => string) => {
    const height = Math.max(...columns.map(column => column[part].length))
    return Array.from({ length: height }, (_, row) =>
      columns.map((column, i) => paint(pad(column[part][row] ?? '', widths[i]!))).join(style.dim(SEPARATOR))
    )
  }
  const rule = style.dim(widths.map(one => '─'.repeat(one)).join('─┼─'))
  return [...block('head', style.cyan), rule, ...block('body', text => text)].map(line => line.trimEnd())
}

function oneBelowAnother(siblings: Sibling[], width: number, nowMs: number, style: Style): string[] {
  const rows = siblings.map((sibling, i) => [
    String(i + 1),
    { text: sibling.dot, paint: style.cyan },
    byteCount(sibling.value.length),
    `${printable(sibling.value)}${lifeLeft(sibling, nowMs) && ` (${lifeLeft(sibling, nowMs)})`}`
  ])
  return table(
    [
      { title: '#', align: 'right' },
      { title: 'dot', shrinkTo: 8 },
      { title: 'size', align: 'right' },
      { title: 'value', shrinkTo: 8 }
    ],
    rows,
    width,
    style
  )
}

/** `expires in 5.0 s`, or nothing. */
export function lifeLeft(sibling: Sibling, nowMs: number): string {
  return sibling.expiresAt ? `expires in ${duration(Math.max(0, sibling.expiresAt - nowMs))}` : ''
}
