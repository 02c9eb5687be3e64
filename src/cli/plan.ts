/** What `coterie plan` and the REPL's `plan` are given, and the outlook for it from what a node knows. */
import { CoterieError } from '../errors.ts'
import { type Change, type Outlook, outlook, type PresentMember } from '../ring/outlook.ts'
import { RingView } from '../ring/ring-view.ts'
import { type Arguments, type Flags, usage } from './args.ts'
import type { Cluster, MemberInfo, RingInfo } from './parts.ts'
import * as values from './values.ts'

/** More at once than a ring of 4,096 ranges is advised to have. */
const MOST_JOINS = 512
/** As short an end of a peer id as may name it. */
const SHORTEST_END = 4

export const PLAN_FLAGS: Flags = {
  join: { type: 'string', value: 'N', help: 'so many nodes join' },
  zone: { type: 'string', value: 'Z', help: 'in which zone they are' },
  'join-capacity': { type: 'string', value: 'C', help: 'their capacity; default 1' },
  leave: { type: 'string', multiple: true, value: 'PEER', help: 'this node leaves' },
  remove: { type: 'string', multiple: true, value: 'PEER', help: 'this node is removed, or stays away for good' },
  capacity: { type: 'string', multiple: true, value: 'PEER=C', help: 'this node gets another capacity' }
}

/** The document: the change that was asked for, and what it comes to. */
export interface PlanInfo extends Outlook {
  change: {
    join: { peerId: string; zone: string; capacity: number }[]
    leave: string[]
    remove: string[]
    capacity: { peerId: string; capacity: number }[]
  }
}

/** Throws `bad-usage` for a change that cannot be, `not-available` while the node asked knows only part of the ring. */
export async function planOf(given: Arguments, cluster: Pick<Cluster, 'info'>): Promise<PlanInfo> {
  const joins = joinsOf(given)
  const ring = (await cluster.info('ring')) as RingInfo
  const members = (await cluster.info('members')) as MemberInfo[]
  const owners = new Array<string | undefined>(ring.q).fill(undefined)
  for (const { range, owner } of ring.owners) owners[range] = owner
  if (owners.includes(undefined))
    throw new CoterieError(
      'not-available',
      'the node asked does not know yet who owns each range; ask again, or another'
    )
  const present = members.filter(({ status, verdict }) => status !== 'left' && verdict !== 'removed')
  const change = changeOf(given, present, joins)
  const zones = new Map(members.map(({ peerId, zone }) => [peerId, zone]))
  const view = new RingView(owners, peerId => zones.get(peerId) ?? '', ring.n)
  return {
    change: {
      join: change.joins.map(({ peerId, zone, capacity }) => ({ peerId, zone, capacity })),
      leave: [...change.leaves],
      remove: [...change.removals],
      capacity: [...change.capacities].map(([peerId, capacity]) => ({ peerId, capacity }))
    },
    ...outlook(view, present.map(presentMember), change)
  }
}

const presentMember = ({ peerId, zone, capacity, status, alive, bytes }: MemberInfo): PresentMember => ({
  peerId,
  zone,
  bytes,
  capacity: status === 'leaving' ? 0 : capacity,
  isUp: alive
})

/** Their peer ids are not known yet; which ranges they take depends on these, how many does not. */
function joinsOf(given: Arguments): Change['joins'] {
  const count = values.optional(given, 'join', (name, text) => values.wholeNumber(name, text, 1, MOST_JOINS)) ?? 0
  for (const flag of ['zone', 'join-capacity']) {
    if (count === 0 && given.text(flag) !== undefined)
      throw usage(`--${flag} is about nodes that join: give --join N as well`)
  }
  const zone = given.text('zone') ?? ''
  const capacity = values.optional(given, 'join-capacity', values.capacity) ?? 1
  return Array.from({ length: count }, (_, i) => ({ peerId: `new-${i + 1}`, zone, capacity, isUp: true }))
}

function changeOf(given: Arguments, present: readonly MemberInfo[], joins: Change['joins']): Change {
  const named = new Set<string>()
  const once = (flag: string, text: string): MemberInfo => {
    const member = memberOf(flag, text, present)
    if (named.has(member.peerId)) throw usage(`${member.peerId} is named twice; a plan does one thing with a node`)
    named.add(member.peerId)
    return member
  }
  const leaves = (given.list('leave') ?? []).map(text => mayLeave(once('--leave', text)).peerId)
  const removals = (given.list('remove') ?? []).map(text => once('--remove', text).peerId)
  const capacities = new Map(
    (given.list('capacity') ?? []).map((text): [string, number] => {
      const [, peer, capacity] = /^(.*)=(.*)$/s.exec(text) ?? []
      if (peer === undefined || capacity === undefined)
        throw usage(`--capacity is "${text}"; it takes PEER=C, a node and its new capacity`)
      const member = once('--capacity', peer)
      if (member.status === 'leaving')
        throw usage(`${member.peerId} is leaving: it gets no more ranges at any capacity`)
      return [member.peerId, values.capacity(`--capacity ${peer}=`, capacity)]
    })
  )
  const goes = new Set([...leaves, ...removals])
  const isLeft = ({ peerId, status, alive }: MemberInfo) => alive && status !== 'leaving' && !goes.has(peerId)
  if (joins.length === 0 && !present.some(isLeft))
    throw usage('no node that is up would be left to take the ranges: leave one out of --leave and --remove')
  return { joins, leaves, removals, capacities }
}

function mayLeave(member: MemberInfo): MemberInfo {
  if (member.alive) return member
  throw usage(`${member.peerId} is down, and cannot leave: plan with --remove, or wait until it is back`)
}

/** A member by its peer id, or by the end of it as `coterie members` shows it. */
function memberOf(flag: string, text: string, present: readonly MemberInfo[]): MemberInfo {
  const end = text.replace(/^…/, '')
  const fits = present.filter(({ peerId }) => peerId === text || (end.length >= SHORTEST_END && peerId.endsWith(end)))
  if (fits.length === 1) return fits[0]!
  if (fits.length === 0)
    throw usage(`${flag} is "${text}", which is no member of this cluster; coterie members lists them`)
  throw usage(`${flag} is "${text}", which fits ${fits.length} members; give more of the peer id`)
}
