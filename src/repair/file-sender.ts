/**
 * The answerer's side of a session in which range files travel (`file-fetch.ts`): sends what the other side lacks of them,
 * until it has nearly all, while clients go on writing. Slower while they do (`storage/upkeep/pace.ts`).
 */
import { CoterieError } from '../errors.ts'
import type { CopyFiles, RangeExport } from '../replica/copy-files.ts'
import type { FileLength } from './file-codec.ts'
import type { SyncMessage } from './sync-codec.ts'

/** Of a file, in one message. */
const PIECE_BYTES = 256 * 1024
/** What has been written meanwhile is sent as well, unless it is less than this: the comparison that follows is for the rest. */
const TAIL_BYTES = 1024 * 1024
/** Times that the files of a range are looked at: writes that outrun the stream must not keep it for ever. */
const LOOKS = 4

export async function* sendFiles(
  files: CopyFiles,
  { ranges }: Extract<SyncMessage, { type: 'fetch' }>
): AsyncIterable<SyncMessage> {
  for (const { range, have } of ranges) {
    const source = files.give(range)
    if (source === undefined) {
      yield { type: 'files', range, files: [], last: true }
      continue
    }
    try {
      yield* sendRange(source, range, have)
    } finally {
      await source.close()
    }
  }
  yield { type: 'fetched' }
}

async function* sendRange(source: RangeExport, range: number, have: readonly FileLength[]): AsyncIterable<SyncMessage> {
  const sent = new Map(have.map(({ fileId, bytes }) => [fileId, bytes]))
  const lacking = ({ fileId, bytes }: FileLength) => Math.max(0, bytes - (sent.get(fileId) ?? 0))
  for (let look = 1; ; look++) {
    const files = await source.refresh()
    const isLast = look > 1 && (look >= LOOKS || files.reduce((sum, file) => sum + lacking(file), 0) <= TAIL_BYTES)
    yield { type: 'files', range, files, last: false }
    for (const file of files) {
      for await (const { offset, bytes } of piecesOf(source, file, sent.get(file.fileId) ?? 0)) {
        yield { type: 'bytes', range, fileId: file.fileId, offset, bytes }
        sent.set(file.fileId, offset + bytes.length)
        await source.breathe()
      }
    }
    if (isLast) return yield { type: 'files', range, files, last: true }
  }
}

/** A file from `offset` to the end that was told; the next piece is read while one is sent. */
async function* piecesOf(
  source: RangeExport,
  { fileId, bytes: end }: FileLength,
  offset: number
): AsyncIterable<{ offset: number; bytes: Uint8Array }> {
  const readAt = (at: number) => {
    const reading = source.read(fileId, at, Math.min(PIECE_BYTES, end - at))
    // Told when its turn has come, if it does.
    reading.catch(() => undefined)
    return reading
  }
  let reading = offset < end ? readAt(offset) : undefined
  for (let at = offset; reading !== undefined; ) {
    const bytes = await reading
    if (bytes.length === 0) throw new CoterieError('damaged', `file ${fileId} ends at ${at}, before its end`)
    const next = at + bytes.length
    reading = next < end ? readAt(next) : undefined
    yield { offset: at, bytes }
    at = next
  }
}
