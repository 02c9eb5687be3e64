/** The bytes of `Heat` in a member record (`wire/gossip.proto`). Work travels as whole numbers. */
import { MAX_RANGES } from '../config.ts'
import { type Heat, MAX_HEARD, type RangeWork } from '../heat.ts'
import { garbled, type Reader, readMessage, readPacked, readSafe, tagOf, type Writer } from './proto.ts'

/** What is wrong with it, in words; undefined: nothing. */
export function faultOfHeat({ work, hot, cool }: Heat): string | undefined {
  const whole = (value: number) => Number.isSafeInteger(value) && value >= 0
  if (!whole(work)) return 'the work is no whole number'
  for (const told of [hot, cool]) {
    if (told.length > MAX_HEARD) return `the work of more than ${MAX_HEARD} ranges`
    const bad = told.find(({ range, work }) => !whole(range) || range >= MAX_RANGES || !whole(work))
    if (bad !== undefined) return `the work of range ${bad.range}`
  }
  return undefined
}

export function writeHeat(w: Writer, { work, hot, cool }: Heat): void {
  if (work) w.uint32(tagOf.varint(1)).uint64(work)
  writeTold(w, 2, hot)
  writeTold(w, 4, cool)
}

/** Two lists of the same length: ranges, and their work. */
function writeTold(w: Writer, field: number, told: RangeWork[]): void {
  if (told.length === 0) return
  w.uint32(tagOf.bytes(field)).fork()
  for (const { range } of told) w.uint32(range)
  w.ldelim()
    .uint32(tagOf.bytes(field + 1))
    .fork()
  for (const { work } of told) w.uint64(work)
  w.ldelim()
}

/** Throws `protocol`. */
export function readHeat(bytes: Uint8Array): Heat {
  const lists = { 2: [], 3: [], 4: [], 5: [] } as Record<number, number[]>
  let work = 0
  readMessage(bytes, (tag: number, reader: Reader) => {
    if (tag === tagOf.varint(1)) work = readSafe(reader)
    else if (tag >>> 3 in lists) readPacked(tag, reader, lists[tag >>> 3], MAX_HEARD)
    else return false
    return true
  })
  return { work, hot: paired(lists[2], lists[3]), cool: paired(lists[4], lists[5]) }
}

function paired(ranges: number[], works: number[]): RangeWork[] {
  if (ranges.length !== works.length) garbled('ranges and their work differ in number')
  return ranges.map((range, i) => ({ range, work: works[i] }))
}
