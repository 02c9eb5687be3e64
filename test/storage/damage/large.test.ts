/** Random damage to large logs: many records, values longer than what is read at once checks in one piece. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimRandom } from '../../../src/sim/world/random.ts'
import type { Spoiled } from './damagers.ts'
import { examine } from './examine.ts'
import { Findings } from './findings.ts'
import { type Sample, sampleOf } from './sample.ts'

const test = suite('damage to large logs')
const SEED = process.env.DAMAGE_SEED ?? '1'
const TRIES = 100
const MIB = 1024 * 1024

function randomDamage(bytes: Uint8Array, random: SimRandom): Spoiled {
  const at = random.below(bytes.length)
  const length = Math.min(random.pick([1, 8, 64, 512, 4096, 65_536]), bytes.length - at)
  const spoiled = new Uint8Array(bytes)
  const page = 4096 * random.below(Math.floor(bytes.length / 4096))
  const other = 4096 * random.below(Math.floor(bytes.length / 4096))
  switch (random.below(6)) {
    case 0: {
      const hits = Array.from({ length: random.between(1, 5) }, () => random.below(bytes.length))
      for (const hit of hits) spoiled[hit]! ^= 1 << random.below(8)
      return { how: `bytes ${hits.join(', ')} flipped`, bytes: spoiled }
    }
    case 1:
      return { how: `${length} bytes at ${at} zeroed`, bytes: spoiled.fill(0, at, at + length) }
    case 2:
      spoiled.set(random.bytes(length), at)
      return { how: `${length} bytes at ${at} random`, bytes: spoiled }
    case 3:
      spoiled.copyWithin(page, other, other + 4096)
      return { how: `the page at ${other} copied to ${page}`, bytes: spoiled }
    case 4:
      spoiled.set(bytes.subarray(page, page + 4096), other)
      spoiled.set(bytes.subarray(other, other + 4096), page)
      return { how: `the pages at ${page} and ${other} swapped`, bytes: spoiled }
    default:
      return { how: `cut off at ${at}`, bytes: bytes.slice(0, at) }
  }
}

/** The keys around what is hit, and some others. */
function looked({ keys, records }: Sample, before: Uint8Array, now: Uint8Array, random: SimRandom) {
  const isHit = (offset: number, end: number): boolean =>
    end > now.length || Buffer.compare(before.subarray(offset, end), now.subarray(offset, end)) !== 0
  const names = new Set<string>()
  const hits = records.flatMap(({ offset, end }, i) => (isHit(offset, end) ? [i] : []))
  for (const i of hits.slice(0, 20)) for (const near of records.slice(Math.max(0, i - 2), i + 3)) names.add(near.key)
  return keys.filter(({ bytes }) => names.has(Buffer.from(bytes).toString()) || random.chance(60 / keys.length))
}

for (const hint of [false, true]) {
  test(`${hint ? 'with a hint' : 'no hint'}, seed ${SEED}`, async () => {
    const random = new SimRandom(`large, ${hint}, seed ${SEED}`)
    const sample = await sampleOf({ files: 1, hint, keys: 6500, rounds: 2, maxValueBytes: 1300, large: 40 })
    const [path] = sample.paths
    const before = sample.image.get(path!)!
    assert.ok(before.length > 8 * MIB, `${before.length} bytes`)
    assert.ok(sample.records.length > 10_000, `${sample.records.length} records`)
    const findings = new Findings()
    for (let i = 0; i < TRIES; i++) {
      const { how, bytes } = randomDamage(before, random)
      const image = new Map(sample.image).set(path!, bytes)
      const keys = looked(sample, before, bytes, random)
      await findings.note(`seed ${SEED}, try ${i}: ${how}`, () => examine(sample, image, keys, i % 4 === 0))
    }
    const size = `${sample.records.length} records, ${(before.length / MIB).toFixed(1)} MiB`
    console.log(`\n| damage to a large log (${size}), ${hint ? 'with a hint' : 'no hint'}: ${findings.summary()}`)
    findings.mustBeEmpty()
  })
}

test.run()
