import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CoterieError } from '../../src/errors.ts'
import type { Timers } from '../../src/ports.ts'
import { systemTimers } from '../../src/runtime.ts'
import { HELLO_PROTOCOL } from '../../src/wire/admission.ts'
import { FramedStream } from '../../src/wire/duplex.ts'
import { frameOf } from '../../src/wire/framing.ts'
import { decodeStep } from '../../src/wire/hello.ts'
import { KV_PROTOCOL } from '../../src/wire/kv-callers.ts'
import { encodeFrame } from '../../src/wire/kv-codec.ts'
import { bytesOf } from '../../src/wire/streams.ts'
import {
  bounded,
  echo,
  failure,
  meet,
  type Node,
  type NodeInit,
  PARAMS,
  readOf,
  startNode,
  stopAll,
  until
} from './hosts.ts'

const test = suite('wire/admission')
test.after.each(stopAll)

const ASK = { timeoutMs: 5000 }
/** Timers whose delays can be cut short: all that is pending is over when `blow` is called. */
function fuse(): { timers: Timers; blow: () => void } {
  const pending = new Set<() => void>()
  const after: Timers['after'] = (delayMs, fn) => {
    const run = () => {
      if (pending.delete(run)) fn()
    }
    pending.add(run)
    const timer = systemTimers.after(delayMs, run)
    return {
      cancel() {
        pending.delete(run)
        timer.cancel()
      }
    }
  }
  return {
    timers: { ...systemTimers, after },
    blow: () => {
      for (const run of [...pending]) run()
    }
  }
}

const dial = (from: Node, to: Node) => from.libp2p.dial(multiaddr(to.address))

/** A node that counts what it is asked. */
async function counting(init: NodeInit = {}): Promise<{ node: Node; served: () => number }> {
  let served = 0
  const node = await startNode(init)
  node.network.handleRequests(request => {
    served++
    return echo(request)
  })
  node.network.handleStreams('gossip', async () => void served++)
  return { node, served: () => served }
}

/**
 * Tries every protocol of ours on this connection, behind admission's back; resolves when the other side has hung up,
 * which it does when its time is over.
 */
async function trespass(connection: Connection, blow: () => void): Promise<void> {
  const open = async (protocol: string, bytes: Uint8Array) => {
    const stream = await connection.newStream(protocol)
    // It may be cut already, when the refusal is known.
    if (stream.status === 'open') stream.send(bytes)
    await until(`the ${protocol} stream is cut`, () => {
      blow()
      return stream.status !== 'open' && stream.status !== 'closing'
    })
    assert.is(stream.status, 'reset')
  }
  const request = frameOf(encodeFrame({ id: 1, timeoutMs: 5000, request: readOf('stolen') }))
  await Promise.all([open(KV_PROTOCOL, request), open('/coterie/gossip/1', frameOf(Uint8Array.of(1)))])
}

const cases: [string, NodeInit, RegExp][] = [
  ['wrong secret', { secret: new Uint8Array(32).fill(8) }, /same cluster secret/],
  ['wrong cluster', { cluster: { ...PARAMS, clusterId: 'f'.repeat(32) } }, /belong to cluster/],
  ['wrong number of ranges', { cluster: { ...PARAMS, q: 128 } }, /ranges: .*(64|128)/],
  ['wrong number of replicas', { cluster: { ...PARAMS, n: 5 } }, /replicas: /],
  ['no secret against a secret', { open: true }, /cluster secret/]
]
for (const [name, init, reason] of cases) {
  test(`${name}: refused with the reason on both sides, and nothing is served`, async () => {
    const { timers, blow } = fuse()
    const { node: member, served } = await counting({ timers })
    const stranger = await startNode(init)
    for (const [from, to] of [
      [stranger, member],
      [member, stranger]
    ] as const) {
      const connection = await dial(from, to)
      const error = await failure(from.network.admission.admit(connection))
      assert.is(error.code, 'refused')
      assert.match(error.message, reason)
      await until('both know', () => member.refusals.length > 0 && stranger.refusals.length > 0)
      for (const { code, message } of [member.refusals.pop()!, stranger.refusals.pop()!]) {
        assert.is(code, 'refused')
        assert.match(message, reason)
      }
      if (from === stranger) await trespass(connection, blow)
      await connection.close()
      await until('both see it closed', () => to.libp2p.getConnections().length === 0)
    }
    assert.is(served(), 0)
    assert.equal(member.network.connected(), [])
    meet(member, stranger)
    assert.is((await failure(stranger.network.request(member.peerId, readOf('x'), ASK))).code, 'refused')
    assert.is((await failure(stranger.network.open(member.peerId, 'gossip', ASK))).code, 'unreachable', 'left alone')
  })
}

test('nothing is served to a connection that never says hello', async () => {
  const { timers, blow } = fuse()
  const { node, served } = await counting({ timers })
  const silent = await startNode({ dumb: true })
  await trespass(await dial(silent, node), blow)
  assert.is(served(), 0)
})

test('an exclusive host closes connections that never say hello', async () => {
  const { timers, blow } = fuse()
  const { node } = await counting({ timers, exclusive: true })
  const silent = await startNode({ dumb: true })
  await dial(silent, node)
  await until('it is closed', () => {
    blow()
    return silent.libp2p.getConnections().length === 0
  })
})

