/**
 * One file of a range's log: its name, its handle, and the writer at its end. A log has one file, or two while an older
 * one is rewritten into a newer one; the index says in which of them a record lies by the file's slot.
 */
import { PooledFile } from '../disk/handle-pool.ts'
import { encodeFileHeader, fileName, shortFileId } from '../format/file-header.ts'
import { MAX_FILE } from '../index/key-index.ts'
import { LogWriter, type LogWriterInit, type WriterShared } from './log-writer.ts'

export interface LogFileInit {
  /** Unique among the files that share a cache, ever. */
  id: number
  dir: string
  range: number
  q: number
  generation: number
  fileId: Uint8Array
  continues: Uint8Array
  /** Bytes of the file, 0 for a new one: then nothing is on disk before the first put. */
  end: number
  exists: boolean
  /** All of it survives a power cut, its name included. */
  synced: boolean
}

export class LogFile {
  readonly id: number
  readonly slot: number
  readonly generation: number
  readonly fileId: Uint8Array
  readonly continues: Uint8Array
  readonly fileId32: number
  readonly path: string
  readonly hintPath: string
  readonly pooled: PooledFile
  readonly writer: LogWriter

  constructor(
    shared: WriterShared,
    init: LogFileInit,
    hooks: Pick<LogWriterInit, 'after' | 'takeBack' | 'onUnsynced' | 'onFence'>
  ) {
    this.id = init.id
    this.generation = init.generation
    this.slot = slotOf(init.generation)
    this.fileId = init.fileId
    this.continues = init.continues
    this.fileId32 = shortFileId(init.fileId)
    this.path = `${init.dir}/${fileName(init.range, init.generation)}`
    this.hintPath = `${init.dir}/${fileName(init.range, init.generation, 'hint')}`
    this.pooled = new PooledFile(this.path, init.exists)
    const { range, end, synced } = init
    const header = encodeFileHeader(init)
    this.writer = new LogWriter(shared, {
      ...hooks,
      range,
      file: this.pooled,
      fileId32: this.fileId32,
      header,
      end,
      synced
    })
  }
}

/** Two files of one log never share one: generations of files that stand side by side are neighbours. */
export function slotOf(generation: number): number {
  return generation % (MAX_FILE + 1)
}

/** How far the files of a range reach: the generation of the newest that has anything in it, and its bytes. */
export interface Extent {
  generation: number
  bytes: number
}

export function extentOf(files: readonly LogFile[]): Extent {
  const newest = files
    .filter(({ writer }) => writer.written > 0)
    .reduce<LogFile | undefined>((a, b) => (a === undefined || b.generation > a.generation ? b : a), undefined)
  return { generation: newest?.generation ?? 0, bytes: newest?.writer.written ?? 0 }
}
