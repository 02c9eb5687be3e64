/** Node processes find one another again: after all were killed at once, and when every seed has gone (failures 36, 38). */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CoterieClient } from '../../src/client/client.ts'
import { coterie, type NodeProcess, ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Member, settled } from './settled.ts'

const KEYS = 60
const test = suite('restarts')
const cluster = new ProcessCluster(['--ranges', '16'])

// Who is removed is dead at once.
test.before(() => cluster.addMany(4, ['--reclaim-after', '0']))
test.after(() => cluster.close())

const clientsOf = (nodes: NodeProcess[]): Promise<CoterieClient[]> =>
  Promise.all(nodes.map(node => cluster.client(node, { route: false })))

async function mustHaveAll(client: CoterieClient): Promise<void> {
  for (let i = 0; i < KEYS; i++) {
    const { values } = await client.get(`key ${i}`, { timeoutMs: 10_000 })
    assert.equal(
      values.map(bytes => Buffer.from(bytes).toString()),
      [`value ${i}`]
    )
  }
}

const seeAll = (clients: CoterieClient[], count: number) =>
  until(
    `all see ${count}`,
    async () => {
      for (const client of clients) {
        const alive = ((await client.info('members')) as Member[]).filter(({ alive }) => alive)
        if (alive.length !== count) return false
      }
      return true
    },
    30_000,
    100
  )

test('all are killed at once and started again: they see one another and serve', async () => {
  const before = await clientsOf(cluster.nodes)
  await settled(before)
  for (let i = 0; i < KEYS; i++) await before[i % 4]!.put(`key ${i}`, `value ${i}`)
  await Promise.all(cluster.nodes.map(node => node.stop('SIGKILL')))
  const startMs = performance.now()
  // Where the others remember them, as nodes with a fixed port do.
  await Promise.all(cluster.nodes.map(node => node.start(['--listen', node.address.replace(/\/p2p\/.*/, '')])))
  const readyMs = performance.now() - startMs
  const after = await clientsOf(cluster.nodes)
  await seeAll(after, 4)
  for (const client of after) await client.put(`after ${client === after[0]}`, 'x', { w: 'all', timeoutMs: 10_000 })
  console.log(
    `| 4 killed and started at once: ready after ${(readyMs / 1000).toFixed(1)} s, seen and written by all after ${((performance.now() - startMs) / 1000).toFixed(1)} s`
  )
  for (const client of after) await mustHaveAll(client)
})

test('every seed has gone for good: a node that restarts finds the others by the addresses that it remembers', async () => {
  const [n0, n1, n2, n3] = cluster.nodes as [NodeProcess, NodeProcess, NodeProcess, NodeProcess]
  // The first two are the seeds of the others. Two new nodes take their places.
  for (const old of [n0, n1]) {
    await old.stop()
    const gone = await coterie(['remove', old.peerId, '--force', '--dir', n2.dir])
    assert.is(gone.code, 0, gone.stderr)
    // Its secret file stays: the others were told to read it.
    for (const name of readdirSync(old.dir)) if (name !== 'secret') rmSync(join(old.dir, name), { recursive: true })
    const fresh = await cluster.add(['--seed', n2.address, '--reclaim-after', '0'])
    const clients = await clientsOf([n2, n3, fresh])
    await until(
      'the ranges of the old one are in other hands, and whole',
      async () => (await coterie(['status', '--dir', n2.dir])).code === 0,
      60_000,
      250
    )
    await mustHaveAll(clients[2]!)
  }
  await n3.stop()
  await n3.start()
  const others = [n2, n3, ...cluster.nodes.slice(4)]
  const clients = await clientsOf(others)
  await seeAll(clients, 4)
  await settled(clients)
  await mustHaveAll(clients[1]!)
})

test.run()
