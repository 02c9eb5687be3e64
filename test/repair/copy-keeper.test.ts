import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CopyStatus } from '../../src/messages.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'

const test = suite('copy keeper')
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster()
})
test.after.each(() => cluster.close())

const nodes = (): MemoryNode[] => [...cluster.nodes.values()]
const ALL = Array.from({ length: 32 }, (_, range) => range)

async function copiesOf(node: MemoryNode): Promise<CopyStatus[]> {
  const probe = cluster.hub.network(`probe of ${node.name}`)
  const answer = await probe.request(node.peerId, { type: 'copies', ranges: ALL }, { timeoutMs: 3000 })
  probe.close()
  return answer.type === 'copies' ? answer.copies.map(({ status }) => status) : []
}

const lists = ({ core }: MemoryNode): string[][] => ALL.map(range => [...core.topology.view.preferenceList(range)])

async function fill(): Promise<void> {
  for (let i = 0; i < 200; i++) await nodes()[0].core.store.put(`key ${i}`, 'v', { w: 'all' })
}

/** Once the leases of what was prepared for nothing have ended, too. */
async function mustHoldItsLists(): Promise<void> {
  await cluster.settled()
  for (const node of nodes()) {
    const expected = lists(nodes()[0]).map(list => (list.includes(node.peerId) ? 'synced' : 'none'))
    await until(`${node.name} holds its lists`, async () => (await copiesOf(node)).join() === expected.join())
  }
}

test('every node holds exactly the copies of its lists', async () => {
  await cluster.startMany(5)
  await fill()
  await cluster.start('n5')
  await mustHoldItsLists()
})

test('a copy is given up only when every member of the list has it on its disk', async () => {
  const [n0, n1, n2] = await cluster.startMany(3)
  await fill()
  const before = lists(n0)
  const release = n1.files.hold('sync')
  const n3 = await cluster.start('n3')
  await until('the ranges have moved', () => n0.core.topology.claims().filter(c => c.owner === n3.peerId).length >= 6)
  await until('what may go has gone', async () => {
    for (const node of [n0, n2]) {
      const copies = await copiesOf(node)
      const list = lists(node)
      if (
        ALL.some(
          range => !list[range].includes(node.peerId) && !list[range].includes(n1.peerId) && copies[range] !== 'none'
        )
      )
        return false
    }
    return true
  })
  // Members of a list with n1 on it cannot prove that it has synced what they held.
  let kept = 0
  for (const node of [n0, n2]) {
    const copies = await copiesOf(node)
    const list = lists(node)
    for (const range of ALL) {
      if (list[range].includes(node.peerId) || !list[range].includes(n1.peerId) || !before[range].includes(node.peerId))
        continue
      kept++
      assert.is.not(copies[range], 'none', `range ${range} of ${node.name}`)
    }
  }
  assert.ok(kept > 0)
  release()
  await mustHoldItsLists()
})

test('a range file that failed is rebuilt from the others, and serves meanwhile through them', async () => {
  const [n0, n1] = await cluster.startMany(3)
  await fill()
  n1.files.fail('write', 'EIO', { path: /ranges/ })
  for (let i = 0; i < 40; i++) {
    const { context } = await n1.core.store.get(`key ${i}`)
    await n1.core.store.put(`key ${i}`, 'w', { context })
  }
  assert.is(n1.files.counts.write! > 0, true)
  await cluster.settled()
  assert.equal(new Set(await copiesOf(n1)), new Set(['synced']))
  for (let i = 0; i < 40; i++) assert.is((await n0.core.store.get(`key ${i}`, { r: 3 })).values.length, 1)
})

test('a lone node with a failed file keeps what still verifies, and says so', async () => {
  const n0 = await cluster.start('n0')
  await n0.core.store.put('k', 'v')
  n0.files.fail('write', 'EIO', { path: /ranges/ })
  const error = await n0.core.store.put('k', 'w', { timeoutMs: 500 }).catch(error => error)
  assert.ok(error instanceof Error)
  const stats = (await n0.core.info('stats')) as Record<string, number>
  assert.is(stats.keys, 1)
  // A restart opens the file again.
  cluster.crash('n0')
  const again = await cluster.start('n0')
  const { values } = await again.core.store.get('k', { timeoutMs: 500 })
  assert.is(values.length, 1)
})

test.run()
