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

test.run()
