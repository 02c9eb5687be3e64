/** KvChannel and KvServer, each against a raw stream that behaves badly. */
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import protobuf from 'protobufjs/minimal.js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CoterieError, isCoterieError } from '../../src/errors.ts'
import type { Request } from '../../src/messages.ts'
import type { RequestHandler } from '../../src/ports.ts'
import { silentLog, systemClock, systemTimers } from '../../src/runtime.ts'
import { Assembler } from '../../src/wire/assembler.ts'
import { FramedStream } from '../../src/wire/duplex.ts'
import { frameOf } from '../../src/wire/framing.ts'
import { KvChannel, type KvLimits } from '../../src/wire/kv-channel.ts'
import { decodeFrame, encodeFrame } from '../../src/wire/kv-codec.ts'
import { KvServer } from '../../src/wire/kv-server.ts'
import { Liveness, SILENCE_MS } from '../../src/wire/liveness.ts'
import { setPaused } from '../../src/wire/streams.ts'
import { bounded, echo, failure, type Node, readOf, startNode, stopAll, until } from './hosts.ts'

const test = suite('wire/kv-streams')
const PROTOCOL = '/test/kv/1'
const MIB = 1024 * 1024
const ports = { clock: systemClock, timers: systemTimers, log: silentLog }

let b: Node
let connection: Connection
test.before(async () => {
  const a = await startNode({ dumb: true })
  b = await startNode({ dumb: true })
  connection = await a.libp2p.dial(multiaddr(b.address))
})
test.after(stopAll)

async function ends(): Promise<[Stream, Stream]> {
  const other = Promise.withResolvers<Stream>()
  await b.libp2p.handle(PROTOCOL, stream => other.resolve(stream), { force: true })
  const stream = await connection.newStream(PROTOCOL)
  return [stream, await bounded('the other end', other.promise)]
}

const channelOn = (stream: Stream, limits?: KvLimits, onClosed?: () => void) =>
  new KvChannel({ stream, peerId: 'them', limits, onClosed, ...ports })
const serverOn = (stream: Stream, handler: RequestHandler, limits?: KvLimits) =>
  new KvServer({ stream, caller: { peerId: 'them', role: 'node' }, handler: () => handler, limits, ...ports })
const request = (id: number, request: Request) => frameOf(encodeFrame({ id, timeoutMs: 5000, request }))

test('all frames of one turn leave in one send, the first alone at once', async () => {
  const [left, right] = await ends()
  const server = serverOn(right, echo)
  const sizes: number[] = []
  const send = left.send.bind(left)
  left.send = data => {
    sizes.push(data.byteLength)
    return send(data)
  }
  const channel = channelOn(left)
  const asked = Array.from({ length: 50 }, () => channel.request(readOf('k'), { timeoutMs: 5000 }))
  await bounded('the answers', Promise.all(asked))
  assert.is(sizes.length, 2, `${sizes}`)
  assert.ok(sizes[1]! > 40 * sizes[0]!)
  channel.close({ code: 'closed', message: 'done' } as CoterieError)
  await bounded('the server ends', server.closed)
})

test('answers that nobody reads: requests are not read either, memory stays bounded', async () => {
  const [left, right] = await ends()
  let taken = 0
  const state = new Uint8Array(MIB)
  const server = serverOn(right, async () => {
    taken++
    return { type: 'state', state, synced: true }
  })
  setPaused(left, true)
  const merge = request(1, {
    type: 'merge',
    range: 1,
    key: Uint8Array.of(1),
    state: new Uint8Array(2000),
    standIn: false
  })
  let sent = 0
  // Both ends live in this process: a hundred turns of the loop without room mean that nobody makes any.
  for (let still = 0; still < 100 && sent < 20_000; still++) {
    for (; !left.writableNeedsDrain && sent < 20_000; sent++) {
      left.send(merge)
      still = 0
    }
    await new Promise(resolve => setImmediate(resolve))
  }
  assert.ok(left.writableNeedsDrain, 'the server has stopped reading')
  assert.ok(taken < 2000, `${taken} requests were taken`)
  assert.ok(right.writeBufferLength <= MIB, `${right.writeBufferLength} bytes in the stream`)
  left.abort(new Error('enough'))
  await bounded('the server ends', server.closed)
})

test('a peer that does not read requests: bytes are bounded, then `overloaded` at once; the queue is `unreachable` when it dies', async () => {
  const [left, right] = await ends()
  setPaused(right, true)
  const channel = channelOn(left, { maxInFlight: 100, maxQueuedBytes: 4 * MIB })
  const merge: Request = { type: 'merge', range: 1, key: Uint8Array.of(1), state: new Uint8Array(MIB), standIn: false }
  const outcomes = Array.from({ length: 20 }, () =>
    channel.request(merge, { timeoutMs: 60_000 }).then(
      () => 'ok',
      (error: CoterieError) => error.code
    )
  )
  const last = await bounded('the refusal', outcomes[19]!)
  assert.is(last, 'overloaded')
  assert.ok(left.writeBufferLength < 2 * MIB, `${left.writeBufferLength} bytes in the stream`)
  right.abort(new Error('gone'))
  const all = await bounded('the rest', Promise.all(outcomes))
  assert.is(all[0], 'timeout', 'it was on its way: the outcome is unknown')
  assert.ok(all.includes('unreachable'), 'others were never sent')
  assert.is(all.filter(code => code === 'overloaded').length >= 10, true)
})

