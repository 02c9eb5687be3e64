/** The simulated network: what a core may rely on, what it must bear, and that one seed is one history. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../../src/errors.ts'
import type { Answer, Request } from '../../../src/messages.ts'
import { SimNetwork, type SimPort } from '../../../src/sim/network/network.ts'
import type { LinkProfile } from '../../../src/sim/plan/plan.ts'
import { EventLog } from '../../../src/sim/world/event-log.ts'
import { SimProcess } from '../../../src/sim/world/process.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { World } from '../../../src/sim/world/world.ts'

const CALM: LinkProfile = { minMs: 1, meanMs: 1, slowChance: 0, slowMs: 0, loss: 0, replay: 0 }
const read = (range: number): Request => ({ type: 'read', range, key: Uint8Array.of(1) })
const soon = { timeoutMs: 1000 }
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'ok',
    error => error.code ?? error.message
  )

interface Peer {
  name: string
  process: SimProcess
  port: SimPort
  /** Ranges of the requests that its handler was given. */
  served: number[]
  events: string[]
}

class Lab {
  readonly log = new EventLog()
  readonly world: World
  readonly network: SimNetwork
  readonly peers = new Map<string, Peer>()

  constructor(seed = '1', profile: Partial<LinkProfile> = {}) {
    this.world = new World(new SimRandom(seed), this.log)
    this.network = new SimNetwork(this.world, { ...CALM, ...profile })
  }

  peer(name: string, wanted: string[] = [], role: 'node' | 'client' = 'node', banned: string[] = []): Peer {
    const process = new SimProcess(this.world, name, { skewMs: 0, drift: 0 })
    const port = this.network.attach(process, {
      peerId: name,
      role,
      wanted: () => wanted,
      banned: peerId => banned.includes(peerId)
    })
    const peer: Peer = { name, process, port, served: [], events: [] }
    port.onConnection((peerId, connected) => peer.events.push(`${connected ? '+' : '-'}${peerId}`))
    port.handleRequests(async request => {
      if (request.type === 'read') peer.served.push(request.range)
      return { type: 'state', synced: true }
    })
    this.peers.set(name, peer)
    return peer
  }

  /** `n0` to `n…`, all connected to one another. */
  mesh(count: number): Peer[] {
    const names = Array.from({ length: count }, (_, i) => `n${i}`)
    return names.map(name => this.peer(name, names))
  }

  kill(peer: Peer): void {
    peer.process.kill()
    peer.port.detach()
  }

  run<T>(main: () => Promise<T>): Promise<T> {
    return this.world.run(main)
  }
}

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

test('a one-way cut: requests vanish, both ends give the connection up after a silence, and it comes back', async () => {
  const lab = new Lab()
  const [a, b] = [lab.peer('n0', ['n1']), lab.peer('n1')]
  await lab.run(async () => {
    await lab.world.sleep(100)
    lab.network.cut('n0', 'n1')
    const startMs = lab.world.nowMs
    assert.is(await codeOf(a.port.request('n1', read(1), soon)), 'timeout')
    assert.is(await codeOf(b.port.request('n0', read(2), soon)), 'timeout')
    assert.ok(a.port.isConnected('n1') && b.port.isConnected('n0'))
    while (a.port.isConnected('n1')) await codeOf(a.port.request('n1', read(1), soon))
    assert.ok(lab.world.nowMs - startMs >= 20_000 && lab.world.nowMs - startMs < 25_000)
    while (b.port.isConnected('n0')) await codeOf(b.port.request('n0', read(3), soon))
    assert.equal(b.served, [])
    assert.ok(a.served.includes(2), 'the other direction works')
    assert.is(await codeOf(a.port.request('n1', read(1), soon)), 'unreachable')
    lab.network.mend('n0', 'n1')
    await lab.world.sleep(6000)
    assert.ok(a.port.isConnected('n1') && b.port.isConnected('n0'))
    assert.is(await codeOf(a.port.request('n1', read(4), soon)), 'ok')
    assert.equal(b.served, [4])
  })
})

test('who did not hear of an end over a cut link hears of it when that is mended', async () => {
  const lab = new Lab()
  const [a, b] = [lab.peer('n0', ['n1']), lab.peer('n1')]
  await lab.run(async () => {
    await lab.world.sleep(100)
    lab.network.cut('n0', 'n1')
    lab.kill(a)
    await lab.world.sleep(60_000)
    assert.ok(b.port.isConnected('n0'))
    lab.network.mend('n0', 'n1')
    await lab.world.sleep(6000)
    assert.equal(b.events, ['+n0', '-n0'])
  })
})

test('a link cut twice is mended twice; mendAll mends all', async () => {
  const lab = new Lab()
  const [a] = lab.mesh(2) as [Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    lab.network.cut('n1', 'n0')
    lab.network.cut('n1', 'n0')
    lab.network.mend('n1', 'n0')
    assert.is(await codeOf(a.port.request('n1', read(1), soon)), 'timeout')
    lab.network.mendAll()
    assert.is(await codeOf(a.port.request('n1', read(1), soon)), 'ok')
    lab.network.mend('n1', 'n0')
    assert.is(await codeOf(a.port.request('n1', read(1), soon)), 'ok')
  })
})

