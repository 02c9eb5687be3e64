/** Protobuf tags, and reading one message's fields, for the codecs of the sync stream. */
import type protobuf from 'protobufjs/minimal.js'

export const varint = (field: number): number => field << 3
export const fixed32 = (field: number): number => (field << 3) | 5
export const bytes = (field: number): number => (field << 3) | 2

/** Calls `read` for each field until `end`; fields it does not know are skipped by returning false. */
export function fields(r: protobuf.Reader, end: number, read: (field: number) => boolean | unknown): void {
  while (r.pos < end) {
    const tag = r.uint32()
    if (read(tag >>> 3) === false) r.skipType(tag & 7)
  }
}
