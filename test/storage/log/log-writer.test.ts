/** Group commit of one file: what shares a write, what a refusal takes back, and what waits for what. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { CoterieError } from '../../../src/errors.ts'
import { silentLog } from '../../../src/runtime.ts'
import { DirSync } from '../../../src/storage/disk/dir-sync.ts'
import { Gate } from '../../../src/storage/disk/gate.ts'
import { HandlePool, PooledFile } from '../../../src/storage/disk/handle-pool.ts'
import { FILE_HEADER_BYTES } from '../../../src/storage/format/file-header.ts'
import { decodeRecord, recordBytes } from '../../../src/storage/format/record.ts'
import { LogWriter } from '../../../src/storage/log/log-writer.ts'
import { BatchBuffers, type Undo } from '../../../src/storage/log/write-batch.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, codeOfRejection, ManualTime, settle, textOf } from '../helpers.ts'

const test = suite('log writer')
const FILE_ID = 0x01020304
const HEADER = new Uint8Array(FILE_HEADER_BYTES).fill(0x48)

async function writing(durability: Durability = 'os') {
  const files = new FakeFiles()
  await files.makeDir('d')
  const time = new ManualTime()
  const taken: string[] = []
  const fences: string[] = []
  let unsynced = 0
  const shared = {
    timers: time,
    clock: time,
    dirSync: new DirSync(files, 'd'),
    pool: new HandlePool({ files, log: silentLog }),
    gate: new Gate(3),
    buffers: new BatchBuffers(),
    latency: { note: () => {} },
    queued: { bytes: 0 },
    durability
  }
  const writer = (name: string, after?: LogWriter) => {
    const made: LogWriter = new LogWriter(shared, {
      range: 3,
      file: new PooledFile(`d/${name}`, false),
      fileId32: FILE_ID,
      header: HEADER,
      end: 0,
      synced: false,
      ...(after ? { after } : {}),
      takeBack: ({ hi }: Undo) => taken.push(`${name}${hi}`),
      onUnsynced: () => unsynced++,
      onFence: error => fences.push(error.code)
    })
    return made
  }
  return { files, time, shared, taken, fences, writer, unsynced: () => unsynced }
}

/** The record number `i`; its outcome. */
function append(writer: LogWriter, i: number, value: Uint8Array = bytesOf(`value-${i}`)): Promise<string> {
  const key = bytesOf(`key-${i}`)
  const record = { type: 1, flags: 0, key, value, hi: i, lo: 0, tag: i, offset: writer.tail, previous: 0 }
  const undo = { ...record, file: 0, length: 44 + key.length + value.length, indexed: true, replaced: undefined }
  const outcome = codeOfRejection(writer.append(record, undo))
  return outcome.then(code => code ?? 'written')
}

const SIZE = recordBytes(5, 7)

test('the header leaves with the first batch; those of one turn share a write; each lies where it was told to', async () => {
  const { files, writer, shared } = await writing()
  const w = writer('a')
  assert.equal([w.tail, w.written, w.queuedBytes], [FILE_HEADER_BYTES, 0, 0])
  const puts = [1, 2, 3].map(i => append(w, i))
  assert.equal([w.tail, w.queuedBytes, shared.queued.bytes], [48 + 3 * SIZE, 3 * SIZE, 3 * SIZE])
  assert.equal(await Promise.all(puts), ['written', 'written', 'written'])
  assert.equal([w.written, w.queuedBytes, shared.queued.bytes, files.counts.write], [48 + 3 * SIZE, 0, 0, 1])
  const bytes = files.peek('d/a')
  assert.is(Buffer.compare(bytes.subarray(0, 48), HEADER), 0)
  for (const i of [0, 1, 2]) {
    const record = decodeRecord(bytes.subarray(48 + i * SIZE, 48 + (i + 1) * SIZE), 48 + i * SIZE, FILE_ID)
    assert.is(typeof record === 'string' ? record : textOf(record.value), `value-${i + 1}`)
  }
})

