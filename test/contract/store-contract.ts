/**
 * What `Store` promises (src/store.ts), as tests that every implementation runs: a node's core, `createNode`, the libp2p
 * service and the remote client.
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../src/config.ts'
import { type ErrorCode, isCoterieError } from '../../src/errors.ts'
import type { Level } from '../../src/messages.ts'
import { positionOf, rangeOf } from '../../src/ring/position.ts'
import type { Bytes, Store } from '../../src/store.ts'
import { EMPTY_CONTEXT } from '../../src/version/causal-context.ts'
import { encodeContext, tokenToString } from '../../src/version/token.ts'
import { bytesOf, textOf } from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

export interface Subject {
  store: Store
  /** Of a cluster with N = 3 and at least three owners. */
  q: number
  clusterId: string
  /** After `store.close()`: whatever else was started for it. */
  dispose(): Promise<void>
}

const N = 3
const MEBIBYTE = 1024 * 1024

async function rejects(code: ErrorCode, work: Promise<unknown>): Promise<void> {
  const error = await work.then(
    value => value,
    error => error
  )
  assert.ok(isCoterieError(error, code), `${code} was due, not ${error}`)
}

/** Resolves when the wall clock has passed this time: two writes in one millisecond have no order. */
const later = (ms: number) => until('the wall clock goes on', () => Date.now() > ms, 5000)

async function allOf(keys: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found: string[] = []
  for await (const key of keys) found.push(textOf(key))
  return found.sort()
}

