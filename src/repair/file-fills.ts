/**
 * Copies that this node is about to make come as range files first, where a source has some that are worth it: a range at a
 * time from each source, from several at once. What is missing then, and whatever does not come as files, the comparison
 * brings. A session that is cut is taken up again where it ended (failures 34).
 */
import type { Background } from '../background.ts'
import { isCoterieError } from '../errors.ts'
import type { Clock, Log, Network, Timers } from '../ports.ts'
import type { CopyFiles } from '../replica/copy-files.ts'
import { fetchFiles } from './file-fetch.ts'
import type { Transfers } from './transfers.ts'

/** Sessions without a byte after which a range is left to the comparison, key by key. */
const TRIES = 3

interface Fill {
  source: string
  tries: number
  /** A session has been held for it, and did not end well: there may be a part. */
  wasCut: boolean
}

export interface FileFillsParts {
  clock: Clock
  timers: Timers
  network: Network
  log: Log
  background: Background
  copyFiles: CopyFiles
  transfers: Transfers
}

export class FileFills {
  readonly #parts: FileFillsParts
  readonly #leaseMs: number
  readonly #due = new Map<number, Fill>()
  /** By source. */
  readonly #sessions = new Map<string, Promise<void>>()
  readonly #underWay = new Set<number>()
  /** Ranges of which parts may lie about that nobody wants, and until when somebody still may. */
  readonly #leftovers = new Map<number, number>()

  constructor(parts: FileFillsParts, init: { leaseMs: number }) {
    this.#parts = parts
    this.#leaseMs = init.leaseMs
  }

  /** Ranges of which an earlier process had received a part. */
  reopened(ranges: readonly number[]): void {
    for (const range of ranges) this.#leave(range)
  }

  /** The range is wanted, and `source` has it; called again, the source may be another one. */
  want(range: number, source: string): void {
    const fill = this.#due.get(range)
    if (fill !== undefined) fill.source = source
    else if (this.#parts.copyFiles.mayTake(range)) this.#due.set(range, { source, tries: 0, wasCut: false })
  }

  /** False: the copy is not to be made yet, its files are on their way. */
  isOver(range: number): boolean {
    return !this.#due.has(range)
  }

  forget(range: number): void {
    if (this.#due.delete(range)) this.#leave(range)
  }

  /** Goes on; resolves once these ranges have come, or what was under way for them has failed. Never rejects. */
  async run(ranges: readonly number[]): Promise<void> {
    const bySource = new Map<string, number[]>()
    for (const [range, { source }] of this.#due)
      if (!this.#underWay.has(range)) bySource.set(source, [...(bySource.get(source) ?? []), range])
    for (const [source, due] of bySource) if (!this.#sessions.has(source)) this.#begin(source, due)
    const sources = new Set(ranges.flatMap(range => this.#due.get(range)?.source ?? []))
    await Promise.all([...sources].map(source => this.#sessions.get(source)))
  }

  /** Removes what nobody has come back for. */
  tick(): void {
    const nowMs = this.#parts.clock.monotonicMs()
    for (const [range, untilMs] of this.#leftovers) {
      if (this.#underWay.has(range) || untilMs > nowMs) continue
      this.#leftovers.delete(range)
      if (!this.#due.has(range))
        this.#parts.background.run('removing an unfinished transfer', this.#parts.copyFiles.discard(range))
    }
  }

  #begin(source: string, ranges: number[]): void {
    const { background } = this.#parts
    for (const range of ranges) this.#underWay.add(range)
    const session = this.#session(source, ranges).finally(() => {
      for (const range of ranges) this.#underWay.delete(range)
      this.#sessions.delete(source)
    })
    this.#sessions.set(source, session)
    background.run('receiving range files', session)
  }

  async #session(source: string, ranges: number[]): Promise<void> {
    const { copyFiles, transfers, background, log } = this.#parts
    // One that was made meanwhile, because this node is on its list by now, is filled as any member's.
    for (const range of ranges) if (!copyFiles.mayTake(range)) this.forget(range)
    const wanted = ranges.filter(range => this.#due.has(range))
    const transfer = transfers.begin(source, wanted)
    let hadSome = false
    try {
      await fetchFiles(this.#parts, source, wanted, {
        mayHavePart: range => this.#due.get(range)?.wasCut === true || this.#leftovers.has(range),
        isWanted: range => this.#due.has(range),
        onSettled: range => this.#due.delete(range),
        onProgress: (bytesDone, bytesTotal, received) => {
          hadSome = received > 0
          transfer.bytes(bytesDone, bytesTotal, received)
        },
        signal: background.signal
      })
    } catch (error) {
      log.debug('range files did not come', { source, ranges: wanted.length, error: String(error) })
      this.#failed(wanted, hadSome && !isCoterieError(error, 'damaged'))
    } finally {
      transfer.end()
    }
  }

  #failed(ranges: readonly number[], hadSome: boolean): void {
    for (const range of ranges) {
      const fill = this.#due.get(range)
      if (fill === undefined) continue
      fill.wasCut = true
      if (hadSome) continue
      fill.tries++
      if (fill.tries >= TRIES) this.forget(range)
    }
  }

  #leave(range: number): void {
    this.#leftovers.set(range, this.#parts.clock.monotonicMs() + this.#leaseMs)
  }
}
