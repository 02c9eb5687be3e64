/** A key as the storage takes it: with its position, which names the range and the place in the index. */
import { LIMITS } from '../config.ts'
import { CoterieError } from '../errors.ts'
import { positionOf } from '../ring/position.ts'
import type { StoredKey } from '../storage/range-store.ts'

export function storedKey(key: Uint8Array): StoredKey {
  const { hi, lo } = positionOf(key)
  return { bytes: key, hi, lo }
}

/** Throws `too-large` for a key that no store takes; for requests from the network. */
export function checkStoredKey(key: Uint8Array): void {
  if (key.length === 0 || key.length > LIMITS.maxKeyBytes) {
    throw new CoterieError('too-large', `a key of ${key.length} bytes; 1 to ${LIMITS.maxKeyBytes} are taken`)
  }
}
