import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../src/errors.ts'
import type { Request } from '../src/messages.ts'
import { differences, Load } from './support/load.ts'
import { MemoryCluster, type MemoryNode } from './support/memory-cluster.ts'
import { textOf } from './support/memory-replica.ts'
import { until } from './support/until.ts'

const test = suite('core')
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster()
})
test.after.each(() => cluster.close())

const nodes = (of = cluster): MemoryNode[] => [...of.nodes.values()]
const named = (name: string): MemoryNode => cluster.nodes.get(name)!

/** One owner per range everywhere, shares even within two, nothing lost, and every key the same on all its replicas. */
async function mustBeWhole(load: Load, of = cluster): Promise<void> {
  await load.stop()
  await of.settled()
  const rings = nodes(of).map(({ core }) => core.topology.claims().map(({ owner }) => owner))
  for (const ring of rings) assert.equal(ring, rings[0])
  const share = of.params.q / nodes(of).length
  for (const { name, peerId } of nodes(of)) {
    const owned = rings[0].filter(owner => owner === peerId).length
    assert.ok(Math.abs(owned - share) <= 2, `${name} owns ${owned} of ${of.params.q}`)
  }
  assert.equal(await load.lost(nodes(of)[0]), [])
  await until('the replicas of every key are the same', async () => {
    const lines = await differences(of, load.keys)
    if (lines.length > 0) throw new Error(lines.join('; '))
    return true
  })
  assert.equal(await load.lost(nodes(of).at(-1)!), [])
}

const stat = async ({ core }: MemoryNode, name: string): Promise<number> =>
  ((await core.info('stats')) as Record<string, number>)[name]

test('joins under constant load: no operation fails, nothing acknowledged is lost', async () => {
  await cluster.start('n0')
  const load = new Load(cluster, 60).start(3)
  for (let i = 1; i < 6; i++) {
    await cluster.start(`n${i}`)
    await cluster.settled()
  }
  await load.stop()
  assert.equal(load.failures.map(String), [])
  assert.ok(load.operations > 100)
  await mustBeWhole(load)
})

test('in several zones every list spans them, and shares are even, whoever joins when', async () => {
  await cluster.start('n0', { zone: 'z0' })
  const load = new Load(cluster, 40).start(1)
  await Promise.all([1, 2, 3].map(i => cluster.start(`n${i}`, { zone: `z${i % 3}` })))
  await cluster.settled()
  for (const i of [4, 5]) await cluster.start(`n${i}`, { zone: `z${i % 3}` })
  await mustBeWhole(load)
  assert.equal(load.failures.map(String), [])
  const zoneOf = (peerId: string) =>
    Number(
      nodes()
        .find(node => node.peerId === peerId)!
        .name.slice(1)
    ) % 3
  for (let range = 0; range < cluster.params.q; range++) {
    const zones = new Set(named('n0').core.topology.view.preferenceList(range).map(zoneOf))
    assert.is(zones.size, 3, `the list of range ${range}`)
  }
})

test('several joiners at once, under load', async () => {
  await cluster.start('n0')
  const load = new Load(cluster, 60).start(3)
  await Promise.all(['n1', 'n2'].map(name => cluster.start(name)))
  await cluster.settled()
  await Promise.all(['n3', 'n4', 'n5'].map(name => cluster.start(name)))
  await cluster.settled()
  await load.stop()
  assert.equal(load.failures.map(String), [])
  await mustBeWhole(load)
})

// Who dies, and at which request of a join: n3 is the joiner, n0 the founder, n1 an owner and a source.
const DEATHS: [string, Request['type'], number][] = [
  ['n3', 'ask', 0],
  ['n3', 'pull', 0],
  ['n3', 'pull', 2],
  ['n3', 'mirror', 1],
  ['n3', 'seal', 0],
  ['n3', 'claims', 0],
  ['n1', 'ask', 0],
  ['n1', 'pull', 1],
  ['n1', 'mirror', 1],
  ['n1', 'seal', 1],
  ['n1', 'claims', 0],
  ['n0', 'seal', 0],
  ['n0', 'claims', 1]
]
/** Runs a join with a death in it on a cluster of its own. */
async function deathIn([victim, at, after]: (typeof DEATHS)[number]): Promise<void> {
  const own = new MemoryCluster()
  try {
    await own.startMany(3)
    const load = new Load(own, 30).start(1)
    let left = after
    let died = false
    own.hub.beforeRequest = (_from, _to, request) => {
      if (died || request.type !== at || left-- > 0) return
      died = true
      own.crash(victim)
    }
    const joining = own.start('n3').catch(error => {
      if (victim !== 'n3') throw error
    })
    await until('it died', () => died)
    own.hub.beforeRequest = undefined
    await joining
    const { operations } = load
    await until('the others go on', () => load.operations > operations + 5)
    await own.start(victim)
    await mustBeWhole(load, own)
  } catch (error) {
    throw new Error(`${victim} at "${at}" number ${after + 1}: ${(error as Error).message}`, { cause: error })
  } finally {
    await own.close()
  }
}

for (const dead of ['n3', 'n1', 'n0']) {
  test(`joins in which ${dead} dies, wherever it is, and comes back`, async () => {
    // Each mostly waits for leases to end, so they go side by side.
    await Promise.all(DEATHS.filter(([victim]) => victim === dead).map(deathIn))
  })
}

