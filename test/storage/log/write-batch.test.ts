/** Batches: their bytes are those of their records, one behind the other, whatever the sizes; buffers come back. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../../src/errors.ts'
import { type NewRecord, recordBytes, viewOf, writeRecord } from '../../../src/storage/format/record.ts'
import { BatchBuffers, MAX_BATCH_BYTES, WriteBatch } from '../../../src/storage/log/write-batch.ts'
import { codeOfRejection } from '../helpers.ts'

const test = suite('write batch')
const FILE_ID = 7
const UNDO = { hi: 0, lo: 0, file: 0, offset: 48, length: 60, tag: 0, indexed: true, replaced: undefined }

const newRecord = (offset: number, keyBytes: number, valueBytes: number): NewRecord => ({
  type: 1,
  flags: 0,
  key: new Uint8Array(keyBytes).fill(1),
  value: new Uint8Array(valueBytes).fill(2),
  hi: offset,
  lo: 3,
  tag: 4,
  offset,
  previous: 0
})

function encoded(record: NewRecord): Uint8Array {
  const bytes = new Uint8Array(recordBytes(record.key.length, record.value.length))
  writeRecord(bytes, viewOf(bytes), 0, record, FILE_ID)
  return bytes
}

/** As many of the records as fit into batches; each with what its bytes must be. */
function batched(
  buffers: BatchBuffers,
  sizes: { key: number; value: number }[],
  expectedBytes: number,
  header?: Uint8Array
) {
  const batches: { batch: WriteBatch; expected: Uint8Array[] }[] = []
  let offset = header ? header.length : 48
  for (const { key, value } of sizes) {
    const record = newRecord(offset, key, value)
    const bytes = recordBytes(key, value)
    if (!batches.at(-1)?.batch.hasRoomFor(bytes)) {
      const first = header !== undefined && batches.length === 0
      const batch = new WriteBatch(buffers, first ? 0 : offset, expectedBytes, first ? header : undefined)
      batches.push({ batch, expected: first ? [header] : [] })
    }
    batches.at(-1)!.batch.add(record, FILE_ID, UNDO)
    batches.at(-1)!.expected.push(encoded(record))
    offset += bytes
  }
  return batches
}

const size = fc.record({
  key: fc.integer({ min: 1, max: 1024 }),
  value: fc.oneof(fc.nat(300), fc.nat(300), fc.nat(300), fc.integer({ min: 60_000, max: 70_000 }))
})

test('the bytes of a batch, and the copy of each record, are those of its records', () => {
  const buffers = new BatchBuffers()
  const header = new Uint8Array(48).fill(9)
  fc.assert(
    fc.property(
      fc.array(size, { minLength: 1, maxLength: 40 }),
      fc.nat(5000),
      fc.boolean(),
      (sizes, expected, isFirst) => {
        for (const each of batched(buffers, sizes, expected, isFirst ? header : undefined)) {
          const { batch } = each
          const whole = Buffer.concat(each.expected)
          const bytes = Buffer.concat(batch.bytes())
          assert.is(Buffer.compare(bytes, whole), 0)
          assert.equal([batch.length, batch.end - batch.start], [whole.length, whole.length])
          let at = batch.start
          for (const record of each.expected) {
            if (at > 0) assert.is(Buffer.compare(batch.copy(at, record.length), record), 0)
            at += record.length
          }
          // Its buffer serves the next one, which must not show through.
          batch.done()
        }
      }
    ),
    { numRuns: 150 }
  )
})

test('a batch stays within its bound; one large record makes one of its own, without a copy of its value', () => {
  const many = batched(new BatchBuffers(), new Array(300).fill({ key: 10, value: 10_000 }), 1024)
  assert.ok(many.length > 2)
  for (const { batch } of many) assert.ok(batch.length <= MAX_BATCH_BYTES)
  const buffers = new BatchBuffers()
  const batch = new WriteBatch(buffers, 48, 100)
  assert.ok(batch.hasRoomFor(50_000_000), 'whatever comes first')
  const large = newRecord(48, 10, 5_000_000)
  batch.add(large, FILE_ID, UNDO)
  assert.not(batch.hasRoomFor(100))
  assert.ok(batch.bytes().includes(large.value))
  const small = new WriteBatch(buffers, 48, 100)
  small.add(newRecord(48, 10, 10), FILE_ID, UNDO)
  assert.ok(small.hasRoomFor(60_000))
  assert.not(small.hasRoomFor(5_000_000))
})

test('what is added to a batch stays what it was, while others are filled and done', () => {
  const buffers = new BatchBuffers()
  const first = batched(buffers, [{ key: 5, value: 100 }], 200)[0]!
  const second = batched(buffers, [{ key: 6, value: 100 }], 200)[0]!
  second.batch.done()
  for (let i = 0; i < 20; i++) batched(buffers, [{ key: 7, value: 90 + i }], 200)[0]!.batch.done()
  assert.is(Buffer.compare(Buffer.concat(first.batch.bytes()), Buffer.concat(first.expected)), 0)
})

test('buffers are used again, by size, and no more is kept than some megabytes', () => {
  const buffers = new BatchBuffers()
  const taken = buffers.take(5000)
  assert.is(taken.length, 8192)
  buffers.give(taken)
  assert.is(buffers.take(8000), taken)
  assert.is.not(buffers.take(8000), taken)
  assert.is(buffers.take(1).length, 1024)
  const large = Array.from({ length: 20 }, () => buffers.take(1024 * 1024))
  for (const buffer of large) buffers.give(buffer)
  const again = Array.from({ length: 20 }, () => buffers.take(1024 * 1024))
  assert.is(again.filter(buffer => large.includes(buffer)).length, 8)
})

test('all of a batch settle together', async () => {
  const [good, bad] = [1, 2].map(() => new WriteBatch(new BatchBuffers(), 48, 100)) as [WriteBatch, WriteBatch]
  good.done()
  await good.settled
  const outcome = codeOfRejection(bad.settled)
  bad.failed(new CoterieError('disk-full', 'no room'))
  assert.is(await outcome, 'disk-full')
})

test.run()
