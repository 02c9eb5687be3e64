/** Every small damage to small logs: no wrong value, no sound record lost, nothing lost without a word. */
import { suite } from 'uvu'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { blocks, EVERY_BIT, flips, type Spoiled, TWO_MASKS, truncations } from './damagers.ts'
import { examine } from './examine.ts'
import { Findings } from './findings.ts'
import { type Sample, sampleOf } from './sample.ts'

const test = suite('damage to logs')

async function spoil(sample: Sample, path: string, ways: Iterable<Spoiled>, findings: Findings): Promise<void> {
  for (const { how, bytes } of ways) {
    const image = new Map(sample.image).set(path, bytes)
    await findings.note(`${path}: ${how}`, () => examine(sample, image))
  }
}

for (const files of [1, 2] as const) {
  for (const hint of [false, true]) {
    const name = `${files === 1 ? 'one file' : 'two files'}, ${hint ? 'with a hint' : 'no hint'}`
    test(name, async () => {
      const sample = await sampleOf({ files, hint })
      const findings = new Findings()
      for (const path of sample.paths) {
        const bytes = sample.image.get(path)!
        const masks = files === 1 && !hint ? EVERY_BIT : TWO_MASKS
        await spoil(sample, path, flips(bytes, masks), findings)
        await spoil(sample, path, truncations(bytes), findings)
        await spoil(sample, path, blocks(bytes, new SimRandom(`blocks of ${path}`)), findings)
      }
      console.log(`\n| damage to ${name} (${sample.records.length} records): ${findings.summary()}`)
      findings.mustBeEmpty()
    })
  }
}

test.run()
