/** What one replica's "moved" makes of a read and of a write, on parts that the test plays. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import type { Claim } from '../../src/claim.ts'
import { Deadline } from '../../src/coordinator/deadline.ts'
import type { Peers } from '../../src/coordinator/peers.ts'
import { readKey } from '../../src/coordinator/read.ts'
import { readReplica, StaleView } from '../../src/coordinator/replica-calls.ts'
import { writeKey } from '../../src/coordinator/write.ts'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import { HedgeBudget } from '../../src/hedge-budget.ts'
import type { Answer, Request } from '../../src/messages.ts'
import type { RequestOptions } from '../../src/ports.ts'
import { silentLog, systemClock, systemTimers } from '../../src/runtime.ts'
import type { Topology } from '../../src/topology.ts'
import { encodeState } from '../../src/version/codec.ts'
import { bytesOf, intent, openReplica } from '../support/memory-replica.ts'

const test = suite('replica calls')
const OPTIONS = { timeoutMs: 1000 }
const KEY = bytesOf('k')
const NEWS: Claim = { range: 1, epoch: 2, owner: 'd' }
const MOVED: Answer = { type: 'moved', claims: [NEWS] }

/** A ring whose one list changes to `after` when the news comes in; `heard`: it has come in before. */
function world({ after = ['a', 'b', 'c'], heard = false } = {}) {
  const it = {
    list: heard ? after : ['a', 'b', 'c'],
    calls: [] as string[],
    /** Who may stand in. */
    fallbacks: [] as string[],
    answer: (_member: string, _request: Request, _options: RequestOptions): Answer | Promise<Answer> => ({
      type: 'merged',
      synced: true,
      siblings: 0
    })
  }
  const topology = {
    view: {
      isMember: (_: number, member: string) => it.list.includes(member),
      preferenceList: () => it.list
    },
    claimsAround: () => [NEWS],
    learn: async (claims: Claim[]) => {
      if (heard || claims.length === 0) return []
      heard = true
      it.list = after
      return claims
    }
  } as unknown as Topology
  const peers = {
    self: 'a',
    isReachable: () => true,
    isAnswering: () => true,
    isSilent: () => false,
    call: async (member: string, request: Request, options: RequestOptions) => {
      it.calls.push(`${member} ${request.type}`)
      return it.answer(member, request, options)
    },
    byHealth: (members: string[]) => members,
    usualMs: () => 10,
    slow: () => {},
    hedgeDelayMs: 100
  } as unknown as Peers
  return Object.assign(it, { topology, peers, clock: systemClock })
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    value => value,
    error => error
  )

test('a replica that knows more makes the view stale, whoever brought the news first', async () => {
  for (const heard of [false, true]) {
    const parts = world({ after: ['a', 'c', 'd'], heard })
    parts.answer = () => MOVED
    assert.instance(await failure(readReplica(parts, 'b', 1, KEY, OPTIONS)), StaleView)
    assert.equal(parts.calls, ['b read'])
  }
})

test('a replica that is behind is told, and asked once more', async () => {
  const parts = world({ heard: true })
  let told = false
  parts.answer = (_member, { type }) => {
    if (type !== 'claims') return told ? { type: 'state', synced: true } : MOVED
    told = true
    return { type: 'ok' }
  }
  assert.equal(await readReplica(parts, 'b', 1, KEY, OPTIONS), { type: 'state', synced: true })
  assert.equal(parts.calls, ['b read', 'b claims', 'b read'])
  const stubborn = world({ heard: true })
  stubborn.answer = (_member, { type }) => (type === 'claims' ? { type: 'ok' } : MOVED)
  assert.ok(isCoterieError(await failure(readReplica(stubborn, 'b', 1, KEY, OPTIONS)), 'wrong-node'))
})

test('an answer of another kind is a protocol error', async () => {
  const parts = world()
  parts.answer = () => ({ type: 'ok' })
  assert.ok(isCoterieError(await failure(readReplica(parts, 'b', 1, KEY, OPTIONS)), 'protocol'))
})

