/** Gossip among a few dozen simulated nodes: as fast as theory says, no live node taken for dead, the same in every run. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { GossipNet } from '../../../src/sim/gossip/gossip-net.ts'
import type { GossipScaleResult } from '../../../src/sim/gossip/gossip-result.ts'
import { gossipScale, LAN, WAN } from '../../../src/sim/gossip/gossip-scale.ts'
import { detectionMs, spreadRounds } from '../../../src/sim/gossip/gossip-theory.ts'
import { EventLog } from '../../../src/sim/world/event-log.ts'
import { SimProcess } from '../../../src/sim/world/process.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { World } from '../../../src/sim/world/world.ts'

const test = suite('sim: gossip at scale')

function assertGood(result: GossipScaleResult): void {
  const { nodes, change, idle, pause, powerCut, processKill, join, start } = result
  assert.ok(change.meanRounds < change.theoryRounds + 1, `${change.meanRounds} rounds on average`)
  assert.ok(change.maxRounds < 2 * Math.log2(nodes) + 3, `${change.maxRounds} rounds at most`)
  assert.is(idle.alarms.down, 0)
  assert.is(pause.alarms.down, 0)
  assert.is(powerCut.down.missing, 0)
  assert.ok(powerCut.down.medianMs < 2 * powerCut.theoryMs, `${powerCut.down.medianMs} ms until down`)
  assert.ok(processKill.noticed.medianMs < 1000, `${processKill.noticed.medianMs} ms until suspect`)
  assert.ok(join.knowsAllMs < 5000 && join.knownByAllMs < 10_000)
  assert.ok(start.allKnowAllMs < 15_000)
  assert.ok(idle.settled.mean > 100 && idle.settled.mean < 32 * 1024)
}

test('20 nodes on a LAN, and again with the same seed: good, and the same to the last event', async () => {
  const options = { nodes: 20, seed: 'a', links: LAN, windowMs: 10_000 }
  const result = await gossipScale(options)
  assertGood(result)
  assert.equal(await gossipScale(options), result)
  assert.is.not((await gossipScale({ ...options, seed: 'b' })).digest, result.digest)
})

test('30 nodes on slow links that lose packets', async () => {
  assertGood(await gossipScale({ nodes: 30, seed: 'a', links: WAN, windowMs: 10_000 }))
})

test('in theory a change takes ln S + 0.6 rounds, and a silence is death after longer the more nodes there are', () => {
  assert.is(spreadRounds(2), 0.5)
  assert.ok(Math.abs(spreadRounds(1000) - (Math.log(1000) + 0.5772)) < 0.02)
  assert.ok(detectionMs(1000, 1000, 8) > detectionMs(100, 1000, 8))
})

/** Two nodes of the lean network; what `b` gets on its first stream. */
function pairOf(loss: number) {
  const world = new World(new SimRandom(`net ${loss}`), new EventLog())
  const net = new GossipNet(world, world.random.fork('net'), { minMs: 1, maxMs: 5, loss })
  const [a, b] = ['a', 'b'].map(name => net.attach(new SimProcess(world, name, { skewMs: 0, drift: 0 }), name)) as [
    ReturnType<GossipNet['attach']>,
    ReturnType<GossipNet['attach']>
  ]
  const got: number[] = []
  let error: unknown
  b.handleStreams('gossip', async stream => {
    try {
      for await (const message of stream.source) got.push(message[0]!)
      await stream.sink([])
    } catch (reason) {
      error = reason
    }
  })
  return { world, net, a, b, got, broke: () => error }
}

const messages = Array.from({ length: 100 }, (_, i) => Uint8Array.of(i))

test('messages arrive in order, all of them, later where packets are lost', async () => {
  const took: number[] = []
  for (const loss of [0, 0.2]) {
    const { world, a, got } = pairOf(loss)
    await world.run(async () => {
      const stream = await a.open('b', 'gossip', { timeoutMs: 10_000 })
      await stream.sink(messages)
      for await (const _ of stream.source);
      took.push(world.nowMs)
    })
    assert.equal(got, [...messages.keys()])
  }
  assert.ok(took[0]! < 100 && took[1]! > 200, String(took))
})

test('both sides hear of a connection that was made, and of one whose process died', async () => {
  const { world, net, a, b, broke } = pairOf(0)
  const heard: string[] = []
  a.onConnection((peerId, connected) => heard.push(`a: ${peerId} ${connected}`))
  b.onConnection((peerId, connected) => heard.push(`b: ${peerId} ${connected}`))
  await world.run(async () => {
    await a.open('b', 'gossip', { timeoutMs: 1000 })
    a.process.kill()
    net.breakConnections(a)
    await world.sleep(100)
    assert.match(String(broke()), /lost a/)
  })
  assert.equal(heard, ['b: a true', 'a: b true', 'b: a false'])
})

test('a host that is gone answers nothing, one whose process died refuses', async () => {
  const { world, net, a, b } = pairOf(0)
  await world.run(async () => {
    b.process.kill()
    const codeOf = () =>
      a.open('b', 'gossip', { timeoutMs: 1000 }).then(
        () => 'opened',
        error => `${error.code} at ${Math.round(world.nowMs / 1000)} s`
      )
    assert.is(await codeOf(), 'timeout at 1 s')
    // The dial itself goes on for longer; it is over before the next.
    await world.sleep(10_000)
    net.breakConnections(b)
    assert.is(await codeOf(), 'unreachable at 11 s')
  })
})

test.run()
