/**
 * What the index costs, measured by hand (not a test: nothing is judged):
 * `node --expose-gc test/storage/index/key-index.measure.ts [KEYS] [random|sorted] [Q]`.
 */
import { type IndexEntry, KeyIndex } from '../../../src/storage/index/key-index.ts'

const keys = Number(process.argv[2] ?? 10_000_000)
const order = process.argv[3] ?? 'random'
const q = Number(process.argv[4] ?? 1)
const collect = globalThis.gc ?? (() => {})
const perKey = (bytes: number) => (bytes / keys).toFixed(2)
const memory = () => {
  collect()
  collect()
  const { rss, arrayBuffers, heapUsed } = process.memoryUsage()
  return { rss, arrayBuffers, heapUsed }
}

let a = 0x9e3779b9
let b = 0x243f6a88
let c = 0xb7e15162
/** sfc32 without its counter: the same positions in every run. */
function random(): number {
  const sum = (a + b) | 0
  a = b ^ (b >>> 9)
  b = (c + (c << 3)) | 0
  c = ((c << 21) | (c >>> 11)) + sum
  return sum >>> 0
}

const his = new Uint32Array(keys)
const los = new Uint32Array(keys)
const rangeBits = Math.log2(q)
if (order === 'sorted') {
  const sorted = new BigUint64Array(keys)
  for (let i = 0; i < keys; i++) sorted[i] = (BigInt(random() >>> rangeBits) << 32n) | BigInt(random())
  sorted.sort()
  for (let i = 0; i < keys; i++) {
    his[i] = Number(sorted[i]! >> 32n)
    los[i] = Number(sorted[i]! & 0xffffffffn)
  }
} else {
  for (let i = 0; i < keys; i++) {
    his[i] = random() >>> rangeBits
    los[i] = random()
  }
}

const entry: IndexEntry = { file: 0, offset: 0, length: 0, tag: 0 }
function fill(index: KeyIndex, count: number): void {
  for (let i = 0; i < count; i++) {
    entry.file = i & 3
    entry.offset = 40 + 8 * i
    entry.length = 300
    entry.tag = i
    index.insert(his[i]!, los[i]!, entry)
  }
}

// Warm up the code, then the clock, which costs some 40 ns a call and stands in a run of its own.
fill(new KeyIndex(q), Math.min(keys, 300_000))
let peak = 0
const before = memory()
const index = new KeyIndex(q)
const reserveMs = performance.now()
if (order === 'sorted') index.reserve(keys)
const startMs = performance.now()
fill(index, keys)
const endMs = performance.now()
peak = process.memoryUsage().rss
const after = memory()
console.log(
  `reserve ${(startMs - reserveMs).toFixed(1)} ms; ${keys} inserts (${order}): ${((endMs - startMs) / 1000).toFixed(2)} s, ${(((endMs - startMs) * 1e6) / keys).toFixed(0)} ns each`
)
console.log(
  `bytes a key: rss ${perKey(after.rss - before.rss)} (before collecting ${perKey(peak - before.rss)}), array buffers ${perKey(after.arrayBuffers - before.arrayBuffers)}, heap ${perKey(after.heapUsed - before.heapUsed)}, index.bytes ${perKey(index.bytes)}`
)

function lookups(step: number): number {
  let found = 0
  for (let i = 0, at = 0; i < keys; i++, at = (at + step) % keys) found += index.lookup(his[at]!, los[at]!, entry)
  return found
}
for (const [what, step] of [
  ['in order of insertion', 1],
  ['in another order', 7_368_787]
] as const) {
  const start = performance.now()
  const found = lookups(step)
  console.log(
    `lookup of what is there, ${what}: ${(((performance.now() - start) * 1e6) / keys).toFixed(0)} ns (${found})`
  )
}
const missMs = performance.now()
let found = 0
for (let i = 0; i < keys; i++) found += index.lookup(his[i]!, (los[i]! ^ 0x55555555) >>> 0, entry)
console.log(`lookup of what is not: ${(((performance.now() - missMs) * 1e6) / keys).toFixed(0)} ns (${found})`)
const walkMs = performance.now()
let sum = 0
index.walk(undefined, Number.POSITIVE_INFINITY, (_hi, _lo, _file, _offset, _length, tag) => {
  sum += tag
})
console.log(`walk: ${(((performance.now() - walkMs) * 1e6) / keys).toFixed(0)} ns an entry (${sum})`)

const timed = new KeyIndex(q)
const longest: { ms: number; at: number }[] = []
const limits = [0.2, 1, 2, 5]
const over = limits.map(() => 0)
for (let i = 0; i < keys; i++) {
  entry.offset = 40 + 8 * i
  const start = performance.now()
  timed.insert(his[i]!, los[i]!, entry)
  const ms = performance.now() - start
  if (ms > limits[0]!) for (const [at, limit] of limits.entries()) if (ms > limit) over[at]!++
  if (longest.length < 8 || ms > longest.at(-1)!.ms) {
    longest.push({ ms, at: i })
    longest.sort((x, y) => y.ms - x.ms)
    longest.length = Math.min(longest.length, 8)
  }
}
console.log(
  `longest inserts: ${longest.map(({ ms, at }) => `${ms.toFixed(2)} ms (#${at})`).join(', ')}; over ${limits.join('/')} ms: ${over.join('/')}`
)
