/** Small logs to be damaged, and what stands where in them: overwrites, removals, one file or two, with a hint or without. */
import { SimRandom } from '../../../src/sim/world/random.ts'
import { decodeFileHeader, FILE_HEADER_BYTES, shortFileId } from '../../../src/storage/format/file-header.ts'
import { decodeHead, RECORD_HEADER_BYTES, RECORD_TYPES, recordBytes } from '../../../src/storage/format/record.ts'
import type { RangeStore, StoredKey } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { drive, keyIn, storeOn } from '../cuts/life.ts'
import { bytesOf, ManualTime, RANGE, textOf } from '../helpers.ts'

export type Image = Map<string, Uint8Array>

export interface Placed {
  path: string
  offset: number
  /** Without padding. */
  used: number
  /** Where the next one starts. */
  end: number
  key: string
  /** Undefined: a removal. */
  value: string | undefined
}

export interface Sample {
  image: Image
  /** Of the log, oldest first. */
  paths: string[]
  hintPath: string | undefined
  keys: StoredKey[]
  /** In the order in which they were put. */
  records: Placed[]
}

export interface SampleInit {
  files: 1 | 2
  hint: boolean
  /** Records that came after the hint. */
  more?: number
  keys?: number
  rounds?: number
  maxValueBytes?: number
  /** So many values of up to 100 KB. */
  large?: number
}

export async function sampleOf(init: SampleInit): Promise<Sample> {
  const { files: fileCount, hint, more = 0, keys: keyCount = 6, rounds = 2, maxValueBytes = 50, large = 0 } = init
  const files = new FakeFiles()
  const time = new ManualTime()
  const random = new SimRandom(`sample ${JSON.stringify(init)}`)
  const compactBytes = fileCount === 1 ? 1e9 : 100
  const settings = { durability: 'os', compactBytes, hintBytes: hint ? 16 : 1e9 } as const
  const store = storeOn(files, time, random, settings)
  const keys = Array.from({ length: keyCount }, (_, i) => keyIn(RANGE, `key-${i}`, i))
  const put = (key: StoredKey, round: number) => {
    const value = `${textOf(key.bytes)} of ${round} `.padEnd(random.between(0, maxValueBytes), `${round} `)
    return store.put(RANGE, key, bytesOf(value), round)
  }
  await store.open()
  store.create(RANGE)
  const some = () => keys.filter(() => random.chance(0.7))
  for (let round = 0; round < rounds; round++)
    await Promise.all((round === 0 ? keys : some()).map(key => put(key, round)))
  for (let i = 0; i < large; i++)
    await store.put(RANGE, keys[7 * i]!, bytesOf(`large ${i} `.repeat(random.below(11_000))), i)
  await store.remove(RANGE, keys[2]!)
  if (fileCount === 2) await inTwoFiles(store, files, time, keys, put)
  else await drive(time, store.close())
  if (more > 0) {
    const again = storeOn(files, time, random, { ...settings, hintBytes: 1e9 })
    await again.open()
    for (let i = 0; i < more; i++) await again.put(RANGE, keys[i % keys.length]!, bytesOf(`later ${i}`), i)
  }
  return layoutOf(files, keys, fileCount, hint)
}

/** Overwrites until it is worth rewriting; that begins, finds no handle, and rests when the store is closed. */
async function inTwoFiles(
  store: RangeStore,
  files: FakeFiles,
  time: ManualTime,
  keys: StoredKey[],
  put: (key: StoredKey, round: number) => Promise<void>
): Promise<void> {
  for (const key of [keys[0]!, keys[1]!, keys[3]!]) for (const round of [10, 11]) await put(key, round)
  files.fail('open', 'EMFILE', { path: /0000000001\.log/ })
  await time.advance(1000)
  for (const key of [keys[1]!, keys[4]!]) await put(key, 20)
  await store.remove(RANGE, keys[3]!)
  await put(keys[1]!, 21)
  await drive(time, store.close())
}

function layoutOf(files: FakeFiles, keys: StoredKey[], fileCount: number, hint: boolean): Sample {
  const image: Image = new Map(files.paths().map(path => [path, new Uint8Array(files.peek(path))]))
  const paths = [...image.keys()].filter(path => path.endsWith('.log'))
  const hintPath = [...image.keys()].find(path => path.endsWith('.hint'))
  if (paths.length !== fileCount || (hintPath !== undefined) !== hint)
    throw new Error(`the sample has ${[...image.keys()].join(', ')}`)
  return { image, paths, hintPath, keys, records: paths.flatMap(path => recordsOf(path, image.get(path)!)) }
}

/** Of a sound file. */
function recordsOf(path: string, bytes: Uint8Array): Placed[] {
  const header = decodeFileHeader(bytes)
  if (typeof header === 'string') throw new Error(header)
  const records: Placed[] = []
  for (let at = FILE_HEADER_BYTES; at < bytes.length; ) {
    const head = decodeHead(bytes.subarray(at), at, shortFileId(header.fileId))
    if (typeof head === 'string') throw new Error(`${path} at ${at}: ${head}`)
    const valueAt = at + RECORD_HEADER_BYTES + head.keyLength
    const used = valueAt + head.valueLength
    const end = at + recordBytes(head.keyLength, head.valueLength)
    const isPut = head.type === RECORD_TYPES.put
    const key = textOf(bytes.subarray(at + RECORD_HEADER_BYTES, valueAt))!
    records.push({ path, offset: at, used, end, key, value: isPut ? textOf(bytes.subarray(valueAt, used)) : undefined })
    at = end
  }
  return records
}
