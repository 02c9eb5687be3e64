/** What a cluster looks like at one moment: who holds what, how much that is, and what each node has received so far. */
import type { ClusterParams } from '../../src/config.ts'
import { RingView } from '../../src/ring/ring-view.ts'
import { RECORD_ALIGN, RECORD_HEADER_BYTES } from '../../src/storage/format/record.ts'
import { type Site, stats } from './site.ts'

export interface Shape {
  lists: (readonly string[])[]
  /** Ranges owned, by node. */
  counts: number[]
  /** By range, of the fullest copy. */
  keys: number[]
  /** Mean of a key and its state. */
  bytesPerKey: number
  /** Bytes by peer id: by movements and refills, since its start. */
  received: Map<string, number>
}

export async function shapeOf(site: Site): Promise<Shape> {
  const watcher = site.watchers[0]!
  const { q, n, owners } = (await watcher.info('ring')) as Pick<ClusterParams, 'q' | 'n'> & { owners: Owner[] }
  const members = (await watcher.info('members')) as { peerId: string; zone: string }[]
  const zones = new Map(members.map(({ peerId, zone }) => [peerId, zone]))
  const ownerOf = new Array<string | undefined>(q).fill(undefined)
  for (const { range, owner } of owners) ownerOf[range] = owner
  const view = new RingView(ownerOf, peerId => zones.get(peerId) ?? '', n)
  const keys = new Array<number>(q).fill(0)
  const received: Shape['received'] = new Map()
  const live = { keys: 0, bytes: 0 }
  for (const [i, each] of site.watchers.entries()) {
    for (const copy of (await each.info('copies')) as { range: number; keys: number }[])
      keys[copy.range] = Math.max(keys[copy.range]!, copy.keys)
    const said = await stats(each)
    received.set(site.nodes[i]!.peerId, said.bytesReceived!)
    live.keys += said.keys!
    live.bytes += said.bytes!
  }
  return {
    lists: Array.from({ length: q }, (_, range) => view.preferenceList(range)),
    counts: site.nodes.map(({ peerId }) => ownerOf.filter(owner => owner === peerId).length),
    keys,
    // The files add to each record a header, and half of the alignment on average.
    bytesPerKey: live.keys === 0 ? 0 : live.bytes / live.keys - RECORD_HEADER_BYTES - RECORD_ALIGN / 2,
    received
  }
}

interface Owner {
  range: number
  owner: string
}

export interface Moved {
  /** Copies of ranges that have a new holder. */
  copies: number
  /** What these hold: no less had to move. */
  leastBytes: number
  /** What they have received. */
  bytes: number
}

/**
 * To these nodes; without, to all that are there in the end. One that is in `before` alone has gone, and its count with it:
 * it was giving, not taking.
 */
export function moved(before: Shape, after: Shape, to = [...after.received.keys()]): Moved {
  let copies = 0
  let keys = 0
  after.lists.forEach((list, range) => {
    const fresh = list.filter(member => to.includes(member) && !before.lists[range]!.includes(member)).length
    copies += fresh
    keys += fresh * after.keys[range]!
  })
  let bytes = 0
  for (const peerId of to) bytes += (after.received.get(peerId) ?? 0) - (before.received.get(peerId) ?? 0)
  return { copies, leastBytes: keys * after.bytesPerKey, bytes }
}
