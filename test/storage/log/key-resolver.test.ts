/** Which entry is a key's: from memory, from the disk, in the order of the calls, and while records move. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../../src/errors.ts'
import { type IndexEntry, KeyIndex } from '../../../src/storage/index/key-index.ts'
import { KeyResolver } from '../../../src/storage/log/key-resolver.ts'
import { type RecordReader, StaleEntry } from '../../../src/storage/log/record-reader.ts'
import { codeOfRejection, keyAt, settle, textOf } from '../helpers.ts'

const test = suite('key resolver')

/** An index whose records hold the keys `a0`, `b0`, …; `known` ones are in memory, the others take a read. */
function resolving() {
  const index = new KeyIndex(8)
  const keys = new Map<number, string>()
  const known = new Set<number>()
  const reads: number[] = []
  let onRead: (offset: number) => Promise<void> | void = () => {}
  const reader = {
    inMemory({ offset }: IndexEntry) {
      return known.has(offset) ? { key: Buffer.from(keys.get(offset)!), value: new Uint8Array(0) } : undefined
    },
    async key(_position: unknown, entry: IndexEntry) {
      const memory = reader.inMemory(entry)
      if (memory) return memory.key
      reads.push(entry.offset)
      await onRead(entry.offset)
      return Buffer.from(keys.get(entry.offset)!)
    }
  }
  const resolver = new KeyResolver(index, reader as unknown as RecordReader)
  const add = (name: string, position: number, offset: number, inMemory = false) => {
    const { hi, lo } = keyAt(name, position)
    keys.set(offset, name)
    if (inMemory) known.add(offset)
    index.insert(hi, lo, { file: 1, offset, length: 64, tag: 0 })
  }
  return { index, resolver, reads, add, keys, known, when: (hook: typeof onRead) => (onRead = hook) }
}

test('memory tells at once: its entry, none, or that another key stands there', async () => {
  const { resolver, add, reads } = resolving()
  add('a', 0, 48, true)
  add('b', 1, 112, true)
  const found: unknown[] = []
  const act = async (entry: IndexEntry | undefined) => void found.push(entry?.offset)
  void resolver.resolve(keyAt('a', 0), act)
  void resolver.resolve(keyAt('x', 1), act)
  void resolver.resolve(keyAt('y', 2), act)
  assert.equal(found, [48, undefined, undefined])
  assert.not(resolver.busy)
  assert.equal(reads, [])
})

test('the disk tells what memory does not; keys of one position are told apart', async () => {
  const { resolver, add, reads } = resolving()
  add('a', 0, 48)
  add('b', 0, 112)
  const found: unknown[] = []
  await resolver.resolve(keyAt('b', 0), async entry => void found.push(entry?.offset))
  await resolver.resolve(keyAt('c', 0), async entry => void found.push(entry?.offset))
  assert.equal(
    [found, reads],
    [
      [112, undefined],
      [48, 112, 48, 112]
    ]
  )
  assert.not(resolver.busy)
})

test('calls for one position act in their order, those for others at once; none waits for what an act awaits', async () => {
  const { resolver, add, known, when } = resolving()
  add('a', 0, 48)
  add('b', 1, 112, true)
  const disk = Promise.withResolvers<void>()
  when(() => disk.promise)
  const order: string[] = []
  const never = new Promise<void>(() => {})
  void resolver.resolve(keyAt('a', 0), () => {
    order.push('first')
    known.add(48)
    return never
  })
  const second = resolver.resolve(keyAt('a', 0), async () => void order.push('second'))
  void resolver.resolve(keyAt('b', 1), async () => void order.push('other'))
  assert.equal([order, resolver.busy], [['other'], true])
  let seen = false
  const resolved = resolver.resolved(keyAt('a', 0)).then(() => (seen = true))
  const idle = resolver.idle()
  await settle()
  assert.not(seen)
  disk.resolve()
  await Promise.all([second, resolved, idle])
  assert.equal([order, resolver.busy], [['other', 'first', 'second'], false])
  await resolver.resolved(keyAt('a', 0))
})

test('a record that moves, or is replaced, while it is read is looked for again', async () => {
  const { resolver, add, index, keys, when, reads } = resolving()
  add('a', 0, 48)
  const { hi, lo } = keyAt('a', 0)
  when(offset => {
    if (offset !== 48) return
    keys.set(160, 'a')
    index.replace(hi, lo, 1, 48, { file: 2, offset: 160, length: 64, tag: 0 })
  })
  const found: unknown[] = []
  await resolver.resolve(keyAt('a', 0), async entry => void found.push(entry?.offset))
  assert.equal([found, reads], [[160], [48, 160]])
  let times = 0
  when(() => {
    if (times++ < 3) throw new StaleEntry()
  })
  await resolver.resolve(keyAt('a', 0), async entry => void found.push(entry?.offset))
  assert.equal([found, times], [[160, 160], 4])
})

test('a damaged record is passed over; what else a read throws, and what an act throws, is told; the next goes on', async () => {
  const { resolver, add, when } = resolving()
  add('a', 0, 48)
  add('b', 0, 112)
  when(offset => {
    if (offset === 48) throw new CoterieError('damaged', 'a bad record')
  })
  const found: unknown[] = []
  const act = async (entry: IndexEntry | undefined) => void found.push(entry?.offset)
  await resolver.resolve(keyAt('b', 0), act)
  when(() => {
    throw new CoterieError('overloaded', 'no handle')
  })
  const first = codeOfRejection(resolver.resolve(keyAt('b', 0), act))
  const second = codeOfRejection(resolver.resolve(keyAt('a', 0), act))
  assert.equal([await first, await second], ['overloaded', 'overloaded'])
  await settle()
  assert.not(resolver.busy)
  when(() => {})
  const refused = resolver.resolve(keyAt('b', 0), () => Promise.reject(new CoterieError('disk-full', 'no room')))
  const third = resolver.resolve(keyAt('a', 0), act)
  assert.is(await codeOfRejection(refused), 'disk-full')
  await third
  await resolver.idle()
  assert.equal(found, [112, 48])
  assert.is(textOf(keyAt('a', 0).bytes), 'a')
})

test.run()
