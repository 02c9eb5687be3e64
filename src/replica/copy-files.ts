/**
 * Range copies as files: a copy that is synced is given as the files that make it up, and one that is not there yet comes to
 * be by taking them in. What was received is a copy like any other then: syncing, until it has been compared.
 */
import type { RangeStore } from '../storage/range-store.ts'
import type { RangeExport } from '../storage/transfer/range-export.ts'
import type { RangeReceiver } from '../storage/transfer/range-receiver.ts'
import type { Replicas } from './replicas.ts'

export type { RangeExport } from '../storage/transfer/range-export.ts'
export type { RangeReceiver } from '../storage/transfer/range-receiver.ts'

export class CopyFiles {
  readonly #store: RangeStore
  readonly #replicas: Replicas
  readonly #leastBytes: number

  /** `leastBytes`: a copy with less is not worth it: its keys are sent one by one. */
  constructor(parts: { store: RangeStore; replicas: Replicas }, init: { leastBytes: number }) {
    this.#store = parts.store
    this.#replicas = parts.replicas
    this.#leastBytes = init.leastBytes
  }

  /** Undefined: there is no such copy, it may lack something, or most of its files is dead. The caller closes it. */
  give(range: number): RangeExport | undefined {
    if (this.#replicas.status(range) !== 'synced' || this.#store.state(range) !== 'open') return undefined
    const { liveBytes, fileBytes } = this.#store.stats(range)
    if (liveBytes < this.#leastBytes || liveBytes < fileBytes / 2) return undefined
    return this.#store.exportRange(range)
  }

  /** True for a range of which there is nothing here. */
  mayTake(range: number): boolean {
    return this.#replicas.status(range) === 'none' && this.#store.state(range) === 'absent'
  }

  /** Goes on with what was received earlier. Throws what `RangeStore.receive` throws. */
  take(range: number): Promise<RangeReceiver> {
    return this.#store.receive(range)
  }

  /** Forgets what was received of a range and has not become its copy. */
  discard(range: number): Promise<void> {
    return this.#store.receivers.discard(range)
  }

  /** What was received becomes the copy. Throws what `RangeReceiver.commit` throws; then there is none. */
  async adopt(
    range: number,
    receiver: RangeReceiver,
    files: readonly { fileId: string; bytes: number }[]
  ): Promise<void> {
    await receiver.commit(files)
    // Whatever was known of the copy that might have been here meanwhile is not true of this one.
    this.#replicas.doubt(range, 'its files have come from another node')
  }
}
