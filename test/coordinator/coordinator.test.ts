/** Coordinated reads and writes, through whole cores in memory. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../src/errors.ts'
import type { Answer, Request } from '../../src/messages.ts'
import { storedKey } from '../../src/replica/stored-key.ts'
import { rangeOf } from '../../src/ring/position.ts'
import { differences } from '../support/load.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { bytesOf, textOf } from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

const test = suite('coordinator')
const NEVER_MS = 3_600_000
const options = { timeoutMs: 3000 }
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: NEVER_MS })
})
test.after.each(() => cluster.close())

const nodes = (): MemoryNode[] => [...cluster.nodes.values()]
const byPeer = (peerId: string): MemoryNode => nodes().find(node => node.peerId === peerId)!
const rangeOfKey = (key: string): number => rangeOf(storedKey(bytesOf(key)), cluster.params.q)

/** The members of the key's list, in its order, and a node that is on none of its places. */
function around(key: string): { members: MemoryNode[]; outsider: MemoryNode } {
  const members = nodes()[0].core.topology.view.preferenceList(rangeOfKey(key)).map(byPeer)
  return { members, outsider: nodes().find(node => !members.includes(node))! }
}

const putRequest = (key: string, value: string, id: number): Request => ({
  type: 'put',
  key: bytesOf(key),
  value: bytesOf(value),
  w: 'default',
  expiresAtMs: 0,
  writeId: new Uint8Array(8).fill(id),
  forwarded: false
})

async function stored(work: Promise<Answer>): Promise<Extract<Answer, { type: 'stored' }>> {
  const answer = await work
  assert.is(answer.type, 'stored')
  return answer as Extract<Answer, { type: 'stored' }>
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    value => value,
    error => error
  )

test('whoever is asked, the answer is the same; one that is not on the list hands on once', async () => {
  await cluster.startMany(5)
  const { members, outsider } = around('k')
  await outsider.core.store.put('k', 'v')
  for (const node of nodes()) assert.equal((await node.core.store.get('k')).values.map(textOf), ['v'], node.name)
  const { forwarded } = (await outsider.core.info('stats')) as { forwarded: number }
  assert.ok(forwarded >= 1)
  for (const member of members) {
    assert.is(((await member.core.info('stats')) as { forwarded: number }).forwarded, 0)
  }
})

test('a retry of one write, through any nodes, leaves one value', async () => {
  await cluster.startMany(5)
  const client = cluster.hub.network('client', 'client')
  const request = putRequest('k', 'once', 7)
  for (const node of nodes()) await stored(client.request(node.peerId, request, options))
  const { values, context } = await nodes()[0].core.store.get('k', { r: 3 })
  assert.equal(values.map(textOf), ['once'])
  await nodes()[1].core.store.put('k', 'next', { context })
  // Late, after it was replaced.
  await stored(client.request(nodes()[2].peerId, request, options))
  await until('the replicas agree', async () => (await differences(cluster, ['k'])).length === 0)
  assert.equal((await nodes()[3].core.store.get('k', { r: 3 })).values.map(textOf), ['next'])
})

test('the same retries all at once leave one value, too', async () => {
  await cluster.startMany(4)
  const client = cluster.hub.network('client', 'client')
  await Promise.all(nodes().map(node => stored(client.request(node.peerId, putRequest('k', 'once', 9), options))))
  for (const node of nodes()) assert.equal((await node.core.store.get('k', { r: 3 })).values.map(textOf), ['once'])
})

test('a read mends the replicas that were behind', async () => {
  await cluster.startMany(3)
  const [n0, n1, n2] = nodes()
  await n0.core.store.put('k', 'old', { w: 'all' })
  const { context } = await n0.core.store.get('k')
  // One replica misses a write, and nobody tells it.
  cluster.hub.beforeRequest = (_from, to, request) => {
    if (to === n2.peerId && request.type === 'merge') throw new Error('lost on the way')
  }
  await n0.core.store.put('k', 'new', { context })
  assert.is((await differences(cluster, ['k'])).length, 1)
  cluster.hub.beforeRequest = undefined
  assert.equal((await n1.core.store.get('k', { r: 3 })).values.map(textOf), ['new'])
  await until('it is mended', async () => (await differences(cluster, ['k'])).length === 0)
})

test('a replica that is slow is not waited for', async () => {
  await cluster.startMany(3)
  const [n0, n1] = nodes()
  await n0.core.store.put('k', 'v', { w: 'all' })
  const { promise: stalled, resolve: release } = Promise.withResolvers<void>()
  cluster.hub.beforeRequest = async (_from, to) => {
    if (to === n1.peerId) await stalled
  }
  const others = nodes().filter(node => node !== n1)
  for (const node of others) {
    assert.equal((await node.core.store.get('k')).values.map(textOf), ['v'])
    assert.ok((await node.core.store.put('k2', 'v')).acks >= 2)
  }
  release()
})

test('nodes that have fallen silent are waited for at first, and not by every operation', async () => {
  await cluster.startMany(5)
  const { members } = around('k')
  const [first, ...rest] = members
  for (let i = 0; i < 5; i++) await first!.core.store.put('k', `v${i}`)
  const { promise: stalled, resolve: release } = Promise.withResolvers<void>()
  cluster.hub.beforeRequest = async (_from, to) => {
    if (rest.some(({ peerId }) => peerId === to)) await stalled
  }
  const times: number[] = []
  for (let i = 0; i < 12; i++) {
    const startMs = performance.now()
    const { sloppy } = await first!.core.store.put('k', `w${i}`)
    times.push(performance.now() - startMs)
    assert.ok(sloppy)
  }
  release()
  // The first ones wait for as long as a hedge (100 ms), for 300 ms; the others know who does not answer.
  const waited = times.filter(ms => ms >= 90).length
  assert.ok(waited <= 5, `${times.map(ms => ms.toFixed(0))}`)
})

