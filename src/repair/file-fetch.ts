/**
 * The initiator's side of a session in which range files travel: copies that this node is to have and of which it has nothing
 * come as the files of another node, checked record by record, in the order in which they are asked for.
 *
 *   initiator                              answerer (`file-sender.ts`)
 *   fetch: ranges, beginnings it has  →
 *                                     ←    of each range: files, what it lacks of them, files again, …, files (last)
 *                                     ←    fetched
 */
import { CoterieError } from '../errors.ts'
import type { Network, Timers } from '../ports.ts'
import type { CopyFiles, RangeReceiver } from '../replica/copy-files.ts'
import type { FileLength, FileMessage, FilePiece } from './file-codec.ts'
import { Outbox } from './outbox.ts'
import { PieceWriter } from './piece-writer.ts'
import type { SyncMessage } from './sync-codec.ts'
import { converse, Watch, withStream } from './sync-stream.ts'

/** Ranges that are made copies of, with a sync each, while the next ones come. */
const ADOPTED_AT_ONCE = 2

export interface FetchParts {
  network: Network
  timers: Timers
  copyFiles: CopyFiles
}

export interface FetchOptions {
  /** True where an earlier session, or an earlier process, may have left a part. */
  mayHavePart: (range: number) => boolean
  /** Asked before a range becomes a copy: whether it is still wanted. */
  isWanted: (range: number) => boolean
  /** The range has come, or will not: the other side has no files for it that are worth it. */
  onSettled: (range: number) => void
  /** `received`: of those done, what came in this session and not in an earlier one. */
  onProgress: (bytesDone: number, bytesTotal: number, received: number) => void
  signal?: AbortSignal
}

/** Throws what the stream or the disk throws. What was received by then stays, and a later session goes on there. */
export async function fetchFiles(
  parts: FetchParts,
  peer: string,
  ranges: readonly number[],
  options: FetchOptions
): Promise<void> {
  const fetch = new Fetch(parts.copyFiles, options)
  try {
    const wanted = await fetch.open(ranges)
    await withStream(parts.network, peer, options.signal, async stream => {
      const outbox = new Outbox<SyncMessage>()
      outbox.add([{ type: 'fetch', ranges: wanted }])
      outbox.end()
      await converse(stream, outbox, new Watch(parts.timers, stream, options.signal), message => fetch.take(message))
    })
    if (!fetch.done) throw new CoterieError('unreachable', 'the sync stream ended before its session did')
  } finally {
    await fetch.close()
  }
}

class Fetch {
  readonly #files: CopyFiles
  readonly #options: FetchOptions
  readonly #wanted = new Set<number>()
  readonly #receivers = new Map<number, RangeReceiver>()
  /** Bytes of each range: received so far, and to be received as far as is known. */
  readonly #bytes = new Map<number, { done: number; total: number }>()
  #received = 0
  readonly #adopting = new Set<Promise<unknown>>()
  #failure: { error: unknown } | undefined
  readonly #writer = new PieceWriter(bytes => this.#wrote(bytes))
  /** Whose files are coming. */
  #coming: { range: number; receiver: RangeReceiver } | undefined
  done = false

  constructor(files: CopyFiles, options: FetchOptions) {
    this.#files = files
    this.#options = options
  }

  async open(ranges: readonly number[]): Promise<{ range: number; have: FileLength[] }[]> {
    const wanted = []
    for (const range of ranges) {
      this.#wanted.add(range)
      // To look for parts takes a look at the disk for each, and most ranges of an empty cluster have nothing to send.
      const parts = this.#options.mayHavePart(range) ? (await this.#open(range)).progress() : []
      wanted.push({ range, have: parts.map(({ fileId, verifiedBytes }) => ({ fileId, bytes: verifiedBytes })) })
    }
    return wanted
  }

  async take(message: SyncMessage): Promise<void> {
    switch (message.type) {
      case 'files':
        return this.#takeFiles(message)
      case 'bytes':
        return this.#takeBytes(message)
      case 'fetched':
        await Promise.all(this.#adopting)
        this.#mustBeWell()
        this.done = true
        return
      default:
        throw new CoterieError('protocol', `"${message.type}" is not for who asks for files`)
    }
  }

  async #takeBytes({ range, fileId, offset, bytes }: FilePiece): Promise<void> {
    if (this.#coming?.range !== range) throw new CoterieError('protocol', `bytes of range ${range} before its files`)
    await this.#writer.add(this.#coming.receiver, fileId, offset, bytes)
  }

  async #takeFiles({ range, files, last }: Extract<FileMessage, { type: 'files' }>): Promise<void> {
    if (!this.#wanted.has(range)) throw new CoterieError('protocol', `files of range ${range} that nobody asked for`)
    await this.#writer.flush()
    const receiver = this.#receivers.get(range) ?? (files.length > 0 ? await this.#open(range) : undefined)
    if (receiver === undefined) return this.#settled(range)
    if (!last) {
      const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
      const done = files.reduce((sum, { fileId, bytes }) => sum + Math.min(bytes, receiver.endOf(fileId)), 0)
      this.#bytes.set(range, { done, total })
      this.#coming = { range, receiver }
      return this.#tell()
    }
    this.#coming = undefined
    const settle = async () => {
      if (files.length === 0 || !this.#options.isWanted(range)) await receiver.abandon()
      else await this.#files.adopt(range, receiver, files)
      this.#settled(range)
    }
    const failed = (error: unknown) => {
      this.#failure ??= { error }
    }
    const settling: Promise<unknown> = settle()
      .catch(failed)
      .finally(() => this.#adopting.delete(settling))
    this.#adopting.add(settling)
    if (this.#adopting.size >= ADOPTED_AT_ONCE) await Promise.race(this.#adopting)
    this.#mustBeWell()
  }

  /** One that could not be made a copy ends the session, whenever that turned out. */
  #mustBeWell(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Those that have not been committed let go of their files, which stay. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#writer.flush(), ...this.#adopting])
    for (const receiver of this.#receivers.values()) await receiver.close()
    this.#receivers.clear()
  }

  #settled(range: number): void {
    this.#wanted.delete(range)
    this.#receivers.delete(range)
    this.#options.onSettled(range)
  }

  async #open(range: number): Promise<RangeReceiver> {
    const receiver = await this.#files.take(range)
    this.#receivers.set(range, receiver)
    return receiver
  }

  #wrote(bytes: number): void {
    this.#bytes.get(this.#coming!.range)!.done += bytes
    this.#received += bytes
    this.#tell()
  }

  #tell(): void {
    let bytesDone = 0
    let bytesTotal = 0
    for (const { done, total } of this.#bytes.values()) {
      bytesDone += done
      bytesTotal += total
    }
    this.#options.onProgress(bytesDone, bytesTotal, this.#received)
  }
}
