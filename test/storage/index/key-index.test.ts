import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type IndexEntry, KeyIndex, MAX_FILE, type Position } from '../../../src/storage/index/key-index.ts'

const test = suite('key index')
/** Pages split early, so that a few hundred keys make many. */
const SMALL = 8
const MAX_LENGTH = 64 * 1024 * 1024 + 1068
const MAX_OFFSET = 2 ** 35 - 8

/** A range of each width, the first, a middle or the last one. */
const range = fc
  .constantFrom(1, 2, 8, 16, 4096)
  .chain(q => fc.record({ q: fc.constant(q), number: fc.constantFrom(0, q >> 1, q - 1) }))

// Few different positions, so that they meet; many at the very start and end of the range. Shares of the range, 64 bits.
const share = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 2n, 2n ** 64n - 1n),
  // A narrow slice in the middle and one at the end, as someone could make them.
  fc.nat(40).map(n => 0x5555_5555_0000_0000n + BigInt(n) * 2n ** 14n),
  fc.nat(40).map(n => 2n ** 64n - 1n - BigInt(n) * 2n ** 14n),
  // Clusters that run over several homes.
  fc.nat(15).map(n => BigInt(n) << 60n)
)

function position({ q, number }: { q: number; number: number }, share: bigint): Position {
  const all = (BigInt(number) << 64n) / BigInt(q) + share / BigInt(q)
  return { hi: Number(all >> 32n), lo: Number(all & 0xffffffffn) }
}

const action = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'insert', 'replace', 'remove'),
  share,
  pick: fc.nat(),
  file: fc.oneof(fc.nat(2), fc.constant(MAX_FILE)),
  length: fc.constantFrom(56, MAX_LENGTH),
  tag: fc.oneof(fc.nat(9), fc.constantFrom(2 ** 31, 2 ** 32 - 1))
})

type Row = IndexEntry & Position

const byPosition = (a: Position, b: Position) => a.hi - b.hi || a.lo - b.lo
const blank = (): IndexEntry => ({ file: -1, offset: -1, length: -1, tag: -1 })

/** `rows` in order of insertion. Entries of one position come in that order too. */
function assertSame(index: KeyIndex, rows: Row[]): void {
  const sorted = [...rows].sort(byPosition)
  assert.is(index.size, rows.length)
  assert.equal(index.after(undefined, rows.length + 1), sorted)
  const tags: number[] = []
  index.forEach((_hi, _lo, tag) => {
    tags.push(tag)
  })
  assert.equal(
    tags,
    sorted.map(row => row.tag)
  )
  let collides = false
  for (const { hi, lo } of rows) {
    const expected = rows.filter(row => byPosition(row, { hi, lo }) === 0).map(({ hi, lo, ...entry }) => entry)
    collides ||= expected.length > 1
    const into = blank()
    assert.is(index.lookup(hi, lo, into), expected.length)
    assert.equal(into, expected[0])
    assert.equal(index.find(hi, lo), expected)
    assert.is(index.tagOf(hi, lo), expected[0]!.tag)
  }
  assert.is(index.collides, collides)
  for (let file = 0; file <= MAX_FILE; file++) {
    assert.is(index.entriesIn(file), rows.filter(row => row.file === file).length)
  }
}

test('agrees with a list, in order of position', () => {
  fc.assert(
    fc.property(range, fc.constantFrom(SMALL, 3, 64), fc.array(action, { maxLength: 300 }), (range, split, actions) => {
      const index = new KeyIndex(range.q, split)
      let rows: Row[] = []
      let offset = MAX_OFFSET
      for (const { kind, share, pick, file, length, tag } of actions) {
        offset -= 8
        const row = rows[pick % Math.max(1, rows.length)]
        const entry = { file, offset, length, tag }
        if (kind === 'insert' || !row) {
          const { hi, lo } = position(range, share)
          const count = rows.filter(row => byPosition(row, { hi, lo }) === 0).length
          assert.is(index.lookup(hi, lo, blank()), count)
          if (count === 0) assert.is(index.tagOf(hi, lo), undefined)
          index.insert(hi, lo, entry)
          rows.push({ hi, lo, ...entry })
        } else if (kind === 'replace') {
          assert.not(index.replace(row.hi, row.lo, row.file ^ 1, row.offset, entry))
          assert.ok(index.replace(row.hi, row.lo, row.file, row.offset, entry))
          Object.assign(row, entry)
        } else {
          assert.ok(index.remove(row.hi, row.lo, row.file, row.offset))
          assert.not(index.remove(row.hi, row.lo, row.file, row.offset))
          rows = rows.filter(other => other !== row)
        }
      }
      assertSame(index, rows)
      for (const row of rows) assert.ok(index.remove(row.hi, row.lo, row.file, row.offset))
      assertSame(index, [])
    }),
    { numRuns: 300 }
  )
})

