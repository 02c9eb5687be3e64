/**
 * What a store makes of an image: what it says when it opens, what every key is, and whether it works: puts, removals,
 * rewriting, closing, opening again. Done once for each distinct image.
 */
import { SimRandom } from '../../../src/sim/world/random.ts'
import type { Damage, RangeStore, StoredKey } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, ManualTime, textOf } from '../helpers.ts'
import { nameOf } from './history.ts'
import type { Image } from './journal-files.ts'
import { drive, keyIn, type LifeSettings, storeOn } from './life.ts'

export interface KnownKey {
  name: string
  range: number
  key: StoredKey
}

export interface Observation {
  /** In words: something was thrown, or did not work. */
  failure?: string
  damages: Damage[]
  /** Files that were moved aside. */
  aside: string[]
  /** Name → value of every key that is there. */
  values: Map<string, string>
}

export interface ReopenSettings extends LifeSettings {
  keys: KnownKey[]
  ranges: number[]
  /** Between opening and looking: e.g. the rest of a transfer. */
  prepare?: (store: RangeStore) => Promise<void>
}

const FILLER = 'filler'
const MAX_LOOKS = 100

export async function reopen(image: Image, settings: ReopenSettings): Promise<Observation> {
  const seen: Observation = { damages: [], aside: [], values: new Map() }
  const files = new FakeFiles()
  // A copy: a slice of a Buffer would be a part of the image itself.
  for (const [path, bytes] of image) files.set(path, new Uint8Array(bytes))
  const time = new ManualTime()
  try {
    await drive(time, lookAt(files, time, settings, seen))
  } catch (error) {
    seen.failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  return seen
}

async function lookAt(files: FakeFiles, time: ManualTime, settings: ReopenSettings, seen: Observation): Promise<void> {
  const random = new SimRandom('reopened')
  const store = storeOn(files, time, random, settings)
  const { damages } = await store.open()
  seen.damages = damages
  seen.aside = files.paths().filter(path => path.includes('.damaged'))
  await settings.prepare?.(store)
  seen.values = await contentsOf(store, settings)
  const expected = await changed(store, seen.values, settings)
  await rewritten(store, time, settings)
  agree(await contentsOf(store, settings), expected, 'after rewriting')
  await store.close()
  if (files.openHandles > 0) throw new Error(`${files.openHandles} files are still open`)
  const again = storeOn(files, time, random, settings)
  const report = await again.open()
  agree(await contentsOf(again, settings), expected, 'after closing and opening')
  if (report.damages.length > 0) throw new Error(`damage that rewriting left: ${JSON.stringify(report.damages)}`)
  await again.close()
}

/** Every key by its page and by name, which have to agree. */
export async function contentsOf(
  store: RangeStore,
  settings: Pick<ReopenSettings, 'keys' | 'ranges'>
): Promise<Map<string, string>> {
  const values = new Map<string, string>()
  for (const range of settings.ranges) {
    if (store.state(range) === 'absent') continue
    const known = settings.keys.filter(key => key.range === range)
    const paged = new Set<string>()
    let after: { hi: number; lo: number } | undefined
    do {
      const page = await store.page(range, after, 3)
      for (const key of page.keys) paged.add(`${range}/${textOf(key)}`)
      after = page.next
    } while (after)
    const { keys } = store.stats(range)
    if (keys !== paged.size) throw new Error(`stats say ${keys} keys in range ${range}, paging finds ${paged.size}`)
    for (const { name, key } of [...known, fillerOf(range)]) {
      const value = textOf(await store.get(range, key))
      if ((value !== undefined) !== paged.delete(name)) throw new Error(`${name} is ${value}, paging disagrees`)
      if (value !== undefined) values.set(name, value)
    }
    if (paged.size > 0) throw new Error(`keys that nobody put: ${[...paged].join(', ')}`)
  }
  return values
}

/** A put over something, a put of something, a removal, where there is a range; else it is made. */
async function changed(store: RangeStore, values: Map<string, string>, settings: ReopenSettings) {
  const expected = new Map(values)
  for (const range of settings.ranges) {
    store.create(range)
    const known = settings.keys.filter(key => key.range === range)
    for (const [i, { name, key }] of known.slice(0, 3).entries()) {
      if (i === 1) {
        await store.remove(range, key)
        expected.delete(name)
      } else {
        await store.put(range, key, bytesOf(`${name} after`), 1)
        expected.set(name, `${name} after`)
      }
    }
  }
  agree(await contentsOf(store, settings), expected, 'after puts')
  return expected
}

/** Makes half of every log and more dead, and waits for its rewriting. */
async function rewritten(store: RangeStore, time: ManualTime, settings: ReopenSettings): Promise<void> {
  for (const range of settings.ranges) {
    const { key } = fillerOf(range)
    const bytes = Math.max(1000, store.stats(range).fileBytes)
    await Promise.all([bytes, 10].map(length => store.put(range, key, new Uint8Array(length), 1)))
    await store.remove(range, key)
  }
  const before = store.compactions
  for (let looks = 0; store.compactions < before + settings.ranges.length; looks++) {
    if (looks > MAX_LOOKS) throw new Error('nothing was rewritten')
    await time.sleep(500)
  }
}

function agree(found: Map<string, string>, expected: Map<string, string>, when: string): void {
  for (const name of new Set([...found.keys(), ...expected.keys()])) {
    if (found.get(name) !== expected.get(name))
      throw new Error(`${when}: ${name} is ${found.get(name)}, and should be ${expected.get(name)}`)
  }
}

function fillerOf(range: number): KnownKey {
  const key = keyIn(range, FILLER, 1000)
  return { name: nameOf(range, key), range, key }
}
