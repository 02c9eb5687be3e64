/** What an operator may tell a node, and what it refuses. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from './support/memory-cluster.ts'
import { until } from './support/until.ts'

const test = suite('manager')
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster()
})
test.after.each(() => cluster.close())

test('remove: a stranger is told of, a node that is alive is refused, one that is down is barred everywhere', async () => {
  const [n0, n1, n2] = await cluster.startMany(3)
  const client = cluster.hub.network('operator', 'client')
  const remove = (peerId: string, force = false) =>
    client
      .request(n0.peerId, { type: 'manage', action: 'remove', peerId, ranges: [], force }, { timeoutMs: 3000 })
      .then(
        ({ type }) => type,
        error => error.code
      )
  assert.is(await remove('12D3KooWnobody'), 'bad-usage')
  assert.is(await remove(n2.peerId), 'refused')
  assert.is(await remove(n0.peerId, true), 'bad-usage', 'it does not remove itself')
  await cluster.stop('n2')
  await until('n2 is seen down', () => n0.core.membership.member(n2.peerId)?.verdict === 'down')
  assert.is(await remove(n2.peerId), 'ok')
  assert.is(await remove(n2.peerId), 'ok', 'once more does no harm')
  await until('n1 knows', () => n1.core.membership.isRemoved(n2.peerId))
  const error = await cluster.start('n2').then(
    async ({ core }) => {
      await until('it is told', () => cluster.nodes.get('n2')?.fatal !== undefined)
      assert.ok(core)
      return cluster.nodes.get('n2')!.fatal
    },
    thrown => thrown
  )
  assert.match(String(error), /was removed from the cluster/)
})

test('remove: whose disk fails says so, though the others know; asked once more, or stopped, it writes what it could not', async () => {
  const [n0, n1, n2] = await cluster.startMany(3)
  const disk = cluster.disk('n0')
  const client = cluster.hub.network('operator', 'client')
  const remove = (peerId: string) =>
    client
      .request(n0.peerId, { type: 'manage', action: 'remove', peerId, ranges: [], force: false }, { timeoutMs: 3000 })
      .then(
        ({ type }) => type,
        error => `${error.code}: ${error.message}`
      )
  const written = async () => new TextDecoder().decode(await disk.readFile('d/removals.json'))
  await cluster.stop('n2')
  await until('n2 is seen down', () => n0.core.membership.member(n2.peerId)?.verdict === 'down')
  for (const [fault, code] of Object.entries({ ENOSPC: 'disk-full', EIO: 'internal' })) {
    disk.fail('replaceFile', fault, { path: /removals/ })
    const answer = await remove(n2.peerId)
    assert.match(
      answer,
      new RegExp(`^${code}: it is removed, and the others are told, but .*removals.json \\(${fault}\\)`)
    )
    assert.is(await written(), '', 'asked again it tries again')
  }
  await until('n1 knows', () => n1.core.membership.isRemoved(n2.peerId))
  assert.is(await remove(n2.peerId), 'ok')
  assert.match(await written(), /removals/)
  await disk.unlink('d/removals.json')
  disk.fail('replaceFile', 'ENOSPC', { path: /removals/ })
  await cluster.stop('n1')
  await until('n1 is seen down', () => n0.core.membership.member(n1.peerId)?.verdict === 'down')
  assert.match(await remove(n1.peerId), /^disk-full/)
  await cluster.stop('n0')
  assert.match(await written(), /removals/)
})

test.run()
