import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { differences } from '../support/load.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'

const test = suite('anti-entropy')
/** So long that only a peer's return brings a session about. */
const NEVER_MS = 3_600_000
let cluster: MemoryCluster

test.after.each(() => cluster.close())

const KEYS = Array.from({ length: 60 }, (_, i) => `key ${i}`)

test('a peer that was away gets what it missed as soon as it is back', async () => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: NEVER_MS })
  const [n0, n1, n2] = await cluster.startMany(3)
  for (const key of KEYS) await n0.core.store.put(key, 'old', { w: 'all' })
  cluster.hub.partition([n0.peerId, n1.peerId], [n2.peerId])
  for (const key of KEYS.slice(0, 30)) {
    const { context } = await n0.core.store.get(key)
    if (key.endsWith('0')) await n0.core.store.delete(key, { context })
    else await n0.core.store.put(key, 'new', { context })
  }
  assert.ok((await differences(cluster, KEYS.slice(0, 30)).catch(() => ['cut'])).length > 0)
  cluster.hub.heal()
  await until('all is the same', async () => (await differences(cluster, KEYS)).length === 0)
})

test('what a disk lost without a word is found on schedule', async () => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: 200 })
  const [n0] = await cluster.startMany(3)
  for (const key of KEYS) await n0.core.store.put(key, 'v', { w: 'all' })
  // An old backup of one range file, put back while the node was down: shorter, and sound as far as it goes.
  const disk = cluster.disk('n2')
  await until('files are there', () => disk.paths().some(path => /ranges/.test(path)))
  const old = new Map(disk.paths().map(path => [path, disk.peek(path)]))
  for (const key of KEYS) {
    const { context } = await n0.core.store.get(key)
    await n0.core.store.put(key, 'newer', { context, w: 'all' })
  }
  cluster.crash('n2')
  for (const [path, bytes] of old) if (/ranges/.test(path)) cluster.disk('n2').set(path, bytes)
  await cluster.start('n2')
  await until('all is the same', async () => (await differences(cluster, KEYS)).length === 0)
  const { values } = await cluster.nodes.get('n2')!.core.store.get(KEYS[0], { r: 1 })
  assert.is(values.length, 1)
})

test('sessions between equal replicas move nothing', async () => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: 60 })
  const [n0] = await cluster.startMany(3)
  for (const key of KEYS) await n0.core.store.put(key, 'v', { w: 'all' })
  type Stats = { antiEntropy: { sessions: number; received: number; sent: number } }
  const totals = async () => {
    const all = await Promise.all([...cluster.nodes.values()].map(({ core }) => core.info('stats') as Promise<Stats>))
    const sum = (name: 'sessions' | 'received' | 'sent') => all.reduce((n, { antiEntropy }) => n + antiEntropy[name], 0)
    return { sessions: sum('sessions'), moved: sum('received') + sum('sent') }
  }
  await until('replicas agree', async () => (await differences(cluster, KEYS)).length === 0)
  const before = await totals()
  await until('more sessions', async () => (await totals()).sessions > before.sessions + 6)
  assert.is((await totals()).moved, before.moved)
})

test.run()
