/** For the tests of transfers: a source to change and a way to receive it. */
import type { FileIo } from '../../../src/ports.ts'
import type { RangeStore } from '../../../src/storage/range-store.ts'
import type { ExportedFile, RangeExport } from '../../../src/storage/transfer/range-export.ts'
import type { RangeReceiver } from '../../../src/storage/transfer/range-receiver.ts'
import { bytesOf, keyAt, keysOfRange, type OpenOptions, openStore, RANGE, textOf } from '../helpers.ts'

/** Every key with its tag and value, in order of position. */
export async function content(store: RangeStore): Promise<string[]> {
  const positions: [number, number, number][] = []
  store.forEach(RANGE, (hi, lo, tag) => positions.push([hi, lo, tag]))
  const found: string[] = []
  for (const [hi, lo, tag] of positions) {
    for (const { key, value } of await store.lookup(RANGE, hi, lo)) found.push(`${textOf(key)} ${tag} ${textOf(value)}`)
  }
  return found
}

/** A store whose range has `count` keys, some of them replaced and the last two removed. */
export async function sourceStore(files: FileIo, count: number, options: OpenOptions = {}) {
  const { store, time } = await openStore(files, options)
  store.create(RANGE)
  const keys = keysOfRange(count)
  await Promise.all(keys.map((key, i) => store.put(RANGE, key, bytesOf(`value-${i}`), i)))
  for (const key of keys.slice(0, 2)) await store.put(RANGE, key, bytesOf('replaced'), 1000)
  for (const key of keys.slice(-2)) await store.remove(RANGE, key)
  return { store, time, keys }
}

/** Overwrites all keys, thrice: most of the file is dead. */
export async function churn(store: RangeStore, count: number): Promise<void> {
  for (let round = 0; round < 3; round++)
    for (let i = 0; i < count; i++) await store.put(RANGE, keyAt(`key-${i}`, i), bytesOf(`round-${round}`), round)
}

/**
 * One look at the source, and `pieces` pieces of what is missing (default: all of it). True when nothing was missing.
 */
export async function pull(
  source: RangeExport,
  receiver: RangeReceiver,
  pieceBytes = 64,
  pieces = Number.POSITIVE_INFINITY
): Promise<boolean> {
  let left = pieces
  let had = true
  for (const { fileId, bytes } of await source.refresh()) {
    while (receiver.endOf(fileId) < bytes) {
      had = false
      if (left-- <= 0) return false
      const offset = receiver.endOf(fileId)
      await receiver.append(fileId, offset, await source.read(fileId, offset, pieceBytes))
    }
  }
  return had
}

/** All that is missing, look after look, until nothing is; then the files of the last look. */
export async function pullAll(source: RangeExport, receiver: RangeReceiver, pieceBytes = 64): Promise<ExportedFile[]> {
  for (;;) {
    await pull(source, receiver, pieceBytes)
    const files = await source.refresh()
    if (files.every(({ fileId, bytes }) => receiver.endOf(fileId) >= bytes)) return files
  }
}

/** All of a range from one store to the other; the source must be at rest by and by. */
export async function transfer(from: RangeStore, to: RangeStore, pieceBytes = 1000): Promise<void> {
  const source = from.exportRange(RANGE)
  const receiver = await to.receive(RANGE)
  try {
    await receiver.commit(await pullAll(source, receiver, pieceBytes))
  } finally {
    await receiver.close()
    await source.close()
  }
}
