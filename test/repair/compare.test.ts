import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import type { Duplex } from '../../src/ports.ts'
import { compareRanges } from '../../src/repair/compare.ts'
import { encodeSync, type SyncMessage } from '../../src/repair/sync-codec.ts'
import { systemTimers } from '../../src/runtime.ts'
import { answerOn, session as runSession, type Session } from '../support/compare-session.ts'
import { duplexPair, type MemoryPipe } from '../support/memory-duplex.ts'
import { MemoryHub } from '../support/memory-network.ts'
import { bytesOf, keysIn, type MemoryReplica, openReplica, put, stateOf, valuesOf } from '../support/memory-replica.ts'

const test = suite('compare')
const RANGES = [1, 2, 5]

/** A session over all ranges that these tests use. */
const session = (from: MemoryReplica, to: MemoryReplica, init: Partial<Session> = {}) =>
  runSession(from, to, { ranges: RANGES, ...init })

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    error => error
  )

async function statesOf(node: MemoryReplica, keys: string[]): Promise<(Uint8Array | undefined)[]> {
  return Promise.all(keys.map(key => stateOf(node, key)))
}

async function mustAgree(a: MemoryReplica, b: MemoryReplica, keys: string[]): Promise<void> {
  assert.equal(await statesOf(a, keys), await statesOf(b, keys))
  for (const range of RANGES) assert.equal(a.replicas.sums(range).encode(), b.replicas.sums(range).encode())
}

const stepArb = fc.record({
  node: fc.constantFrom('a' as const, 'b' as const, 'both' as const),
  key: fc.nat(11),
  kind: fc.constantFrom('blind' as const, 'seen' as const, 'delete' as const)
})

test('two replicas with any histories end identical, with nothing of either lost', async () => {
  const keys = RANGES.flatMap(range => keysIn(range, 4))
  await fc.assert(
    fc.asyncProperty(fc.array(stepArb, { maxLength: 40 }), fc.boolean(), async (steps, swap) => {
      const nodes = { a: await openReplica(), b: await openReplica() }
      for (const [i, step] of steps.entries()) {
        const key = keys[step.key]
        const here = nodes[step.node === 'b' ? 'b' : 'a']
        const range = here.replicas.rangeOf(bytesOf(key))
        const seen = step.kind === 'blind' ? undefined : (await here.replicas.read(range, bytesOf(key)))?.context
        const { bytes } = await put(here, key, step.kind === 'delete' ? undefined : `v${i}`, seen)
        if (step.node === 'both') await nodes.b.replicas.merge(range, bytesOf(key), bytes)
      }
      // What a merge key by key gives is what the session must give.
      const merged = await openReplica()
      for (const key of keys) {
        for (const node of [nodes.a, nodes.b]) {
          const state = await stateOf(node, key)
          if (state !== undefined)
            await merged.replicas.merge(merged.replicas.rangeOf(bytesOf(key)), bytesOf(key), state)
        }
      }
      const [from, to] = swap ? [nodes.b, nodes.a] : [nodes.a, nodes.b]
      await session(from, to)
      await mustAgree(from, to, keys)
      await mustAgree(merged, to, keys)
      const again = await session(from, to)
      assert.equal([again.received, again.sent], [0, 0])
    }),
    { numRuns: 40 }
  )
})

test('statuses come back for every range; only what differs travels', async () => {
  const [a, b] = [await openReplica(), await openReplica(undefined, { ranges: [1, 5] })]
  const keys = keysIn(1, 200)
  for (const key of keys) {
    const { bytes } = await put(a, key, 'v')
    await b.replicas.merge(1, bytesOf(key), bytes)
  }
  await put(a, keysIn(1, 1, 'mine')[0], 'v')
  const theirs = keysIn(1, 2, 'yours')
  let bytes = 0
  for (const key of theirs) bytes += bytesOf(key).length + (await put(b, key, 'v')).bytes.length
  await b.copies.set([5], 'syncing')
  const progress: number[][] = []
  const result = await session(a, b, { onProgress: (...counts) => progress.push(counts) })
  assert.equal(Object.fromEntries(result.statuses), { 1: 'synced', 2: 'none', 5: 'syncing' })
  assert.equal([result.sent, result.received], [1, 2])
  assert.equal(progress.at(-1), [2, 202, bytes])
})