test('a stream that is opened while the hello is under way is served once it is over', async () => {
  const { node, served } = await counting()
  const other = await startNode()
  const connection = await dial(other, node)
  const stream = await connection.newStream(KV_PROTOCOL)
  stream.send(frameOf(encodeFrame({ id: 1, timeoutMs: 5000, request: readOf('early') })))
  const reader = new FramedStream(stream)
  await other.network.admission.admit(connection)
  assert.ok(await bounded('the answer', reader.read()))
  assert.is(served(), 1)
})

test('a replayed hello is useless, from its own sender too', async () => {
  const { node, served } = await counting()
  const other = await startNode()
  const connection = await dial(other, node)
  const recorded: Uint8Array[] = []
  const newStream = connection.newStream.bind(connection)
  connection.newStream = async (...args) => {
    const stream = await newStream(...args)
    const send = stream.send.bind(stream)
    stream.send = data => {
      recorded.push(bytesOf(data).slice())
      return send(data)
    }
    return stream
  }
  await other.network.admission.admit(connection)
  assert.is(recorded.length, 2)
  await connection.close()
  await until('it is lost', () => !node.network.isConnected(other.peerId))

  const again = await dial(other, node)
  const stream = await again.newStream(HELLO_PROTOCOL)
  const reader = new FramedStream(stream)
  stream.send(recorded[0]!)
  assert.ok(decodeStep((await bounded('the second step', reader.read()))!).proof)
  stream.send(recorded[1]!)
  const last = decodeStep((await bounded('the last step', reader.read()))!)
  assert.is(last.refusal?.code, 'refused')
  assert.not(last.admitted)
  assert.not(node.network.isConnected(other.peerId))
  assert.is(served(), 0)
})

test('silent hello streams are bounded, end, and keep nobody else out', async () => {
  const { timers, blow } = fuse()
  const { node } = await counting({ timers })
  const silent = await startNode({ dumb: true })
  const connection = await dial(silent, node)
  const streams: Stream[] = []
  for (let i = 0; i < 20; i++) await connection.newStream(HELLO_PROTOCOL).then(stream => streams.push(stream))
  await until('all but two are cut at once', () => streams.filter(stream => stream.status === 'open').length <= 2)
  const other = await startNode()
  meet(other, node)
  await other.network.request(node.peerId, readOf('x'), ASK)
  assert.is(streams.filter(stream => stream.status === 'open').length, 2)
  await until('the rest is cut', () => {
    blow()
    return streams.every(stream => stream.status === 'reset')
  })
})

test('a hello that is too long, and one of garbage, are cut', async () => {
  const { node } = await counting()
  const rude = await startNode({ dumb: true })
  const connection = await dial(rude, node)
  for (const bytes of [frameOf(new Uint8Array(5000)), frameOf(new Uint8Array(50).fill(0xff))]) {
    const stream = await connection.newStream(HELLO_PROTOCOL)
    stream.send(bytes)
    await until('it is cut', () => stream.status === 'reset')
  }
})

test('a fresh node adopts the parameters, as the dialler and as the dialled', async () => {
  for (const memberDials of [false, true]) {
    const [member, fresh] = await Promise.all([startNode(), startNode({ fresh: true })])
    meet(member, fresh)
    const [from, to] = memberDials ? [member, fresh] : [fresh, member]
    await from.network.peers.connect(to.peerId)
    assert.equal(fresh.params(), PARAMS)
    assert.ok(from.network.isConnected(to.peerId))
  }
})

test('a fresh node that meets several members at once adopts once', async () => {
  const members = await Promise.all([startNode(), startNode(), startNode()])
  let adoptions = 0
  let params: typeof PARAMS | undefined
  const fresh = await startNode({
    params: () => params,
    adopt: async adopted => {
      await new Promise(resolve => setImmediate(resolve))
      adoptions++
      params = adopted
    }
  })
  meet(fresh, ...members)
  await Promise.all(members.map(member => fresh.network.peers.connect(member.peerId)))
  assert.is(adoptions, 1)
})

test('parameters that cannot be adopted refuse the other side, with the reason', async () => {
  const member = await startNode()
  const adopt = () => {
    throw new Error('the disk is read-only')
  }
  const fresh = await startNode({ fresh: true, adopt })
  meet(member, fresh)
  const error = await failure(fresh.network.peers.connect(member.peerId))
  assert.match(error.message, 'read-only')
  await until('both know', () => member.refusals.length > 0)
})

test('two fresh nodes are told to wait', async () => {
  const [a, b] = await Promise.all([startNode({ fresh: true }), startNode({ fresh: true })])
  meet(a, b)
  assert.is((await failure(a.network.peers.connect(b.peerId))).code, 'not-available')
  await until('both know', () => b.refusals.length > 0)
})

test('an open cluster needs no secret', async () => {
  const [a, b] = await Promise.all([startNode({ open: true }), startNode({ open: true, fresh: true })])
  meet(a, b)
  b.network.handleRequests(echo)
  assert.ok(await a.network.request(b.peerId, readOf('x'), ASK))
})

test('a banned peer is refused by the hello', async () => {
  const other = await startNode()
  const node = await startNode({ banned: peerId => peerId === other.peerId })
  const connection = await dial(other, node)
  const error: CoterieError = await failure(other.network.admission.admit(connection))
  assert.is(error.code, 'refused')
  assert.match(error.message, 'banned')
})

test.run()
