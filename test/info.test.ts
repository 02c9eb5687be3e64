import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WhereInfo } from '../src/cli/parts.ts'
import type { ClusterStatus } from '../src/cluster-status.ts'
import { MemoryCluster, type MemoryNode } from './support/memory-cluster.ts'
import { until } from './support/until.ts'

const test = suite('info')
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster({ q: 16 })
})
test.after.each(() => cluster.close())

interface Placed {
  keys: number
  placement: { crowdedRanges: number; crowdedKeys: number }
}

const placed = async ({ core }: MemoryNode) => (await core.info('stats')) as Placed
const crowded = async ({ core }: MemoryNode) => ((await core.info('status')) as ClusterStatus).crowded

const key = new TextEncoder().encode('greeting')

test('where tells the zone of each replica, of one that is down as well', async () => {
  const zones = ['attic', 'shed', '']
  const zoneOf = new Map<string, string>()
  for (const [i, zone] of zones.entries()) zoneOf.set((await cluster.start(`n${i}`, { zone })).peerId, zone)
  await cluster.settled()
  await cluster.stop('n1')
  const { replicas } = (await cluster.nodes.get('n0')!.core.info('where', key)) as WhereInfo
  assert.is(replicas.length, 3)
  for (const { peerId, zone, alive } of replicas) {
    assert.is(zone, zoneOf.get(peerId))
    assert.is(alive, zone !== 'shed')
  }
})

test('stats count own ranges and keys in fewer zones than there are: while nodes of a zone own nothing, each key once', async () => {
  const n0 = await cluster.start('n0', { zone: 'attic' })
  const n1 = await cluster.start('n1', { zone: 'attic' })
  await cluster.settled()
  for (let i = 0; i < 40; i++) {
    // A machine with much else to do has a node refuse what it is late for.
    await until('it is put', () => n0.core.store.put(`key-${i}`, 'v', { w: 2 }))
  }
  assert.equal((await placed(n0)).placement, { crowdedRanges: 0, crowdedKeys: 0 })
  cluster.hub.beforeRequest = (_from, _to, { type }) => {
    if (type === 'ask') throw new Error('not yet')
  }
  const n2 = await cluster.start('n2', { zone: 'shed' })
  await until('all have heard of the new zone', async () => {
    const counts = await Promise.all([n0, n1].map(async node => (await placed(node)).placement.crowdedRanges))
    return counts[0]! + counts[1]! === 16
  })
  const [at0, at1] = [await placed(n0), await placed(n1)]
  assert.is(at0.placement.crowdedRanges, n0.core.topology.claims().filter(({ owner }) => owner === n0.peerId).length)
  assert.is(at0.keys + at1.keys, 80)
  assert.is(at0.placement.crowdedKeys + at1.placement.crowdedKeys, 40)
  assert.equal((await placed(n2)).placement, { crowdedRanges: 0, crowdedKeys: 0 })
  assert.is((await crowded(n0)).length, 16)

  cluster.hub.beforeRequest = undefined
  await cluster.settled()
  for (const node of [n0, n1, n2]) assert.equal((await placed(node)).placement, { crowdedRanges: 0, crowdedKeys: 0 })
  assert.equal(await crowded(n0), [])
})

test('a zone of which all nodes are down and own nothing is none that copies could be in', async () => {
  const n0 = await cluster.start('n0', { zone: 'attic' })
  cluster.hub.beforeRequest = (_from, _to, { type }) => {
    if (type === 'ask') throw new Error('not yet')
  }
  await cluster.start('n1', { zone: 'shed' })
  await until('it has heard of the new zone', async () => (await crowded(n0)).length === 16)
  cluster.crash('n1')
  await until('it takes the other one for dead', async () => (await crowded(n0)).length === 0)
})

test.run()
