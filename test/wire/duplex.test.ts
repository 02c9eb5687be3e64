import type { Connection, Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { duplexOf, FramedStream } from '../../src/wire/duplex.ts'
import { frameOf, MAX_MESSAGE_BYTES } from '../../src/wire/framing.ts'
import { bounded, failure, type Node, startNode, stopAll, until } from './hosts.ts'

const test = suite('wire/duplex')
const PROTOCOL = '/test/duplex/1'

let a: Node
let b: Node
let connection: Connection
test.before(async () => {
  a = await startNode({ dumb: true })
  b = await startNode({ dumb: true })
  const { multiaddr } = await import('@multiformats/multiaddr')
  connection = await a.libp2p.dial(multiaddr(b.address))
})
test.after(stopAll)

/** The two raw ends of a new stream. */
async function ends(): Promise<[Stream, Stream]> {
  const other = Promise.withResolvers<Stream>()
  await b.libp2p.handle(PROTOCOL, stream => other.resolve(stream), { force: true })
  const stream = await connection.newStream(PROTOCOL)
  return [stream, await bounded('the other end', other.promise)]
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
async function collect(source: AsyncIterable<Uint8Array>): Promise<string[]> {
  const all: string[] = []
  for await (const message of source) all.push(decoder.decode(message))
  return all
}
const words = (...list: string[]) => list.map(word => encoder.encode(word))

test('messages keep their borders both ways; both halves end on their own', async () => {
  const [left, right] = (await ends()).map(stream => duplexOf(stream))
  const echoed = pipe(right!, right!)
  await left!.sink(words('one', '', 'three'))
  assert.equal(await bounded('the echo', collect(left!.source)), ['one', '', 'three'])
  await bounded('the echo is over', echoed)
})

test('half-closed before it is attached: everything is read, then it ends', async () => {
  const [left, right] = await ends()
  left.send(frameOf(encoder.encode('early')))
  left.send(frameOf(encoder.encode('bird')))
  await left.close()
  await until('the other half is closed', () => right.remoteWriteStatus === 'closed')
  const duplex = duplexOf(right)
  assert.equal(await bounded('the messages', collect(duplex.source)), ['early', 'bird'])
  await duplex.sink(words('thanks'))
  assert.equal(await bounded('the answer', collect(duplexOf(left).source)), ['thanks'])
  await until('the stream is closed', () => left.status === 'closed' && right.status === 'closed')
})

test('closed with nothing in it before it is attached', async () => {
  const [left, right] = await ends()
  await left.close()
  await until('the other half is closed', () => right.remoteWriteStatus === 'closed')
  assert.equal(await bounded('the end', collect(duplexOf(right).source)), [])
})

test('a reader that does not read stops the sender, and little lies unread', async () => {
  const [left, right] = await ends()
  const chunk = new Uint8Array(64 * 1024)
  let sent = 0
  async function* endless() {
    while (sent < 64 * 1024 * 1024) {
      sent += chunk.length
      yield chunk
    }
  }
  const sender = duplexOf(left)
  const sending = sender.sink(endless())
  const reader = new FramedStream(right)
  await reader.read()
  let before = -1
  await until('the sender stands still', () => {
    const still = sent === before && left.writableNeedsDrain
    before = sent
    return still
  })
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
  const standing = sent
  assert.ok(standing < 8 * 1024 * 1024, `${standing} bytes were sent`)
  assert.ok(right.readBufferLength <= 1024 * 1024, `${right.readBufferLength} bytes lie unread`)
  assert.ok(left.writeBufferLength <= 1024 * 1024, `${left.writeBufferLength} bytes wait to be sent`)
  let got = chunk.length
  while (got < standing + 4 * 1024 * 1024) got += (await bounded('more', reader.read()))!.length
  assert.ok(sent > standing, 'the sender went on')
  sender.abort(new Error('enough'))
  assert.match((await failure(sending)).message, 'enough')
})

test('a fast flood through a slow reader: nothing is lost, memory stays bounded', async () => {
  const [left, right] = await ends()
  const total = 3000
  const message = (i: number) => new Uint8Array(10_000).fill(i & 255)
  const sending = duplexOf(left).sink(
    (function* () {
      for (let i = 0; i < total; i++) yield message(i)
    })()
  )
  let count = 0
  let most = 0
  for await (const got of duplexOf(right).source) {
    if (got.length !== 10_000 || got[9999] !== (count & 255)) throw new Error(`message ${count} is wrong`)
    count++
    most = Math.max(most, right.readBufferLength + left.writeBufferLength)
    if (count % 50 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await bounded('the sender', sending)
  assert.is(count, total)
  assert.ok(most <= 3 * 1024 * 1024, `${most} bytes were buffered`)
})

test('long messages to a slow reader: a window that opens a little does not let a whole message in', async () => {
  const [left, right] = await ends()
  const sending = duplexOf(left).sink(Array.from({ length: 60 }, () => new Uint8Array(MAX_MESSAGE_BYTES)))
  let most = 0
  let count = 0
  for await (const _ of duplexOf(right).source) {
    count++
    most = Math.max(most, left.writeBufferLength)
    for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
  }
  await bounded('the sender', sending)
  assert.is(count, 60)
  assert.ok(most <= 1.5 * MAX_MESSAGE_BYTES, `${most} bytes waited to be sent`)
})

test('a million tiny messages in a chunk are cheap', async () => {
  const [left, right] = await ends()
  left.send(new Uint8Array(900_000))
  await left.close()
  let count = 0
  for await (const message of duplexOf(right).source) count += message.length + 1
  assert.is(count, 900_000)
})

test('an oversized prefix is a `protocol` error at once, and breaks the stream for the sender', async () => {
  const [left, right] = await ends()
  const reading = failure(collect(duplexOf(right).source))
  left.send(Uint8Array.of(0xff, 0xff, 0xff, 0x7f))
  assert.is((await reading).code, 'protocol')
  await until('the sender is told', () => left.status === 'reset')
})

test('a stream that ends in the middle of a message is an error', async () => {
  const [left, right] = await ends()
  left.send(Uint8Array.of(10, 1, 2, 3))
  await left.close()
  assert.is((await failure(collect(duplexOf(right).source))).code, 'protocol')
})

test('a message over the limit is refused on the sending side', async () => {
  const [left] = await ends()
  const error = await failure(duplexOf(left).sink([new Uint8Array(MAX_MESSAGE_BYTES + 1)]))
  assert.is(error.code, 'too-large')
})

test('a connection that dies is an error, never an end', async () => {
  const [left, right] = await ends()
  left.send(frameOf(encoder.encode('half of')))
  const reader = new FramedStream(right)
  assert.is(decoder.decode(await reader.read()), 'half of')
  const reading = failure(reader.read())
  const writing = failure(new FramedStream(left).writeAll(neverEnding()))
  connection.abort(new Error('cable cut'))
  assert.is((await reading).code, 'unreachable')
  assert.is((await writing).code, 'unreachable')
  await until('the connection is gone', () => b.libp2p.getConnections().length === 0)
  const { multiaddr } = await import('@multiformats/multiaddr')
  connection = await a.libp2p.dial(multiaddr(b.address))
})

/** A source whose next item never comes. */
async function* neverEnding(): AsyncGenerator<Uint8Array> {
  await new Promise(() => {})
}

test('abort is safe at any time: before, during, after, twice', async () => {
  const [left, right] = (await ends()).map(stream => duplexOf(stream))
  left!.abort(new Error('first'))
  left!.abort(new Error('second'))
  assert.is((await failure(collect(left!.source))).message, 'first')
  assert.ok(await failure(left!.sink(words('x'))))
  assert.is((await failure(collect(right!.source))).code, 'unreachable')
  right!.abort(new Error('after'))
  const [done, other] = (await ends()).map(stream => duplexOf(stream))
  await Promise.all([done!.sink([]), other!.sink([]), collect(done!.source), collect(other!.source)])
  done!.abort(new Error('too late'))
})

test('what was sent before a reset is still read', async () => {
  const [left, right] = await ends()
  const reader = new FramedStream(right)
  left.send(frameOf(encoder.encode('last words')))
  await until('it has arrived', () => right.readBufferLength > 0)
  left.abort(new Error('bye'))
  await until('the reset has arrived', () => right.status === 'reset')
  assert.is(decoder.decode(await bounded('the words', reader.read())), 'last words')
  assert.is((await failure(reader.read())).code, 'unreachable')
})

test('a source that throws gives the stream up; a reader that stops early does not stop the writer', async () => {
  const [left, right] = (await ends()).map(stream => duplexOf(stream))
  const sinking = left!.sink(
    (function* () {
      yield encoder.encode('one')
      throw new Error('no more')
    })()
  )
  assert.match((await failure(sinking)).message, 'no more')
  assert.is((await failure(collect(right!.source))).code, 'unreachable')

  const [asker, answerer] = (await ends()).map(stream => duplexOf(stream))
  const asking = asker!.sink(Array.from({ length: 100 }, () => new Uint8Array(60_000)))
  for await (const _ of answerer!.source) break
  await bounded('the asker is not held up', asking)
  const answering = answerer!.sink(words('enough'))
  assert.equal(await bounded('the answer', collect(asker!.source)), ['enough'])
  await answering
})

test.run()