test('push only: the other side gets everything, this one nothing', async () => {
  const [a, b] = [await openReplica(), await openReplica()]
  const [mine, yours, both] = keysIn(2, 3)
  await put(a, mine, 'mine')
  await put(b, yours, 'yours')
  await put(a, both, 'here')
  await put(b, both, 'there')
  await a.copies.set([2], 'frozen')
  const { received, sent } = await session(a, b, { pushOnly: true, durable: true })
  assert.equal([received, sent > 0], [0, true])
  assert.equal(await valuesOf(b, mine), ['mine'])
  assert.equal(await valuesOf(b, both), ['here', 'there'])
  assert.equal(await valuesOf(a, yours), [])
  assert.equal(await valuesOf(a, both), ['here'])
})

test('durable: what was pushed survives a power cut of the other side, and a failed sync is no proof', async () => {
  const [a, b] = [await openReplica(), await openReplica()]
  const keys = keysIn(2, 5)
  for (const key of keys) await put(a, key, 'v')
  await session(a, b, { pushOnly: true, durable: true })
  b.files.powerCut()
  const after = await openReplica(b.files)
  assert.equal(await statesOf(after, keys), await statesOf(a, keys))
  const c = await openReplica()
  c.files.fail('sync', 'EIO')
  assert.ok(isCoterieError(await failure(session(a, c, { pushOnly: true, durable: true }))))
  // Fenced by now, and still no proof; the other ranges need not suffer for it.
  const { statuses } = await session(a, c, { pushOnly: true, durable: true })
  assert.is(statuses.get(2), 'none')
  assert.is(statuses.get(1), 'synced')
})

test('a frozen copy on the other side takes nothing and does not end the session for the other ranges', async () => {
  const [a, b] = [await openReplica(), await openReplica()]
  const [cold, warm] = [keysIn(1, 1)[0], keysIn(2, 1)[0]]
  await put(a, cold, 'a')
  await put(b, cold, 'b')
  await put(a, warm, 'a')
  await b.copies.set([1], 'frozen')
  const { statuses } = await session(a, b)
  assert.is(statuses.get(1), 'frozen')
  assert.equal(await valuesOf(b, cold), ['b'])
  assert.equal(await valuesOf(a, cold), ['a', 'b'])
  assert.equal(await valuesOf(b, warm), ['a'])
})

test('a state of 16 MiB travels in chunks, both ways', async () => {
  const [a, b] = [await openReplica(), await openReplica()]
  const [mine, yours] = keysIn(5, 2)
  const mebibyte = 'x'.repeat(1024 * 1024 - 1024)
  for (let i = 0; i < 15; i++) {
    await put(a, mine, `${i}${mebibyte}`)
    await put(b, yours, `${i}${mebibyte}`)
  }
  let largest = 0
  const watch = (pipe: MemoryPipe) => {
    const { sink } = pipe.left
    pipe.left.sink = source =>
      sink(
        (async function* () {
          for await (const message of source) {
            largest = Math.max(largest, message.length)
            yield message
          }
        })()
      )
  }
  await session(a, b, { pipe: watch })
  await mustAgree(a, b, [mine, yours])
  assert.is((await valuesOf(a, yours)).length, 15)
  assert.ok(largest <= 256 * 1024 + 2048, `a message of ${largest} bytes`)
})

test('a stream cut after any number of messages leaves both consistent, and the next session ends the work', async () => {
  const keys = RANGES.flatMap(range => keysIn(range, 30))
  for (let cutAfter = 0; cutAfter < 12; cutAfter++) {
    const [a, b] = [await openReplica(), await openReplica()]
    for (const [i, key] of keys.entries()) {
      await put(i % 2 === 0 ? a : b, key, 'v'.repeat(20_000))
      if (i % 5 === 0) await put(i % 2 === 0 ? b : a, key, 'w')
    }
    let left = cutAfter
    const cutting = ({ left: near, abort }: MemoryPipe) => {
      const source = near.source
      near.source = (async function* () {
        for await (const message of source) {
          if (left-- === 0) abort(new CoterieError('unreachable', 'the link was cut'))
          yield message
        }
      })()
    }
    const before = new Map(await Promise.all(keys.map(async key => [key, await valuesOf(a, key)] as const)))
    const error = await failure(session(a, b, { pipe: cutting }))
    if (left < 0) assert.ok(error instanceof Error, `cut after ${cutAfter}`)
    for (const key of keys) {
      const values = await valuesOf(a, key)
      assert.ok(
        before.get(key)!.every(value => values.includes(value)),
        'nothing is lost on the way'
      )
    }
    await session(a, b)
    await mustAgree(a, b, keys)
  }
})