async function write(
  parts: ReturnType<typeof world>,
  needed: number,
  { asStandIn = false, standInDelayMs = 100, hedges = new HedgeBudget(), timeoutMs = OPTIONS.timeoutMs } = {}
) {
  const { replicas } = await openReplica()
  const background = new Background({ log: silentLog, timers: systemTimers })
  const target = { range: replicas.rangeOf(KEY), key: KEY, needed: () => needed, asStandIn }
  const deadline = new Deadline(systemClock, { ...OPTIONS, timeoutMs })
  const writing = {
    ...parts,
    timers: systemTimers,
    background,
    fallbacks: () => parts.fallbacks,
    standInDelayMs,
    hedges
  }
  return writeKey(writing, replicas, target, intent('v'), deadline)
}

test('writes whose replicas are all late bring a bounded number of others in', async () => {
  const parts = world()
  parts.fallbacks = Array.from({ length: 10 }, (_, i) => `f${i}`)
  parts.answer = () =>
    new Promise(resolve => setTimeout(() => resolve({ type: 'merged', synced: true, siblings: 0 }), 400))
  const hedges = new HedgeBudget()
  const WRITES = 200
  const late = { standInDelayMs: 5, hedges, timeoutMs: 300 }
  await Promise.all(Array.from({ length: WRITES }, () => failure(write(parts, 2, late))))
  const standIns = parts.calls.filter(call => call.startsWith('f')).length
  const { spent } = hedges.stats()
  assert.ok(spent <= 100 + 100 + 0.6 * WRITES, `${spent} passed over`)
  // Two replicas are late each time.
  assert.ok(standIns > 0 && standIns <= 2 * spent, `${standIns} stand-ins`)
})

test('a write goes on to the members of the new list when the ring moves under it', async () => {
  const parts = world({ after: ['a', 'd', 'e'] })
  parts.answer = member => (member === 'd' || member === 'e' ? { type: 'merged', synced: true, siblings: 0 } : MOVED)
  assert.is((await write(parts, 3)).acks, 3)
  assert.equal(parts.calls.sort(), ['b merge', 'c merge', 'd merge', 'e merge'])
})

test('a member that stays on the list is asked again after its news', async () => {
  const parts = world({ after: ['a', 'b', 'd'] })
  let answers = 0
  parts.answer = member => (member === 'b' && answers++ === 0 ? MOVED : { type: 'merged', synced: true, siblings: 0 })
  assert.is((await write(parts, 3)).acks, 3)
})

test('what a stand-in has minted is no list member’s ack, though it has come onto the list meanwhile', async () => {
  const parts = world()
  parts.answer = member => {
    if (member === 'a') throw new CoterieError('range-fenced', 'its own copy does not take it')
    return { type: 'merged', synced: true, siblings: 0 }
  }
  const error = await failure(write(parts, 3, { asStandIn: true }))
  assert.ok(isCoterieError(error, 'not-available'), String(error))
  assert.equal(parts.calls.sort(), ['a merge', 'b merge', 'c merge'])
})

test('a write that too few take fails as soon as that is certain', async () => {
  const parts = world({ heard: true })
  parts.answer = (_member, { type }) => (type === 'claims' ? { type: 'ok' } : MOVED)
  const error = await failure(write(parts, 2))
  assert.ok(isCoterieError(error, 'not-available') && /does not hold range/.test(error.message), String(error))
})

test('for each member that fails, the next after the list stands in, and the next again when that one declines', async () => {
  const parts = world()
  parts.fallbacks = ['full', 'x', 'y', 'z']
  parts.answer = (member, request) => {
    if ('standIn' in request && request.standIn) {
      if (member === 'full') throw new CoterieError('overloaded', 'no more')
      return { type: 'merged', synced: false, siblings: 0 }
    }
    throw new CoterieError('unreachable', 'gone')
  }
  const { acks, sloppy } = await write(parts, 3)
  assert.equal([acks, sloppy], [3, true])
  assert.equal(parts.calls, ['b merge', 'c merge', 'full merge', 'x merge', 'y merge'])
})