test('until it is in the file, a record is read from where it waits; large ones too', async () => {
  const { files, writer } = await writing()
  const w = writer('a')
  await append(w, 0)
  const release = files.hold('write')
  const offsets = [w.tail]
  const puts = [append(w, 1)]
  await settle()
  const large = new Uint8Array(200_000).fill(7)
  for (const [i, value] of [large, bytesOf('value-3')].entries()) {
    offsets.push(w.tail)
    puts.push(append(w, i + 2, value))
  }
  const read = (i: number, length: number) => {
    const record = decodeRecord(w.unwritten(offsets[i]!, 44 + 5 + length)!, offsets[i]!, FILE_ID)
    return typeof record === 'string' ? record : record.value
  }
  assert.is(textOf(read(0, 7) as Uint8Array), 'value-1')
  assert.is(Buffer.compare(read(1, 200_000) as Uint8Array, large), 0)
  assert.is(textOf(read(2, 7) as Uint8Array), 'value-3')
  assert.is(w.unwritten(FILE_HEADER_BYTES, SIZE), undefined, 'in the file')
  assert.is(w.unwritten(w.tail, SIZE), undefined, 'nowhere')
  release()
  assert.equal(await Promise.all(puts), ['written', 'written', 'written'])
  assert.is(w.unwritten(offsets[0]!, SIZE), undefined)
})

test('a refusal takes back all that was put after it, newest first, cuts the partial write and writes on from there', async () => {
  for (const code of ['ENOSPC', 'EMFILE']) {
    const { files, writer, taken, fences, shared } = await writing()
    const w = writer('a')
    await append(w, 0)
    const release = files.hold('write')
    const puts = [append(w, 1), append(w, 2)]
    await settle()
    puts.push(append(w, 3), append(w, 4, new Uint8Array(100_000)), append(w, 5))
    files.fail('write', code, { partialBytes: 70 })
    release()
    const expected = code === 'ENOSPC' ? 'disk-full' : 'overloaded'
    assert.equal(await Promise.all(puts), new Array(5).fill(expected))
    assert.equal(taken, ['a5', 'a4', 'a3', 'a2', 'a1'])
    assert.equal([w.tail, w.written, w.queuedBytes, shared.queued.bytes], [48 + SIZE, 48 + SIZE, 0, 0])
    assert.equal([files.peek('d/a').length, w.refusal, fences], [48 + SIZE, undefined, []])
    assert.is(await append(w, 6), 'written')
    assert.is(files.peek('d/a').length, 48 + 2 * SIZE)
  }
})

test('the very first batch is refused: the header goes with the next', async () => {
  const { files, writer, shared } = await writing()
  const w = writer('a')
  files.fail('write', 'ENOSPC', { partialBytes: 60 })
  assert.is(await append(w, 1), 'disk-full')
  assert.equal([files.peek('d/a').length, w.tail, shared.queued.bytes], [0, 48, 0])
  assert.is(await append(w, 2), 'written')
  assert.is(Buffer.compare(files.peek('d/a').subarray(0, 48), HEADER), 0)
  assert.equal([files.peek('d/a').length, shared.queued.bytes], [48 + SIZE, 0])
})

test('a newer file writes nothing before the older one has; what that refuses takes all of the newer one along, first', async () => {
  const { files, writer, taken } = await writing()
  const older = writer('a')
  await append(older, 0)
  const release = files.hold('write', /a$/)
  const first = append(older, 1)
  await settle()
  const second = append(older, 2)
  const newer = writer('b', older)
  const later = [append(newer, 3), append(newer, 4)]
  await settle()
  assert.equal(files.paths(), ['d/a'], 'it waits')
  files.fail('write', 'ENOSPC')
  release()
  assert.equal(await Promise.all([first, second, ...later]), new Array(4).fill('disk-full'))
  assert.equal(taken, ['b4', 'b3', 'a2', 'a1'])
  assert.equal([older.tail, newer.tail, newer.written], [48 + SIZE, FILE_HEADER_BYTES, 0])
  assert.is(await append(newer, 5), 'written')
  assert.is(Buffer.compare(files.peek('d/b').subarray(0, 48), HEADER), 0)
  files.fail('write', 'ENOSPC')
  assert.is(await append(newer, 6), 'disk-full')
  assert.equal(taken.slice(4), ['b6'])
})

