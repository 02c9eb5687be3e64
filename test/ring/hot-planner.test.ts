import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HOT_ABOVE, planSwap, type Swap, standingOf } from '../../src/ring/hot-planner.ts'
import { heatOf, placesOf } from '../../src/ring/places.ts'
import { type PlanMember, planSteals } from '../../src/ring/planner.ts'
import { RingView } from '../../src/ring/ring-view.ts'

const test = suite('ring/hot-planner')
const N = 3

/** A cluster in which each member of a list has the same work with the range. */
class Cluster {
  owners: string[]
  readonly members: PlanMember[]
  readonly works: number[]

  constructor(works: number[], members: PlanMember[]) {
    this.works = works
    this.members = members
    this.owners = new Array<string>(works.length).fill(members[0].peerId)
    for (let i = 2; i <= members.length; i++) this.even(members.slice(0, i))
  }

  /** As thieves do: until nobody takes anything any more. */
  even(members = this.members): number {
    let moved = 0
    const hot = this.hot()
    for (let round = 0; round < 4; round++) {
      for (const { peerId } of members) {
        for (const { range } of planSteals(this.owners, members, peerId, N, { isHot: range => hot.has(range) })) {
          this.owners[range] = peerId
          moved++
        }
      }
    }
    return moved
  }

  get view(): RingView {
    const zones = new Map(this.members.map(({ peerId, zone }) => [peerId, zone]))
    return new RingView(this.owners, peer => zones.get(peer) ?? '', N)
  }

  hot(): Set<number> {
    const { view } = this
    return new Set(
      this.members.flatMap(({ peerId }) => heatOf(view, peerId, this.workOf)?.hot ?? []).map(({ range }) => range)
    )
  }

  workOf = (range: number) => this.works[range]

  loads(): Map<string, number> {
    const { view } = this
    return new Map(
      this.members.map(({ peerId }) => [
        peerId,
        view.rangesHeldBy(peerId).reduce((sum, range) => sum + this.works[range], 0)
      ])
    )
  }

  share(peerId: string): number {
    return standingOf(this.members, this.loads(), peerId)?.share ?? 0
  }

  most(): number {
    return Math.max(...this.members.map(({ peerId }) => this.share(peerId)))
  }

  plan(self: string, mayMove: (range: number) => boolean = () => true): Swap | undefined {
    const { view } = this
    return planSwap({
      view,
      members: this.members,
      self,
      loads: this.loads(),
      workOf: range => (view.isMember(range, self) ? this.works[range] : Number.NaN),
      coolOf: peer => heatOf(view, peer, this.workOf)?.cool,
      mayMove,
      mayReceive: () => true
    })
  }

  apply({ give, take }: Swap): void {
    this.owners[give.range] = give.to
    if (take === undefined) return
    assert.is(this.owners[take.range], take.from)
    this.owners[take.range] = this.#giverOf(give)
  }

  #giverOf({ to }: { to: string }): string {
    return this.giver === to ? '' : this.giver
  }

  giver = ''

  counts(): number[] {
    return this.members.map(({ peerId }) => this.owners.filter(owner => owner === peerId).length)
  }

  /** Swaps by whoever has most, until nobody wants any. Ranges that have moved stay. */
  balance(look: (before: { most: number; counts: number[] }, swap: Swap) => void = () => {}): Swap[] {
    const swaps: Swap[] = []
    const moved = new Set<number>()
    for (;;) {
      const byLoad = [...this.members].sort((a, b) => this.share(b.peerId) - this.share(a.peerId))
      let swap: Swap | undefined
      for (const { peerId } of byLoad) {
        swap = this.plan(peerId, range => !moved.has(range))
        this.giver = peerId
        if (swap !== undefined) break
      }
      if (swap === undefined) return swaps
      const before = { most: this.most(), counts: this.counts() }
      this.apply(swap)
      swaps.push(swap)
      moved.add(swap.give.range)
      if (swap.take) moved.add(swap.take.range)
      look(before, swap)
      assert.ok(swaps.length <= this.owners.length, 'it ends')
    }
  }
}

const nodes = (count: number, zones = 1, capacities: number[] = []): PlanMember[] =>
  Array.from({ length: count }, (_, i) => ({
    peerId: `n${i}`,
    capacity: capacities[i % Math.max(1, capacities.length)] ?? 1,
    zone: zones === 1 ? '' : `z${i % zones}`
  }))

const clusterArb = fc
  .record({
    nodes: fc.integer({ min: 4, max: 12 }),
    zones: fc.constantFrom(1, 1, 3),
    capacities: fc.constantFrom<number[]>([], [1, 2]),
    works: fc.array(
      fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 20, max: 60 }) }, fc.integer({ min: 100, max: 1500 })),
      {
        minLength: 64,
        maxLength: 64
      }
    )
  })
  .map(({ nodes: count, zones, capacities, works }) => new Cluster(works, nodes(count, zones, capacities)))

/** Lists of fewer zones than there could be, which a swap must not make more of. */
function crowded({ view, members }: Cluster): number {
  const zone = new Map(members.map(one => [one.peerId, one.zone]))
  return Array.from({ length: view.q }, (_, range) => view.preferenceList(range)).filter(
    list => new Set(list.map(peer => zone.get(peer))).size < Math.min(N, new Set(zone.values()).size)
  ).length
}

