/** What a store may make of a damaged log: which records are hit, and so what each key may be. Pure. */
import { FILE_HEADER_BYTES } from '../../../src/storage/format/file-header.ts'
import { sameBytes } from '../../../src/storage/format/record.ts'
import type { Image, Placed, Sample } from './sample.ts'

export interface Expected {
  /** Records that do not stand there whole any more. */
  hit: Set<Placed>
  /** A header is not what it was, or not all there. */
  headerHit: boolean
  /** Key → what it may be; undefined among them: absent. */
  allowed: Map<string, (string | undefined)[]>
  /** Key → what it was. */
  before: Map<string, string | undefined>
  /** A file ends earlier, just where a record did or before the first: nobody can tell, without a hint. */
  seamless: boolean
}

export function expectedOf(sample: Sample, damaged: Image): Expected {
  const headed = sample.paths.filter(path => hasHeader(sample, damaged, path))
  const headerHit = headed.length < sample.paths.length
  const isHit = ({ path, offset, used, end }: Placed): boolean => {
    const [before, now] = [sample.image.get(path)!, damaged.get(path)!]
    const isWhole = now.length >= end && sameBytes(before.subarray(offset, used), now.subarray(offset, used))
    return !isWhole || !headed.includes(path)
  }
  const hit = new Set(sample.records.filter(isHit))
  const allowed = new Map<string, (string | undefined)[]>()
  const before = new Map<string, string | undefined>()
  for (const record of sample.records) {
    const { key, value } = record
    before.set(key, value)
    // A key is as good as its latest record; earlier ones come back if that is hit.
    allowed.set(key, hit.has(record) ? [undefined, value, ...(allowed.get(key) ?? [])] : [value])
  }
  for (const record of sample.records)
    if (allowed.get(record.key)!.length > 1) allowed.get(record.key)!.push(record.value)
  return { hit, headerHit, allowed, before, seamless: isSeamless(sample, damaged) }
}

function hasHeader({ image }: Sample, damaged: Image, path: string): boolean {
  const [before, now] = [image.get(path)!, damaged.get(path)!]
  if (now.length < FILE_HEADER_BYTES) return false
  return sameBytes(before.subarray(0, FILE_HEADER_BYTES), now.subarray(0, FILE_HEADER_BYTES))
}

function isSeamless({ image, paths, records }: Sample, damaged: Image): boolean {
  const ends = (path: string) => [0, FILE_HEADER_BYTES, ...records.filter(r => r.path === path).map(({ end }) => end)]
  return paths.every(path => {
    const [before, now] = [image.get(path)!, damaged.get(path)!]
    return sameBytes(before.subarray(0, now.length), now) && ends(path).includes(now.length)
  })
}