test('a newer file that is refused leaves the older one alone', async () => {
  const { files, writer, taken } = await writing()
  const older = writer('a')
  const release = files.hold('write', /a$/)
  const first = append(older, 1)
  const newer = writer('b', older)
  const second = append(newer, 2)
  files.fail('write', 'ENOSPC', { path: /b$/ })
  release()
  assert.equal([await first, await second, taken.join()], ['written', 'disk-full', 'b2'])
  assert.is(older.written, 48 + SIZE)
})

test('in disk mode, all batches that have gathered share a sync; it fails them all, or none', async () => {
  for (const [code, expected] of [
    [undefined, 'written'],
    ['ENOMEM', 'overloaded'],
    ['EIO', 'range-fenced']
  ] as const) {
    const { files, writer, taken, fences, shared } = await writing('disk')
    const w = writer('a')
    await append(w, 0)
    const before = files.counts.sync!
    const release = files.hold('sync')
    const first = append(w, 1)
    await settle()
    const puts = [append(w, 2, new Uint8Array(100_000)), append(w, 3), append(w, 4, new Uint8Array(100_000))]
    await settle()
    release()
    assert.is(await first, 'written')
    if (code) files.fail('sync', code)
    assert.equal(await Promise.all(puts), new Array(3).fill(expected))
    assert.is(files.counts.sync! - before, 2)
    assert.equal(taken, code ? ['a4', 'a3', 'a2'] : [])
    assert.equal(fences, code === 'EIO' ? ['range-fenced'] : [])
    assert.is(shared.queued.bytes, 0)
    if (code === 'ENOMEM') assert.equal([w.written, files.peek('d/a').length], [48 + 2 * SIZE, 48 + 2 * SIZE])
    if (code !== 'EIO') assert.is(await append(w, 5), 'written')
  }
})

test('in interval mode it tells of every unsynced batch; sync covers what was written when it was asked for', async () => {
  const { files, writer, unsynced } = await writing('interval')
  const w = writer('a')
  assert.not(w.lasts)
  await append(w, 1)
  await append(w, 2)
  assert.is(unsynced(), 2)
  await w.sync()
  assert.ok(w.lasts)
  assert.is(files.counts.sync, 1)
  await w.sync()
  assert.is(files.counts.sync, 1, 'nothing new')
  const release = files.hold('sync')
  await append(w, 3)
  const syncing = [w.sync(), w.sync()]
  await settle()
  await append(w, 4)
  syncing.push(w.sync())
  release()
  await Promise.all(syncing)
  assert.is(files.counts.sync, 3, 'the second began before the fourth was written')
})

test('stopping writes what is queued, abandoning refuses it; a batch under way ends as it ends', async () => {
  const { files, writer, taken } = await writing()
  const closed = new CoterieError('closed', 'over')
  const w = writer('a')
  const put = append(w, 1)
  await w.stop(closed, false)
  assert.equal([await put, w.refusal, files.peek('d/a').length], ['written', closed, 48 + SIZE])
  const other = writer('b')
  const release = files.hold('write', /b$/)
  const under = append(other, 1)
  await settle()
  const queued = append(other, 2)
  const stopped = other.stop(closed, true)
  assert.is(await queued, 'closed')
  assert.equal(taken, ['b2'])
  release()
  await stopped
  assert.is(await under, 'written')
  await w.settled()
})

test.run()
