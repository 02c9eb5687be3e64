/** Ranges on their way to a node: a progress bar each, or one for all. Pure. */
import type { TransferInfo } from '../parts.ts'
import type { Style } from './style.ts'
import { byteCount, count, displayWidth, pad, plural, shortPeer } from './text.ts'

const WIDEST_BAR = 40
const NARROWEST_BAR = 8

/** `████▌    ` of `width` columns; `done` above `total` counts as full, a total of 0 as empty. */
export function bar(done: number, total: number, width: number): string {
  const eighths = total <= 0 ? 0 : Math.round(Math.min(1, done / total) * width * 8)
  const part = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8]!
  return ('█'.repeat(Math.floor(eighths / 8)) + part).padEnd(width)
}

/**
 * How many ranges are on their way: a transfer carries several. Those that begin with the same range count once, since a copy
 * that catches up is compared with several nodes at the same time. `most`: those seen before, by their first range; they count, too.
 */
export function rangeCount(transfers: TransferInfo[], most = new Map<number, number>()): number {
  for (const { range, ranges = 1 } of transfers) most.set(range, Math.max(ranges, most.get(range) ?? 0))
  return [...most.values()].reduce((total, ranges) => total + ranges, 0)
}

/** All transfers as one line. */
export function progressLine(transfers: TransferInfo[], width: number, style: Style): string {
  const head = `filling ${plural(rangeCount(transfers), 'range')} `
  const tail = ` ${percent(shareOf(transfers))} ${amounts(transfers)}`
  const columns = Math.min(WIDEST_BAR, width - displayWidth(head) - displayWidth(tail) - 3)
  const middle =
    columns >= NARROWEST_BAR
      ? `${style.dim('[')}${style.green(bar(shareOf(transfers), 1, columns))}${style.dim(']')}`
      : ''
  return `${head}${middle}${tail}`
}

export function transferLines(transfers: TransferInfo[], width: number, style: Style): string[] {
  if (transfers.length === 0) return ['no range is being transferred']
  const names = transfers.map(({ range, ranges = 1 }) => {
    const others = ranges > 1 ? ` and ${count(ranges - 1)} more` : ''
    return `range ${String(range).padStart(4)}${others}`
  })
  const longest = Math.max(...names.map(displayWidth))
  const columns = Math.max(NARROWEST_BAR, Math.min(WIDEST_BAR, width - longest - 50))
  return transfers.map((transfer, i) => {
    const drawn = style.green(bar(shareOf([transfer]), 1, columns))
    const numbers = `${percent(shareOf([transfer]))} ${amounts([transfer])}`
    return `${pad(names[i]!, longest)} from ${shortPeer(transfer.from)} ${style.dim('[')}${drawn}${style.dim(']')} ${numbers}`
  })
}

const sum = (transfers: TransferInfo[], of: (transfer: TransferInfo) => number) =>
  transfers.reduce((total, transfer) => total + of(transfer), 0)

const isOfFiles = ({ bytesTotal = 0 }: TransferInfo): boolean => bytesTotal > 0

/** Of transfers in bytes and in keys, each by its own measure. */
function shareOf(transfers: TransferInfo[]): number {
  const share = (one: TransferInfo) =>
    isOfFiles(one) ? one.bytesDone! / one.bytesTotal! : one.keysTotal > 0 ? one.keysDone / one.keysTotal : 0
  const weight = (one: TransferInfo) => one.ranges ?? 1
  const total = sum(transfers, weight)
  return total === 0 ? 0 : sum(transfers, one => Math.min(1, share(one)) * weight(one)) / total
}

/** `3.2 MB/10.4 MB`, `4/10 keys`, or both. */
function amounts(transfers: TransferInfo[]): string {
  const files = transfers.filter(isOfFiles)
  const keyed = transfers.filter(one => !isOfFiles(one))
  const parts = []
  if (files.length > 0)
    parts.push(`${byteCount(sum(files, one => one.bytesDone!))}/${byteCount(sum(files, one => one.bytesTotal!))}`)
  if (keyed.length > 0)
    parts.push(`${count(sum(keyed, one => one.keysDone))}/${count(sum(keyed, one => one.keysTotal))} keys`)
  return parts.join(', ')
}

function percent(share: number): string {
  return `${Math.floor(Math.min(1, share) * 100)} %`.padStart(5)
}
