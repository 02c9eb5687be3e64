/** The in-memory network is itself relied on by many tests: what it promises is checked here. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../src/errors.ts'
import type { Request } from '../../src/messages.ts'
import { ed25519Signer } from '../support/fake-signer.ts'
import { duplexPair } from '../support/memory-duplex.ts'
import { MemoryHub } from '../support/memory-network.ts'

const read: Request = { type: 'read', range: 1, key: Uint8Array.of(1), standIn: false }
const soon = { timeoutMs: 20 }
const settle = () => new Promise(resolve => setImmediate(resolve))
const codeOf = (work: Promise<unknown>) => work.then(String, error => error.code ?? error.message)

const test = suite('support: memory network')

test('requests are answered, cloned, and refused with their code', async () => {
  const hub = new MemoryHub()
  const [a, b] = [hub.network('a'), hub.network('b')]
  const seen: Request[] = []
  b.handleRequests(async (request, from) => {
    seen.push(request)
    if (request.type !== 'read') throw new CoterieError('range-busy', `not for ${from.peerId}`)
    return { type: 'state', synced: true }
  })
  assert.equal(await a.request('b', read, soon), { type: 'state', synced: true })
  assert.is.not(seen[0], read)
  assert.is(await codeOf(a.request('b', { type: 'ask', ranges: [] }, soon)), 'range-busy')
  assert.is(await codeOf(b.request('a', read, soon)), 'unreachable')
  assert.is(await codeOf(a.request('nobody', read, soon)), 'unreachable')
  assert.is(await codeOf(a.request('a', read, soon)), 'internal')
  assert.is(await codeOf(a.request('b', read, { ...soon, signal: AbortSignal.abort(new Error('enough')) })), 'enough')
})

test('cuts: both sides notice, one way nobody does, and healing mends', async () => {
  const hub = new MemoryHub()
  const [a, b] = [hub.network('a'), hub.network('b')]
  b.handleRequests(async () => ({ type: 'ok' }))
  await settle()
  const events: string[] = []
  a.onConnection((peerId, connected) => events.push(`${peerId} ${connected}`))
  hub.cut('a', 'b')
  await settle()
  assert.is(await codeOf(a.request('b', read, soon)), 'unreachable')
  assert.equal([a.connected(), a.isConnected('b')], [[], false])
  hub.heal()
  await settle()
  hub.cut('b', 'a', 'one-way')
  assert.is(await codeOf(a.request('b', read, soon)), 'timeout')
  hub.heal()
  assert.is((await a.request('b', read, soon)).type, 'ok')
  b.close()
  await settle()
  assert.equal(events, ['b false', 'b true', 'b false'])
})

test('a request under way when the link is cut ends at once', async () => {
  const hub = new MemoryHub()
  const [a, b] = [hub.network('a'), hub.network('b')]
  const reached = Promise.withResolvers<void>()
  b.handleRequests(() => {
    reached.resolve()
    return new Promise(() => {})
  })
  const asking = codeOf(a.request('b', read, { timeoutMs: 60_000 }))
  await reached.promise
  hub.cut('a', 'b')
  assert.is(await asking, 'unreachable')
})

test('a stream keeps message borders and order, waits for a slow reader, and closes by halves', async () => {
  const { left, right } = duplexPair()
  let sent = 0
  async function* messages() {
    for (; sent < 50; sent++) yield Uint8Array.of(sent)
  }
  const sending = left.sink(messages())
  for (let i = 0; i < 20; i++) await settle()
  assert.ok(sent < 10, `${sent} sent though nobody reads`)
  const received: number[] = []
  for await (const message of right.source) received.push(message[0]!)
  await sending
  assert.equal(
    received,
    Array.from({ length: 50 }, (_, i) => i)
  )
  await right.sink([Uint8Array.of(7)])
  for await (const message of left.source) assert.is(message[0], 7)
})

test('an aborted stream fails on both sides; a reader that leaves early blocks nobody', async () => {
  const { left, right } = duplexPair()
  left.abort(new Error('enough'))
  assert.is(await codeOf(right.sink([Uint8Array.of(1)])), 'enough')
  assert.is(await codeOf(right.source[Symbol.asyncIterator]().next()), 'enough')
  const other = duplexPair()
  const sending = other.left.sink(new Array(50).fill(Uint8Array.of(1)))
  for await (const _ of other.right.source) break
  await sending
})

test('real signatures verify, and only they do', () => {
  const [alice, bob] = [ed25519Signer('alice'), ed25519Signer('bob')]
  const message = new TextEncoder().encode('hello')
  const signature = alice.sign(message)
  assert.ok(bob.verify(alice.peerId, message, signature))
  assert.not(bob.verify(bob.peerId, message, signature))
  assert.not(bob.verify('no-key', message, signature))
  assert.match(alice.peerId, /^12D3KooW/)
})

test.run()
