import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ExchangeContext, initiate, respond } from '../../src/membership/exchange.ts'
import { encodeGossip, MAX_GOSSIP_BYTES } from '../../src/membership/gossip-messages.ts'
import type { MemberTable } from '../../src/membership/member-table.ts'
import type { Duplex } from '../../src/ports.ts'
import { duplexPair } from '../support/memory-duplex.ts'
import { recordOf, tableOf } from './harness.ts'

interface Side extends ExchangeContext {
  heard: string[]
}

function sideOf(table: MemberTable): Side {
  const heard: string[] = []
  return {
    table,
    heard,
    receive(records) {
      for (const signed of records) table.apply(signed)
    },
    hear: pulses => heard.push(...table.hear(pulses)),
    traffic: { sentBytes: 0, receivedBytes: 0 }
  }
}

/** Messages of both ways, as they passed. */
function tapped(stream: Duplex, sizes: number[]): Duplex {
  async function* tap(source: AsyncIterable<Uint8Array>) {
    for await (const message of source) {
      sizes.push(message.length)
      yield message
    }
  }
  return { ...stream, source: tap(stream.source) }
}

async function exchange(a: Side, b: Side): Promise<number[]> {
  const { left, right } = duplexPair()
  const sizes: number[] = []
  await Promise.all([initiate(tapped(left, sizes), a), respond(tapped(right, sizes), b)])
  return sizes
}

const peers = (side: Side) => [...side.table.entries()].map(entry => entry.peerId).sort()
const versionOf = (side: Side, peerId: string) => side.table.get(peerId)!.seq

const test = suite('membership: exchange')

test('one exchange teaches both sides', async () => {
  const a = sideOf(tableOf('a', [recordOf('x', 1, 5), recordOf('only-a'), recordOf('y', 1, 1)]))
  const b = sideOf(tableOf('b', [recordOf('x', 1, 2), recordOf('only-b'), recordOf('y', 2, 1)]))
  a.table.beat()
  b.table.beat()
  const sizes = await exchange(a, b)
  assert.equal(peers(a), ['a', 'b', 'only-a', 'only-b', 'x', 'y'])
  assert.equal(peers(b), peers(a))
  assert.equal([versionOf(b, 'x'), a.table.get('y')!.incarnation], [5, 2])
  assert.equal([a.heard, b.heard], [['b'], ['a']])
  assert.is(sizes.length, 3, 'digest, delta, records')
  assert.is(a.traffic.sentBytes, b.traffic.receivedBytes)
  assert.is(b.traffic.sentBytes, a.traffic.receivedBytes)

  const quiet = await exchange(a, b)
  assert.is(quiet.length, 2, 'equals send no records')
  assert.ok(quiet[1]! < 16)
})

test('records that one message does not hold follow in more, each under the cap; a giant travels alone', async () => {
  const claims = Array.from({ length: 4000 }, (_, range) => ({
    range,
    epoch: 2,
    owner: 'giant',
    grant: { by: 'a', signature: new Uint8Array(64) }
  }))
  const addresses = Array.from({ length: 10 }, (_, i) => `/dns4/${'long-name.'.repeat(10)}${i}`)
  const many = Array.from({ length: 150 }, (_, i) => recordOf(`peer-${i}`, 1, 1, { addresses }))
  const a = sideOf(tableOf('a'))
  const b = sideOf(tableOf('b', [...many, recordOf('giant', 1, 1, { claims })]))
  const sizes = await exchange(a, b)
  assert.is(peers(a).length, 153)
  const large = sizes.filter(size => size > MAX_GOSSIP_BYTES)
  assert.is(large.length, 1)
  // And the other way round: the initiator has them.
  const c = sideOf(tableOf('c'))
  await exchange(b, c)
  assert.is(peers(c).length, 154)
})

test('what an exchange does not hold comes with the next ones', async () => {
  const zone = 'z'.repeat(64)
  const addresses = Array.from({ length: 16 }, (_, i) => `${'address-'.repeat(30)}${i}`)
  const many = Array.from({ length: 200 }, (_, i) => recordOf(`peer-${i}`, 1, 1, { addresses, zone }))
  const a = sideOf(tableOf('a'))
  const b = sideOf(tableOf('b', many))
  await exchange(a, b)
  assert.ok(peers(a).length > 100 && peers(a).length < 202, `${peers(a).length}`)
  await exchange(b, a)
  assert.is(peers(a).length, 202)
})

async function* one(message: Uint8Array) {
  yield message
}

async function failureOf(work: Promise<void>): Promise<string> {
  return work.then(
    () => 'went through',
    error => `${error.code}: ${error.message}`
  )
}

test('a peer that breaks the protocol gets its stream aborted, and the exchange says why', async () => {
  const cases: [Uint8Array, RegExp][] = [
    [encodeGossip({ type: 'records', records: [] }), /protocol: .*begins with no digest/],
    [Uint8Array.of(1, 2, 3), /protocol/],
    [new Uint8Array(700 * 1024), /protocol: .*716800 bytes/]
  ]
  for (const [message, expected] of cases) {
    const { left, right } = duplexPair()
    const answering = failureOf(respond(right, sideOf(tableOf('b'))))
    await left.sink(one(message)).catch(() => {})
    assert.match(await answering, expected)
    let broken = false
    try {
      for await (const _ of left.source) assert.unreachable('no answer to that')
    } catch {
      broken = true
    }
    assert.ok(broken)
  }
})

test('an answer out of order, none at all, and a flood', async () => {
  const answers: [Uint8Array[], RegExp][] = [
    [[encodeGossip({ type: 'records', records: [] })], /protocol: .*delta had to come/],
    [[], /protocol: .*without an answer/],
    [
      new Array(20)
        .fill(encodeGossip({ type: 'records', records: [] }))
        .with(0, encodeGossip({ type: 'delta', records: [], pulses: [], wants: [] })),
      /protocol: .*more messages/
    ]
  ]
  for (const [messages, expected] of answers) {
    const { left, right } = duplexPair()
    const asking = failureOf(initiate(left, sideOf(tableOf('a'))))
    await right.sink(messages).catch(() => {})
    assert.match(await asking, expected)
  }
})

test('a stream that is aborted in the middle ends both sides with that error', async () => {
  const { left, right } = duplexPair()
  const asking = failureOf(initiate(left, sideOf(tableOf('a'))))
  // The other side never answers.
  right.abort(new Error('cut'))
  assert.match(await asking, /cut/)
})

test.run()
