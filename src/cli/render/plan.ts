/** The document of `coterie plan` in words and tables. Pure. */
import type { PlannedNode, Warning } from '../../ring/outlook.ts'
import type { PlanInfo } from '../plan.ts'
import type { Style } from './style.ts'
import { type Cell, table } from './table.ts'
import { byteCount, count, harmless, plural, shortPeer } from './text.ts'

/** Ranges, peers and moves told one by one. */
const MOST_TOLD = 12

export function planLines(plan: PlanInfo, width: number, style: Style): string[] {
  return [
    ...costLines(plan, style),
    '',
    ...nodeLines(plan.nodes, width, style),
    ...(plan.moves.length > 0 ? ['', ...moveLines(plan.moves, width, style)] : []),
    ...(plan.warnings.length > 0 ? [''] : []),
    ...plan.warnings.map(warning => style.yellow(`warning: ${warningText(warning, plan)}`))
  ]
}

function costLines({ moved, copied, bytes, least, ranges }: PlanInfo, style: Style): string[] {
  if (moved === 0 && copied === 0) return [style.green('nothing would move')]
  return [
    style.bold(`${count(moved)} of ${plural(ranges, 'range')} would change owner`),
    `${plural(copied, 'copy', 'copies')} would be made, about ${byteCount(bytes)}`,
    style.dim(
      `at least, for the same shares: ${plural(least.moved, 'range')}, ${plural(least.copied, 'copy', 'copies')}, about ${byteCount(least.bytes)}`
    )
  ]
}

function nodeLines(nodes: readonly PlannedNode[], width: number, style: Style): string[] {
  const rows = nodes.map(({ peerId, fate, up, zone, capacity, before, after, share }): Cell[] => [
    shortPeer(peerId),
    fate === 'stays' && !up ? { text: 'down', paint: style.red } : fate,
    count(before),
    count(after),
    share.toFixed(1),
    count(capacity),
    harmless(zone) || '-'
  ])
  return table(
    [
      { title: 'peer' },
      { title: '' },
      { title: 'ranges', align: 'right' },
      { title: 'then', align: 'right' },
      { title: 'fair share', align: 'right' },
      { title: 'capacity', align: 'right' },
      { title: 'zone', shrinkTo: 4 }
    ],
    rows,
    width,
    style
  )
}

function moveLines(moves: PlanInfo['moves'], width: number, style: Style): string[] {
  const rows = moves
    .slice(0, MOST_TOLD)
    .map(({ from, to, ranges }): Cell[] => [shortPeer(from), shortPeer(to), count(ranges)])
  const rest = moves.slice(MOST_TOLD)
  const ranges = rest.reduce((sum, move) => sum + move.ranges, 0)
  const more = rest.length > 0 ? [`and ${plural(ranges, 'range')} between ${plural(rest.length, 'other pair')}`] : []
  return [
    ...table([{ title: 'from' }, { title: 'to' }, { title: 'ranges', align: 'right' }], rows, width, style),
    ...more
  ]
}

function warningText(warning: Warning, { copies, nodes }: PlanInfo): string {
  switch (warning.what) {
    case 'few-nodes':
      return `${plural(warning.nodes, 'node')} that can be reached would be left, and every range is to have ${plural(copies, 'copy', 'copies')}`
    case 'fewer-zones':
      return `the copies of a range would be in ${plural(warning.after, 'zone')}; now there are ${warning.before}`
    case 'crowded':
      return `${told(warning.ranges, 'range')} would be in fewer zones than there could be`
    case 'thin':
      return `${plural(warning.nodes, 'node')} are more than one for every 8 ranges: shares get uneven`
    case 'off-share':
      return `a range or more from a fair share: ${offShare(warning.peerIds, nodes)}`
    case 'stuck':
      return `nobody could take ${told(warning.ranges, 'range')} from those that go`
    case 'down':
      return `down, and left with what they have: ${peers(warning.peerIds)}; --remove plans without them`
    case 'alive':
      return `up, and to be removed: ${peers(warning.peerIds)}; with --leave they hand on what they hold first`
  }
}

function told(ranges: readonly number[], noun: string): string {
  const more = ranges.length > MOST_TOLD ? ', …' : ''
  return `${plural(ranges.length, noun)} (${ranges.slice(0, MOST_TOLD).join(', ')}${more})`
}

function peers(peerIds: readonly string[], tell: (peerId: string) => string = shortPeer): string {
  const more = peerIds.length > MOST_TOLD ? ` and ${peerIds.length - MOST_TOLD} more` : ''
  return peerIds.slice(0, MOST_TOLD).map(tell).join(', ') + more
}

function offShare(peerIds: readonly string[], nodes: readonly PlannedNode[]): string {
  return peers(peerIds, peerId => {
    const { after, share } = nodes.find(node => node.peerId === peerId)!
    return `${shortPeer(peerId)} (${after > share ? '+' : ''}${(after - share).toFixed(1)})`
  })
}
