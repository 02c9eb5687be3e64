/** The record cache: bounded bytes, and what is used stays. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RecordCache } from '../../src/storage/cache.ts'
import { bytesOf, textOf } from './helpers.ts'

const test = suite('record cache')
const OVERHEAD = 512
const KEY = bytesOf('k')

const record = (bytes: number, fill = 0) => ({ key: KEY, value: new Uint8Array(bytes).fill(fill) })
/** Offsets are on the grid of records. */
const at = (i: number) => 48 + 8 * i

test('holds what is set, by file and offset, and forgets what is deleted or replaced', () => {
  const cache = new RecordCache(100_000)
  cache.set(1, at(0), { key: KEY, value: bytesOf('one') })
  cache.set(2, at(0), { key: KEY, value: bytesOf('two') })
  cache.set(1, 2 ** 35 - 8, { key: KEY, value: bytesOf('far') })
  assert.is(textOf(cache.get(1, at(0))?.value), 'one')
  assert.is(textOf(cache.get(2, at(0))?.value), 'two')
  assert.is(textOf(cache.get(1, 2 ** 35 - 8)?.value), 'far')
  assert.is(cache.get(1, at(1)), undefined)
  cache.set(1, at(0), { key: KEY, value: bytesOf('uno') })
  assert.is(textOf(cache.get(1, at(0))?.value), 'uno')
  assert.is(cache.bytes, 3 * (OVERHEAD + 1 + 3))
  cache.delete(1, at(0))
  cache.delete(1, at(0))
  assert.is(cache.get(1, at(0)), undefined)
  cache.delete(2, at(0))
  cache.delete(1, 2 ** 35 - 8)
  assert.is(cache.bytes, 0)
})

test('whatever is done: never over its bytes, never a wrong record, the count is right', () => {
  const step = fc.record({
    kind: fc.constantFrom('set', 'set', 'set', 'get', 'delete'),
    file: fc.nat(2),
    place: fc.nat(20),
    bytes: fc.nat(1500)
  })
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300, size: 'max' }),
      fc.constantFrom(0, 3000, 12_000),
      (steps, maxBytes) => {
        const cache = new RecordCache(maxBytes)
        const latest = new Map<string, number>()
        for (const { kind, file, place, bytes } of steps) {
          const name = `${file} ${place}`
          if (kind === 'set') cache.set(file, at(place), record(bytes, bytes % 251))
          if (kind === 'set') latest.set(name, bytes)
          if (kind === 'delete') cache.delete(file, at(place))
          if (kind === 'delete') latest.delete(name)
          const value = cache.get(file, at(place))?.value
          if (value)
            assert.equal([value.length, value[0] ?? 0], [latest.get(name)!, value.length && value.length % 251])
          assert.ok(cache.bytes <= maxBytes)
        }
        let bytes = 0
        for (let file = 0; file <= 2; file++)
          for (let place = 0; place <= 20; place++) {
            const found = cache.get(file, at(place))
            if (found) bytes += OVERHEAD + 1 + found.value.length
          }
        assert.is(cache.bytes, bytes)
      }
    ),
    { numRuns: 200 }
  )
})

test('hot records survive a scan of cold ones, however long', () => {
  const cache = new RecordCache(100 * (OVERHEAD + 1 + 100))
  for (let i = 0; i < 20; i++) cache.set(1, at(i), record(100))
  for (let cold = 0; cold < 5000; cold++) {
    if (cold % 20 === 0) for (let i = 0; i < 20; i++) assert.ok(cache.get(1, at(i)), `${i} after ${cold}`)
    cache.set(2, at(cold), record(100))
  }
  assert.ok(cache.get(2, at(4999)), 'the latest is in')
  assert.not(cache.get(2, at(100)), 'an old one that nobody asked for')
})

test('a working set that moves on is followed: what is read again and again gets in, what nobody reads goes', () => {
  const cache = new RecordCache(100 * (OVERHEAD + 1 + 100))
  for (let i = 0; i < 1000; i++) cache.set(1, at(i), record(100))
  let hits = 0
  for (let round = 0; round < 10; round++)
    for (let i = 0; i < 50; i++)
      if (cache.get(2, at(i))) hits++
      else cache.set(2, at(i), record(100))
  assert.ok(hits >= 400, `${hits} of 500 reads hit`)
})

test('a record that would push many out is not taken, and takes the one it replaces along', () => {
  const cache = new RecordCache(8000)
  cache.set(1, at(0), record(1000 - OVERHEAD - 1))
  assert.ok(cache.get(1, at(0)))
  cache.set(1, at(0), record(1001 - OVERHEAD - 1))
  assert.is(cache.get(1, at(0)), undefined)
  assert.is(cache.bytes, 0)
})

test('writing one key over and over pushes nothing out while there is room', () => {
  const cache = new RecordCache(10_000_000)
  for (let i = 0; i < 1000; i++) cache.set(1, at(i), record(10))
  for (let i = 0; i < 20_000; i++) {
    cache.delete(2, at(i))
    cache.set(2, at(i + 1), record(10))
  }
  let left = 0
  for (let i = 0; i < 1000; i++) if (cache.get(1, at(i))) left++
  assert.is(left, 1000)
})

test('a small view does not keep a large buffer alive', () => {
  const cache = new RecordCache(1_000_000)
  const large = new Uint8Array(500_000)
  cache.set(1, at(0), { key: large.subarray(0, 3), value: large.subarray(10, 30) })
  const kept = cache.get(1, at(0))!
  assert.ok(kept.key.buffer.byteLength + kept.value.buffer.byteLength < 10_000)
})

test.run()
