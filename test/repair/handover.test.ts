import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Answer, Request } from '../../src/messages.ts'
import { differences, Load } from '../support/load.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'
import { grantBy, ownerOf } from './owner.ts'

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
  await until('nothing moves', async () => {
    const stats = await Promise.all(nodes().map(({ core }) => core.info('stats') as Promise<Record<string, number>>))
    return stats.every(node => node.copiesSyncing + node.copiesFrozen + node.rangesAskedFor === 0)
  })
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

const alone = suite('handover, alone')
const ALL_OF_8 = [0, 1, 2, 3, 4, 5, 6, 7]
const named = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`)

for (const [others, isAll] of [
  [59, true],
  [60, false]
] as const) {
  alone(`of ${others + 5} members ${isAll ? 'all' : 'those whose lists change'} are told of a grant`, async () => {
    const members = ['T', ...named(others)]
    const it = await ownerOf('AABBFCCC', { members, unreachable: ['m7'] })
    await it.world.run(async () => {
      assert.is(it.ask('T', 0), 'pending')
      await it.rest()
    })
    assert.is(it.topology.claim(0)?.owner, 'T')
    const told = it.calls.filter(({ request }) => request.type === 'claims').map(({ to }) => to)
    const concerned = ['B', 'C', 'F', 'T']
    const expected = isAll ? [...concerned, ...members.slice(1).filter(member => member !== 'm7')] : concerned
    assert.equal(told.sort(), expected.sort())
  })
}

alone('a flip that is unsafe by itself is refused to every thief for good, until the ring is another one', async () => {
  const zones = { A: 'x', B: 'x', C: 'y', D: 'y', E: 'z', F: 'z' }
  const it = await ownerOf('ADCBAAAA', { members: ['E', 'F'], zones })
  await it.world.run(async () => {
    for (const thief of ['E', 'F']) {
      assert.is(it.ask(thief, 0), 'pending', thief)
      await it.rest()
    }
    for (const thief of ['E', 'F', 'E', 'F']) {
      assert.is(it.ask(thief, 0), 'refused', thief)
      await it.rest()
    }
    it.topology.invalidate()
    for (const thief of ['E', 'F']) {
      assert.is(it.ask(thief, 0), 'pending', thief)
      await it.rest()
    }
  })
  assert.is(it.handover.granted, 0)
})

alone('a range that is offered goes as one that is asked for; an unsafe offer comes to nothing', async () => {
  const it = await ownerOf('ABBDAEEE', { members: ['D'] })
  await it.world.run(async () => {
    assert.ok(it.handover.offer({ range: 0, to: 'D' }))
    assert.ok(it.handover.offer({ range: 0, to: 'D' }), 'again is fine')
    await it.rest()
  })
  assert.is(it.topology.claim(0)?.owner, 'D')
  const zones = { A: 'x', B: 'x', C: 'y', D: 'y', E: 'z' }
  const unsafe = await ownerOf('ADCBAAAA', { members: ['E'], zones })
  await unsafe.world.run(async () => {
    assert.ok(unsafe.handover.offer({ range: 0, to: 'E' }))
    await unsafe.rest()
    assert.not(unsafe.handover.offer({ range: 0, to: 'E' }))
  })
  assert.is(unsafe.topology.claim(0)?.owner, 'A')
})

alone('a member whose copy makes no headway is not asked at the speed of the network, nor for ever', async () => {
  const it = await ownerOf('ABBDAEEE', { members: ['D'] })
  it.before = (_to, request) =>
    request.type === 'pull' ? { type: 'pulled', synced: [], keysDone: 3, keysTotal: 9 } : undefined
  await it.world.run(async () => {
    it.ask('D', 0)
    assert.ok(await it.rest())
  })
  const pulls = it.calls.filter(({ request }) => request.type === 'pull').length
  assert.ok(pulls > 20 && pulls <= 120, `${pulls} questions`)
  assert.ok(it.world.nowMs >= 10_000 && it.world.nowMs < 11_000, `${it.world.nowMs} ms`)
  assert.is(it.topology.claim(0)?.owner, 'A')
})

for (const when of ['before', 'while'] as const) {
  alone(
    `another owner’s flip voids a plan that would do something else by it: ${when} the grant is written`,
    async () => {
      // 3 → C takes D out of the list of range 0; 0 → D would then put D into it, and nobody has had D copy that range.
      const it = await ownerOf('ABBDAEEE', { members: ['C'] })
      const copied = new Set<string>()
      let sealed = false
      let landed: Promise<unknown> | undefined
      it.before = (to, request) => {
        if (request.type === 'seal') sealed = true
        if (request.type !== 'pull') return undefined
        for (const range of request.ranges) copied.add(`${to} ${range}`)
        if (!sealed || landed !== undefined) return undefined
        const release = when === 'while' ? it.files.hold('replaceFile', /ring/) : () => {}
        const land = () => {
          landed = it.topology.apply([grantBy('D', 3, 2, 'C')])
          release()
        }
        if (when === 'before') land()
        else it.world.after(5, { name: 'test', alive: true, paused: false }, 'land', land)
        return undefined
      }
      let lists = ALL_OF_8.map(range => it.topology.view.preferenceList(range))
      it.topology.onChange(changed => {
        const after = ALL_OF_8.map(range => it.topology.view.preferenceList(range))
        for (const { owner, range } of changed) {
          if (owner !== 'D' || range !== 0) continue
          for (const each of ALL_OF_8) {
            for (const member of after[each].filter(member => !lists[each].includes(member)))
              assert.ok(
                copied.has(`${member} ${each}`),
                `${member} has become a member of range ${each} without a copy`
              )
          }
        }
        lists = after
      })
      await it.world.run(async () => {
        it.ask('D', 0)
        assert.ok(await it.rest())
        await landed
      })
      assert.ok(landed !== undefined)
      assert.equal([it.topology.claim(0)?.owner, it.topology.claim(3)?.owner], ['D', 'C'])
      assert.ok(copied.has('D 0'), 'it was planned anew, with what the ring is now')
    }
  )
}

alone(
  'while a member of a list is not in sync, nobody is asked to copy for it, whichever flips take the place of others',
  async () => {
    // E in the place of A and F in that of another A are both new on the lists between: they do not go together.
    const ring = 'ABC'.repeat(11).slice(0, 32)
    const zones = { A: 'x', B: 'y', C: 'z', E: 'x', F: 'y' }
    const members = ['E', 'F']
    const caseArb = fc.record({
      asks: fc.array(fc.record({ thief: fc.constantFrom(...members), nth: fc.nat(10) }), {
        minLength: 2,
        maxLength: 12
      }),
      syncing: fc.subarray([...'ABC'], { minLength: 1 }),
      at: fc.subarray([...ring].map((_, range) => range))
    })
    await fc.assert(
      fc.asyncProperty(caseArb, async ({ asks, syncing, at }) => {
        const it = await ownerOf(ring, { members, zones })
        const isSyncing = (member: string, range: number) => syncing.includes(member) && at.includes(range)
        it.before = (to, request) =>
          request.type === 'copies'
            ? {
                type: 'copies',
                copies: request.ranges.map(range => ({ range, status: isSyncing(to, range) ? 'syncing' : 'synced' }))
              }
            : undefined
        const lists = Array.from({ length: ring.length }, (_, range) => it.topology.view.preferenceList(range))
        await it.world.run(async () => {
          for (const thief of members)
            it.handover.ask(
              thief,
              asks.filter(ask => ask.thief === thief).map(({ nth }) => nth * 3)
            )
          it.handover.tick()
          await it.rest()
        })
        for (const { request } of it.calls) {
          if (request.type !== 'pull') continue
          for (const range of request.ranges)
            assert.not(
              lists[range]!.some(member => isSyncing(member, range)),
              `range ${range} of ${ring}`
            )
        }
      }),
      { numRuns: 200 }
    )
  }
)

alone('an owner that may not know who owns what by now gives nothing, and rests until it does', async () => {
  const it = await ownerOf('AABBFCCC', { members: ['G'] })
  it.mayGive = false
  await it.world.run(async () => {
    assert.is(it.ask('G', 0), 'pending')
    assert.ok(await it.rest())
    assert.is(it.topology.claim(0)?.owner, 'A')
    it.mayGive = true
    it.handover.tick()
    assert.ok(await it.rest())
  })
  assert.is(it.topology.claim(0)?.owner, 'G')
})

alone.run()
