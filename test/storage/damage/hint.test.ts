/** Whatever is done to a hint, it changes no answer: it checks, or it is as if there were none. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { blocks, EVERY_BIT, flips, truncations } from './damagers.ts'
import { examine } from './examine.ts'
import { Findings } from './findings.ts'
import { sampleOf } from './sample.ts'

const test = suite('damage to hints')

for (const files of [1, 2] as const) {
  for (const more of [0, 3]) {
    const name = `${files === 1 ? 'one file' : 'two files'}, ${more} records after it`
    test(name, async () => {
      const sample = await sampleOf({ files, hint: true, more })
      const path = sample.hintPath!
      const bytes = sample.image.get(path)!
      const findings = new Findings()
      const sound = await examine(sample, sample.image)
      const random = new SimRandom(`blocks of ${path}`)
      for (const ways of [flips(bytes, EVERY_BIT), truncations(bytes), blocks(bytes, random)]) {
        for (const { how, bytes } of ways) {
          const image = new Map(sample.image).set(path, bytes)
          const examined = await findings.note(`hint: ${how}`, () => examine(sample, image))
          if (examined) assert.equal(examined, sound, how)
        }
      }
      console.log(`\n| damage to the hint of ${name} (${bytes.length} bytes): ${findings.summary()}`)
      findings.mustBeEmpty()
    })
  }
}

test.run()