test('with enough members the third copy is kept by another all the same', async () => {
  const parts = world()
  parts.fallbacks = ['x']
  const stored = Promise.withResolvers<void>()
  parts.answer = (member, request) => {
    if (member === 'c') throw new CoterieError('unreachable', 'gone')
    if ('standIn' in request && request.standIn) stored.resolve()
    return { type: 'merged', synced: true, siblings: 0 }
  }
  assert.is((await write(parts, 2)).acks, 2)
  await stored.promise
})

test('a write fails when fewer than W nodes are left, those that may stand in included', async () => {
  const parts = world()
  parts.fallbacks = ['x', 'y']
  parts.answer = () => {
    throw new CoterieError('unreachable', 'gone')
  }
  assert.ok(isCoterieError(await failure(write(parts, 2)), 'not-available'))
  assert.equal(parts.calls.sort(), ['b merge', 'c merge', 'x merge', 'y merge'])
})

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** What a hung process does to who asks it. */
async function hang({ timeoutMs }: RequestOptions): Promise<Answer> {
  await pause(timeoutMs + 1)
  throw new CoterieError('timeout', 'no answer')
}

test('a write that was stored in time gets its last copy behind its deadline, from one that has time to take it', async () => {
  const parts = world()
  parts.fallbacks = ['x', 'y']
  const given = Promise.withResolvers<number>()
  parts.answer = (member, _request, options) => {
    if (member === 'c') return hang(options)
    if (member === 'x') given.resolve(options.timeoutMs)
    return { type: 'merged', synced: true, siblings: 0 }
  }
  assert.is((await write(parts, 2, { timeoutMs: 200 })).acks, 2)
  assert.ok((await given.promise) >= 1000)
  assert.not.ok(parts.calls.includes('y merge'))
})

test('a write that has failed asks nobody after its deadline', async () => {
  const parts = world()
  parts.fallbacks = ['x', 'y', 'z']
  const hung: Promise<unknown>[] = []
  parts.answer = (_member, _request, options) => {
    const answer = hang(options)
    hung.push(answer.catch(() => undefined))
    return answer
  }
  const hedges = new HedgeBudget()
  while (hedges.spend());
  while (hedges.spendLong());
  assert.ok(isCoterieError(await failure(write(parts, 2, { timeoutMs: 200, hedges })), 'not-available'))
  await Promise.all(hung)
  await pause(1)
  assert.equal(parts.calls, ['b merge', 'c merge'])
})

async function read(parts: ReturnType<typeof world>, { isForContext = false, timeoutMs = OPTIONS.timeoutMs } = {}) {
  const background = new Background({ log: silentLog, timers: systemTimers })
  const reading = {
    ...parts,
    timers: systemTimers,
    background,
    fallbacks: () => parts.fallbacks,
    hedges: new HedgeBudget()
  }
  return readKey(reading, { range: 1, key: KEY, needed: 2, isForContext }, new Deadline(systemClock, { timeoutMs }))
}

test('an old delete beside a copy that is not in sync makes no key absent: what came after it may have been lost there', async () => {
  const dead = await openReplica()
  const { state } = await dead.replicas.write(dead.replicas.rangeOf(KEY), KEY, intent(undefined))
  const parts = world()
  const answers = { b: { state: encodeState(state), synced: true }, c: { synced: false } }
  parts.answer = (member, { type }) => {
    if (type !== 'read') return { type: 'merged', synced: true, siblings: 0 }
    if (member === 'a') throw new CoterieError('unreachable', 'gone')
    return { type: 'state', ...answers[member as 'b' | 'c'] }
  }
  assert.ok(isCoterieError(await failure(read(parts)), 'not-available'))
  assert.equal((await read(parts, { isForContext: true })).state, state, 'to delete it again takes its context only')
  answers.c.synced = true
  assert.is((await read(parts)).replies, 2)
})

test('a read asks nobody after its deadline', async () => {
  const parts = world()
  parts.fallbacks = ['x', 'y']
  const hung: Promise<unknown>[] = []
  parts.answer = (_member, _request, options) => {
    const answer = hang(options)
    hung.push(answer.catch(() => undefined))
    return answer
  }
  assert.ok(isCoterieError(await failure(read(parts, { timeoutMs: 5 })), 'not-available'))
  await Promise.all(hung)
  await pause(1)
  assert.equal(parts.calls, ['a read', 'b read'])
})

test.run()
