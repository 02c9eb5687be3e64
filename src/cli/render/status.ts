/** The document of `coterie status` in words. Pure. */
import type { ClusterStatus } from '../parts.ts'
import type { Style } from './style.ts'
import { plural, shortPeer } from './text.ts'

/** Ranges told by number. */
const MOST_RANGES = 12

export const isWhole = ({ whole, ranges }: ClusterStatus): boolean => whole === ranges

export function statusLines(status: ClusterStatus, style: Style): string[] {
  const { ranges, copies, short, crowded, silent } = status
  const each = plural(copies, 'synced copy', 'synced copies')
  const lines = [
    isWhole(status)
      ? style.green(`all ${plural(ranges, 'range')} have ${each}`)
      : style.red(`${short.length} of ${plural(ranges, 'range')} have fewer than ${each}`)
  ]
  const byCopies = Map.groupBy(short, ({ synced }) => synced)
  for (const [synced, some] of [...byCopies].sort(([a], [b]) => a - b)) {
    const numbers = some.slice(0, MOST_RANGES).map(({ range }) => range)
    const more = some.length > MOST_RANGES ? ` and ${some.length - MOST_RANGES} more` : ''
    lines.push(`  with ${synced}: ${numbers.join(', ')}${more}`)
  }
  if (silent.length > 0) lines.push(`not answering: ${silent.map(shortPeer).join(', ')}`)
  // All of them: they are to be given as arguments.
  const lost = short.filter(({ synced }) => synced === 0).map(({ range }) => range)
  if (lost.length > 0)
    lines.push(
      `without a synced copy, not available until a node that has one is back; if none will be: coterie accept-loss ${lost.join(' ')}`
    )
  if (crowded.length > 0) lines.push(`${plural(crowded.length, 'range')} in fewer zones than there could be`)
  return lines
}
