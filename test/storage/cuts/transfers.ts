/**
 * Workloads in which a range comes from another node, file by file, in pieces of odd sizes: whatever a cut leaves, going on
 * with it gives what the source has.
 */
import { SimRandom } from '../../../src/sim/world/random.ts'
import type { RangeStore, StoredKey } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, ManualTime, RANGE } from '../helpers.ts'
import type { Workload } from './enumeration.ts'
import { drive, keyIn, type Life, storeOn } from './life.ts'

interface Source {
  /** Oldest first. */
  files: { fileId: string; bytes: Uint8Array }[]
  /** Undefined: removed. */
  contents: { key: StoredKey; value: string | undefined }[]
}

/** With a cache, as its reads will be held up. */
const SETTINGS = { durability: 'os', hintBytes: 1e9, cacheBytes: 2 ** 20 } as const
const PIECES = [37, 8, 211, 1, 500, 64]

/** A log with overwrites and a removal; of two files: one whose rewriting is held up. */
async function sourceOf(fileCount: 1 | 2): Promise<Source> {
  const files = new FakeFiles()
  const time = new ManualTime()
  const random = new SimRandom(`source of ${fileCount}`)
  const store = storeOn(files, time, random, { ...SETTINGS, compactBytes: fileCount === 1 ? 1e9 : 200 })
  const keys = Array.from({ length: 5 }, (_, i) => keyIn(RANGE, `key-${RANGE}-${i}`, i))
  const values = new Map<StoredKey, string>()
  const put = (i: number, text: string) => {
    const value = `${text} of ${i} `.padEnd(random.between(20, 300), text)
    values.set(keys[i]!, value)
    return store.put(RANGE, keys[i]!, bytesOf(value), i)
  }
  await store.open()
  store.create(RANGE)
  for (const text of ['zeroth', 'first', 'second']) for (const i of [0, 1, 2, 3]) await put(i, text)
  // Into the cache: what the rewriting waits for must not hold up the puts.
  for (const key of keys) await store.get(RANGE, key)
  const release = files.hold('read', /0000000001/)
  await time.advance(1000)
  for (const i of [1, 4]) await put(i, 'third')
  await store.remove(RANGE, keys[2]!)
  values.delete(keys[2]!)
  const exported = store.exportRange(RANGE)
  const found = await exported.refresh()
  if (found.length !== fileCount) throw new Error(`the source has ${found.length} files`)
  const sent: Source = { files: [], contents: keys.map(key => ({ key, value: values.get(key) })) }
  release()
  for (const { fileId, bytes } of found) sent.files.push({ fileId, bytes: await exported.read(fileId, 0, bytes) })
  await exported.close()
  await drive(time, store.close())
  return sent
}

/** Goes on with what is there. */
async function receiveAll(store: RangeStore, { files }: Source): Promise<void> {
  if (store.state(RANGE) !== 'absent') return
  const receiver = await store.receive(RANGE)
  for (const { fileId, bytes } of files) {
    const end = receiver.endOf(fileId)
    if (end > bytes.length) throw new Error(`${end} bytes of ${fileId} are there, and it has ${bytes.length}`)
    if (end < bytes.length) await receiver.append(fileId, end, bytes.slice(end))
  }
  await receiver.commit()
}

/** Some of each file; `share` of all of it. */
async function receiveSome(life: Life, { files }: Source, share: number): Promise<void> {
  const receiver = await life.store.receive(RANGE)
  for (const { fileId, bytes } of files) {
    while (receiver.endOf(fileId) < bytes.length * share) {
      const from = receiver.endOf(fileId)
      await receiver.append(fileId, from, bytes.slice(from, from + life.random.pick(PIECES)))
    }
  }
  if (share === 1) await receiver.commit()
  else await receiver.close()
}

async function receivingFrom(fileCount: 1 | 2): Promise<Workload> {
  const source = await sourceOf(fileCount)
  return {
    name: `receiving a range of ${fileCount === 1 ? 'one file' : 'two files'}`,
    ranges: [RANGE],
    compactBytes: 1e9,
    prepare: store => receiveAll(store, source),
    async run(life) {
      const { history, random } = life
      // Whatever is cut: going on brings all of it.
      await history.brings(RANGE, source.contents, async () => {})
      await life.open()
      await receiveSome(life, source, 0.4)
      if (random.chance(0.5)) await life.kill()
      else await life.store.close()
      await life.open()
      await receiveSome(life, source, 0.7)
      await receiveSome(life, source, 1)
      for (const { key } of source.contents.slice(0, 3)) await history.put(life.store, RANGE, key, life.size())
      await history.remove(life.store, RANGE, source.contents[3]!.key)
      await history.sync(life.store, RANGE)
    }
  }
}

export const receivingOne = await receivingFrom(1)
export const receivingTwo = await receivingFrom(2)
