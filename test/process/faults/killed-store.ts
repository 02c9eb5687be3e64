/** What the process that is killed and the one that checks what it left behind agree upon. */
import type { StoredKey } from '../../../src/storage/range-store.ts'

/** Tiny bounds and fast time: files are rolled and rewritten, and hints written, all the time. */
export const OPTIONS = { q: 8, compactBytes: 4 * 1024, hintBytes: 4 * 1024, cacheBytes: 16 * 1024, speed: 50 }
export const KEYS = 96

/** So many versions of a key, one removes it. */
const REMOVE_EVERY = 7

export const isRemoval = (version: number): boolean => version % REMOVE_EVERY === 0

export const rangeOf = ({ hi }: StoredKey): number => hi >>> (32 - Math.log2(OPTIONS.q))

/** Of 0 to 800 bytes more than what it says. */
export function contentOf(key: number, version: number): Uint8Array {
  const text = `${version} of ${key} `
  return Buffer.alloc(text.length + ((key * 31 + version * 97) % 800), text)
}

/** The version that a value says it is; undefined: it is not a whole value of this key. */
export function versionIn(key: number, value: Uint8Array): number | undefined {
  const version = Number.parseInt(Buffer.from(value).toString('latin1'), 10)
  return Buffer.from(contentOf(key, version)).equals(value) ? version : undefined
}
