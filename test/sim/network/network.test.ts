/** The simulated network: what a core may rely on, and what it must bear. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../../src/errors.ts'
import type { Answer, Request } from '../../../src/messages.ts'
import { codeOf, Lab, type Peer, read, soon } from './network-bench.ts'

const test = suite('sim: network')

test('requests travel as bytes, answers and errors come back', async () => {
  const lab = new Lab()
  const [a, b] = lab.mesh(2) as [Peer, Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    const state = Uint8Array.of(1, 2, 3)
    const seen: Request[] = []
    b.port.handleRequests(async (request, from, { timeoutMs }) => {
      seen.push(request)
      assert.equal(from, { peerId: 'n0', role: 'node' })
      assert.is(timeoutMs, 1000)
      if (request.type === 'ask') throw new CoterieError('range-busy', 'later')
      return { type: 'state', state, synced: true }
    })
    const request = read(7)
    const answer = (await a.port.request('n1', request, soon)) as Extract<Answer, { type: 'state' }>
    assert.equal(answer, { type: 'state', state, synced: true })
    assert.is.not(answer.state, state)
    assert.equal(seen[0], request)
    assert.is.not(seen[0], request)
    const error = await a.port.request('n1', { type: 'ask', ranges: [1] }, soon).catch(error => error)
    assert.is(error.code, 'range-busy')
    assert.is(error.message, 'later')
    assert.is(await codeOf(a.port.request('n0', request, soon)), 'internal')
    assert.ok(a.port.bytesSentBy.request > 0 && b.port.bytesSentBy.request > 0)
    assert.is(a.port.bytesSent, a.port.bytesSentBy.request)
  })
})

test('wanted peers are connected and both sides are told, clients are listed nowhere', async () => {
  const lab = new Lab()
  const [a, b, c] = lab.mesh(3) as [Peer, Peer, Peer]
  const client = lab.peer('c0', [], 'client')
  await lab.run(async () => {
    await lab.world.sleep(100)
    assert.equal(a.port.connected().sort(), ['n1', 'n2'])
    assert.equal([...a.events].sort(), ['+n1', '+n2'])
    assert.equal([...c.events].sort(), ['+n0', '+n1'])
    const roles: string[] = []
    b.port.handleRequests(async (_, { role }) => {
      roles.push(role)
      return { type: 'ok' }
    })
    assert.equal(await client.port.request('n1', read(1), soon), { type: 'ok' })
    assert.equal(roles, ['client'])
    assert.equal(client.port.connected(), ['n1'])
    assert.is(b.port.isConnected('c0'), false)
    assert.is(b.events.includes('+c0'), false)
    assert.is(await codeOf(b.port.request('c0', read(1), soon)), 'ok', 'over the connection that the client has made')
    assert.is(await codeOf(a.port.request('c0', read(1), soon)), 'unreachable', 'nobody dials a client')
  })
})

test('simultaneous dials make two connections, and both sides hear of one', async () => {
  const lab = new Lab()
  const [a, b] = lab.mesh(2) as [Peer, Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    assert.equal([a.events, b.events], [['+n1'], ['+n0']])
    assert.equal(a.port.connected(), ['n1'])
    lab.kill(a)
    await lab.world.sleep(100)
    assert.equal(b.events, ['+n0', '-n0'])
  })
})

test('a calm mesh needs few events', async () => {
  const lab = new Lab()
  lab.mesh(5)
  await lab.run(async () => {
    await lab.world.sleep(1000)
    const before = lab.log.events
    await lab.world.sleep(60_000)
    assert.ok(lab.log.events - before <= 5 * 31, `${lab.log.events - before} events in a minute`)
    assert.is(lab.world.pending, 5)
  })
})

test('a request to a peer without a connection makes one; above 64 wanted nobody connects to all', async () => {
  const lab = new Lab()
  const many = Array.from({ length: 65 }, (_, i) => `m${i}`)
  const a = lab.peer('a', many)
  const b = lab.peer('m0')
  await lab.run(async () => {
    await lab.world.sleep(5000)
    assert.equal(a.port.connected(), [])
    assert.is(await codeOf(a.port.request('m0', read(1), soon)), 'ok')
    assert.equal(a.port.connected(), ['m0'])
    assert.equal(b.port.connected(), ['a'])
  })
})

test('who is not there refuses after a round trip, then is left alone for a while', async () => {
  const lab = new Lab()
  const a = lab.peer('a')
  await lab.run(async () => {
    const refused = await a.port.request('b', read(1), soon).catch(error => error)
    assert.is(refused.code, 'unreachable')
    assert.match(refused.message, 'refused')
    assert.ok(lab.world.nowMs > 2 && lab.world.nowMs < 100)
    const alone = await a.port.request('b', read(1), soon).catch(error => error)
    assert.is(alone.code, 'unreachable')
    assert.match(alone.message, 'left alone')
    lab.peer('b')
    await lab.world.sleep(700)
    assert.is(await codeOf(a.port.request('b', read(1), soon)), 'ok')
  })
})

test('a wanted peer that comes up late, or again, is found within seconds', async () => {
  const lab = new Lab()
  const a = lab.peer('a', ['b'])
  await lab.run(async () => {
    await lab.world.sleep(60_000)
    const b = lab.peer('b')
    await lab.world.sleep(6000)
    assert.ok(a.port.isConnected('b'))
    lab.kill(b)
    await lab.world.sleep(100)
    assert.equal(a.events, ['+b', '-b'])
    lab.peer('b')
    await lab.world.sleep(6000)
    assert.equal(a.events, ['+b', '-b', '+b'])
  })
})

test('a killed process: its requests never settle, those to it fail with an unknown outcome', async () => {
  const lab = new Lab()
  const [a, b] = lab.mesh(2) as [Peer, Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    b.port.handleRequests(() => new Promise(() => undefined))
    a.port.handleRequests(() => new Promise(() => undefined))
    let settled = false
    b.port.request('n0', read(1), soon).catch(() => (settled = true))
    const lost = a.port.request('n1', read(1), { timeoutMs: 5000 }).catch(error => error)
    await lab.world.sleep(100)
    lab.kill(b)
    const error = await lost
    assert.is(error.code, 'timeout')
    assert.match(error.message, 'whether the request took effect is unknown')
    assert.ok(lab.world.nowMs < 500)
    let asked = false
    b.port.request('n0', read(1), soon).finally(() => (asked = true))
    await lab.world.sleep(10_000)
    assert.is(settled || asked, false)
  })
})

test('a process that died without a word is found out by the next request', async () => {
  const lab = new Lab()
  const [a, b] = [lab.peer('n0', ['n1']), lab.peer('n1')]
  await lab.run(async () => {
    await lab.world.sleep(100)
    b.process.kill()
    await lab.world.sleep(10_000)
    assert.ok(a.port.isConnected('n1'))
    assert.is(await codeOf(a.port.request('n1', read(1), { timeoutMs: 5000 })), 'timeout')
    assert.is(a.port.isConnected('n1'), false)
    assert.ok(lab.world.nowMs < 10_500)
  })
})

test('a stopped process: what it waits for rejects with closed, and so does what it asks later', async () => {
  const lab = new Lab()
  const [a, b] = lab.mesh(2) as [Peer, Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    b.port.handleRequests(() => new Promise(() => undefined))
    const waiting = codeOf(a.port.request('n1', read(1), soon))
    const dialling = codeOf(a.port.request('n9', read(1), soon))
    a.port.detach()
    assert.is(await waiting, 'closed')
    assert.is(await dialling, 'closed')
    assert.is(await codeOf(a.port.request('n1', read(1), soon)), 'closed')
    assert.equal(a.port.connected(), [])
    await lab.world.sleep(100)
    assert.equal(b.events, ['+n0', '-n0'])
  })
})

test('a paused process answers when it resumes; nobody is admitted by one', async () => {
  const lab = new Lab()
  const [a, b] = lab.mesh(2) as [Peer, Peer]
  const c = lab.peer('c')
  await lab.run(async () => {
    await lab.world.sleep(100)
    b.process.pause()
    const late = a.port.request('n1', read(1), { timeoutMs: 20_000 })
    const admission = await c.port.request('n1', read(2), { timeoutMs: 10_000 }).catch(error => error)
    assert.is(admission.code, 'unreachable')
    assert.ok(lab.world.nowMs > 3000)
    await lab.world.sleep(5000)
    b.process.resume()
    assert.equal(await late, { type: 'state', synced: true })
    assert.ok(a.port.isConnected('n1'))
    await lab.world.sleep(100)
    assert.is(b.port.isConnected('c'), false, 'the dial had been given up')
    assert.is(await codeOf(c.port.request('n1', read(2), soon)), 'ok')
    assert.equal(b.served, [1, 2])
  })
})

test('signals and timeouts end a wait, also that for a connection, and leave nothing behind', async () => {
  const lab = new Lab()
  const [a, b] = lab.mesh(2) as [Peer, Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    b.port.handleRequests(() => new Promise(() => undefined))
    const pending = lab.world.pendingOf(a.process)
    const controller = new AbortController()
    const aborted = codeOf(a.port.request('n1', read(1), { timeoutMs: 60_000, signal: controller.signal }))
    lab.network.cut('n0', 'c')
    const dialling = codeOf(a.port.request('c', read(1), { timeoutMs: 60_000, signal: controller.signal }))
    const opening = codeOf(a.port.open('c', 'sync', { timeoutMs: 60_000, signal: controller.signal }))
    await lab.world.sleep(10)
    controller.abort(new Error('enough'))
    assert.equal(await Promise.all([aborted, dialling, opening]), ['enough', 'enough', 'enough'])
    const signal = AbortSignal.abort(new Error('before'))
    assert.is(await codeOf(a.port.request('n1', read(1), { timeoutMs: 1000, signal })), 'before')
    await lab.world.sleep(5000)
    assert.is(await codeOf(a.port.request('c', read(1), { timeoutMs: 100 })), 'unreachable')
    await lab.world.sleep(5000)
    assert.is(lab.world.pendingOf(a.process), pending)
  })
})

test('banned peers are refused, with the reason, whoever dials', async () => {
  const lab = new Lab()
  const a = lab.peer('a', [], 'node', ['b'])
  const b = lab.peer('b')
  await lab.run(async () => {
    const error = await b.port.request('a', read(1), soon).catch(error => error)
    assert.is(error.code, 'refused')
    assert.match(error.message, 'banned')
    assert.is(await codeOf(a.port.request('b', read(1), soon)), 'refused')
    assert.equal([...a.events, ...b.events], [])
  })
})

test('one name running twice: the newest is dialled, both are served', async () => {
  const lab = new Lab()
  const first = lab.peer('a')
  const b = lab.peer('b')
  await lab.run(async () => {
    assert.is(await codeOf(first.port.request('b', read(1), soon)), 'ok')
    const second = lab.peer('a')
    assert.is(await codeOf(second.port.request('b', read(2), soon)), 'ok')
    const c = lab.peer('c')
    assert.is(await codeOf(c.port.request('a', read(3), soon)), 'ok')
    assert.equal(first.served, [])
    assert.equal(second.served, [3])
    first.port.detach()
    assert.is(await codeOf(c.port.request('a', read(4), soon)), 'ok')
    assert.ok(b.port.isConnected('a'))
  })
})

test.run()
