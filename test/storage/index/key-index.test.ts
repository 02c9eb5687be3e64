import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KeyIndex } from '../../../src/storage/index/key-index.ts'

const test = suite('key index')
const Q = 16
const RANGE_HI = 0x50000000

// Few different positions, so that they meet; many at the very start and end of the range.
const position = fc.oneof(
  fc.record({ hi: fc.nat(0x0fffffff), lo: fc.nat(0xffffffff) }),
  fc.record({ hi: fc.constantFrom(0, 1, 0x0fffffff), lo: fc.constantFrom(0, 1, 0xffffffff) }),
  // Clusters that run over several homes.
  fc.record({ hi: fc.nat(15).map(n => n * 0x200000), lo: fc.nat(7) })
)
const action = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'insert', 'replace', 'remove', 'remove'),
  position,
  pick: fc.nat(),
  tag: fc.nat(0xffffffff)
})

interface Row {
  hi: number
  lo: number
  offset: number
  tag: number
}

test('agrees with a list, in order of position', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300 }), actions => {
      const index = new KeyIndex(Q)
      let model: Row[] = []
      let nextOffset = 40
      for (const { kind, position, pick, tag } of actions) {
        const offset = (nextOffset += 8)
        const row = model[pick % Math.max(1, model.length)]
        if (kind === 'insert' || !row) {
          const fresh = { hi: (RANGE_HI | position.hi) >>> 0, lo: position.lo, offset, tag }
          index.insert(fresh.hi, fresh.lo, { offset, length: 8, tag })
          model.push(fresh)
        } else if (kind === 'replace') {
          assert.ok(index.replace(row.hi, row.lo, row.offset, { offset, length: 8, tag }))
          Object.assign(row, { offset, tag })
        } else {
          assert.ok(index.remove(row.hi, row.lo, row.offset))
          assert.not(index.remove(row.hi, row.lo, row.offset))
          model = model.filter(other => other !== row)
        }
      }
      assert.is(index.size, model.length)
      const positions: number[][] = []
      const tags: number[] = []
      index.forEach((hi, lo, tag) => {
        positions.push([hi, lo])
        tags.push(tag)
      })
      const sorted = [...positions].sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!)
      assert.equal(positions, sorted)
      assert.equal(tags.sort(), model.map(row => row.tag).sort())
      for (const { hi, lo } of model) {
        const found = index.find(hi, lo).map(entry => entry.offset)
        const expected = model.filter(row => row.hi === hi && row.lo === lo).map(row => row.offset)
        assert.equal(found.sort(), expected.sort())
      }
    }),
    { numRuns: 300 }
  )
})

test('pages cover everything once, positions never split', () => {
  fc.assert(
    fc.property(fc.array(position, { maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (positions, limit) => {
      const index = new KeyIndex(Q)
      for (const [i, { hi, lo }] of positions.entries()) {
        index.insert((RANGE_HI | hi) >>> 0, lo, { offset: 40 + 8 * i, length: 8, tag: i })
      }
      const seen: number[] = []
      let after: { hi: number; lo: number } | undefined
      for (;;) {
        const page = index.after(after, limit)
        if (page.length === 0) break
        seen.push(...page.map(entry => entry.tag))
        after = page.at(-1)
      }
      const all: number[] = []
      index.forEach((_hi, _lo, tag) => {
        all.push(tag)
      })
      assert.equal(seen, all)
    })
  )
})

test('costs at most 32 bytes a key, at every size', () => {
  const index = new KeyIndex(1)
  let seed = 1
  for (let i = 1; i <= 50_000; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    index.insert(seed, i, { offset: 40 + 8 * i, length: 100, tag: 0 })
    if (i >= 1000) assert.ok(index.bytes / index.size <= 32, `${index.bytes / index.size} bytes a key at ${i}`)
  }
})

test('thousands of keys at one position, at the end of the range, stay found and bounded', () => {
  const index = new KeyIndex(Q)
  for (let i = 0; i < 2000; i++) index.insert(0x5fffffff, 0xffffffff, { offset: 40 + 8 * i, length: 8, tag: i })
  assert.is(index.find(0x5fffffff, 0xffffffff).length, 2000)
  assert.ok(index.bytes < 2000 * 20 * 4)
  for (let i = 0; i < 2000; i++) assert.ok(index.remove(0x5fffffff, 0xffffffff, 40 + 8 * i))
  assert.is(index.size, 0)
})

test.run()