test('walks cover everything once while pages split, positions never come apart', () => {
  fc.assert(
    fc.property(
      range,
      fc.array(share, { maxLength: 200 }),
      fc.array(share, { maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      (range, before, between, limit) => {
        const index = new KeyIndex(range.q, SMALL)
        let next = 0
        const insert = (share: bigint) => {
          const { hi, lo } = position(range, share)
          index.insert(hi, lo, { file: 0, offset: 40 + 8 * next, length: 8, tag: next })
          next++
        }
        before.forEach(insert)
        const seen: { hi: number; lo: number; tag: number }[] = []
        let after: Position | undefined
        do {
          const first = seen.length
          after = index.walk(after, limit, (hi, lo, _file, _offset, _length, tag) => {
            seen.push({ hi, lo, tag })
          })
          if (after) {
            const { hi, lo } = seen.at(-1)!
            assert.equal(after, { hi, lo })
            assert.ok(seen.length - first >= limit)
            assert.ok(index.after(after, 1).every(entry => byPosition(entry, { hi, lo }) > 0))
          }
          // What comes in between may be seen or not; it may not disturb the rest.
          between.splice(0, 4).forEach(insert)
        } while (after)
        const old = seen.filter(({ tag }) => tag < before.length).map(({ tag }) => tag)
        const expected = index.after(undefined, Number.POSITIVE_INFINITY).filter(({ tag }) => tag < before.length)
        assert.equal(
          old,
          expected.map(({ tag }) => tag)
        )
        for (let i = 1; i < seen.length; i++) assert.ok(byPosition(seen[i - 1]!, seen[i]!) <= 0)
      }
    )
  )
})

/** The same positions in every run: a linear congruence, whose high bits are good enough. */
function* positions(count: number, q = 1): Generator<Position> {
  let state = 1n
  for (let i = 0; i < count; i++) {
    state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n
    yield position({ q, number: q - 1 }, state)
  }
}

test('costs at most 32 bytes a key at every size, next to nothing when empty', () => {
  for (const q of [1, 4096]) {
    const index = new KeyIndex(q)
    let i = 0
    for (const { hi, lo } of positions(300_000, q)) {
      assert.ok(i > 10 || index.bytes < 1024, `${index.bytes} bytes for ${i} keys`)
      index.insert(hi, lo, { file: 0, offset: 40 + 8 * i++, length: 100, tag: i })
      if (i < 1000 || (i > 5000 && i % 97 > 0)) continue
      assert.ok(index.bytes / i <= 28, `${index.bytes / i} bytes a key at ${i}`)
    }
    let left = i
    for (const { hi, lo } of positions(i, q)) assert.is(index.tagOf(hi, lo), i - --left)
    let last: Position = { hi: -1, lo: 0 }
    for (const entry of index.after(undefined, i)) {
      assert.ok(byPosition(last, entry) < 0)
      last = entry
    }
    left = i
    for (const { hi, lo } of positions(i, q)) assert.ok(index.remove(hi, lo, 0, 40 + 8 * (i - left--)))
    assert.is(index.size, 0)
    assert.ok(index.bytes < 100_000, `${index.bytes} bytes after all are gone`)
  }
})

test('room made beforehand is enough, and no more than that', () => {
  for (const [count, split] of [
    [0, SMALL],
    [5, SMALL],
    [500, SMALL],
    [10_000, 64],
    [100_000, 16_384]
  ] as const) {
    const sorted = [...positions(count, 8)].sort(byPosition)
    const rows = sorted.map(({ hi, lo }, i) => ({ hi, lo, file: i % 3, offset: 40 + 8 * i, length: 8, tag: i }))
    const index = new KeyIndex(8, split)
    index.reserve(count)
    for (const { hi, lo, ...entry } of rows) index.insert(hi, lo, entry)
    assert.equal(index.after(undefined, count), rows)
    if (count >= 100_000) assert.ok(index.bytes / count <= 24, `${index.bytes / count} bytes a key`)
    index.reserve(1_000_000)
    assert.is(index.size, count)
    assert.is(index.after(undefined, 1).length, Math.min(1, count))
  }
})

test('thousands of keys at one position stay found and bounded, at both ends of the range', () => {
  for (const { hi, lo } of [
    { hi: 0x50000000, lo: 0 },
    { hi: 0x5fffffff, lo: 0xffffffff }
  ]) {
    const index = new KeyIndex(16, 64)
    for (let i = 0; i < 3000; i++) index.insert(hi, lo, { file: i & 1, offset: 40 + 8 * i, length: 8, tag: i })
    assert.is(index.lookup(hi, lo, blank()), 3000)
    assert.equal(
      index.find(hi, lo).map(entry => entry.tag),
      Array.from({ length: 3000 }, (_, i) => i)
    )
    assert.is(index.after(undefined, 1).length, 3000)
    assert.ok(index.bytes < 3000 * 20 * 4, `${index.bytes} bytes`)
    for (let i = 0; i < 3000; i++) {
      assert.is(index.collides, i < 2999)
      assert.ok(index.remove(hi, lo, i & 1, 40 + 8 * i))
    }
    assert.is(index.size, 0)
    assert.is(index.entriesIn(0) + index.entriesIn(1), 0)
  }
})

test('tens of thousands of keys in a narrow slice stay found and bounded', () => {
  // 40 bits in common: more than pages can be told apart by. Both halves of a 20-bit slice: a deep directory.
  for (const common of [8n, 12n, 20n, 40n]) {
    const index = new KeyIndex(16)
    const rows: Row[] = []
    let i = 0
    for (const { hi, lo } of positions(20_000)) {
      const share = (2n ** 64n - 2n ** (64n - common)) | (((BigInt(hi) << 32n) | BigInt(lo)) >> common)
      const row = { ...position({ q: 16, number: 5 }, share), file: 1, offset: 40 + 8 * i++, length: 8, tag: i }
      rows.push(row)
      index.insert(row.hi, row.lo, row)
    }
    assert.ok(index.bytes / i < 64, `${index.bytes / i} bytes a key with ${common} bits in common`)
    const into = blank()
    for (const { hi, lo, tag } of rows) {
      assert.is.not(index.lookup(hi, lo, into), 0)
      if (common < 40n) assert.is(into.tag, tag)
    }
    assert.equal(index.after(undefined, i), [...rows].sort(byPosition))
  }
})

test.run()
