import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { expectAnswer, Peers } from '../../src/coordinator/peers.ts'
import { CoterieError, type ErrorCode, isCoterieError } from '../../src/errors.ts'
import type { Request } from '../../src/messages.ts'
import type { Network } from '../../src/ports.ts'

const test = suite('peers')
const REQUEST: Request = { type: 'ask', ranges: [] }

/** Peers `p0` … that take as many milliseconds as their table says, or fail with a code. */
function world(behaviour: Record<string, number | ErrorCode>) {
  const reports: string[] = []
  const it = {
    nowMs: 0,
    dead: new Set<string>(),
    cut: new Set<string>(),
    reports,
    hold: (_peerId: string): Promise<void> | undefined => undefined,
    peers: undefined as unknown as Peers
  }
  const network = {
    peerId: 'self',
    isConnected: (peerId: string) => !it.cut.has(peerId),
    request: async (peerId: string) => {
      await it.hold(peerId)
      const how = behaviour[peerId]
      if (typeof how === 'string') throw new CoterieError(how, 'no')
      it.nowMs += how
      return { type: 'ok' as const }
    }
  } as unknown as Network
  const health = {
    isAlive: (peerId: string) => !it.dead.has(peerId),
    reportSuccess: (peerId: string) => reports.push(`+${peerId}`),
    reportFailure: (peerId: string) => reports.push(`-${peerId}`)
  }
  const clock = { wallMs: () => 0, monotonicMs: () => it.nowMs }
  it.peers = new Peers(
    { network, clock, health },
    { local: async () => ({ type: 'asked', granted: [], pending: [], refused: [] }), hedgeDelayMs: 100 }
  )
  return it
}

test('the order is: this node, the fastest that answer, those that are down', async () => {
  const it = world({ slow: 50, quick: 2, down: 1, cut: 1 })
  for (const peerId of ['slow', 'quick', 'down', 'cut']) await it.peers.call(peerId, REQUEST, { timeoutMs: 10 })
  it.dead.add('down')
  it.cut.add('cut')
  assert.equal(it.peers.byHealth(['down', 'slow', 'new', 'quick', 'self', 'cut']), [
    'self',
    'quick',
    'new',
    'slow',
    'down',
    'cut'
  ])
  assert.equal(
    ['self', 'quick', 'down', 'cut'].map(peerId => it.peers.isReachable(peerId)),
    [true, true, false, false]
  )
})

test('silence counts against a peer, an answer for it, a refusal for neither', async () => {
  const it = world({ good: 1, silent: 'timeout', gone: 'unreachable', busy: 'overloaded' })
  it.hold = async () => void (it.nowMs += 100)
  for (const peerId of ['good', 'silent', 'gone', 'busy']) {
    await it.peers.call(peerId, REQUEST, { timeoutMs: 10 }).catch(() => undefined)
  }
  assert.equal(it.reports, ['+good', '-silent', '-gone'])
})

test('a request that had next to no time left says nothing of a peer', async () => {
  const it = world({ well: 'timeout' })
  it.hold = async () => void (it.nowMs += 99)
  await it.peers.call('well', REQUEST, { timeoutMs: 99 }).catch(() => undefined)
  assert.equal(it.reports, [])
})

test('a peer that answers nothing of what others answer at once is silent, comes last, and is back with its first answer', async () => {
  const it = world({ good: 1, silent: 500 })
  const read: Request = { type: 'read', range: 0, key: new Uint8Array(1), standIn: false }
  const held = Promise.withResolvers<void>()
  it.hold = peerId => (peerId === 'silent' ? held.promise : undefined)
  const asked = [it.peers.call('silent', read, { timeoutMs: 10 }), it.peers.call('silent', read, { timeoutMs: 10 })]
  const good = () => it.peers.call('good', read, { timeoutMs: 10 })
  await good()
  assert.not.ok(it.peers.isSilent('silent'), 'not yet')
  it.nowMs += 350
  assert.not.ok(it.peers.isSilent('silent'), 'nobody has answered of late: it is as likely this node')
  await good()
  assert.ok(it.peers.isSilent('silent'))
  assert.ok(it.peers.isReachable('silent'))
  assert.not.ok(it.peers.isAnswering('silent'))
  it.dead.add('down')
  assert.equal(it.peers.byHealth(['down', 'silent', 'good', 'self']), ['self', 'good', 'silent', 'down'])
  it.hold = () => undefined
  await it.peers.call('silent', REQUEST, { timeoutMs: 10 })
  assert.not.ok(it.peers.isSilent('silent'), 'any answer will do')
  held.resolve()
  await Promise.all(asked)
  await good()
  it.nowMs += 350
  await good()
  assert.not.ok(it.peers.isSilent('silent'), 'it owes no answer')
})

test('what takes its time by nature says nothing of who is silent', async () => {
  const it = world({ good: 1, busy: 1 })
  const held = Promise.withResolvers<void>()
  it.hold = peerId => (peerId === 'busy' ? held.promise : undefined)
  const asked = it.peers.call('busy', { type: 'pull', ranges: [1], sources: ['x'] }, { timeoutMs: 10 })
  it.nowMs += 1000
  await it.peers.call('good', REQUEST, { timeoutMs: 10 })
  assert.not.ok(it.peers.isSilent('busy'))
  held.resolve()
  await asked
})

test('this node asks itself without a network', async () => {
  const it = world({})
  assert.is((await it.peers.call('self', REQUEST, { timeoutMs: 10 })).type, 'asked')
  assert.equal(it.reports, [])
})

test('an answer of another type is the other side’s error', () => {
  assert.equal(expectAnswer({ type: 'ok' }, 'ok'), { type: 'ok' })
  assert.throws(
    () => expectAnswer({ type: 'ok' }, 'asked', 'pulled'),
    (error: unknown) => isCoterieError(error, 'protocol') && /asked or pulled/.test(error.message)
  )
})

test.run()
