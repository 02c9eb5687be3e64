import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import type { Peers } from '../../src/coordinator/peers.ts'
import type { Answer, CopyStatus, Request } from '../../src/messages.ts'
import type { Network } from '../../src/ports.ts'
import { CopyKeeper } from '../../src/repair/copy-keeper.ts'
import type { PreparedCopies } from '../../src/repair/prepared-copies.ts'
import { Transfers } from '../../src/repair/transfers.ts'
import { silentLog, systemClock, systemTimers } from '../../src/runtime.ts'
import type { Topology } from '../../src/topology.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { bytesOf, keysIn, openReplica, put } from '../support/memory-replica.ts'
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

/** Once the leases of what was prepared for nothing have ended, too. By the ring of each moment: a last range may still move. */
async function mustHoldItsLists(): Promise<void> {
  await cluster.settled()
  for (const node of nodes()) {
    await until(`${node.name} holds its lists`, async () => {
      const copies = await copiesOf(node)
      const expected = lists(nodes()[0]).map(list => (list.includes(node.peerId) ? 'synced' : 'none'))
      return copies.join() === expected.join()
    })
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
  // Before anything is written: what it had synced by then it could prove.
  const release = n1.files.hold('sync')
  await fill()
  const before = lists(n0)
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

const alone = suite('copy keeper, alone')

/** A keeper on one node's replicas. The test says which ranges are its lists', which are being prepared, and what others hold. */
async function keeperOf(ranges: number[]) {
  const { files, replicas, copies } = await openReplica(undefined, { ranges })
  const it = { held: ranges, prepared: [] as number[], elsewhere: 'none' as CopyStatus, list: ['me'] }
  const topology = {
    complete: true,
    params: { w: 1 },
    view: {
      rangesHeldBy: () => it.held,
      isMember: (range: number) => it.held.includes(range),
      preferenceList: () => it.list
    }
  } as unknown as Topology
  const peers = {
    self: 'me',
    isReachable: () => true,
    call: async (_to: string, request: Request): Promise<Answer> => {
      if (request.type !== 'copies') throw new Error(request.type)
      return { type: 'copies', copies: request.ranges.map(range => ({ range, status: it.elsewhere })) }
    }
  } as unknown as Peers
  const network = { open: () => Promise.reject(new Error('nobody is there')) } as unknown as Network
  const prepared = { has: (range: number) => it.prepared.includes(range) } as unknown as PreparedCopies
  const background = new Background({ log: silentLog, timers: systemTimers })
  const ports = { clock: systemClock, timers: systemTimers, network, log: silentLog, background }
  const keeper = new CopyKeeper({ ...ports, peers, topology, replicas, copies, prepared, transfers: new Transfers() })
  /** One pass from beginning to end. */
  const pass = async () => {
    keeper.tick()
    await until('the pass ends', () => Object.keys(background.list()).length === 0)
  }
  return Object.assign(it, { files, replicas, copies, keeper, pass })
}

alone('a prepared copy that becomes a member’s while a pass is under way is not frozen', async () => {
  const it = await keeperOf([2])
  Object.assign(it, { held: [5], prepared: [2] })
  // The pass has looked at the ring, and waits for the disk to make another copy.
  const release = it.files.hold('replaceFile', /copies/)
  const passed = it.pass()
  Object.assign(it, { held: [2, 5], prepared: [] })
  release()
  await passed
  assert.is(it.copies.status(2), 'synced')
})

alone('a copy that is neither on a list nor prepared is frozen', async () => {
  const it = await keeperOf([2])
  it.held = []
  it.list = ['other']
  await it.pass()
  assert.is(it.copies.status(2), 'frozen')
})

alone('a prepared copy whose file failed begins afresh', async () => {
  const it = await keeperOf([2])
  const [before, after] = keysIn(2, 2)
  Object.assign(it, { held: [], prepared: [2] })
  it.files.fail('write', 'EIO', { path: /ranges/ })
  await put(it, before, 'v').catch(() => undefined)
  assert.ok(it.replicas.isFenced(2))
  const damages = it.replicas.damages(2)
  await it.pass()
  assert.is(it.replicas.isFenced(2), false)
  assert.is(it.copies.status(2), 'syncing')
  assert.ok(it.replicas.damages(2) > damages, 'a comparison that began with the old copy proves nothing of the new one')
  await put(it, after, 'w')
})

alone('a member’s copy whose file failed, and that nobody can fill, goes on with what it has', async () => {
  const it = await keeperOf([2])
  const [before, after] = keysIn(2, 2)
  await put(it, before, 'v')
  it.files.fail('write', 'EIO', { path: /ranges/ })
  await put(it, after, 'refused').catch(() => undefined)
  Object.assign(it, { held: [2], list: ['me', 'other'], elsewhere: 'syncing' })
  await it.pass()
  assert.is(it.replicas.isFenced(2), false)
  assert.is(it.copies.status(2), 'syncing', 'until all of it has turned out to be whole')
  assert.ok(await it.replicas.read(2, bytesOf(before)))
  await put(it, after, 'w')
  await until('the new file holds everything', () => !it.replicas.isRenewing(2))
  await it.pass()
  assert.is(it.copies.status(2), 'synced')
})

alone('a frozen copy whose file failed goes once every member of the list has a synced one', async () => {
  const it = await keeperOf([2])
  it.files.fail('write', 'EIO', { path: /ranges/ })
  await put(it, keysIn(2, 1)[0], 'v').catch(() => undefined)
  Object.assign(it, { held: [], list: ['a', 'b'], elsewhere: 'syncing' })
  await it.pass()
  assert.is(it.copies.status(2), 'frozen')
  it.elsewhere = 'synced'
  await it.pass()
  assert.is(it.copies.status(2), 'none')
})

alone.run()
