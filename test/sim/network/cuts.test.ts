/** The simulated network with cut, bad and breaking links; and that one seed is one history. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { codeOf, Lab, type Peer, read, soon } from './network-bench.ts'

const test = suite('sim: cut links')

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
