/**
 * How good the planner's rings are (issue 6): members join one after another up to S, then leave down to one, each taking in turn
 * what it plans until nobody plans anything. Prints for each the worst distance of any member from its share, what moved
 * against the least that had to, and placement. Environment: Q (a list), S (a list).
 */
import { type PlanMember, planSteals } from '../../src/ring/planner.ts'
import { RingView } from '../../src/ring/ring-view.ts'
import { table } from './measure.ts'

const numbers = (text: string | undefined, byDefault: number[]) => text?.split(',').map(Number) ?? byDefault
const QS = numbers(process.env.Q, [64, 256, 1024, 4096])
const SS = numbers(process.env.S, [3, 10, 30, 100])
const N = 3
const ROUNDS = 6

const KINDS: [name: string, capacity: (i: number) => number, zone: (i: number) => string][] = [
  ['alike', () => 1, () => ''],
  ['capacities 1, 2, 4', i => [1, 2, 4][i % 3]!, () => ''],
  ['three zones', () => 1, i => `z${i % 3}`],
  // Each capacity in each zone.
  ['1, 2, 4 in three zones', i => [1, 2, 4][i % 3]!, i => `z${Math.floor(i / 3) % 3}`]
]

interface Worst {
  off: number
  offShare: number
  moved: number
  least: number
}

class Ring {
  owners: string[]
  members: PlanMember[]
  readonly joins: Worst = { off: 0, offShare: 0, moved: 0, least: 0 }
  readonly leaves: Worst = { off: 0, offShare: 0, moved: 0, least: 0 }
  readonly #q: number

  constructor(q: number, first: PlanMember) {
    this.#q = q
    this.owners = new Array<string>(q).fill(first.peerId)
    this.members = [first]
  }

  join(member: PlanMember): void {
    this.members = [...this.members, member]
    const share = (this.#q * member.capacity) / total(this.members)
    this.#settle([member.peerId, ...this.members.map(({ peerId }) => peerId)], this.joins, Math.floor(share))
  }

  leave(peerId: string): void {
    const had = this.owners.filter(owner => owner === peerId).length
    const staying = this.members.filter(member => member.peerId !== peerId)
    this.members = this.members.map(member => (member.peerId === peerId ? { ...member, capacity: 0 } : member))
    this.#settle(
      staying.map(one => one.peerId),
      this.leaves,
      had
    )
    this.members = staying
    this.#judge(this.leaves)
  }

  #settle(order: string[], worst: Worst, least: number): void {
    const before = [...this.owners]
    for (let round = 0, moved = 1; moved > 0 && round < ROUNDS; round++) {
      moved = 0
      for (const peerId of order) {
        for (const { range } of planSteals(this.owners, this.members, peerId, N)) {
          this.owners[range] = peerId
          moved++
        }
      }
    }
    worst.moved += this.owners.filter((owner, range) => owner !== before[range]).length
    worst.least += least
    if (this.members.every(({ capacity }) => capacity > 0)) this.#judge(worst)
  }

  #judge(worst: Worst): void {
    const counts = new Map<string, number>()
    for (const owner of this.owners) counts.set(owner, (counts.get(owner) ?? 0) + 1)
    for (const { peerId, capacity } of this.members) {
      const share = (this.#q * capacity) / total(this.members)
      const off = Math.abs((counts.get(peerId) ?? 0) - share)
      worst.off = Math.max(worst.off, off)
      worst.offShare = Math.max(worst.offShare, off / share)
    }
  }

  /** Ranges whose lists have fewer members or zones than they could. */
  misplaced(): number {
    const zones = new Map(this.members.map(({ peerId, zone }) => [peerId, zone]))
    const zoneOf = (peerId: string) => zones.get(peerId) ?? ''
    const view = new RingView(this.owners, zoneOf, N)
    const most = Math.min(N, new Set(zones.values()).size)
    let bad = 0
    for (let range = 0; range < this.#q; range++) {
      const list = view.preferenceList(range)
      if (list.length < Math.min(N, this.members.length) || new Set(list.map(zoneOf)).size < most) bad++
    }
    return bad
  }
}

const total = (members: readonly PlanMember[]) => members.reduce((sum, { capacity }) => sum + capacity, 0)
const fixed = (value: number) => value.toFixed(2)

export async function benchPlanner(): Promise<string> {
  const rows: string[][] = []
  for (const [kind, capacityOf, zoneOf] of KINDS) {
    for (const q of QS) {
      for (const s of SS.filter(size => size <= q)) {
        const member = (i: number): PlanMember => ({ peerId: `node-${i}`, capacity: capacityOf(i), zone: zoneOf(i) })
        const ring = new Ring(q, member(0))
        for (let i = 1; i < s; i++) ring.join(member(i))
        const misplaced = ring.misplaced()
        for (let i = 0; i < s - 1; i++) ring.leave(`node-${i}`)
        const { joins, leaves } = ring
        rows.push([
          kind,
          `${q}`,
          `${s}`,
          `${fixed(joins.off)} (${Math.round(100 * joins.offShare)} %)`,
          fixed(joins.moved / Math.max(1, joins.least)),
          `${fixed(leaves.off)} (${Math.round(100 * leaves.offShare)} %)`,
          fixed(leaves.moved / Math.max(1, leaves.least)),
          `${misplaced}`
        ])
      }
    }
  }
  return table(
    ['members', 'Q', 'S', 'joining: worst off', 'moved ÷ least', 'leaving: worst off', 'moved ÷ least', 'misplaced'],
    rows
  )
}
