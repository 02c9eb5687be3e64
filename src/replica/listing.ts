/** Listings of a copy's keys, page by page. */
import type { Position } from '../storage/index/key-index.ts'
import type { RangeStore } from '../storage/range-store.ts'

export interface Page {
  keys: Uint8Array[]
  done: boolean
}

/**
 * Up to `limit` live keys after a position, in order of position; `done` when there are no more. Keys at one position
 * are never parted by a page.
 */
export async function pageOf(
  store: RangeStore,
  isLiving: (key: Uint8Array) => Promise<boolean>,
  { range, after, limit, prefix }: { range: number; after: Position | undefined; limit: number; prefix: Uint8Array }
): Promise<Page> {
  const keys: Uint8Array[] = []
  let cursor = after
  while (keys.length < limit) {
    const { keys: found, next } = await store.page(range, cursor, limit)
    for (const key of found) if (startsWith(key, prefix) && (await isLiving(key))) keys.push(key)
    if (next === undefined) return { keys, done: true }
    cursor = next
  }
  return { keys, done: false }
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && prefix.every((byte, i) => key[i] === byte)
}
