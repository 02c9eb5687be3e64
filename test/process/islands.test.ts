/** Islands of node processes: two of one cluster meet again by a single address, those of others never do (failures 37, 43). */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CoterieClient } from '../../src/client/client.ts'
import { coterie, NodeProcess, ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Member, settled } from './settled.ts'

const KEYS = 50
const test = suite('islands')
const cluster = new ProcessCluster(['--ranges', '16'])
/** Nodes of other clusters. */
const strangers: NodeProcess[] = []

test.before(() => cluster.addMany(4))
test.after(async () => {
  await Promise.all(strangers.map(node => node.stop()))
  await cluster.close()
})

const valuesOf = async (client: CoterieClient, key: string): Promise<string[]> =>
  (await client.get(key, { timeoutMs: 10_000 })).values.map(bytes => Buffer.from(bytes).toString()).sort()

const aliveAt = async (client: CoterieClient): Promise<number> =>
  ((await client.info('members')) as Member[]).filter(({ alive }) => alive).length

test('two islands of one cluster merge by a single address: all that either took is readable, and a range has one owner', async () => {
  const [n0, n1, n2, n3] = cluster.nodes as [NodeProcess, NodeProcess, NodeProcess, NodeProcess]
  const before = await Promise.all(cluster.nodes.map(node => cluster.client(node, { route: false })))
  await settled(before)
  await Promise.all(cluster.nodes.map(node => node.stop()))
  // They listen elsewhere from now on, and nobody remembers anybody: the seeds that they were given lead nowhere.
  for (const { dir } of cluster.nodes) rmSync(join(dir, 'peers.json'))
  await Promise.all([n0, n2].map(node => node.start()))
  await n1.start(['--seed', n0.address])
  await n3.start(['--seed', n2.address])
  const all = await Promise.all(cluster.nodes.map(node => cluster.client(node, { route: false })))
  const [c0, c1, c2, c3] = all as [CoterieClient, CoterieClient, CoterieClient, CoterieClient]
  for (const client of all)
    await until('each island is two nodes', async () => (await aliveAt(client)) === 2, 30_000, 250)
  for (let i = 0; i < KEYS; i++) {
    await c1.put(`west ${i}`, `w${i}`)
    await c3.put(`east ${i}`, `e${i}`)
  }
  await c0.put('both', 'west')
  await c2.put('both', 'east')
  assert.equal(await Promise.all(all.map(aliveAt)), [2, 2, 2, 2], 'still two islands')
  await n3.stop()
  await n3.start(['--seed', n0.address])
  const together = [c0, c1, c2, await cluster.client(n3, { route: false })]
  await settled(together)
  for (const client of together) {
    await until('it sees all four', async () => (await aliveAt(client)) === 4, 30_000, 250)
    // What two of an island took for members of the other one is on its way to them.
    await until('all is readable', async () => {
      for (let i = 0; i < KEYS; i++) {
        assert.equal(await valuesOf(client, `west ${i}`), [`w${i}`])
        assert.equal(await valuesOf(client, `east ${i}`), [`e${i}`])
      }
      assert.equal(await valuesOf(client, 'both'), ['east', 'west'])
      return true
    })
  }
  assert.is((await coterie(['status', '--wait', '--dir', n0.dir], { timeoutMs: 60_000 })).code, 0)
})

/** The first node of a cluster of its own, with a seed of ours. */
async function stranger(name: string, change: (dir: string) => void = () => {}): Promise<NodeProcess> {
  const dir = join(cluster.root, name)
  assert.is((await coterie(['init', '--dir', dir, '--ranges', '16', '--json'])).code, 0)
  change(dir)
  const node = new NodeProcess(dir, ['--listen', '/ip4/127.0.0.1/tcp/0', '--seed', cluster.nodes[0]!.address])
  strangers.push(node)
  return node.start()
}

/** Neither side takes the other for a member, and each says why. */
async function mustStayApart(node: NodeProcess, secret: string, reason: RegExp): Promise<void> {
  const [ours] = cluster.nodes as [NodeProcess]
  const refusals = (of: NodeProcess, other: string) =>
    of.log.split('\n').filter(line => line.includes('no admission') && line.includes(other))
  for (const [one, other] of [
    [node, ours],
    [ours, node]
  ] as const) {
    await until(`${one.dir} says why`, () => refusals(one, other.peerId).length > 0, 30_000)
    const line = refusals(one, other.peerId)[0]!
    console.log(`| ${line.replace(/^\S+ /, '')}`)
    assert.match(line, reason)
  }
  const there = await coterie(['members', '--json', '--connect', node.address, '--secret-file', secret])
  assert.is(there.code, 0, there.stderr)
  assert.equal(
    (JSON.parse(there.stdout) as Member[]).map(({ peerId }) => peerId),
    [node.peerId]
  )
  const here = (await (await cluster.client(ours, { route: false })).info('members')) as Member[]
  assert.not.ok(here.some(({ peerId }) => peerId === node.peerId))
}

test('an island of another cluster stays one, and both sides say why', async () => {
  const node = await stranger('other-cluster')
  await mustStayApart(node, join(node.dir, 'secret'), /you belong to cluster/)
})

test('an island of the same cluster id with another secret stays one, and both sides say why', async () => {
  const [, clusterId] = cluster.secret.split(':') as [string, string]
  const node = await stranger('other-secret', dir => {
    const [mark, own, secret] = readFileSync(join(dir, 'secret'), 'utf8').trim().split(':') as [string, string, string]
    writeFileSync(join(dir, 'secret'), `${mark}:${clusterId}:${secret}\n`)
    const config = readFileSync(join(dir, 'config.json'), 'utf8')
    writeFileSync(join(dir, 'config.json'), config.replaceAll(own, clusterId))
  })
  await mustStayApart(node, join(node.dir, 'secret'), /same cluster secret/)
})

test.run()
