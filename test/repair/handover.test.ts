import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Answer, Request } from '../../src/messages.ts'
import { differences, Load } from '../support/load.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'

const test = suite('handover and thief')
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster()
})
test.after.each(() => cluster.close())

const nodes = (): MemoryNode[] => [...cluster.nodes.values()]
const ownedBy = ({ core, peerId }: MemoryNode): number[] =>
  core.topology
    .claims()
    .filter(({ owner }) => owner === peerId)
    .map(({ range }) => range)

async function ask(from: MemoryNode, to: MemoryNode, ranges: number[]): Promise<Extract<Answer, { type: 'asked' }>> {
  const answer = await from.network.request(to.peerId, { type: 'ask', ranges }, { timeoutMs: 3000 })
  assert.is(answer.type, 'asked')
  return answer as Extract<Answer, { type: 'asked' }>
}

test('an owner gives what is its own, to members, and each range to one of them', async () => {
  const [a, b, c] = await cluster.startMany(3)
  const [mine] = ownedBy(a)
  const [theirs] = ownedBy(b)
  const stranger = cluster.hub.network('stranger')
  const refused = await stranger.request(a.peerId, { type: 'ask', ranges: [mine] }, { timeoutMs: 3000 })
  assert.equal(refused, { type: 'asked', granted: [], pending: [], refused: [mine] })
  stranger.close()
  assert.equal((await ask(c, a, [theirs])).refused, [theirs])
  // b asks first; c is told to wait its turn.
  const release = a.files.hold('replaceFile', /ring\.bin/)
  assert.equal((await ask(b, a, [mine])).pending, [mine])
  assert.equal((await ask(c, a, [mine])).refused, [mine])
  release()
  const granted = await until('it is granted', async () => {
    const answer = await ask(b, a, [mine])
    return answer.granted.length > 0 ? answer.granted : undefined
  })
  assert.is(granted[0].owner, b.peerId)
  // Who asks again is told again.
  assert.equal((await ask(b, a, [mine])).granted, granted)
  // What is no longer asked for is not given.
  const [, next] = ownedBy(a)
  const wait = a.files.hold('replaceFile', /ring\.bin/)
  await ask(b, a, [next])
  await ask(b, a, [])
  assert.equal((await ask(c, a, [next])).pending, [next])
  await ask(c, a, [])
  wait()
})

test('shares follow capacity, and a ring that is even stays as it is', async () => {
  await cluster.start('n0')
  await cluster.start('n1', { capacity: 2 })
  await cluster.start('n2')
  await until(
    'shares are right',
    () =>
      nodes()
        .map(node => ownedBy(node).length)
        .join() === '8,16,8'
  )
  await cluster.settled().catch(() => undefined)
  const ring = nodes()[0].core.topology.claims()
  const rounds = nodes()[0].core.membership.stats().rounds
  await until('a while', () => nodes()[0].core.membership.stats().rounds > rounds + 10)
  assert.equal(nodes()[0].core.topology.claims(), ring)
})

test('a thief that stalls holds nothing: the cluster goes on, and the join ends when it wakes', async () => {
  await cluster.startMany(3)
  const load = new Load(cluster, 40).start(2, () => nodes().slice(0, 3))
  await until('some operations', () => load.operations > 40)
  let release: (() => void) | undefined
  let stalls = 0
  const seen: Request['type'][] = []
  cluster.hub.beforeRequest = (_from, to, request) => {
    seen.push(request.type)
    const thief = cluster.nodes.get('n3')
    if (release !== undefined || request.type !== 'pull' || to !== thief?.peerId) return
    release = thief.files.hold('write', /ranges/)
    stalls = load.operations
  }
  await cluster.start('n3')
  await until('it stalls', () => release !== undefined)
  await until('the others go on', () => load.operations > stalls + 30)
  cluster.hub.beforeRequest = undefined
  assert.equal(ownedBy(cluster.nodes.get('n3')!), [])
  release!()
  await cluster.settled()
  await load.stop()
  assert.equal(load.failures.map(String), [])
  assert.equal(await load.lost(cluster.nodes.get('n3')!), [])
  await until('all replicas agree', async () => (await differences(cluster, load.keys)).length === 0)
})

test('nothing moves to a member that is leaving or unreachable', async () => {
  await cluster.startMany(3)
  const n3 = await cluster.start('n3')
  const others = nodes().filter(({ peerId }) => peerId !== n3.peerId)
  for (const { peerId } of others) cluster.hub.cut(peerId, n3.peerId)
  const owned = ownedBy(others[0])
  const rounds = others[0].core.membership.stats().rounds
  await until('a while', () => others[0].core.membership.stats().rounds > rounds + 5)
  const epochs = others[0].core.topology.claims().filter(({ owner }) => owner === n3.peerId).length
  assert.ok(epochs <= cluster.params.q / 4 + 2)
  assert.ok(owned.length >= cluster.params.q / 4 - 2)
  cluster.hub.heal()
  await cluster.settled()
})

test.run()
