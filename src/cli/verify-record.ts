/** What a record of a range file must say beyond its checksums: a key of that range, and a key state with its own tag. */
import { positionOf, rangeOf } from '../ring/position.ts'
import type { FileHeader } from '../storage/format/file-header.ts'
import { decodeState, stateTag } from '../version/codec.ts'

/** In words what is wrong; undefined: nothing. `value` is absent in a removal, and where it is very long. */
export function verifyRecord(
  record: { hi: number; lo: number; key: Uint8Array; value: Uint8Array | undefined; tag: number },
  { range, q }: FileHeader
): string | undefined {
  const position = positionOf(record.key)
  if (position.hi !== record.hi || position.lo !== record.lo) return 'its position is not that of its key'
  const belongsTo = rangeOf(position, q)
  if (belongsTo !== range) return `its key belongs to range ${belongsTo}`
  if (record.value === undefined) return undefined
  try {
    // Records of earlier versions have another lowest bit.
    const isSame = stateTag(decodeState(record.value)) >>> 1 === record.tag >>> 1
    return isSame ? undefined : 'its tag is not that of its versions'
  } catch (error) {
    return `its value is no key state: ${(error as Error).message}`
  }
}