test('every swap lowers the most loaded that it touches, breaks no zone and leaves counts as even as they were', () => {
  let swapped = 0
  let judged = 0
  fc.assert(
    fc.property(clusterArb, cluster => {
      const zones = crowded(cluster)
      cluster.balance((before, swap) => {
        swapped++
        if (swap.take === undefined) {
          judged++
          const touched = Math.max(cluster.share(swap.give.to), cluster.share(cluster.giver))
          assert.ok(touched <= swap.after + 1e-9, `${touched}, where ${swap.after} was expected`)
        }
        assert.ok(swap.before > HOT_ABOVE && swap.after < swap.before)
        assert.ok(cluster.most() <= before.most + 1e-9, `${before.most} became ${cluster.most()}`)
        assert.is(crowded(cluster), zones)
        assert.is(cluster.even(), 0, 'the planner of shares has nothing to mend')
      })
    }),
    { numRuns: 60, seed: 7, endOnFailure: true }
  )
  assert.ok(swapped > 10 && judged > 2, `${swapped} swaps, ${judged} of them without a return`)
})

test('skewed load ends far more even than it was, in few swaps', () => {
  for (const count of [5, 8, 16]) {
    const works = Array.from({ length: 128 }, (_, range) => 20 + (range % 9 === 4 ? 2000 / (1 + range / 9) : 0))
    const cluster = new Cluster(works, nodes(count))
    // All that is hot at one node, as chance may have it.
    const mine = cluster.owners.flatMap((owner, range) => (owner === 'n1' ? [range] : []))
    works.fill(20)
    for (const range of mine.slice(0, 6)) works[range] = 700
    const before = cluster.most()
    const swaps = cluster.balance()
    assert.ok(before > HOT_ABOVE, `${before}`)
    assert.ok(
      cluster.most() <= HOT_ABOVE || cluster.most() < 1 + (before - 1) / 2,
      `${before} became ${cluster.most()}`
    )
    assert.ok(swaps.length > 0 && swaps.length <= 12, `${swaps.length} swaps`)
  }
})

test('the planner of shares takes back a cool range, not the hot one', () => {
  const cluster = new Cluster(new Array<number>(64).fill(30), nodes(8))
  const hot = cluster.owners.indexOf('n2')
  cluster.works[hot] = 4000
  cluster.owners[hot] = 'n5'
  const back = (isHot: (range: number) => boolean) =>
    planSteals(cluster.owners, cluster.members, 'n2', N, { isHot }).map(({ range }) => range)
  assert.ok(back(() => false).includes(hot), 'as good a place as it had')
  const told = cluster.hot()
  assert.not(back(range => told.has(range)).includes(hot))
})

test('a range that is too hot for any node stays', () => {
  const cluster = new Cluster(new Array<number>(64).fill(30), nodes(8))
  cluster.works[cluster.owners.indexOf('n3')] = 20_000
  assert.ok(cluster.most() > 2)
  const hot = cluster.works.indexOf(20_000)
  for (const { give } of cluster.balance()) assert.is.not(give.range, hot)
})

test('nothing happens where loads are even, small, unknown, or have just moved', () => {
  const even = new Cluster(new Array<number>(64).fill(100), nodes(8))
  assert.equal(even.balance(), [])
  const skewed = (unit: number) => {
    const cluster = new Cluster(new Array<number>(64).fill(unit), nodes(8))
    for (let i = 0, range = -1; i < 4; i++) cluster.works[(range = cluster.owners.indexOf('n4', range + 1))] = 20 * unit
    return cluster
  }
  assert.ok(skewed(30).balance().length > 0)
  assert.equal(skewed(0.2).balance(), [], 'small')
  assert.is(
    skewed(30).plan('n4', () => false),
    undefined,
    'all have moved'
  )
  const cluster = skewed(30)
  const alone = new Map([['n4', cluster.loads().get('n4')!]])
  assert.is(standingOf(cluster.members, alone, 'n4')?.share, 1, 'nobody else is known')
  assert.is(standingOf(cluster.members, cluster.loads(), 'nobody'), undefined)
})

test('a place has the work of the lists that it stands for', () => {
  const view = new RingView([...'ABCABDABCABE'], () => '', N)
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { minLength: 12, maxLength: 12 }), works => {
      for (const peer of 'ABCDE') {
        const places = placesOf(view, peer, range => works[range])
        assert.ok(places.every(({ range }) => view.owner(range) === peer))
        const served = view.rangesHeldBy(peer).reduce((sum, range) => sum + works[range], 0)
        assert.is(
          places.reduce((sum, { work }) => sum + work, 0),
          served
        )
      }
    })
  )
  const works = [0, 0, 0, 0, 0, 900, 0, 0, 0, 0, 0, 0]
  assert.equal(
    placesOf(view, 'B', range => works[range]).filter(({ work }) => work > 0),
    [{ range: 7, work: 900 }]
  )
})

test('what a node tells is bounded, and nothing where there is next to no work', () => {
  const view = new RingView(
    Array.from({ length: 64 }, (_, range) => 'ABCD'[range % 4]),
    () => '',
    N
  )
  assert.is(
    heatOf(view, 'A', () => 0),
    undefined
  )
  const heat = heatOf(view, 'A', range => (range % 16 === 0 ? 500 : 10))!
  assert.is(heat.hot.length, 4)
  assert.is(heat.cool.length, 4)
  assert.ok(heat.hot.every(({ work }) => work > 500) && heat.cool.every(({ work }) => work < 100))
})

test.run()
