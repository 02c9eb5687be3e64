import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Log } from '../../src/ports.ts'
import { silentLog, systemClock } from '../../src/runtime.ts'
import { Backoff, FIRST_DELAY_MS, LONGEST_DELAY_MS } from '../../src/wire/backoff.ts'
import { createIdentity } from '../../src/wire/identity.ts'
import { bounded, echo, failure, meet, readOf, startNode, stopAll, until } from './hosts.ts'

const test = suite('wire/peers')
test.after.each(stopAll)

/** An address on which nobody listens, though something did a moment ago. */
async function deadAddress(): Promise<string> {
  const node = await startNode()
  await node.stop()
  return node.address
}

const portOf = (address: string) => address.match(/\/tcp\/(\d+)/)![1]

test('backoff doubles from half a second to thirty, give or take a quarter, and starts over', () => {
  let nowMs = 0
  const clock = { wallMs: () => 0, monotonicMs: () => nowMs }
  for (const [float, factor] of [
    [0, 0.75],
    [0.5, 1],
    [0.999_999, 1.25]
  ] as const) {
    const backoff = new Backoff({ clock, random: { bytes: () => new Uint8Array(), float: () => float } })
    assert.is(backoff.waitMs, 0)
    for (let i = 0; i < 12; i++) {
      backoff.failed()
      const expected = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** i) * factor
      assert.ok(Math.abs(backoff.waitMs - expected) < 1, `${backoff.waitMs} after ${i + 1} failures`)
      nowMs += backoff.waitMs
      assert.is(backoff.waitMs, 0)
    }
    backoff.reset()
    assert.is(backoff.failures, 0)
  }
})

test('a member that restarts on its port is connected again, by our loop', async () => {
  const a = await startNode()
  const b = await startNode()
  meet(a, b)
  a.wanted.push(b.peerId)
  await until('the first connection', () => a.network.isConnected(b.peerId))
  await b.stop()
  await until('the loss', () => !a.network.isConnected(b.peerId))
  const error = await failure(
    (async () => {
      for (;;) await a.network.request(b.peerId, readOf('x'), { timeoutMs: 1000 })
    })()
  )
  assert.is(error.code, 'unreachable')
  const again = await startNode({ identity: b.identity, listen: `/ip4/127.0.0.1/tcp/${portOf(b.address)}` })
  again.network.handleRequests(echo)
  await until('the second connection', () => a.network.isConnected(b.peerId))
  assert.ok(await a.network.request(b.peerId, readOf('x'), { timeoutMs: 5000 }))
})

test('a dead seed is said once and tried on; when it lives, it admits us and is learned', async () => {
  const address = await deadAddress()
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: message => void warnings.push(message) }
  const learned: [string, string[]][] = []
  const bare = address.replace(/\/p2p\/.*/, '')
  const node = await startNode({
    fresh: true,
    seeds: [bare],
    log,
    learned: (peerId, addresses) => void learned.push([peerId, addresses])
  })
  await until('the failure is said', () => warnings.length > 0)
  assert.match(warnings[0], bare)
  assert.match(warnings[0], 'ECONNREFUSED')
  const seed = await startNode({ listen: bare })
  await until('it is admitted', () => node.network.isConnected(seed.peerId))
  assert.is(warnings.length, 1)
  assert.equal(learned, [[seed.peerId, [`${bare}/p2p/${seed.peerId}`]]])
  assert.ok(node.params())
})

test('a seed that is lost before it has told of any member is dialled again', async () => {
  const seed = await startNode()
  const node = await startNode({ fresh: true, seeds: [seed.address] })
  await until('the first connection', () => node.network.isConnected(seed.peerId))
  await seed.stop()
  await until('the loss', () => !node.network.isConnected(seed.peerId))
  const again = await startNode({ identity: seed.identity, listen: `/ip4/127.0.0.1/tcp/${portOf(seed.address)}` })
  await until('the second connection', () => node.network.isConnected(again.peerId))
})

test('a seed that is this node itself, or another kind of server, does no harm', async () => {
  const self = await startNode()
  const dumb = await startNode({ dumb: true })
  const identity = await createIdentity()
  const node = await startNode({ identity, seeds: [`/ip4/127.0.0.1/tcp/1/p2p/${identity.peerId}`, dumb.address] })
  const error = await failure(node.network.peers.dialAddress(dumb.address))
  assert.match(error.message, 'no coterie node')
  await until('the useless connection is closed', () => node.libp2p.getConnections().length === 0)
  assert.is((await failure(self.network.peers.dialAddress(self.address.replace(/\/p2p\/.*/, '')))).code, 'unreachable')
  await failure(self.network.peers.dialAddress(self.address))
})

