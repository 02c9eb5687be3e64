import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../src/errors.ts'
import type { Answer } from '../../src/messages.ts'
import type { Duplex } from '../../src/ports.ts'
import { KV_PROTOCOL } from '../../src/wire/kv-callers.ts'
import { bounded, connectionTo, echo, failure, meet, readOf, startNode, stopAll, until } from './hosts.ts'

const test = suite('wire/libp2p-network')
test.after.each(stopAll)

const text = (answer: Answer) => new TextDecoder().decode((answer as Extract<Answer, { type: 'state' }>).state)
const ASK = { timeoutMs: 5000 }

test('many requests at once, right after the dial, each get their own answer', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  b.network.handleRequests(echo)
  const asked = Array.from({ length: 500 }, (_, i) => a.network.request(b.peerId, readOf(`key ${i}`), ASK))
  const answers = await bounded('500 answers', Promise.all(asked))
  assert.equal(
    answers.map(text),
    Array.from({ length: 500 }, (_, i) => `key ${i}`)
  )
  assert.is(a.libp2p.getConnections().length, 1)
  assert.is(connectionTo(a, b).streams.filter(stream => stream.protocol === KV_PROTOCOL).length, 1)
})

test('the handler learns who asks, in which role, and for how long', async () => {
  const [node, client] = await Promise.all([startNode(), startNode({ role: 'client', fresh: true })])
  meet(node, client)
  let seen: unknown
  node.network.handleRequests(async (request, from, { timeoutMs }) => {
    seen = { from, timeoutMs }
    return echo(request)
  })
  await client.network.request(node.peerId, readOf('x'), { timeoutMs: 4321 })
  const { from, timeoutMs } = seen as { from: unknown; timeoutMs: number }
  assert.equal(from, { peerId: client.peerId, role: 'client' })
  assert.ok(timeoutMs > 0 && timeoutMs <= 4321)
  assert.equal(node.network.connected(), [], 'clients are no members')
  assert.equal(client.network.connected(), [node.peerId])
  assert.equal(client.params(), node.params(), 'a client adopts the parameters')
})

test('an error of the handler travels as code and message; answers come in any order', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  const held = Promise.withResolvers<void>()
  b.network.handleRequests(async request => {
    const key = request.type === 'read' ? new TextDecoder().decode(request.key) : ''
    if (key === 'fails') throw new CoterieError('disk-full', 'no room in ranges/0007')
    if (key === 'breaks') throw new TypeError('x is not a function')
    if (key === 'slow') await held.promise
    return echo(request)
  })
  const slow = a.network.request(b.peerId, readOf('slow'), ASK)
  const full = await failure(a.network.request(b.peerId, readOf('fails'), ASK))
  assert.equal([full.code, full.message], ['disk-full', 'no room in ranges/0007'])
  assert.is((await failure(a.network.request(b.peerId, readOf('breaks'), ASK))).code, 'internal')
  assert.is(text(await a.network.request(b.peerId, readOf('quick'), ASK)), 'quick')
  held.resolve()
  assert.is(text(await slow), 'slow')
})

test('simultaneous dials lose no request', async () => {
  const nodes = await Promise.all([startNode(), startNode(), startNode()])
  meet(...nodes)
  for (const node of nodes) node.network.handleRequests(echo)
  const asked = nodes.flatMap(a =>
    nodes
      .filter(b => b !== a)
      .flatMap(b => Array.from({ length: 20 }, (_, i) => a.network.request(b.peerId, readOf(`${i}`), ASK)))
  )
  const answers = await bounded('all answers', Promise.all(asked))
  assert.is(answers.length, 120)
  for (const node of nodes) assert.is(node.network.connected().length, 2)
})

test('deadline: the request is rejected in time, and its late answer disturbs nobody', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  const held = Promise.withResolvers<void>()
  b.network.handleRequests(async request => {
    await held.promise
    return echo(request)
  })
  await a.network.peers.connect(b.peerId)
  const startMs = performance.now()
  const late = await failure(a.network.request(b.peerId, readOf('late'), { timeoutMs: 100 }))
  assert.is(late.code, 'timeout')
  assert.match(late.message, 'unknown')
  assert.ok(performance.now() - startMs < 2000)
  const next = a.network.request(b.peerId, readOf('next'), ASK)
  held.resolve()
  assert.is(text(await next), 'next')
})

test('a caller may give up with a signal', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  b.network.handleRequests(() => new Promise(() => {}))
  await a.network.peers.connect(b.peerId)
  const controller = new AbortController()
  const asked = a.network.request(b.peerId, readOf('x'), { ...ASK, signal: controller.signal })
  const reason = new Error('changed my mind')
  controller.abort(reason)
  assert.is(await failure(asked), reason)
  assert.is(await failure(a.network.request(b.peerId, readOf('y'), { ...ASK, signal: controller.signal })), reason)
})

test('a peer that dies: in flight is `timeout` with an unknown outcome, afterwards `unreachable`; all told once', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  const taken = Promise.withResolvers<void>()
  b.network.handleRequests(() => {
    taken.resolve()
    return new Promise(() => {})
  })
  const events: [string, boolean][] = []
  a.network.onConnection((peerId, connected) => events.push([peerId, connected]))
  const asked = a.network.request(b.peerId, readOf('x'), ASK)
  await bounded('the request', taken.promise)
  // As a process that is killed: its sockets close, nothing else is said.
  for (const connection of b.libp2p.getConnections()) connection.abort(new Error('killed'))
  const error = await failure(asked)
  assert.is(error.code, 'timeout')
  assert.match(error.message, /outcome|unknown/)
  await b.libp2p.stop()
  assert.is((await failure(a.network.request(b.peerId, readOf('y'), ASK))).code, 'unreachable')
  await until('the loss is told', () => events.length === 2)
  assert.equal(events, [
    [b.peerId, true],
    [b.peerId, false]
  ])
  assert.not(a.network.isConnected(b.peerId))
})