test('a member that is cut off says nothing false, and has everything once it is back', async () => {
  await cluster.startMany(3)
  const before = new Load(cluster, 30).start(2)
  await until('some operations', () => before.operations > 50)
  await before.stop()
  const [n0, n1, n2] = nodes()
  cluster.hub.partition([n0.peerId, n1.peerId], [n2.peerId])
  const load = new Load(cluster, 30).start(2, () => [n0, n1])
  await n0.core.store.put('unheard of', 'news')
  await until('some operations', () => load.operations > 50)
  for (const key of ['unheard of', before.keys[0]]) {
    const error = await n2.core.store.get(key, { timeoutMs: 300 }).catch(error => error)
    assert.ok(isCoterieError(error, 'not-available'), String(error))
  }
  const refused = await n2.core.store.put('lonely', 'kept', { timeoutMs: 300 }).catch(error => error)
  assert.ok(isCoterieError(refused, 'not-available'), String(refused))
  // With W = 1 it may.
  await n2.core.store.put('lonelier', 'kept', { w: 1, timeoutMs: 300 })
  assert.is((await n2.core.store.get('lonelier', { r: 1 })).values.length, 1)
  await load.stop()
  assert.equal(load.failures.map(String), [])
  cluster.hub.heal()
  await mustBeWhole(load)
  await until(
    'all is the same',
    async () => (await differences(cluster, ['unheard of', 'lonely', 'lonelier'])).length === 0
  )
  assert.equal(await before.lost(n2), [])
  assert.equal((await n0.core.store.get('lonelier', { r: 3 })).values.map(textOf), ['kept'])
})

test('a one-way cut is routed around', async () => {
  await cluster.startMany(4)
  const [n0, n1] = nodes()
  cluster.hub.cut(n0.peerId, n1.peerId, 'one-way')
  const load = new Load(cluster, 30).start(2)
  await until('some operations', () => load.operations > 60)
  await load.stop()
  cluster.hub.heal()
  assert.equal(load.failures.map(String), [])
  await mustBeWhole(load)
})

test('members leave for a while and miss writes, one after another', async () => {
  await cluster.startMany(4)
  const load = new Load(cluster, 40).start(2)
  for (const name of ['n1', 'n2', 'n3', 'n0']) {
    const { operations } = load
    if (name === 'n2') cluster.crash(name)
    else await cluster.stop(name)
    await until('the others go on', () => load.operations > operations + 30)
    await cluster.start(name)
    await cluster.settled()
  }
  await mustBeWhole(load)
})

test('all nodes die at once and come back with everything', async () => {
  await cluster.startMany(4)
  const load = new Load(cluster, 40).start(3)
  await until('some operations', () => load.operations > 100)
  const names = [...cluster.nodes.keys()]
  for (const name of names) cluster.crash(name)
  await Promise.all(names.reverse().map(name => cluster.start(name)))
  await mustBeWhole(load)
})

test('the power fails everywhere at once: with durability disk nothing acknowledged is lost', async () => {
  await cluster.close()
  cluster = new MemoryCluster({}, { durability: 'disk' })
  await cluster.startMany(3)
  const load = new Load(cluster, 40).start(3)
  await until('some operations', () => load.operations > 100)
  for (const name of ['n0', 'n1', 'n2']) cluster.crash(name, { power: true })
  for (const name of ['n0', 'n1', 'n2']) await cluster.start(name)
  await mustBeWhole(load)
})

test('two of three replicas wiped: the third refills both, and all count as synced again (failures 7)', async () => {
  await cluster.startMany(3)
  const load = new Load(cluster, 40).start(2)
  await until('some operations', () => load.operations > 60)
  await load.stop()
  await until('the replicas are the same', async () => (await differences(cluster, load.keys)).length === 0)
  for (const name of ['n1', 'n2']) {
    cluster.crash(name)
    const disk = cluster.disk(name)
    for (const path of disk.paths()) disk.set(path, undefined)
  }
  for (const name of ['n1', 'n2']) await cluster.start(name)
  await mustBeWhole(load)
  for (const node of nodes()) assert.is(await stat(node, 'copiesSyncing'), 0)
  assert.equal((await named('n1').core.store.get('nobody wrote this', { r: 3 })).values, [])
})

test('a founder that lost its owner map learns it from the others, and claims nothing anew', async () => {
  await cluster.startMany(3)
  const load = new Load(cluster, 40).start(2)
  await until('some operations', () => load.operations > 60)
  await load.stop()
  const ring = named('n1').core.topology.claims()
  cluster.crash('n0')
  cluster.disk('n0').poke('d/ring.bin', 20, [1, 2, 3])
  const others = [named('n1'), named('n2')].map(({ peerId }) => peerId)
  const n0 = await cluster.start('n0')
  // Whatever it says before it has heard from the others, it is not "no such key".
  await until('it knows the ring', () => n0.core.ready)
  assert.equal(n0.core.topology.claims(), ring)
  assert.ok(others.every(peerId => n0.core.topology.view.owners().includes(peerId)))
  await mustBeWhole(load)
})

test('a joiner knows the whole ring while ranges of removed members wait to be taken over, who had them from one another', async () => {
  const [n0, n1, n2] = await cluster.startMany(4)
  for (const { name, peerId } of [n0, n1]) {
    cluster.crash(name)
    await n2.core.membership.remove(peerId)
  }
  const joiner = await cluster.start('n4')
  await until('it knows who owns what', () => joiner.core.ready)
  const owners = new Set(joiner.core.topology.claims().map(({ owner }) => owner))
  assert.ok(owners.has(n0.peerId) && owners.has(n1.peerId), 'nobody has taken them over yet')
})

test('a founder that is alone starts again even without its owner map', async () => {
  await cluster.start('n0')
  await named('n0').core.store.put('k', 'v')
  cluster.crash('n0')
  cluster.disk('n0').poke('d/ring.bin', 20, [1, 2, 3])
  const { core } = await cluster.start('n0')
  assert.equal((await core.store.get('k')).values.map(textOf), ['v'])
  assert.equal((await core.store.get('nobody wrote this')).values, [])
})

test.run()
