/** The bucket sums of every copy: built from the index when first asked for, and kept up from then on. */
import type { RangeStore, StoredKey } from '../storage/range-store.ts'
import { BucketSums } from './bucket-sums.ts'

export class CopySums {
  readonly #store: RangeStore
  readonly #byRange = new Map<number, BucketSums>()

  constructor(store: RangeStore) {
    this.#store = store
  }

  of(range: number): BucketSums {
    let sums = this.#byRange.get(range)
    if (sums === undefined) {
      sums = new BucketSums()
      const target = sums
      this.#store.forEach(range, (hi, lo, tag) => target.add(hi, lo, tag))
      this.#byRange.set(range, sums)
    }
    return sums
  }

  /** A key's state has taken the place of another; undefined: there is, or was, none. */
  replace(range: number, key: StoredKey, oldTag: number | undefined, newTag: number | undefined): void {
    const sums = this.#byRange.get(range)
    if (sums === undefined) return
    if (oldTag !== undefined) sums.remove(key.hi, key.lo, oldTag)
    if (newTag !== undefined) sums.add(key.hi, key.lo, newTag)
  }

  /** They are built anew when next asked for. */
  forget(range: number): void {
    this.#byRange.delete(range)
  }
}
