/** Key states that no write would make, and the merges of a partition's sides do: they travel as far as storage takes them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../src/config.ts'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import { StateSink } from '../../src/repair/compare-parts.ts'
import type { Replicas } from '../../src/replica/replicas.ts'
import { normalise } from '../../src/version/causal-context.ts'
import { encodeState } from '../../src/version/codec.ts'
import { decodeAnswer, encodeAnswer } from '../../src/wire/kv-codec.ts'
import { session as runSession, type Session } from '../support/compare-session.ts'
import { bytesOf, keysIn, type MemoryReplica, openReplica, put, valuesOf } from '../support/memory-replica.ts'

const test = suite('large states')
const MEBIBYTE = 1024 * 1024
const VALUE = new Uint8Array(MEBIBYTE).fill(7)
const RANGES = [1, 2]
const [large] = keysIn(1, 1)
const [beside] = keysIn(1, 1, 'beside')
const [other] = keysIn(2, 1)

const session = (from: MemoryReplica, to: MemoryReplica, init: Partial<Session> = {}) =>
  runSession(from, to, { ranges: RANGES, ...init })

/** One side's state of a key: so many siblings of a mebibyte. */
function side(actor: string, count: number): Uint8Array {
  const dots = Array.from({ length: count }, (_, i) => ({ actor: actor.repeat(16), counter: i + 1 }))
  const siblings = dots.map(dot => ({
    dot,
    value: VALUE,
    writeId: `${actor.repeat(8)}${dot.counter.toString(16).padStart(8, '0')}`,
    expiresAtMs: 0,
    writtenAtMs: 0
  }))
  return encodeState({ context: normalise([[actor.repeat(16), count]], []), siblings, replaced: [] })
}

const give = ({ replicas }: MemoryReplica, actor: string, count: number) =>
  replicas.merge(1, bytesOf(large), side(actor, count))

async function countOf({ replicas }: MemoryReplica): Promise<number> {
  return (await replicas.read(1, bytesOf(large)))?.siblings.length ?? 0
}

/** A replica that cannot take what comes of this key, as where both states together are too large. */
function refusing(replica: MemoryReplica, key: string): MemoryReplica {
  const merge = replica.replicas.merge.bind(replica.replicas)
  replica.replicas.merge = async (range, of, ...rest) => {
    if (Buffer.compare(of, bytesOf(key)) === 0) throw new CoterieError('too-large', 'does not fit')
    return merge(range, of, ...rest)
  }
  return replica
}

test('a session takes a state as large as a copy holds, and nothing larger', async () => {
  const taken: number[] = []
  // It keeps none of them: the test is to stay small.
  const merge = async (_range: number, _key: Uint8Array, { length }: Uint8Array) => {
    taken.push(length)
    return { news: true, dead: [], revives: false, siblings: 1 }
  }
  const sink = new StateSink({ merge } as unknown as Replicas, () => undefined)
  const send = async (chunks: number) => {
    const item = { key: bytesOf(large), state: VALUE.subarray(0, MEBIBYTE / 4) }
    for (let left = chunks; left > 0; left--)
      await sink.take({ type: 'states', range: 1, items: [{ ...item, more: left > 1 }] })
  }
  await send(4 * 33)
  assert.equal(taken, [33 * MEBIBYTE])
  const error = await send((4 * LIMITS.maxMergedBytes) / MEBIBYTE + 1).catch(error => error)
  assert.ok(isCoterieError(error, 'protocol'), String(error))
})

test('a read takes a state of over 32 MiB', () => {
  const state = new Uint8Array(33 * MEBIBYTE)
  const answer = decodeAnswer(encodeAnswer({ type: 'state', state, synced: true }))
  assert.ok(answer.type === 'state' && answer.state!.length === state.length)
})

test('what would be larger than a record is refused by the copy, which stays as it is', async () => {
  const a = await openReplica()
  await give(a, 'a', 2)
  const error = await give(a, 'b', LIMITS.maxMergedBytes / MEBIBYTE - 1).catch(error => error)
  assert.ok(isCoterieError(error, 'too-large') && error.message.includes(large), String(error))
  assert.is(await countOf(a), 2)
  assert.is(a.replicas.refusals(1), 0, 'it has shown nothing that it does not hold')
  const context = (await a.replicas.read(1, bytesOf(large)))!.context
  await put(a, large, undefined, context)
  await give(a, 'b', 1)
  assert.is(await countOf(a), 2)
})

test('a key that does not fit is left out, and its range alone is proven to nobody', async () => {
  const [a, b] = [await openReplica(), refusing(await openReplica(), large)]
  for (const [key, value] of [
    [large, 'too much'],
    [beside, 'v'],
    [other, 'w']
  ])
    await put(a, key, value)
  const { statuses, refused } = await session(a, b, { pushOnly: true, durable: true })
  assert.is(statuses.get(1), 'none')
  assert.is(statuses.get(2), 'synced')
  assert.equal([...refused], [], 'not by this side')
  assert.equal(await valuesOf(b, beside), ['v'], 'the other keys of its range have come')
  assert.equal(await valuesOf(b, other), ['w'])
})

test('nor does the copy that has not taken it believe the clock that comes with it', async () => {
  for (const leads of [true, false]) {
    const [a, b] = [await openReplica(), refusing(await openReplica(), large)]
    const { dot } = await put(a, large, 'too much')
    await put(a, other, 'w')
    const { statuses, refused } = leads ? await session(b, a, { verdicts: true }) : await session(a, b)
    assert.is(b.replicas.clocks.covers(1, dot), false, 'or it would call the value dead when it comes')
    assert.is(statuses.has(1) && statuses.get(1) !== 'none', false)
    assert.equal([...refused], leads ? [1] : [])
    assert.equal(await valuesOf(b, other), ['w'])
  }
})

test.run()