test('bounds: over them the answer is `overloaded` at once, on the calling side and on the answering side', async () => {
  const [a, b] = await Promise.all([
    startNode({ limits: { maxInFlight: 8 } }),
    startNode({ limits: { maxInFlight: 4 } })
  ])
  meet(a, b)
  const held = Promise.withResolvers<void>()
  let taken = 0
  b.network.handleRequests(async request => {
    taken++
    await held.promise
    return echo(request)
  })
  await a.network.request(b.peerId, { type: 'ask', ranges: [] }, { timeoutMs: 1 }).catch(() => {})
  await until('the channel is open', () => connectionTo(a, b)?.streams.some(stream => stream.protocol === KV_PROTOCOL))
  await until('nothing is in flight', () => taken <= 1)
  const outcomes = Array.from({ length: 12 }, (_, i) =>
    a.network.request(b.peerId, readOf(`${i}`), ASK).then(
      () => 'ok',
      (error: CoterieError) => error.code
    )
  )
  const local = await bounded('the local refusals', Promise.all(outcomes.slice(8)))
  assert.equal(local, ['overloaded', 'overloaded', 'overloaded', 'overloaded'])
  await until('the peer has taken its four', () => taken >= 4)
  held.resolve()
  const all = await bounded('the rest', Promise.all(outcomes))
  assert.is(all.filter(outcome => outcome === 'ok').length >= 3, true)
  assert.is(all.filter(outcome => outcome === 'overloaded').length >= 8, true)
  assert.is(text(await a.network.request(b.peerId, readOf('after'), ASK)), 'after')
})

test('a state of 16 MiB goes both ways, and small requests pass it', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  let order = ''
  b.network.handleRequests(async request => {
    if (request.type !== 'merge') return echo(request)
    order += 'L'
    return { type: 'state', state: request.state.slice(), synced: true }
  })
  await a.network.request(b.peerId, readOf('warm'), ASK)
  const state = new Uint8Array(16 * 1024 * 1024)
  for (let i = 0; i < state.length; i += 997) state[i] = i
  const large = a.network.request(
    b.peerId,
    { type: 'merge', range: 1, key: Uint8Array.of(1), state, standIn: false },
    ASK
  )
  const small = a.network.request(b.peerId, readOf('small'), ASK).then(answer => {
    order += 's'
    return answer
  })
  assert.is(text(await bounded('the small one', small)), 'small')
  const answer = (await bounded('the large one', large)) as Extract<Answer, { type: 'state' }>
  assert.is(Buffer.compare(answer.state!, state), 0)
  assert.is(order, 'sL', 'the small request arrived first')
  const over = new Uint8Array(66 * 1024 * 1024)
  const refused = failure(
    a.network.request(b.peerId, { type: 'merge', range: 1, key: Uint8Array.of(1), state: over, standIn: false }, ASK)
  )
  assert.is((await refused).code, 'too-large')
})

test('asking oneself, and a network that is not running, is said clearly', async () => {
  const a = await startNode()
  assert.is((await failure(a.network.request(a.peerId, readOf('x'), ASK))).code, 'internal')
  assert.is((await failure(a.network.request('nobody', readOf('x'), ASK))).code, 'bad-usage')
  await a.network.stop()
  assert.is((await failure(a.network.request(a.peerId, readOf('x'), ASK))).code, 'closed')
  assert.equal(
    a.libp2p.getProtocols().filter(protocol => protocol.startsWith('/coterie/hello')),
    []
  )
})

test('stopping lets answers that are being worked on leave', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  const taken = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  b.network.handleRequests(async request => {
    taken.resolve()
    await held.promise
    return echo(request)
  })
  const asked = a.network.request(b.peerId, readOf('last'), ASK)
  await bounded('the request', taken.promise)
  const stopped = b.network.stop()
  held.resolve()
  assert.is(text(await bounded('the last answer', asked)), 'last')
  await bounded('the stop', stopped)
})

async function collect(duplex: Duplex): Promise<string[]> {
  const messages: string[] = []
  for await (const message of duplex.source) messages.push(new TextDecoder().decode(message))
  return messages
}
const encode = (...messages: string[]) => messages.map(message => new TextEncoder().encode(message))

test('streams: both halves, many more than are open at once', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  let open = 0
  let most = 0
  b.network.handleStreams('sync', async (stream, from) => {
    most = Math.max(most, ++open)
    const got = await collect(stream)
    open--
    await stream.sink(encode(from.peerId, ...got))
  })
  const exchange = async (i: number) => {
    const stream = await a.network.open(b.peerId, 'sync', { timeoutMs: 5000 })
    await stream.sink(encode(`${i}`, 'end'))
    return collect(stream)
  }
  const all = await bounded('100 exchanges', Promise.all(Array.from({ length: 100 }, (_, i) => exchange(i))))
  assert.equal(all[42], [a.peerId, '42', 'end'])
  assert.is(all.length, 100)
  assert.ok(most <= 16, `${most} at once`)
  await until('no stream is left', () => connectionTo(a, b).streams.every(stream => !stream.protocol.includes('sync')))
})

test('a handler that throws, and one that never was, break the stream on the other side', async () => {
  const [a, b] = await Promise.all([startNode(), startNode()])
  meet(a, b)
  b.network.handleStreams('sync', async () => {
    throw new Error('no')
  })
  for (const protocol of ['sync', 'gossip'] as const) {
    const stream = await a.network.open(b.peerId, protocol, { timeoutMs: 5000 })
    assert.is((await failure(collect(stream))).code, 'unreachable')
  }
})

test.run()
