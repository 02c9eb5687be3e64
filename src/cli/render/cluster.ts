/** Members, the ring, where a key lives, statistics: what a node tells about its cluster, drawn. Pure. */
import type { MemberInfo, RingInfo, WhereInfo } from '../parts.ts'
import type { Style } from './style.ts'
import { type Cell, table } from './table.ts'
import { byteCount, count, displayWidth, harmless, pad, plural, shortPeer } from './text.ts'

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** Ranges a line of the band: rows of powers of two are easy to count. */
const MOST_PER_LINE = 64
const NOBODY = '·'
const BAR_COLUMNS = 20
const MOST_BUSY = 5

/** Peers by letter, in the order of their ids: the same letters in every picture of one cluster. */
export function letters(peerIds: Iterable<string>): Map<string, { index: number; letter: string }> {
  const sorted = [...new Set(peerIds)].sort()
  return new Map(sorted.map((peerId, index) => [peerId, { index, letter: LETTERS[index] ?? '#' }]))
}

export function memberLines(members: MemberInfo[], width: number, style: Style): string[] {
  const names = letters(members.map(member => member.peerId))
  const sorted = [...members].sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
  const isBusy = members.some(({ heat }) => heat !== undefined)
  const rows = sorted.map((member): Cell[] => {
    const { index, letter } = names.get(member.peerId)!
    return [
      { text: letter, paint: text => style.owner(index, text) },
      `${shortPeer(member.peerId)}${member.self ? ' *' : ''}`,
      harmless(member.status),
      member.alive ? { text: 'alive', paint: style.green } : { text: 'down', paint: style.red },
      count(member.ranges),
      count(member.keys),
      byteCount(member.bytes),
      count(member.opsPerSecond),
      ...(isBusy ? [count(member.heat?.work ?? 0)] : []),
      harmless(member.zone) || '-',
      harmless(member.addresses[0] ?? '-').replace(/\/p2p\/.*/, '')
    ]
  })
  const lines = table(
    [
      { title: '' },
      { title: 'peer' },
      { title: 'status' },
      { title: 'seen' },
      { title: 'ranges', align: 'right' },
      { title: 'keys', align: 'right' },
      { title: 'bytes', align: 'right' },
      { title: 'ops/s', align: 'right' },
      ...(isBusy ? [{ title: 'work/s', align: 'right' as const }] : []),
      { title: 'zone', shrinkTo: 4 },
      { title: 'address', shrinkTo: 7 }
    ],
    rows,
    width,
    style
  )
  return members.some(member => member.self) ? [...lines, style.dim('* the node asked')] : lines
}

/** The ring as a band of letters, one a range, and who they are. */
export function ringLines(ring: RingInfo, members: MemberInfo[], width: number, style: Style): string[] {
  const owners = new Map(ring.owners.map(({ range, owner }) => [range, owner]))
  const names = letters([...owners.values(), ...members.map(member => member.peerId)])
  const label = String(ring.q - 1).length
  const perLine = Math.min(MOST_PER_LINE, 2 ** Math.floor(Math.log2(Math.max(8, width - label - 1))), ring.q)
  const lines: string[] = []
  for (let start = 0; start < ring.q; start += perLine) {
    let band = ''
    for (let range = start; range < start + perLine; range++) {
      const name = names.get(owners.get(range) ?? '')
      band += name ? style.owner(name.index, name.letter) : NOBODY
    }
    lines.push(`${style.dim(String(start).padStart(label))} ${band}`)
  }
  const busiest = (ring.loads ?? []).slice(0, MOST_BUSY).map(({ range, work }) => `${range} (${count(work)}/s)`)
  const work = busiest.length === 0 ? [] : ['', `ranges with most work on the node asked: ${busiest.join(', ')}`]
  return [...lines, '', ...legend(ring, members, names, style), ...work]
}

function legend(ring: RingInfo, members: MemberInfo[], names: ReturnType<typeof letters>, style: Style): string[] {
  const counts = new Map<string, number>()
  for (const { owner } of ring.owners) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  const most = Math.max(1, ...counts.values())
  const lines = [...names].map(([peerId, { index, letter }]) => {
    const owned = counts.get(peerId) ?? 0
    const member = members.find(one => one.peerId === peerId)
    const marks = [member?.self ? 'the node asked' : '', member && !member.alive ? style.red('down') : ''].filter(
      Boolean
    )
    const bar = '█'.repeat(Math.round((owned / most) * BAR_COLUMNS)).padEnd(BAR_COLUMNS)
    const share = `${((100 * owned) / ring.q).toFixed(1)} %`.padStart(7)
    const tail = marks.length > 0 ? `  ${marks.join(', ')}` : ''
    return `${style.owner(index, `${letter} ${bar}`)} ${count(owned).padStart(5)} ${share}  ${shortPeer(peerId)}${tail}`
  })
  const free = ring.q - ring.owners.length
  const cluster = `${ring.q} ranges, ${plural(ring.n, 'copy', 'copies')} each${free > 0 ? `, ${free} of nobody (${NOBODY})` : ''}`
  return [...lines, style.dim(cluster)]
}

export function whereLines(where: WhereInfo, style: Style): string[] {
  const states = new Map(where.replicas.map(replica => [replica.peerId, replica]))
  const zoneOf = (replica: WhereInfo['replicas'][number] | undefined) => harmless(replica?.zone ?? '') || '-'
  // A cluster without zones has nothing to tell of them.
  const hasZones = where.replicas.some(({ zone }) => zone)
  const zoneWidth = Math.max(0, ...where.replicas.map(replica => displayWidth(zoneOf(replica))))
  const line = (peerId: string, place: string) => {
    const replica = states.get(peerId)
    const seen = replica?.alive ? style.green('alive') : style.red('down ')
    const copy = replica?.synced ? style.green('synced') : style.yellow(replica?.status ?? 'not synced')
    const zone = hasZones ? `${pad(zoneOf(replica), zoneWidth)}  ` : ''
    return `${place.padEnd(10)} ${peerId}  ${zone}${seen}  ${copy}`
  }
  const others = where.replicas.map(replica => replica.peerId).filter(peerId => !where.preference.includes(peerId))
  return [
    `position ${where.position}, range ${where.range}`,
    ...where.preference.map((peerId, i) => line(peerId, i === 0 ? 'owner' : `replica ${i + 1}`)),
    ...others.map(peerId => line(peerId, 'also'))
  ]
}

/** `name  value` lines of a flat document; nested ones are indented under their name. */
export function statLines(stats: unknown, style: Style, indent = ''): string[] {
  if (typeof stats !== 'object' || stats === null) return [`${indent}${String(stats)}`]
  const entries = Object.entries(stats)
  const width = Math.max(0, ...entries.map(([name]) => displayWidth(name)))
  return entries.flatMap(([name, value]) => {
    if (typeof value === 'object' && value !== null) {
      if (Object.keys(value).length === 0) return []
      return [`${indent}${style.dim(harmless(name))}`, ...statLines(value, style, `${indent}  `)]
    }
    const text = typeof value === 'number' ? statNumber(name, value) : harmless(String(value))
    return [`${indent}${style.dim(harmless(name).padEnd(width))}  ${text}`]
  })
}

function statNumber(name: string, value: number): string {
  return /bytes$/i.test(name) ? `${count(value)} (${byteCount(value)})` : count(value)
}