test('a caller that gives up ends both sides', async () => {
  const [a, b] = [await openReplica(), await openReplica()]
  for (const key of keysIn(1, 20)) await put(a, key, 'v')
  const controller = new AbortController()
  let answered: Promise<unknown> = Promise.resolve()
  const hold = b.files.hold('write')
  const error = failure(
    session(a, b, {
      signal: controller.signal,
      pipe: ({ closed }) => {
        answered = closed
      }
    })
  )
  controller.abort()
  assert.ok(isCoterieError(await error, 'closed'))
  hold()
  await answered
})

async function drain({ source }: Duplex): Promise<void> {
  for await (const _ of source);
}

/** Talks to an answerer by hand; resolves to how it ended. */
async function answererOn(node: MemoryReplica, messages: (SyncMessage | Uint8Array)[]): Promise<unknown> {
  const pipe = duplexPair()
  const { left } = pipe
  const answered = failure(answerOn(pipe, node))
  const drained = failure(drain(left))
  const sent = failure(
    left.sink(messages.map(message => (message instanceof Uint8Array ? message : encodeSync(message))))
  )
  await Promise.all([drained, sent])
  return answered
}

const openOf = (range: number): SyncMessage => ({
  type: 'open',
  ranges: [{ range, hi: 0, lo: 0 }],
  pushOnly: false,
  durable: false
})

test('messages out of turn, of the wrong side and garbled ones end a session with a protocol error, and harm nothing', async () => {
  const node = await openReplica()
  await put(node, keysIn(1, 1)[0], 'v')
  const item = { key: bytesOf('k'), state: new Uint8Array([1, 2, 3]), more: false }
  const endless = { key: bytesOf('k'), state: new Uint8Array(200 * 1024), more: true }
  const wrong: (SyncMessage | Uint8Array)[][] = [
    [{ type: 'finish' }],
    [openOf(1), openOf(1)],
    [openOf(1), { type: 'done' }],
    [openOf(1), { type: 'status', range: 1, status: 'synced', keys: 0 }],
    [openOf(1), new Uint8Array([255, 255, 255])],
    [openOf(1), { type: 'states', range: 1, items: [item] }],
    [openOf(1), ...Array.from({ length: 400 }, (): SyncMessage => ({ type: 'states', range: 1, items: [endless] }))]
  ]
  for (const messages of wrong) {
    const error = await answererOn(node, messages)
    assert.ok(isCoterieError(error, 'protocol'), `${messages.length} messages: ${error}`)
  }
  assert.equal(await valuesOf(node, keysIn(1, 1)[0]), ['v'])
})

test('ranges that do not exist or are not held are answered with their status', async () => {
  const node = await openReplica(undefined, { ranges: [1] })
  const error = await answererOn(node, [openOf(2), { type: 'endOfEntries' }, { type: 'finish' }])
  assert.is(error, undefined)
  const far = await answererOn(node, [openOf(4000), { type: 'endOfEntries' }, { type: 'finish' }])
  assert.is(far, undefined)
})

test('an initiator whose partner ends early fails, and one whose copy has gone away leaves no stream open', async () => {
  const a = await openReplica()
  const ending = failure(
    compareRanges(
      {
        replicas: a.replicas,
        timers: systemTimers,
        network: Object.assign(new MemoryHub().network('a'), {
          open: async () => {
            const { left, right } = duplexPair()
            void failure(right.sink([]))
            void failure(drain(right))
            return left
          }
        })
      },
      'b',
      [1]
    )
  )
  assert.ok(isCoterieError(await ending, 'unreachable'))
  let closed: Promise<unknown> | undefined
  await a.copies.set([2], 'frozen')
  await a.replicas.drop(2)
  const error = await failure(
    session(a, await openReplica(), {
      pipe: pipe => {
        closed = pipe.closed
      }
    })
  )
  assert.ok(isCoterieError(error, 'wrong-node'))
  await closed
})

test.run()
