import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WhereInfo } from '../src/cli/parts.ts'
import { MemoryCluster } from './support/memory-cluster.ts'

const test = suite('info')
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster({ q: 16 })
})
test.after.each(() => cluster.close())

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

test.run()