test('what is no multiaddr is bad usage', async () => {
  const node = await startNode()
  assert.is((await failure(node.network.peers.dialAddress('localhost:4270'))).code, 'bad-usage')
  assert.is((await failure(startNode({ seeds: ['nonsense'] }))).code, 'bad-usage')
})

test('many who want the same peer share one dial', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  const connections = await Promise.all(Array.from({ length: 50 }, () => a.network.peers.connect(b.peerId)))
  assert.is(new Set(connections).size, 1)
  assert.is(b.libp2p.getConnections().length, 1)
})

test('a peer that failed is left alone: asking again fails at once and says for how long', async () => {
  const a = await startNode()
  const { peerId } = await createIdentity()
  a.book.set(peerId, [await deadAddress()])
  assert.is((await failure(a.network.request(peerId, readOf('x'), { timeoutMs: 5000 }))).code, 'unreachable')
  const startMs = performance.now()
  const again = await failure(a.network.request(peerId, readOf('x'), { timeoutMs: 5000 }))
  assert.match(again.message, 'left alone')
  assert.ok(performance.now() - startMs < 2000)
})

test('a peer that dials us while we leave it alone is used at once', async () => {
  const a = await startNode()
  const b = await startNode()
  a.book.set(b.peerId, [await deadAddress()])
  await failure(a.network.peers.connect(b.peerId))
  meet(a, b)
  b.network.handleRequests(echo)
  await b.network.peers.connect(a.peerId)
  await until('it is admitted here too', () => a.network.isConnected(b.peerId))
  assert.ok(await a.network.request(b.peerId, readOf('x'), { timeoutMs: 5000 }))
})

test('poisoned hints cost a bounded number of dials, and a good one still works', async () => {
  const node = await startNode()
  let dials = 0
  const { openConnection } = node.components.connectionManager
  node.components.connectionManager.openConnection = (...args) => {
    dials++
    return openConnection.apply(node.components.connectionManager, args)
  }
  const dead = await deadAddress()
  const names = await Promise.all(Array.from({ length: 60 }, async () => (await createIdentity()).peerId))
  const outcomes = await bounded(
    'the hints',
    Promise.all(
      [...names, ...names].map(name => failure(node.network.peers.hint(name, [dead.replace(/\/p2p\/.*/, '')])))
    )
  )
  assert.ok(dials <= 32, `${dials} dials`)
  assert.ok(outcomes.some(error => error.code === 'overloaded'))
  await failure(node.network.peers.hint(names[0]!, [dead]))
  assert.ok(dials <= 32, 'the same hint again is not dialled')

  const [finder, found] = [await startNode(), await startNode()]
  await finder.network.peers.hint(found.peerId, ['/ip4/127.0.0.1/tcp/1', 'garbage', found.address])
  assert.ok(finder.network.isConnected(found.peerId))
})

test('a hint that came too early is tried again', async () => {
  const finder = await startNode()
  const late = await startNode({ dumb: true })
  await failure(finder.network.peers.hint(late.peerId, [late.address]))
  await late.network.start()
  await until('it is connected', () => finder.network.isConnected(late.peerId))
})

test('what libp2p discovers is taken as a hint', async () => {
  const [a, b] = [await startNode(), await startNode()]
  const { multiaddr } = await import('@multiformats/multiaddr')
  await a.libp2p.peerStore.merge(b.libp2p.peerId, { multiaddrs: [multiaddr(b.address)] })
  await until('it is connected', () => a.network.isConnected(b.peerId))
})

test('a deadline bounds a dial that hangs', async () => {
  const node = await startNode()
  const { peerId } = await createIdentity()
  node.components.connectionManager.openConnection = () => new Promise(() => {})
  node.book.set(peerId, ['/ip4/127.0.0.1/tcp/1'])
  const startMs = systemClock.monotonicMs()
  const error = await failure(node.network.request(peerId, readOf('x'), { timeoutMs: 150 }))
  assert.is(error.code, 'unreachable')
  assert.ok(systemClock.monotonicMs() - startMs < 2000)
})

test.run()
