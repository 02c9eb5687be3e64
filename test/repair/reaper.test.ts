/** Deleted and expired keys are forgotten, and never come back (failures 6, 9, 22; design §10). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeSettings } from '../../src/config.ts'
import { rangeOfKey } from '../../src/store-requests.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'

const test = suite('reaper')
const KEYS = Array.from({ length: 30 }, (_, i) => `key ${i}`)
let cluster: MemoryCluster

test.after.each(() => cluster.close())

async function start(count: number, settings: Partial<NodeSettings> = {}): Promise<MemoryNode[]> {
  cluster = new MemoryCluster({}, { reapAfterMs: 200, ...settings })
  return cluster.startMany(count)
}

type Stats = {
  keys: number
  reaping: { reaped: number; refused: number; tombstones: number }
  gossip: { rounds: number }
}
const statsOf = async ({ core }: MemoryNode) => (await core.info('stats')) as Stats
const nodes = () => [...cluster.nodes.values()]
const keysHeld = async () => (await Promise.all(nodes().map(statsOf))).map(({ keys }) => keys)
const text = (values: Uint8Array[]) => values.map(value => Buffer.from(value).toString()).sort()
const rangeOf = (key: string) => rangeOfKey(Buffer.from(key), cluster.params.q)

async function putAll(): Promise<void> {
  for (const key of KEYS) await nodes()[0]!.core.store.put(key, `old ${key}`, { w: 'all' })
}

async function deleteAll(through = nodes()[0]!): Promise<void> {
  for (const key of KEYS) await through.core.store.delete(key, { context: (await through.core.store.get(key)).context })
}

const allReaped = (what = 'all are reaped') =>
  until(what, async () => (await keysHeld()).every(keys => keys === 0), 15_000)

/** Nobody shows a value, at any level. */
async function mustBeGone(): Promise<void> {
  // After a start, a node is no vote before it has met most of the others.
  await cluster.settled()
  for (const { core } of nodes()) {
    for (const key of KEYS) assert.equal(text((await core.store.get(key, { r: 'all' })).values), [], key)
  }
}

/** The state that a node holds of a key, as another one would be told. */
async function stateAt(node: MemoryNode, key: string): Promise<Uint8Array> {
  const from = nodes().find(other => other !== node)!
  const request = { type: 'read', range: rangeOf(key), key: Buffer.from(key), standIn: false } as const
  const answer = await from.network.request(node.peerId, request, { timeoutMs: 1000 })
  return (answer as { state: Uint8Array }).state
}

async function bring(node: MemoryNode, key: string, state: Uint8Array): Promise<void> {
  const from = nodes().find(other => other !== node)!
  const request = { type: 'merge', range: rangeOf(key), key: Buffer.from(key), state, standIn: false } as const
  await from.network.request(node.peerId, request, { timeoutMs: 1000 })
}

test('deleted keys leave every copy, and what brings them back finds them dead, before and after a restart', async () => {
  await start(3)
  await putAll()
  const old = new Map(await Promise.all(KEYS.map(async key => [key, await stateAt(nodes()[1]!, key)] as const)))
  await deleteAll()
  await allReaped()
  for (const node of nodes()) for (const [key, state] of old) await bring(node, key, state)
  assert.equal(await keysHeld(), [0, 0, 0])
  await mustBeGone()
  for (const name of [...cluster.nodes.keys()]) {
    await cluster.stop(name)
    await cluster.start(name)
  }
  await cluster.settled()
  for (const node of nodes()) for (const [key, state] of old) await bring(node, key, state)
  await mustBeGone()
  for (const key of KEYS) await nodes()[2]!.core.store.put(key, 'new')
  for (const key of KEYS) assert.equal(text((await nodes()[0]!.core.store.get(key)).values), ['new'])
})

test('nothing is reaped while a list member is away, and what it brings back stays deleted', async () => {
  await start(3)
  await putAll()
  cluster.crash('n2')
  await deleteAll()
  await until(
    'the others know that it is away',
    async () => {
      const members = (await nodes()[0]!.core.info('members')) as { verdict: string }[]
      return members.some(({ verdict }) => verdict === 'down')
    },
    15_000
  )
  const rounds = async () => (await statsOf(nodes()[0]!)).gossip.rounds
  const since = await rounds()
  // Twenty times the waiting time: a reaper without proof has reaped all by then.
  await until('many rounds have passed', async () => (await rounds()) - since >= 80, 15_000)
  assert.equal(await keysHeld(), [KEYS.length, KEYS.length])
  await cluster.start('n2')
  await allReaped('all are reaped once it is back')
  await mustBeGone()
})

test('expired values are reclaimed, and those that never expire are not', async () => {
  const [node] = await start(3)
  for (const [i, key] of KEYS.entries()) await node!.core.store.put(key, 'short', i % 2 === 0 ? { ttlMs: 300 } : {})
  await until(
    'the expired half is gone',
    async () => (await keysHeld()).every(keys => keys === KEYS.length / 2),
    15_000
  )
  for (const [i, key] of KEYS.entries())
    assert.equal(text((await node!.core.store.get(key, { r: 'all' })).values), i % 2 === 0 ? [] : ['short'])
})

test('a node that comes back with an old disk does not bring deleted keys back', async () => {
  await start(3)
  await putAll()
  await cluster.stop('n1')
  const backup = copyOf(cluster.disk('n1'))
  await cluster.start('n1')
  await cluster.settled()
  await deleteAll()
  await allReaped()
  await cluster.stop('n1')
  const disk = cluster.disk('n1')
  for (const path of disk.paths()) disk.set(path, undefined)
  for (const path of backup.paths()) disk.set(path, backup.peek(path))
  await cluster.start('n1')
  await cluster.settled()
  await allReaped('what the old disk brought is gone again')
  await mustBeGone()
})

function copyOf(files: FakeFiles): FakeFiles {
  const copy = new FakeFiles()
  for (const path of files.paths()) copy.set(path, files.peek(path))
  return copy
}

test.run()