test('a reset breaks all connections of a peer, which are made again', async () => {
  const lab = new Lab()
  const [a, b, c] = lab.mesh(3) as [Peer, Peer, Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    b.port.handleRequests(() => new Promise(() => undefined))
    const lost = codeOf(a.port.request('n1', read(1), soon))
    lab.network.reset('n1')
    assert.is(await lost, 'timeout')
    await lab.world.sleep(2000)
    assert.equal(a.events.slice(2), ['-n1', '+n1'])
    assert.equal(c.events.slice(2), ['-n1', '+n1'])
    assert.equal(b.port.connected().sort(), ['n0', 'n2'])
  })
})

test('degraded links: worse for a while, then as before', async () => {
  const lab = new Lab()
  const [a] = lab.mesh(2) as [Peer]
  await lab.run(async () => {
    await lab.world.sleep(100)
    const tookMs = async () => {
      const startMs = lab.world.nowMs
      await codeOf(a.port.request('n1', read(1), soon))
      return lab.world.nowMs - startMs
    }
    const back = lab.network.degrade('n1', { minMs: 200 })
    const worse = lab.network.degrade('n1', { loss: 1 })
    assert.is(await tookMs(), 1000)
    worse()
    assert.ok((await tookMs()) >= 400)
    back()
    back()
    assert.ok((await tookMs()) < 100)
  })
})

test('lost and replayed requests: the caller runs into its timeout, the handler is asked twice', async () => {
  const lab = new Lab('7', { loss: 0.2, replay: 0.3 })
  const [a, b] = lab.mesh(2) as [Peer, Peer]
  await lab.run(async () => {
    await lab.world.sleep(2000)
    const codes = await Promise.all(
      Array.from({ length: 200 }, (_, range) => codeOf(a.port.request('n1', read(range), soon)))
    )
    await lab.world.sleep(20_000)
    const timeouts = codes.filter(code => code === 'timeout').length
    assert.ok(timeouts > 40 && timeouts < 110, `${timeouts} of 200 lost a message in one of two directions`)
    const twice = new Set(b.served.filter((range, i) => b.served.indexOf(range) < i)).size
    assert.ok(twice > 20 && twice < 90, `${twice} came twice`)
    assert.not.equal(
      b.served,
      [...b.served].sort((x, y) => x - y),
      'they overtake one another'
    )
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

async function chat({ port, process }: Peer, to: string): Promise<void> {
  const stream = await port.open(to, 'gossip', soon)
  process.timers.after(3000, () => stream.abort(new Error('late')))
  const sent = stream.sink([Uint8Array.of(1), new Uint8Array(50_000), new Uint8Array(50_000)])
  for await (const _ of stream.source);
  await sent
}

/** Everybody asks everybody while links are cut and mended, processes die and come back. */
async function turmoil(seed: string): Promise<{ digest: string; events: number; overCut: string[]; done: number }> {
  const lab = new Lab(seed, { slowChance: 0.1, slowMs: 300, loss: 0.05, replay: 0.05 })
  const names = ['n0', 'n1', 'n2', 'n3', 'n4']
  const cuts = new Set<string>()
  const overCut: string[] = []
  const boot = (name: string) => {
    const peer = lab.peer(name, names)
    peer.port.handleRequests(async (request, from) => {
      if (cuts.has(`${from.peerId}>${name}`)) overCut.push(`${from.peerId}>${name}`)
      lab.world.log.add(lab.world.nowMs, name, 'served', request.type)
      return { type: 'ok' }
    })
    peer.port.handleStreams('gossip', stream => stream.sink(stream.source))
  }
  const random = new SimRandom(`turmoil ${seed}`)
  let done = 0
  await lab.run(async () => {
    names.forEach(boot)
    const asking = Array.from({ length: 400 }, async () => {
      await lab.world.sleep(random.float() * 60_000)
      const from = lab.peers.get(random.pick(names))!
      const to = random.pick(names)
      // Whoever is killed meanwhile never hears.
      from.port.request(to, read(1), soon).then(
        () => done++,
        () => done++
      )
      chat(from, to).catch(() => undefined)
    })
    const breaking = Array.from({ length: 60 }, async () => {
      await lab.world.sleep(random.float() * 50_000)
      const [a, b] = random.shuffle(names) as [string, string]
      if (random.chance(0.8)) {
        if (cuts.has(`${a}>${b}`)) return
        cuts.add(`${a}>${b}`)
        lab.network.cut(a, b)
        await lab.world.sleep(random.float() * 20_000)
        cuts.delete(`${a}>${b}`)
        lab.network.mend(a, b)
      } else if (random.chance(0.5)) lab.network.reset(a)
      else {
        lab.kill(lab.peers.get(a)!)
        boot(a)
      }
    })
    await Promise.all([...asking, ...breaking])
    await lab.world.sleep(30_000)
    for (const [name, { port }] of lab.peers) {
      assert.is(port.openStreams, 0)
      assert.equal(
        port.connected().sort(),
        names.filter(other => other !== name),
        `${seed}: ${name} finds all others`
      )
    }
  })
  return { digest: lab.log.digest(), events: lab.log.events, overCut, done }
}

test('one seed, one history; nothing is delivered over a cut link', async () => {
  const seen = new Set<string>()
  for (const seed of ['1', '2', '3', '4', '5', '6']) {
    const first = await turmoil(seed)
    assert.equal(await turmoil(seed), first)
    assert.equal(first.overCut, [])
    assert.ok(first.done > 300)
    seen.add(first.digest)
  }
  assert.is(seen.size, 6)
})

test.run()
