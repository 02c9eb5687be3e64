/** Nodes leave a cluster in memory: what they held is held by the others, and nothing is lost on the way. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Leaving } from '../../src/repair/leaver.ts'
import { rangeOfKey } from '../../src/store-requests.ts'
import { fails } from '../support/fails.ts'
import type { FakeFiles } from '../support/fake-files.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'

const test = suite('leaver')
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster()
})
test.after.each(() => cluster.close())

const KEYS = 150

async function filled(count: number): Promise<MemoryNode[]> {
  const nodes = await cluster.startMany(count)
  for (let i = 0; i < KEYS; i++) await nodes[i % count].core.store.put(`key ${i}`, `value ${i}`)
  return nodes
}

async function mustReadAll({ core }: MemoryNode): Promise<void> {
  for (let i = 0; i < KEYS; i++) {
    const { values } = await core.store.get(`key ${i}`)
    assert.equal(values.map(textOf), [`value ${i}`])
  }
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

async function leaves(node: MemoryNode, force = false): Promise<void> {
  await node.core.leave(force)
  await until(`${node.name} has left`, () => node.left === true, 30_000)
  await cluster.stop(node.name)
}

/** It has left, and hangs the moment before its farewell: nobody hears of it. */
async function leavesSilently({ core, network }: MemoryNode): Promise<void> {
  let isSilent = false
  core.membership.roundNow = () => {
    network.close()
    isSilent = true
    return new Promise(() => {})
  }
  await core.leave(false)
  await until('it has left', () => isSilent, 30_000)
}

test('a node leaves: the others hold all that it held, share evenly, and know that it has left', async () => {
  const [n0, n1, , n3] = await filled(4)
  const written: Promise<unknown>[] = []
  await n3.core.leave(false)
  while (n3.left !== true) {
    const i = written.length
    written.push(n0.core.store.put(`meanwhile ${i}`, 'v'))
    await written.at(-1)
  }
  await cluster.stop('n3')
  await cluster.settled()
  await mustReadAll(n1)
  for (let i = 0; i < written.length; i++) assert.is((await n1.core.store.get(`meanwhile ${i}`)).values.length, 1)
  assert.ok(n0.core.topology.claims().every(({ owner }) => owner !== n3.peerId))
  await until('everybody knows', () =>
    [...cluster.nodes.values()].every(({ core }) => core.membership.member(n3.peerId)?.record.status === 'left')
  )
})

test('it is refused where fewer than N nodes would be left, unless forced, and for the last one always', async () => {
  const [n0, n1, n2] = await filled(3)
  await fails('refused', n2.core.leave(false))
  assert.is(n2.core.membership.member(n2.peerId)?.record.status, 'up')
  await leaves(n2, true)
  await leaves(n1, true)
  await mustReadAll(n0)
  await fails('refused', n0.core.leave(true))
})

test('a node that is restarted on its way out goes on; one that has left may come back and takes its share', async () => {
  const [n0, , , n3] = await filled(4)
  await n3.core.leave(false)
  cluster.crash('n3')
  const again = await cluster.start('n3')
  await until('it has left', () => again.left === true, 30_000)
  const { leaving } = (await again.core.info('stats').catch(() => ({}))) as { leaving?: Leaving }
  assert.ok(leaving === undefined || leaving.status === 'left')
  await cluster.stop('n3')
  const back = await cluster.start('n3')
  await cluster.settled()
  await until('it is up again', () => n0.core.membership.member(back.peerId)?.record.status === 'up')
  await mustReadAll(back)
})

test('a node that is killed when it has left, and has not said so, says so when it is started again', async () => {
  const [n0, n1, , n3] = await filled(4)
  await leavesSilently(n3)
  cluster.crash('n3')
  const statusAt = ({ core }: MemoryNode) => core.membership.member(n3.peerId)?.record.status
  assert.equal([n0, n1].map(statusAt), ['leaving', 'leaving'])
  const again = await cluster.start('n3')
  await until('it has said so', () => again.left === true, 30_000)
  await until('everybody knows', () => [...cluster.nodes.values()].every(node => statusAt(node) === 'left'))
  assert.ok(n0.core.topology.claims().every(({ owner }) => owner !== n3.peerId))
  await cluster.stop('n3')
  await cluster.start('n3')
  await cluster.settled()
  // The others hear of it by gossip, as of anything that a record says.
  await until('started once more, it joins anew', () => statusAt(n0) === 'up')
})

/**
 * n4 has left, hangs before it says so, and is started again while nobody else is there: it takes a write, for others. Then
 * somebody comes whom it could tell, but none of those that it keeps the write for.
 */
async function leftWithWrite(before: (disk: FakeFiles) => void = () => {}) {
  const n4 = (await filled(5)).at(-1)!
  await leavesSilently(n4)
  const names = new Map([...cluster.nodes.values()].map(({ name, peerId }) => [peerId, name]))
  for (const name of names.values()) cluster.crash(name)
  const alone = await cluster.start('n4')
  const { sloppy } = await alone.core.store.put('late', 'v', { w: 1 })
  assert.ok(sloppy)
  const list = alone.core.topology.view.preferenceList(rangeOfKey(new TextEncoder().encode('late'), cluster.params.q))
  names.delete(n4.peerId)
  const stranger = [...names.keys()].find(peerId => !list.includes(peerId))!
  before(cluster.disk('n4'))
  await cluster.start(names.get(stranger)!)
  const leavesAgain = async () => {
    for (const peerId of list) await cluster.start(names.get(peerId)!)
    await until('it has left again', () => alone.left === true, 30_000)
    await cluster.stop('n4')
    const { core } = cluster.nodes.get(names.get(stranger)!)!
    return async (key: string) => (await core.store.get(key)).values.map(textOf)
  }
  return { alone, leavesAgain }
}

test('what it takes for others when it is started again, before it could say so, is theirs before it goes', async () => {
  const { alone, leavesAgain } = await leftWithWrite()
  const statusOf = async () => ((await alone.core.info('stats')) as { leaving?: Leaving }).leaving?.status
  await until('it could say so', async () => alone.left === true || (await statusOf()) === 'leaving', 30_000)
  const valuesOf = await leavesAgain()
  assert.equal(await valuesOf('late'), ['v'])
})

test('a node that cannot write down that it goes on leaving serves on until it can', async () => {
  let isFull = true
  let refused = 0
  const { alone, leavesAgain } = await leftWithWrite(disk => {
    const replace = disk.replaceFile.bind(disk)
    disk.replaceFile = async (path, content) => {
      if (!isFull || !path.endsWith('leaving.json')) return replace(path, content)
      refused++
      throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
    }
  })
  await until('it has tried', () => refused > 0, 30_000)
  await until('it answers', () => alone.core.store.put('later', 'v', { w: 1 }).catch(() => undefined))
  isFull = false
  const valuesOf = await leavesAgain()
  for (const key of ['late', 'later'])
    assert.equal(await until(`${key} is read`, () => valuesOf(key).catch(() => undefined)), ['v'])
})

test('where all are told to leave at once, they stay', async () => {
  const nodes = await filled(2)
  await Promise.all(nodes.map(({ core }) => core.leave(true)))
  await until('both know, and stay', () =>
    nodes.every(({ core }) => nodes.every(({ peerId }) => core.membership.member(peerId)?.record.status === 'up'))
  )
  await mustReadAll(nodes[0])
})

test('one that has left takes nothing any more', async () => {
  const [n0, , , n3] = await filled(4)
  await leaves(n3)
  await fails('closed', n3.core.store.get('key 1'))
  await cluster.settled()
  await mustReadAll(n0)
})

test.run()