test('a request that was given up before it left is taken out of the queue', async () => {
  const [left, right] = await ends()
  setPaused(right, true)
  const channel = channelOn(left, { maxInFlight: 100, maxQueuedBytes: 8 * MIB })
  const merge: Request = {
    type: 'merge',
    range: 1,
    key: Uint8Array.of(1),
    state: new Uint8Array(3 * MIB),
    standIn: false
  }
  const first = failure(channel.request(merge, { timeoutMs: 150 }))
  const second = failure(channel.request(merge, { timeoutMs: 150 }))
  assert.match((await first).message, 'unknown')
  assert.match((await second).message, 'never sent')
  const third = failure(channel.request(merge, { timeoutMs: 50 }))
  assert.is((await third).code, 'timeout', 'there was room again')
  right.abort(new Error('gone'))
})

test('an unknown kind and a bad field are answered with `protocol`; the stream lives on', async () => {
  const [left, right] = await ends()
  serverOn(right, echo)
  const reader = new FramedStream(left)
  const unknown = protobuf.Writer.create()
    .uint32(8)
    .uint32(5)
    .uint32((99 << 3) | 2)
    .bytes(Uint8Array.of(1))
    .finish()
  left.send(frameOf(new Uint8Array(unknown)))
  const refused = decodeFrame((await bounded('the error', reader.read()))!)
  assert.equal([refused.id, refused.error?.code], [5, 'protocol'])
  left.send(request(6, readOf('still here')))
  assert.ok(decodeFrame((await bounded('the answer', reader.read()))!).answer)
})

test('garbage and oversized frames end the stream, at either end', async () => {
  for (const bytes of [frameOf(new Uint8Array(20).fill(0xff)), Uint8Array.of(0xff, 0xff, 0xff, 0x7f)]) {
    const [left, right] = await ends()
    const server = serverOn(right, echo)
    left.send(bytes)
    await bounded('the server hangs up', server.closed)
    await until('the stream is reset', () => left.status === 'reset')
    const [caller, rude] = await ends()
    const channel = channelOn(caller)
    const asked = failure(channel.request(readOf('x'), { timeoutMs: 5000 }))
    rude.send(bytes)
    assert.is((await asked).code, 'protocol')
    assert.ok(channel.isClosed)
  }
})

test('a stream that is dead before the channel is made rejects as `unreachable`', async () => {
  const [left] = await ends()
  left.abort(new Error('dead'))
  let closed = 0
  const channel = channelOn(left, undefined, () => closed++)
  assert.is((await failure(channel.request(readOf('x'), { timeoutMs: 5000 }))).code, 'unreachable')
  assert.is(closed, 1)
})

test('parts are bounded for the whole stream, and forgotten ones make room', () => {
  const assembler = new Assembler(100)
  assert.is(assembler.add(1, new Uint8Array(40), true), undefined)
  assert.is(assembler.add(2, new Uint8Array(40), true), undefined)
  assert.throws(
    () => assembler.add(3, new Uint8Array(40), true),
    (error: unknown) => isCoterieError(error, 'protocol')
  )
  assert.throws(() => assembler.add(1, new Uint8Array(0), true), /empty part/)
  assembler.forget(2)
  assert.is(assembler.add(1, new Uint8Array(60), false)!.length, 100)
  assert.is(assembler.add(4, new Uint8Array(100), false)!.length, 100)
  assert.is(assembler.add(4, new Uint8Array(100), false)!.length, 100, 'nothing is left behind')
})

test('a connection is given up after a long silence, not for a slow answer', () => {
  let nowMs = 0
  let aborted = 0
  const fake = { remotePeer: 'them', abort: () => aborted++ } as unknown as Connection
  const liveness = new Liveness({ clock: { wallMs: () => 0, monotonicMs: () => nowMs }, log: silentLog })
  liveness.timedOut(fake)
  liveness.asked(fake)
  nowMs = SILENCE_MS - 1
  liveness.asked(fake)
  liveness.timedOut(fake)
  assert.is(aborted, 0)
  liveness.heard(fake)
  nowMs = 3 * SILENCE_MS
  liveness.asked(fake)
  liveness.timedOut(fake)
  assert.is(aborted, 0, 'long idle, then one slow answer')
  nowMs += SILENCE_MS
  liveness.timedOut(fake)
  assert.is(aborted, 1)
})

test.run()
