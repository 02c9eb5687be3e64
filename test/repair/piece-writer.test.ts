import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { joined } from '../../src/bytes.ts'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import { PieceWriter } from '../../src/repair/piece-writer.ts'
import type { RangeReceiver } from '../../src/replica/copy-files.ts'

const test = suite('piece writer')
const PIECE = 256 * 1024

/** A receiver whose appends end when the test says. */
function slowReceiver() {
  const appends: { fileId: string; offset: number; bytes: Uint8Array; end: (error?: Error) => void }[] = []
  const append = (fileId: string, offset: number, pieces: Uint8Array[]) =>
    new Promise<void>((resolve, reject) => {
      appends.push({ fileId, offset, bytes: joined(pieces), end: error => (error ? reject(error) : resolve()) })
    })
  return { appends, receiver: { append } as unknown as RangeReceiver }
}

const turns = () => new Promise(resolve => setImmediate(resolve))
const piece = (fill: number, bytes = PIECE) => new Uint8Array(bytes).fill(fill)

test('pieces that come while others are written go together, in order, and no more than a bound', async () => {
  const { appends, receiver } = slowReceiver()
  let written = 0
  const writer = new PieceWriter(bytes => {
    written += bytes
  })
  let added = 0
  const all = (async () => {
    for (let i = 0; i < 10; i++) {
      await writer.add(receiver, 'f', i * PIECE, piece(i))
      added++
    }
  })()
  await turns()
  assert.is(appends.length, 1)
  assert.is(added, 5, 'one is being written, and four wait')
  appends[0]!.end()
  await turns()
  assert.is(appends.length, 2)
  assert.equal([appends[1]!.offset, appends[1]!.bytes.length], [PIECE, 4 * PIECE])
  assert.equal(
    [1, 2, 3, 4],
    [0, 1, 2, 3].map(i => appends[1]!.bytes[i * PIECE])
  )
  assert.is(written, PIECE)
  for (let i = 1; i < 4; i++) {
    appends[i]?.end()
    await turns()
  }
  await all
  await writer.flush()
  assert.is(written, 10 * PIECE)
  assert.equal(
    appends.map(({ offset }) => offset / PIECE),
    [0, 1, 5, 9]
  )
})

test('a piece of another file waits until the one before is on its way', async () => {
  const { appends, receiver } = slowReceiver()
  const writer = new PieceWriter(() => {})
  await writer.add(receiver, 'f', 0, piece(1, 10))
  await writer.add(receiver, 'f', 10, piece(1, 10))
  const other = writer.add(receiver, 'g', 0, piece(2, 10))
  appends[0]!.end()
  await other
  appends[1]!.end()
  await turns()
  appends[2]!.end()
  await writer.flush()
  assert.equal(
    appends.map(({ fileId, offset }) => `${fileId}${offset}`),
    ['f0', 'f10', 'g0']
  )
})

test('what the disk says is told to whoever comes next, and nothing is written after it', async () => {
  const { appends, receiver } = slowReceiver()
  const writer = new PieceWriter(() => assert.unreachable())
  await writer.add(receiver, 'f', 0, piece(1, 10))
  await writer.add(receiver, 'f', 10, piece(1, 10))
  appends[0]!.end(new CoterieError('disk-full', 'no room'))
  const failure = await writer.flush().catch(error => error)
  assert.ok(isCoterieError(failure, 'disk-full'))
  assert.ok(isCoterieError(await writer.add(receiver, 'f', 20, piece(1, 10)).catch(error => error), 'disk-full'))
  assert.is(appends.length, 1)
})

test.run()
