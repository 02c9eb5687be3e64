/** Issue 6: `coterie leave` and `coterie remove`, with node processes under load. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { coterie, ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Member, settled } from './settled.ts'

const KEYS = 400
const test = suite('leaving processes')
const cluster = new ProcessCluster(['--ranges', '32'])

test.before(() => cluster.addMany(4))
test.after(() => cluster.close())

test('a node leaves under load: no operation fails, nothing is lost, and its process ends well', async () => {
  const [n0, n1, n2, n3] = cluster.nodes
  const clients = await Promise.all([n0, n1, n2].map(node => cluster.client(node)))
  await settled([...clients, await cluster.client(n3)])
  const [client, other] = clients
  for (let i = 0; i < KEYS; i++) await client.put(`before ${i}`, `${i}`)
  const leaving = coterie(['leave', '--dir', n3.dir], { timeoutMs: 120_000 })
  let written = 0
  let over = false
  const load = async () => {
    for (; !over; written++) {
      await client.put(`meanwhile ${written}`, `${written}`)
      const { values } = await other.get(`meanwhile ${written}`)
      assert.equal(values.map(text), [`${written}`])
    }
  }
  const loaded = load()
  const { code, stdout, stderr } = await leaving.finally(() => {
    over = true
  })
  await loaded
  assert.is(code, 0, stderr)
  assert.match(stdout, `${n3.peerId} has left the cluster`)
  assert.match(stderr, /leaving: \d+ range/)
  assert.is(await n3.ended(20_000), 0)
  for (let i = 0; i < KEYS; i++) assert.is((await other.get(`before ${i}`)).values.map(text).join(), `${i}`)
  for (let i = 0; i < written; i++) assert.is((await other.get(`meanwhile ${i}`)).values.map(text).join(), `${i}`)
  await settled(clients)
  const members = (await other.info('members')) as Member[]
  assert.equal(
    members.filter(({ status }) => status === 'left').map(({ peerId, ranges }) => [peerId, ranges]),
    [[n3.peerId, 0]]
  )
})

test('the third of three is refused, with the reason; a dead one is removed', async () => {
  const [n0, n1, n2] = cluster.nodes
  const refused = await coterie(['leave', '--dir', n2.dir])
  assert.is(refused.code, 5)
  assert.match(refused.stderr, /3 copies, and 2 nodes that can be reached would be left/)
  const alive = await coterie(['remove', n2.peerId, '--dir', n0.dir])
  assert.is(alive.code, 5)
  assert.match(alive.stderr, /is alive/)
  await n2.stop('SIGKILL')
  const client = await cluster.client(n0, { route: false })
  await until(
    'it is seen down',
    async () =>
      ((await client.info('members')) as Member[]).some(({ peerId, alive }) => peerId === n2.peerId && !alive),
    30_000,
    250
  )
  const removed = await coterie(['remove', n2.peerId, '--dir', n0.dir, '--json'])
  assert.is(removed.code, 0, removed.stderr)
  assert.equal(JSON.parse(removed.stdout), { peerId: n2.peerId, status: 'removed' })
  const elsewhere = await cluster.client(n1, { route: false })
  await until(
    'the others know',
    async () =>
      !((await elsewhere.info('members')) as Member[]).some(({ peerId, alive }) => peerId === n2.peerId && alive),
    10_000,
    250
  )
})

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

test.run()
