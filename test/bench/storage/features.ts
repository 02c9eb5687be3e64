/** What a store may offer beyond the surface that every version has: asked, so that older ones can be measured too. */
import type { RangeStore, StoredKey } from '../../../src/storage/range-store.ts'

interface Peeking {
  /** From memory alone; undefined when that does not know. */
  peek(range: number, key: StoredKey): Uint8Array | undefined
}

export const canPeek = (store: RangeStore): store is RangeStore & Peeking => 'peek' in store

/** The range under compaction; `unknown` of a store that does not say. */
export function compactingOf(store: RangeStore): number | undefined | 'unknown' {
  if (!('compacting' in store)) return 'unknown'
  const compacting: unknown = store.compacting
  return (typeof compacting === 'function' ? compacting.call(store) : compacting) as number | undefined
}