/** Runs the suite on a subject that is opened once. Keys differ from test to test. */
export function storeContract(name: string, open: () => Promise<Subject>): void {
  const test = suite(`store contract: ${name}`)
  let subject: Subject
  let store: Store

  test.before(async () => {
    subject = await open()
    store = subject.store
  })
  test.after(async () => {
    await subject.store.close()
    await subject.dispose()
  })

  const valuesOf = async (key: Bytes): Promise<string[]> => (await store.get(key)).values.map(textOf).sort()

  test('an absent key has no values, and a context all the same', async () => {
    const { values, siblings, context, replies } = await store.get('absent')
    assert.equal([values, siblings], [[], []])
    assert.ok(replies >= 1 && context.length > 0)
    const { siblings: count, replaced } = await store.put('absent', 'now there', { context })
    assert.equal([count, replaced], [1, 0])
    assert.equal(await valuesOf('absent'), ['now there'])
  })

  test('strings and bytes go in, bytes come out', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    await store.put('strings', 'Grüße 🛒')
    await store.put(bytesOf('bytes'), bytes)
    const [text] = (await store.get(bytesOf('strings'))).values
    const [raw] = (await store.get('bytes')).values
    assert.is(textOf(text), 'Grüße 🛒')
    assert.ok(raw instanceof Uint8Array)
    assert.equal(new Uint8Array(raw), bytes)
  })

  test('an empty value is a value', async () => {
    await store.put('empty value', '')
    const { values } = await store.get('empty value')
    assert.is(values.length, 1)
    assert.is(values[0].length, 0)
  })

  test('a write without context makes a sibling; the context of a read replaces all that it showed', async () => {
    await store.put('cart', 'apple')
    assert.is((await store.put('cart', 'pear')).siblings, 2)
    const read = await store.get('cart')
    assert.equal(read.values.map(textOf).sort(), ['apple', 'pear'])
    assert.equal(
      read.siblings.map(({ value }) => value),
      read.values
    )
    assert.is(new Set(read.siblings.map(({ dot }) => dot)).size, 2)
    const written = await store.put('cart', 'apple, pear', { context: read.context })
    assert.equal([written.siblings, written.replaced, written.sloppy], [1, 2, false])
    assert.match(written.dot, /^[0-9a-f]{16}:[1-9][0-9]*$/)
    assert.equal((await store.get('cart')).siblings[0].dot, written.dot)
  })

  test('the context of a write replaces that write, and no sibling that its writer has not seen', async () => {
    await store.put('blind', 'theirs')
    const mine = await store.put('blind', 'mine')
    await store.put('blind', 'mine, better', { context: mine.context })
    assert.equal(await valuesOf('blind'), ['mine, better', 'theirs'])
    const other = await store.put('blind', 'third')
    await store.delete('blind', { context: other.context })
    assert.equal(await valuesOf('blind'), ['mine, better', 'theirs'])
  })

  test('a context that is behind makes a sibling, however often it is used', async () => {
    const { context } = await store.put('stale', 'one')
    await store.put('stale', 'two', { context })
    await store.put('stale', 'three', { context })
    assert.equal(await valuesOf('stale'), ['three', 'two'])
  })

  test('of several values "latest" shows the last written, none when a delete came after it, and covers them all', async () => {
    await store.put('lww', 'first')
    const { siblings } = await store.get('lww')
    await later(siblings[0]!.writtenAt!)
    const second = await store.put('lww', 'second')
    const shown = await store.get('lww', { latest: true })
    assert.equal(
      shown.siblings.map(({ dot }) => dot),
      [second.dot]
    )
    assert.equal(shown.values.map(textOf), ['second'])
    assert.is((await store.get('lww')).values.length, 2, 'the other is still there')
    const one = await store.put('lww', 'one', { context: shown.context })
    assert.equal([one.siblings, one.replaced], [1, 2])
    const beside = await store.put('lww', 'beside')
    await later((await store.get('lww')).siblings.find(({ dot }) => dot === beside.dot)!.writtenAt!)
    await store.delete('lww', { context: one.context })
    assert.equal(await valuesOf('lww'), ['beside'])
    assert.equal((await store.get('lww', { latest: true })).values, [])
  })

  test('delete with a context deletes what it has seen, without one all there is', async () => {
    await store.put('doomed', 'a')
    const { context } = await store.get('doomed')
    await store.put('doomed', 'b')
    const { siblings, replaced } = await store.delete('doomed', { context })
    assert.equal([siblings, replaced], [1, 1])
    assert.equal(await valuesOf('doomed'), ['b'])
    await store.put('doomed', 'c')
    assert.is((await store.delete('doomed')).siblings, 0)
    assert.equal(await valuesOf('doomed'), [])
    assert.is((await store.delete('never there')).replaced, 0)
    // And it can come back.
    await store.put('doomed', 'd')
    assert.equal(await valuesOf('doomed'), ['d'])
  })

  test('update reads, merges and writes back, and deletes for undefined', async () => {
    await store.put('list', '1')
    await store.put('list', '2')
    const { siblings } = await store.update('list', values => values.map(textOf).sort().join())
    assert.is(siblings, 1)
    assert.equal(await valuesOf('list'), ['1,2'])
    await store.update('list', () => undefined)
    assert.equal(await valuesOf('list'), [])
    const broken = store.update('list', () => {
      throw new RangeError('no merge')
    })
    assert.instance(await broken.catch(error => error), RangeError)
  })

  test('ten parallel increments count to ten', async () => {
    const members = (values: Uint8Array[]) => new Set(values.flatMap(value => textOf(value).split(',')).filter(Boolean))
    const increment = (id: number) =>
      store.update('counter', values => [...members(values).add(`increment ${id}`)].sort().join(), { attempts: 50 })
    await Promise.all(Array.from({ length: 10 }, (_, id) => increment(id)))
    assert.is(members((await store.get('counter')).values).size, 10)
    await store.update('counter', values => [...members(values)].join())
    assert.is((await store.get('counter')).values.length, 1)
  })

  test('a value past its time is gone; its siblings are not', async () => {
    const from = Date.now()
    await store.put('brief', 'for ever')
    await store.put('brief', 'soon gone', { ttlMs: 300 })
    const { siblings } = await store.get('brief')
    const expiring = siblings.find(({ expiresAt }) => expiresAt !== undefined)
    if (Date.now() < from + 250) {
      assert.is(siblings.length, 2)
      assert.ok(expiring!.expiresAt! >= from + 300 && expiring!.expiresAt! < Date.now() + 2000)
    }
    await until('it has expired', async () => (await valuesOf('brief')).join() === 'for ever')
    for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await rejects('bad-usage', store.put('brief', 'v', { ttlMs }))
    }
  })

  test('keys lists what lives: all of it, by prefix, by range', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `list:${i % 2 === 0 ? 'even' : 'odd'}:${i}`).sort()
    await Promise.all(names.map(key => store.put(key, 'v', { w: 'all' })))
    await store.put('list:gone', 'v', { w: 'all' })
    await store.delete('list:gone', { w: 'all' })
    assert.equal(await allOf(store.keys({ prefix: 'list:' })), names)
    assert.equal(
      await allOf(store.keys({ prefix: bytesOf('list:odd') })),
      names.filter(key => /odd/.test(key))
    )
    assert.equal(await allOf(store.keys({ prefix: 'no such prefix' })), [])
    const every = await allOf(store.keys())
    assert.is(new Set(every).size, every.length)
    assert.ok(names.every(key => every.includes(key)))
    const range = rangeOf(positionOf(bytesOf(names[0])), subject.q)
    const there = await allOf(store.keys({ range }))
    assert.equal(
      there,
      every.filter(key => rangeOf(positionOf(bytesOf(key)), subject.q) === range)
    )
    for (const wrong of [-1, subject.q, 1.5]) await rejects('bad-usage', allOf(store.keys({ range: wrong })))
    // A reader may stop where it likes.
    for await (const key of store.keys({ prefix: 'list:' })) {
      assert.ok(key.length > 0)
      break
    }
  })

  test('odd keys are keys like others', async () => {
    const odd: Bytes[] = [
      '../x',
      '/etc/passwd',
      '__proto__',
      'constructor',
      '\0',
      '\n',
      ' ',
      '%2F',
      '🗝',
      new Uint8Array(LIMITS.maxKeyBytes).fill(255),
      Uint8Array.of(0xc3, 0x28),
      Uint8Array.of(0)
    ]
    const distinct = new Set(odd.map(key => Buffer.from(key).toString('hex')))
    for (const [i, key] of odd.entries()) await store.put(key, `value ${i}`)
    for (const [i, key] of odd.entries()) {
      const values = await valuesOf(key)
      assert.ok(values.includes(`value ${i}`), `key ${i}`)
    }
    const listed = new Set<string>()
    for await (const key of store.keys()) listed.add(Buffer.from(key).toString('hex'))
    for (const key of distinct) assert.ok(listed.has(key), key)
  })

  test('what is too large, empty or no bytes at all is refused, and nothing is stored', async () => {
    const longest = new Uint8Array(LIMITS.maxKeyBytes).fill(1)
    await store.put(longest, 'v')
    await rejects('too-large', store.put(new Uint8Array(LIMITS.maxKeyBytes + 1), 'v'))
    await rejects('too-large', store.get('x'.repeat(LIMITS.maxKeyBytes + 1)))
    await rejects('bad-usage', store.put('', 'v'))
    await rejects('bad-usage', store.get(new Uint8Array()))
    await rejects('bad-usage', store.delete(''))
    await rejects('too-large', store.put('large', new Uint8Array(LIMITS.maxValueBytes + 1)))
    for (const wrong of [7, null, undefined, {}, [1]] as unknown as Bytes[]) {
      await rejects('bad-usage', store.get(wrong))
      await rejects('bad-usage', store.put('large', wrong))
    }
    assert.equal(await valuesOf('large'), [])
  })

  test('a value of a mebibyte', async () => {
    const value = Buffer.alloc(MEBIBYTE, 'coterie')
    await store.put('mebibyte', value)
    const { values, context } = await store.get('mebibyte', { r: 'all' })
    assert.ok(values.length === 1 && value.equals(values[0]))
    await store.delete('mebibyte', { context })
  })

  test('contexts that cannot be read, or belong elsewhere, are refused', async () => {
    const { context } = await store.put('scope', 'v')
    const { context: elsewhere } = await store.put('another key', 'v')
    const foreign = tokenToString(encodeContext(EMPTY_CONTEXT, { clusterId: 'f'.repeat(32), key: bytesOf('scope') }))
    const changed = `${context.slice(0, 30)}${context[30] === 'A' ? 'B' : 'A'}${context.slice(31)}`
    for (const bad of ['no context!', 'AAAA', context.slice(0, -4), `${context}AAAA`, changed, elsewhere, foreign]) {
      await rejects('bad-context', store.put('scope', 'w', { context: bad }))
      await rejects('bad-context', store.delete('scope', { context: bad }))
    }
    assert.equal(await valuesOf('scope'), ['v'])
  })

  test('levels: a number, quorum and all; nothing below 1 or above N', async () => {
    for (const level of [1, 2, 3, 'quorum', 'all', 'default'] as Level[]) {
      const { acks } = await store.put('level', `at ${level}`, { w: level })
      assert.ok(
        acks >= (level === 'all' ? N : level === 'quorum' || level === 'default' ? 2 : level),
        `${acks} at ${level}`
      )
      const { replies } = await store.get('level', { r: level })
      assert.ok(replies >= (level === 'all' ? N : level === 'quorum' || level === 'default' ? 2 : level))
    }
    const { context } = await store.get('level')
    for (const level of [0, N + 1, -1, 1.5, Number.NaN, 'most'] as Level[]) {
      await rejects('bad-usage', store.get('level', { r: level }))
      await rejects('bad-usage', store.put('level', 'v', { w: level, context }))
      await rejects('bad-usage', store.delete('level', { w: level, context }))
    }
    assert.is((await store.get('level')).values.length, 6)
  })

  test('a signal gives an operation up with its reason', async () => {
    const reason = new Error('changed my mind')
    const aborted = AbortSignal.abort(reason)
    const outcome = (work: Promise<unknown>) => work.catch(error => error)
    assert.is(await outcome(store.get('signal', { signal: aborted })), reason)
    assert.is(await outcome(store.put('signal', 'v', { signal: aborted })), reason)
    assert.is(await outcome(store.delete('signal', { signal: aborted })), reason)
    assert.is(await outcome(store.update('signal', () => 'v', { signal: aborted })), reason)
    assert.is(await outcome(allOf(store.keys({ signal: aborted }))), reason)
    assert.equal(await valuesOf('signal'), [])
    const controller = new AbortController()
    const running = outcome(store.get('signal', { signal: controller.signal }))
    controller.abort(reason)
    assert.is(await running, reason)
    assert.equal(await valuesOf('signal'), [])
  })

  test('deadlines are milliseconds above 0', async () => {
    for (const timeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await rejects('bad-usage', store.get('deadline', { timeoutMs }))
      await rejects('bad-usage', store.put('deadline', 'v', { timeoutMs }))
    }
    assert.equal((await store.get('deadline', { timeoutMs: 10_000 })).values, [])
  })

  test('the sibling after the last is refused, and a write that shrinks the key is taken', async () => {
    for (let i = 0; i < LIMITS.maxSiblings; i++) await store.put('explosion', `v${i}`, { w: 'all' })
    await rejects('too-many-siblings', store.put('explosion', 'one more'))
    const { values, context } = await store.get('explosion')
    assert.is(values.length, LIMITS.maxSiblings)
    const { siblings, replaced } = await store.put('explosion', 'merged', { context })
    assert.equal([siblings, replaced], [1, LIMITS.maxSiblings])
    assert.equal(await valuesOf('explosion'), ['merged'])
  })

  test('a closed store says so, whatever is asked of it, and may be closed again', async () => {
    await store.close()
    await rejects('closed', store.get('k'))
    await rejects('closed', store.put('k', 'v'))
    await rejects('closed', store.delete('k'))
    await rejects(
      'closed',
      store.update('k', () => 'v')
    )
    await rejects('closed', allOf(store.keys()))
    await store.close()
  })

  test.run()
}
