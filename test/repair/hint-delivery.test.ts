/** Writes that others take for list members, how they are read meanwhile, and how they come home (failures 8, 12; design §10). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { rangeOfKey } from '../../src/store-requests.ts'
import { differences } from '../support/load.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'

const test = suite('hint delivery')
const NEVER_MS = 3_600_000
let cluster: MemoryCluster

test.after.each(() => cluster.close())

const KEYS = Array.from({ length: 40 }, (_, i) => `key ${i}`)
const rangeOf = (key: string) => rangeOfKey(Buffer.from(key), cluster.params.q)
const text = (values: Uint8Array[]) => values.map(value => Buffer.from(value).toString()).sort()

type Stats = Record<'hints' | 'hintRanges' | 'sloppy' | 'hintsDeclined', number>
const statsOf = async ({ core }: MemoryNode) => (await core.info('stats')) as Stats

async function hints(): Promise<number> {
  const all = await Promise.all([...cluster.nodes.values()].map(statsOf))
  return all.reduce((sum, stats) => sum + stats.hintRanges, 0)
}

/** Every node but `keep` is cut off from those of `keep`, and from one another. */
function onlyTogether(nodes: MemoryNode[], keep: MemoryNode[]): void {
  const away = nodes.filter(node => !keep.includes(node))
  cluster.hub.partition(
    keep.map(({ peerId }) => peerId),
    ...away.map(({ peerId }) => [peerId])
  )
}

test('two of five take every write, say that it was sloppy, and read it; after the heal all is where it belongs', async () => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: NEVER_MS })
  const nodes = await cluster.startMany(5)
  const pair = [nodes[1], nodes[3]]
  onlyTogether(nodes, pair)
  let sloppy = 0
  for (const [i, key] of KEYS.entries()) {
    const result = await pair[i % 2].core.store.put(key, `v${i}`)
    assert.ok(result.acks >= 2)
    if (result.sloppy) sloppy++
    assert.equal(text((await pair[(i + 1) % 2].core.store.get(key)).values), [`v${i}`])
  }
  assert.ok(sloppy > KEYS.length / 3, `${sloppy} of ${KEYS.length} were sloppy`)
  assert.ok((await hints()) > 0)
  cluster.hub.heal()
  await until('all is handed over', async () => (await hints()) === 0, 15_000)
  await until('all is the same', async () => (await differences(cluster, KEYS)).length === 0)
  for (const [i, key] of KEYS.entries())
    assert.equal(text((await nodes[0].core.store.get(key, { r: 'all' })).values), [`v${i}`])
})

test('a key of which no list member can be reached is written, read, changed and deleted all the same', async () => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: NEVER_MS })
  const nodes = await cluster.startMany(5)
  const pair = [nodes[0], nodes[1]]
  const away = (key: string) =>
    pair.every(({ core, peerId }) => {
      const list = core.topology.view.preferenceList(rangeOf(key))
      return !list.includes(peerId)
    })
  const key = Array.from({ length: 1000 }, (_, i) => `far ${i}`).find(away)!
  const other = Array.from({ length: 1000 }, (_, i) => `gone ${i}`).find(away)!
  await nodes[4].core.store.put(other, 'before', { w: 'all' })
  onlyTogether(nodes, pair)
  const first = await pair[0].core.store.put(key, 'one')
  assert.is(first.sloppy, true)
  assert.is(first.acks, 2)
  const seen = await pair[1].core.store.get(key)
  assert.equal(text(seen.values), ['one'])
  await pair[1].core.store.put(key, 'two', { context: seen.context })
  assert.equal(text((await pair[0].core.store.get(key)).values), ['two'])
  await pair[0].core.store.put(other, 'beside')
  const absent = await pair[0].core.store
    .get('nowhere to be found')
    .catch((error: Error & { code: string }) => error.code)
  assert.ok(absent === 'not-available' || !away('nowhere to be found'), 'no stand-in says that there is no such key')
  cluster.hub.heal()
  await until('all is handed over', async () => (await hints()) === 0, 15_000)
  await until('all is the same', async () => (await differences(cluster, [key, other])).length === 0)
  assert.equal(text((await nodes[3].core.store.get(key, { r: 'all' })).values), ['two'])
  assert.equal(text((await nodes[3].core.store.get(other, { r: 'all' })).values), ['before', 'beside'], 'concurrent')
})

test('what a node keeps for others survives its restart', async () => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: NEVER_MS })
  const nodes = await cluster.startMany(5)
  const pair = [nodes[1], nodes[3]]
  onlyTogether(nodes, pair)
  for (const [i, key] of KEYS.entries()) await pair[i % 2].core.store.put(key, 'kept')
  const before = (await statsOf(pair[0])).hints
  assert.ok(before > 0)
  cluster.crash('n1')
  const again = await cluster.start('n1')
  assert.is((await statsOf(again)).hints, before)
  cluster.hub.heal()
  await until('all is handed over', async () => (await hints()) === 0, 15_000)
  await until('all is the same', async () => (await differences(cluster, KEYS)).length === 0)
})

test('at its bound a node declines, and the write goes where there is room, or is not available', async () => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: NEVER_MS, standInBytes: 2000 })
  const nodes = await cluster.startMany(5)
  const pair = [nodes[1], nodes[3]]
  onlyTogether(nodes, pair)
  const refused: string[] = []
  const acked: string[] = []
  for (const key of KEYS) {
    await pair[0].core.store.put(key, 'x'.repeat(300)).then(
      () => acked.push(key),
      (error: Error & { code: string }) => refused.push(error.code)
    )
  }
  assert.ok(refused.length > 0 && acked.length > 0)
  assert.equal(new Set(refused), new Set(['not-available']))
  assert.ok((await statsOf(pair[1])).hintsDeclined > 0)
  cluster.hub.heal()
  await until('all is handed over', async () => (await hints()) === 0, 15_000)
  for (const key of acked) assert.is((await nodes[0].core.store.get(key)).values.length >= 1, true)
})

test.run()
