/**
 * A suite that cuts each of some workloads in every durability, and prints what it tried.
 * `CUTS_BUDGET=10 CUTS_SEED=7 npm test -- test/storage/cuts` tries ten times as much, of other journals.
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { enumerateCuts, type Workload } from './enumeration.ts'

const MODES: Durability[] = ['disk', 'interval', 'os']
const SEED = process.env.CUTS_SEED ?? '1'

/** `least`: so many images are tried by default, or the suite has lost its point. */
export function cutAll(name: string, workloads: Workload[], least: number): void {
  const test = suite(`cuts of ${name}`)
  let images = 0
  let distinct = 0
  for (const workload of workloads) {
    for (const durability of MODES) {
      test(`${workload.name}, ${durability}, seed ${SEED}`, async () => {
        const found = await enumerateCuts(workload, durability, { seed: SEED })
        found.reasons.mustBeEmpty()
        images += found.images + found.second
        distinct += found.distinct
        const where = `${workload.name}, ${durability}: ${found.points} points of ${found.operations} operations`
        const tried = `${found.images} images, ${found.second} of second cuts, ${found.distinct} distinct`
        console.log(`\n| cut points of ${where}, ${tried}`)
      })
    }
  }
  test('they were enough', () => {
    console.log(`\n| cut points of ${name}, all: ${images} images, ${distinct} distinct`)
    assert.ok(images >= least, `${images} images`)
  })
  test.run()
}
