/** Streams of the simulated network: whole messages, in order, bounded, with two halves and an end that both sides see. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Duplex } from '../../../src/ports.ts'
import { SimNetwork, type SimPort } from '../../../src/sim/network/network.ts'
import { WINDOW_BYTES } from '../../../src/sim/network/stream.ts'
import type { LinkProfile } from '../../../src/sim/plan/plan.ts'
import { EventLog } from '../../../src/sim/world/event-log.ts'
import { SimProcess } from '../../../src/sim/world/process.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { World } from '../../../src/sim/world/world.ts'

const CALM: LinkProfile = { minMs: 1, meanMs: 2, slowChance: 0.1, slowMs: 50, loss: 0, replay: 0 }
const soon = { timeoutMs: 1000 }
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'ok',
    error => error.code ?? error.message
  )

/** Two connected nodes; `b` answers streams with `handler`. */
function pair(handler: (stream: Duplex) => Promise<void>, profile: Partial<LinkProfile> = {}, seed = '1') {
  const log = new EventLog()
  const world = new World(new SimRandom(seed), log)
  const network = new SimNetwork(world, { ...CALM, ...profile })
  const attach = (peerId: string, role: 'node' | 'client' = 'node') => {
    const process = new SimProcess(world, peerId, { skewMs: 0, drift: 0 })
    return { process, port: network.attach(process, { peerId, role, wanted: () => [] }) }
  }
  const [a, b] = [attach('a'), attach('b')]
  b.port.handleStreams('sync', handler)
  return { log, world, network, a, b, attach }
}

const numbered = (count: number, size = 4) =>
  Array.from({ length: count }, (_, i) => {
    const message = new Uint8Array(size)
    new DataView(message.buffer).setUint32(0, i)
    return message
  })
const numberOf = (message: Uint8Array) => new DataView(message.buffer, message.byteOffset).getUint32(0)

async function readAll(stream: Duplex, seen: number[] = []): Promise<number[]> {
  for await (const message of stream.source) seen.push(numberOf(message))
  return seen
}
const echo = (stream: Duplex) => stream.sink(stream.source)
const quiet = (...ports: SimPort[]) =>
  assert.equal(
    ports.map(({ openStreams }) => openStreams),
    ports.map(() => 0)
  )

const test = suite('sim: streams')

test('messages keep their order and their bytes over every link, and a lossy one loses none', async () => {
  for (const seed of ['1', '2', '3', '4', '5', '6', '7', '8']) {
    const { world, a, b } = pair(echo, { loss: 0.2, meanMs: 20 }, seed)
    await world.run(async () => {
      const stream = await a.port.open('b', 'sync', { timeoutMs: 10_000 })
      const sent = stream.sink(numbered(300))
      assert.equal(
        await readAll(stream),
        Array.from({ length: 300 }, (_, i) => i)
      )
      await sent
      await world.sleep(30_000)
      quiet(a.port, b.port)
      assert.is(a.port.bytesSentBy.sync, 1200)
      assert.is(b.port.bytesSentBy.sync, 1200)
    })
  }
})

test('nothing is shared by reference', async () => {
  const got: Uint8Array[] = []
  const { world, a } = pair(async stream => {
    for await (const message of stream.source) got.push(message)
  })
  await world.run(async () => {
    const stream = await a.port.open('b', 'sync', soon)
    const message = Uint8Array.of(1)
    await stream.sink([message])
    message[0] = 9
    await world.sleep(1000)
    assert.equal(got, [Uint8Array.of(1)])
  })
})

test('a slow reader holds the writer up, within the window', async () => {
  const size = 10_000
  let read = 0
  const { world, a, b } = pair(async stream => {
    for await (const _ of stream.source) {
      read++
      await world.sleep(1000, b.process)
    }
  })
  await world.run(async () => {
    const stream = await a.port.open('b', 'sync', soon)
    let written = 0
    async function* messages() {
      for (const message of numbered(40, size)) {
        assert.ok((written - read) * size <= WINDOW_BYTES + 3 * size)
        yield message
        written++
      }
    }
    const sent = stream.sink(messages())
    await world.sleep(5000)
    assert.ok(written > 5 && written < 25, `${written} written`)
    await sent
    assert.is(written, 40)
    assert.ok(world.nowMs > 20_000)
    await world.sleep(20_000)
    quiet(a.port, b.port)
  })
})

test('each half ends on its own', async () => {
  const { world, a, b } = pair(async stream => {
    const seen = await readAll(stream)
    await stream.sink(numbered(seen.length * 2))
  })
  await world.run(async () => {
    const stream = await a.port.open('b', 'sync', soon)
    await stream.sink(numbered(3))
    assert.is((await readAll(stream)).length, 6)
    await world.sleep(100)
    quiet(a.port, b.port)
  })
})

test('an abort is told to the other side, whose generators are cleaned up', async () => {
  const codes: string[] = []
  let cleaned = 0
  const { world, a, b } = pair(async stream => {
    async function* forEver() {
      try {
        for (;;) {
          yield Uint8Array.of(0, 0, 0, 1)
          await world.sleep(100, b.process)
        }
      } finally {
        cleaned++
      }
    }
    codes.push(...(await Promise.all([codeOf(readAll(stream)), codeOf(stream.sink(forEver()))])))
  })
  await world.run(async () => {
    const stream = await a.port.open('b', 'sync', soon)
    const reading = readAll(stream)
    await world.sleep(1000)
    stream.abort(new Error('enough'))
    assert.is(await codeOf(reading), 'enough')
    assert.is(await codeOf(stream.sink(numbered(1))), 'enough')
    await world.sleep(1000)
    assert.equal(codes, ['unreachable', 'unreachable'])
    assert.is(cleaned, 1)
    quiet(a.port, b.port)
  })
})

