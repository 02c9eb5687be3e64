/**
 * What this node knows of its own range copies: which are synced, which still catch up, which are on their way out.
 * Only the set of synced ranges is written down (`copies.json`), and which of them have a file: a copy without a mark, or
 * whose file has gone, is syncing, which is the safe reading after any crash (design §6, safety of movement).
 */
import type { CopyStatus } from '../messages.ts'
import type { FileIo } from '../ports.ts'
import { WholeFile } from '../whole-file.ts'

const FILE = 'copies.json'

export class CopyTable {
  readonly #files: FileIo
  readonly #file: WholeFile
  readonly #status = new Map<number, Exclude<CopyStatus, 'none'>>()
  readonly #listeners = new Set<(range: number, status: CopyStatus) => void>()
  #filed = new Set<number>()

  constructor({ files }: { files: FileIo }, { dir }: { dir: string }) {
    this.#files = files
    this.#file = new WholeFile(files, `${dir}/${FILE}`, () => this.#encode())
  }

  /** Ranges with a file start as syncing, unless the table on disk says synced. A table that cannot be read says nothing. */
  async open(rangesOnDisk: number[], q: number): Promise<void> {
    const onDisk = new Set(rangesOnDisk)
    for (const range of onDisk) this.#status.set(range, 'syncing')
    const bytes = await this.#files.readFile(this.#file.path)
    if (bytes === undefined) return
    const { synced, filed } = readTable(bytes)
    this.#filed = new Set(rangesOnDisk.filter(range => filed.has(range)))
    for (const range of synced) {
      if (range >= q) continue
      // Files are made by the first write, so a synced copy that never had one is empty; one that has lost it is not.
      this.#status.set(range, filed.has(range) && !onDisk.has(range) ? 'syncing' : 'synced')
    }
  }

  /**
   * Which of the ranges that have a file keep it through a power cut; written down when it has changed. A file that was
   * never synced may go with what was in it, as the tail of one may: what `os` and `interval` say they lose.
   */
  noteFiles(present: number[], lasts: (range: number) => boolean): void {
    const ranges = present.filter(range => this.#filed.has(range) || lasts(range))
    if (ranges.length === this.#filed.size && ranges.every(range => this.#filed.has(range))) return
    this.#filed = new Set(ranges)
    void this.#file.write()
  }

  status(range: number): CopyStatus {
    return this.#status.get(range) ?? 'none'
  }

  ranges(): number[] {
    return [...this.#status.keys()]
  }

  withStatus(status: CopyStatus): number[] {
    return [...this.#status].filter(([, s]) => s === status).map(([range]) => range)
  }

  /** Takes effect at once; resolves when it is on disk. `none` forgets the copy. */
  set(ranges: number[], status: CopyStatus): Promise<void> {
    const changed = ranges.filter(range => this.status(range) !== status)
    if (changed.length === 0) return this.#file.written()
    for (const range of changed) {
      if (status === 'none') this.#status.delete(range)
      else this.#status.set(range, status)
    }
    const written = this.#file.write()
    for (const range of changed) for (const listener of this.#listeners) listener(range, status)
    return written
  }

  onChange(listener: (range: number, status: CopyStatus) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #encode(): Uint8Array {
    const synced = this.withStatus('synced').sort((a, b) => a - b)
    return new TextEncoder().encode(`${JSON.stringify({ synced, filed: [...this.#filed] })}\n`)
  }
}

function readTable(bytes: Uint8Array): { synced: number[]; filed: Set<number> } {
  const ranges = (list: unknown) =>
    Array.isArray(list) ? list.filter(range => Number.isInteger(range) && range >= 0) : []
  try {
    const { synced, filed } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
    return { synced: ranges(synced), filed: new Set(ranges(filed)) }
  } catch {
    // Unreadable: every copy is compared again, which costs time and loses nothing.
    return { synced: [], filed: new Set() }
  }
}
