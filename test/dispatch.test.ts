import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../src/config.ts'
import type { Request } from '../src/messages.ts'
import { fails } from './support/fails.ts'
import { MemoryCluster, type MemoryNode } from './support/memory-cluster.ts'
import { bytesOf } from './support/memory-replica.ts'
import { until } from './support/until.ts'

const test = suite('dispatch')
const options = { timeoutMs: 3000 }
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster({ n: 1, r: 1, w: 1 })
})
test.after.each(() => cluster.close())

const key = bytesOf('k')
const rangeOfKey = async (node: MemoryNode) => ((await node.core.info('where', key)) as { range: number }).range
const put = (text: string): Request => ({
  type: 'put',
  key: bytesOf(text),
  value: bytesOf('v'),
  w: 'default',
  expiresAtMs: 0,
  writeId: new Uint8Array(8).fill(text.charCodeAt(0)),
  forwarded: false
})
const get: Request = { type: 'get', key, r: 'default', forwarded: false }

test('clients may read, write, list and ask about the cluster, and nothing that nodes ask of one another', async () => {
  const node = await cluster.start('n0')
  const client = cluster.hub.network('client', 'client')
  const peer = cluster.hub.network('peer', 'node')
  const state = new Uint8Array()
  const nodeThings: Request[] = [
    { type: 'read', range: 0, key, standIn: false },
    { type: 'merge', range: 0, key, state, standIn: false },
    { type: 'claims', claims: [] },
    { type: 'ask', ranges: [] },
    { type: 'pull', ranges: [], sources: ['x'] },
    { type: 'mirror', ranges: [] },
    { type: 'seal', ranges: [], member: 'x' },
    { type: 'copies', ranges: [] }
  ]
  for (const request of nodeThings) await fails('refused', client.request(node.peerId, request, options))
  for (const request of nodeThings.filter(({ type }) => !['read', 'merge'].includes(type))) {
    assert.ok(await peer.request(node.peerId, request, options), request.type)
  }
  const clientThings: Request[] = [
    get,
    put('k'),
    { type: 'keys', range: 0, after: new Uint8Array(), limit: 10, prefix: new Uint8Array(), forwarded: false },
    { type: 'info', what: 'stats' }
  ]
  for (const request of clientThings) assert.ok(await client.request(node.peerId, request, options), request.type)
  peer.close()
})

test('over the bound the answer is overloaded, at once; what was taken in is finished', async () => {
  const node = await cluster.start('n0', { maxInFlight: 3 })
  const client = cluster.hub.network('client', 'client')
  const release = node.files.hold('write', /ranges/)
  const running = ['a', 'b', 'c'].map(text => client.request(node.peerId, put(text), options))
  await until('three are in flight', async () => node.files.counts.write! >= 3)
  await fails('overloaded', client.request(node.peerId, get, options))
  release()
  for (const answer of await Promise.all(running)) assert.is(answer.type, 'stored')
  assert.is((await client.request(node.peerId, get, options)).type, 'got')
})

test('the steps of an operation do not count against the bound that let it in', async () => {
  const node = await cluster.start('n0', { maxInFlight: 1 })
  await node.core.store.put('k', 'v')
  assert.is((await node.core.store.get('k')).values.length, 1)
  await node.core.store.delete('k')
  assert.is((await node.core.store.get('k')).values.length, 0)
})

test('a node that stops answers what it has begun, and refuses the rest', async () => {
  const node = await cluster.start('n0')
  const client = cluster.hub.network('client', 'client')
  const release = node.files.hold('write', /ranges/)
  const running = client.request(node.peerId, put('k'), options)
  await until('it is in flight', () => node.files.counts.write! >= 1)
  const stopped = cluster.stop('n0')
  await fails('closed', client.request(node.peerId, get, options))
  await fails('closed', node.core.store.get('k'))
  release()
  assert.is((await running).type, 'stored')
  await stopped
})

test('keys of no length and of too many bytes are refused wherever they come from', async () => {
  const node = await cluster.start('n0')
  const peer = cluster.hub.network('peer', 'node')
  for (const bad of [new Uint8Array(), new Uint8Array(LIMITS.maxKeyBytes + 1)]) {
    for (const request of [
      { ...get, key: bad },
      { ...put('k'), key: bad },
      { type: 'read', range: 0, key: bad, standIn: false },
      { type: 'merge', range: 0, key: bad, state: new Uint8Array(), standIn: false }
    ] as Request[]) {
      await fails('too-large', peer.request(node.peerId, request, options))
    }
  }
  peer.close()
})

test('a replica that is not on the list says so and what it knows; garbage for a state is refused', async () => {
  const [n0] = await cluster.startMany(3)
  const range = await rangeOfKey(n0)
  const owner = n0.core.topology.view.owner(range)
  const other = [...cluster.nodes.values()].find(({ peerId }) => peerId !== owner)!
  const peer = cluster.hub.network('peer', 'node')
  const answer = await peer.request(other.peerId, { type: 'read', range, key, standIn: false }, options)
  assert.is(answer.type, 'moved')
  assert.equal(answer.type === 'moved' && answer.claims[0], n0.core.topology.claim(range))
  const state = Uint8Array.of(1, 2, 3)
  await fails('protocol', peer.request(owner!, { type: 'merge', range, key, state, standIn: false }, options))
  const wrong = {
    type: 'merge' as const,
    range: (range + 1) % cluster.params.q,
    key,
    state: new Uint8Array(),
    standIn: false
  }
  await fails('bad-usage', peer.request(n0.core.topology.view.owner(wrong.range)!, wrong, options))
  peer.close()
})

test.run()
