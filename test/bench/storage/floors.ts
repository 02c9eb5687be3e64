/** The raw floors: the bytes that ours has to move, moved with `node:fs` and nothing else. */
import fs from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Figures, load, randomValue } from '../measure.ts'

const writev = promisify(fs.writev)
const write = promisify(fs.write)
const fdatasync = promisify(fs.fdatasync)
const read = promisify(fs.read)

const RECORD_OVERHEAD = 44
const KEY_BYTES = 12
const FLOOR_FILES = 256
/** A longer run must not fill the disk. */
const MAX_FILE_BYTES = 4 * 2 ** 30

/** Of a record with a key of these benchmarks. */
export const recordSize = (size: number): number => Math.ceil((RECORD_OVERHEAD + KEY_BYTES + size) / 8) * 8

/** Batches of records, one after another; figures per record, latencies per batch. */
export async function batchedAppends(dir: string, size: number, batch: number, sync: boolean, seconds: number) {
  fs.mkdirSync(dir, { recursive: true })
  const fd = fs.openSync(join(dir, 'floor'), 'w')
  let at = 0
  const figures = await load(
    async () => {
      const buffers = Array.from({ length: batch }, () => randomValue(recordSize(size)))
      await writev(fd, buffers, at)
      at = (at + batch * recordSize(size)) % MAX_FILE_BYTES
      if (sync) await fdatasync(fd)
    },
    { inFlight: 1, seconds, pids: [] }
  )
  fs.closeSync(fd)
  return perRecord(figures, batch)
}

/** One write a record, to one of many files at random. */
export async function scatteredWrites(dir: string, size: number, inFlight: number, seconds: number): Promise<Figures> {
  fs.mkdirSync(dir, { recursive: true })
  const files = Array.from({ length: FLOOR_FILES }, (_, i) => ({ fd: fs.openSync(join(dir, String(i)), 'w'), at: 0 }))
  const bytes = recordSize(size)
  const figures = await load(
    () => {
      const file = files[Math.floor(Math.random() * FLOOR_FILES)]!
      const at = file.at
      file.at += bytes
      return write(file.fd, randomValue(bytes), 0, bytes, at)
    },
    { inFlight, seconds, pids: [] }
  )
  for (const { fd } of files) fs.closeSync(fd)
  return figures
}

/** Reads of whole records at random places of the log files of a data set. */
export async function randomReads(dir: string, size: number, inFlight: number, seconds: number): Promise<Figures> {
  const bytes = recordSize(size)
  const files = fs
    .readdirSync(dir)
    .filter(name => name.endsWith('.log'))
    .map(name => fs.openSync(join(dir, name), 'r'))
    .map(fd => ({ fd, records: Math.floor(fs.fstatSync(fd).size / bytes) }))
    .filter(({ records }) => records > 0)
  const buffers = Array.from({ length: inFlight }, () => Buffer.allocUnsafeSlow(bytes))
  const figures = await load(
    async () => {
      const { fd, records } = files[Math.floor(Math.random() * files.length)]!
      const buffer = buffers.pop()!
      await read(fd, buffer, 0, bytes, Math.floor(Math.random() * records) * bytes)
      buffers.push(buffer)
    },
    { inFlight, seconds, pids: [] }
  )
  for (const { fd } of files) fs.closeSync(fd)
  return figures
}

/** Of an operation that is `batch` puts. The latency stays the operation's: every put in it waits so long. */
export function perRecord(figures: Figures, batch: number): Figures {
  return { ...figures, perSecond: figures.perSecond * batch, cpuPer10k: figures.cpuPer10k / batch }
}