test('a handler that throws, or reads no further, or returns at once leaves nothing open', async () => {
  const handlers = [
    async () => {
      throw new Error('no')
    },
    async (stream: Duplex) => {
      for await (const _ of stream.source) break
    },
    async () => undefined
  ]
  for (const handler of handlers) {
    const { world, a, b } = pair(handler)
    await world.run(async () => {
      const stream = await a.port.open('b', 'sync', soon)
      await codeOf(stream.sink(numbered(100, 10_000)))
      await codeOf(readAll(stream))
      await world.sleep(10_000)
      quiet(a.port, b.port)
    })
  }
})

test('who says no more and hears no more is given up by a handler that is done', async () => {
  const { world, a, b } = pair(async stream => void (await stream.sink(numbered(2))))
  await world.run(async () => {
    const stream = await a.port.open('b', 'sync', soon)
    assert.equal(await readAll(stream), [0, 1])
    await world.sleep(1000)
    assert.is(b.port.openStreams, 1)
    await world.sleep(10_000)
    quiet(a.port, b.port)
  })
})

test('a cut stops a stream and mending lets it go on, still in order', async () => {
  for (const [from, to] of [
    ['a', 'b'],
    ['b', 'a']
  ] as const) {
    const seen: number[] = []
    const { world, network, a, b } = pair(async stream => {
      await readAll(stream, seen)
    })
    await world.run(async () => {
      const stream = await a.port.open('b', 'sync', soon)
      async function* slowly() {
        for (const message of numbered(100, 5000)) {
          yield message
          await world.sleep(20)
        }
      }
      const sent = stream.sink(slowly())
      await world.sleep(500)
      network.cut(from, to)
      await world.sleep(10)
      const before = seen.length
      await world.sleep(10_000)
      if (from === 'a') assert.is(seen.length, before)
      else assert.ok(seen.length < 60, 'without acknowledgement the window fills')
      network.mend(from, to)
      await sent
      await world.sleep(2000)
      assert.equal(
        seen,
        Array.from({ length: 100 }, (_, i) => i)
      )
      quiet(a.port, b.port)
    })
  }
})

test('a reset, a death and a stop break streams at both ends', async () => {
  const ways = ['reset', 'kill', 'stop', 'silence'] as const
  for (const way of ways) {
    let heard = ''
    const { world, network, a, b } = pair(async stream => {
      heard = await codeOf(readAll(stream))
    })
    await world.run(async () => {
      const stream = await a.port.open('b', 'sync', soon)
      const never = Promise.withResolvers<Uint8Array>()
      const sending = codeOf(
        stream.sink(
          (async function* () {
            yield await never.promise
          })()
        )
      )
      const reading = codeOf(readAll(stream))
      await world.sleep(100)
      if (way === 'reset') network.reset('a')
      else if (way === 'kill' || way === 'silence') b.process.kill()
      if (way === 'kill' || way === 'stop') b.port.detach()
      if (way === 'silence') assert.is(await codeOf(a.port.open('b', 'sync', soon)), 'unreachable')
      assert.equal(await Promise.all([sending, reading]), ['unreachable', 'unreachable'])
      await world.sleep(1000)
      assert.is(heard, way === 'reset' ? 'unreachable' : way === 'stop' ? 'closed' : '')
      quiet(a.port)
    })
  }
})

test('opening: refused to clients, bounded in time, given up by a signal', async () => {
  const { world, network, a, b, attach } = pair(echo)
  const client = attach('c', 'client')
  await world.run(async () => {
    const refused = await client.port.open('b', 'sync', soon)
    assert.is(await codeOf(readAll(refused)), 'unreachable')
    const unserved = await a.port.open('b', 'gossip', soon)
    assert.is(await codeOf(readAll(unserved)), 'unreachable')
    network.cut('b', 'a')
    const startMs = world.nowMs
    assert.is(await codeOf(a.port.open('b', 'sync', soon)), 'unreachable')
    assert.is(Math.round(world.nowMs - startMs), 1000)
    const controller = new AbortController()
    const opening = codeOf(a.port.open('b', 'sync', { ...soon, signal: controller.signal }))
    await world.sleep(10)
    controller.abort(new Error('enough'))
    assert.is(await opening, 'enough')
    network.mendAll()
    await world.sleep(1000)
    quiet(a.port, b.port, client.port)
    assert.is(await codeOf(a.port.open('a', 'sync', soon)), 'internal')
  })
})

test('a message over the limit breaks the stream', async () => {
  const { world, a, b } = pair(async stream => void (await readAll(stream)))
  await world.run(async () => {
    const stream = await a.port.open('b', 'sync', soon)
    assert.is(await codeOf(stream.sink([new Uint8Array(1024 * 1024 + 1)])), 'too-large')
    await world.sleep(1000)
    quiet(a.port, b.port)
  })
})

test('one seed, one history', async () => {
  const history = async (seed: string) => {
    const { world, log, a } = pair(echo, { loss: 0.1 }, seed)
    await world.run(async () => {
      const stream = await a.port.open('b', 'sync', { timeoutMs: 10_000 })
      const reading = readAll(stream)
      await stream.sink(numbered(50, 5000))
      await reading
    })
    return log.digest()
  }
  assert.is(await history('1'), await history('1'))
  assert.is.not(await history('1'), await history('2'))
})

test.run()