test('W = 1 answers early and replicates behind', async () => {
  await cluster.startMany(3)
  const [n0] = nodes()
  const { promise: stalled, resolve: release } = Promise.withResolvers<void>()
  cluster.hub.beforeRequest = async (_from, _to, request) => {
    if (request.type === 'merge') await stalled
  }
  const { acks } = await n0.core.store.put('k', 'v', { w: 1 })
  assert.is(acks, 1)
  assert.ok((await differences(cluster, ['k'])).length > 0)
  release()
  await until('it has reached all', async () => (await differences(cluster, ['k'])).length === 0)
})

test('too few replicas: not available in time, with the numbers; the write may still arrive', async () => {
  await cluster.startMany(3)
  const [n0, n1, n2] = nodes()
  cluster.hub.cut(n0.peerId, n1.peerId)
  cluster.hub.cut(n0.peerId, n2.peerId)
  const fromMs = performance.now()
  const errors = await Promise.all([
    failure(n0.core.store.put('k', 'v', { timeoutMs: 400 })),
    failure(n0.core.store.get('k', { timeoutMs: 400 })),
    failure(n0.core.store.delete('k', { timeoutMs: 400 }))
  ])
  for (const error of errors)
    assert.ok(isCoterieError(error, 'not-available') && /needs 2 (of|nodes)/.test(error.message), String(error))
  assert.ok(performance.now() - fromMs < 3000)
  assert.is((await n0.core.store.put('alone', 'v', { w: 1 })).acks, 1)
})

test('a full disk on one replica fails no write that the others can take', async () => {
  await cluster.startMany(3)
  const [n0, n1] = nodes()
  n0.files.fail('write', 'ENOSPC', { path: /ranges/, times: Number.POSITIVE_INFINITY })
  for (let i = 0; i < 10; i++) {
    for (const node of [n0, n1]) assert.ok((await node.core.store.put(`key ${i}`, node.name)).acks >= 2)
  }
  n0.files.heal()
  for (let i = 0; i < 10; i++) {
    const { values, context } = await n0.core.store.get(`key ${i}`, { r: 3 })
    assert.equal(values.map(textOf).sort(), ['n0', 'n1'])
    await n0.core.store.put(`key ${i}`, 'merged', { context })
    assert.equal((await n1.core.store.get(`key ${i}`)).values.map(textOf), ['merged'])
  }
})

test('a node whose disk is full has another member coordinate; one that was handed the write says so', async () => {
  await cluster.startMany(3)
  const [n0] = nodes()
  const peer = cluster.hub.network('peer')
  const forwarded = async () => ((await n0.core.info('stats')) as { forwarded: number }).forwarded
  n0.files.fail('write', 'ENOSPC', { path: /ranges/, times: Number.POSITIVE_INFINITY })
  // The first write shows that there is no room.
  assert.is((await n0.core.store.put('k', 'first', { w: 2 })).acks, 2)
  const before = await forwarded()
  assert.ok((await n0.core.store.put('k', 'second', { w: 2 })).acks >= 2)
  assert.is(await forwarded(), before + 1)
  const direct = await failure(
    peer.request(n0.peerId, { ...putRequest('k', 'third', 3), forwarded: true } as Request, options)
  )
  assert.ok(isCoterieError(direct, 'disk-full'), String(direct))
  assert.equal((await n0.core.store.get('k')).values.map(textOf).sort(), ['first', 'second'])
  peer.close()
})

test('a node whose ring is stale finds the new one by asking', async () => {
  await cluster.startMany(3)
  const [n0, n1, n2] = nodes()
  for (let i = 0; i < 40; i++) await n0.core.store.put(`key ${i}`, 'v', { w: 'all' })
  // n0 hears no gossip and no claims while a fourth node takes its share.
  const { open } = n0.network
  n0.network.open = () => Promise.reject(new Error('deaf'))
  cluster.hub.beforeRequest = (_from, to, request) => {
    if (to === n0.peerId && request.type === 'claims') throw new Error('deaf')
  }
  const n3 = await cluster.start('n3')
  await until(
    'ranges have moved',
    () => n1.core.topology.claims().filter(({ owner }) => owner === n3.peerId).length >= 4
  )
  for (let i = 0; i < 40; i++) {
    assert.equal((await n0.core.store.get(`key ${i}`)).values.map(textOf), ['v'])
    assert.ok((await n0.core.store.put(`key ${i}`, 'w')).acks >= 2)
  }
  n0.network.open = open
  cluster.hub.beforeRequest = undefined
  await cluster.settled()
  for (let i = 0; i < 40; i++) {
    assert.equal((await n2.core.store.get(`key ${i}`, { r: 3 })).values.map(textOf).sort(), ['v', 'w'])
  }
})

test('a request that a node may not answer itself and was handed on already comes back as moved', async () => {
  await cluster.startMany(5)
  const { outsider } = around('k')
  const peer = cluster.hub.network('peer')
  const answer = await peer.request(
    outsider.peerId,
    { ...putRequest('k', 'v', 1), forwarded: true } as Request,
    options
  )
  assert.is(answer.type, 'moved')
  // A read needs no copy of its own.
  const get: Request = { type: 'get', key: bytesOf('k'), r: 'default', forwarded: true }
  assert.is((await peer.request(outsider.peerId, get, options)).type, 'got')
  peer.close()
})

test.run()
