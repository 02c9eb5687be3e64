/**
 * One simulated file's content: what processes see of it, and what of that a power cut would take back. Appends cost no
 * more than their bytes: only what is overwritten is kept for undoing.
 */
import type { SimRandom } from '../world/random.ts'

/** What a disk writes whole or not at all. */
export const SECTOR_BYTES = 512
/** The operating system writes back by itself what is older. */
export const WRITE_BACK_MS = 30_000

const NOTHING = new Uint8Array(0)

/** A change that is not synced. */
interface Change {
  number: number
  atMs: number
  position: number
  length: number
  /** What was there, as far as the file went. */
  before: Uint8Array
  sizeBefore: number
}

/** What the disk holds in place of what a process sees. */
interface Patch {
  position: number
  bytes: Uint8Array
}

export class Inode {
  /** Zeros from `#size` on. */
  #bytes = NOTHING
  #size = 0
  /** Oldest first. */
  #changes: Change[] = []
  #made = 0
  /** What a failed sync left unwritten and marked clean: no later sync covers it. In order of application. */
  #lost: Patch[] = []
  #lostSize: number | undefined

  get size(): number {
    return this.#size
  }

  /** Changes ever made: what a sync that is issued now will cover. */
  get made(): number {
    return this.#made
  }

  /** A copy. */
  content(): Uint8Array {
    return this.#bytes.slice(0, this.#size)
  }

  read(into: Uint8Array, position: number): number {
    const found = this.#bytes.subarray(Math.min(position, this.#size), Math.min(this.#size, position + into.length))
    into.set(found)
    return found.length
  }

  write(data: Uint8Array, position: number, nowMs: number): void {
    if (data.length === 0) return
    const end = position + data.length
    this.#record(position, data.length, this.#bytes.slice(position, Math.min(this.#size, end)), nowMs)
    this.#resize(Math.max(this.#size, end))
    this.#bytes.set(data, position)
  }

  truncate(length: number, nowMs: number): void {
    const cut = Math.max(0, this.#size - length)
    this.#record(Math.min(length, this.#size), cut, this.#bytes.slice(length, this.#size), nowMs)
    this.#resize(length)
  }

  /** The first `covered` changes survive a power cut from now on. */
  sync(covered: number): void {
    this.#take(covered)
    this.#lostSize = undefined
  }

  /**
   * The disk refused some of the first `covered` changes. As Linux does it (fsync, ATC'20): nobody will try again, the
   * next sync succeeds. What is seen until then is the new content (ext4, XFS), or the old (Btrfs): drawn.
   */
  failSync(covered: number, random: SimRandom): void {
    const refused = this.#take(covered)
    if (refused.length === 0) return
    let patches: Patch[] = []
    revert(refused, random.pick([0, random.float()]), random, (position, bytes) => patches.push({ position, bytes }))
    for (const { position, length } of this.#changes) patches = without(patches, position, position + length)
    this.#lostSize = Math.min(this.#lostSize ?? Number.POSITIVE_INFINITY, refused[0]!.sizeBefore)
    if (random.chance(0.5)) for (const { position, bytes } of patches) this.overwrite(position, bytes)
    else this.#lost = [...patches, ...this.#lost]
  }

  /**
   * Of what is not synced, a part survives: with `torn` sectors here and there, in any of their versions, and any of
   * the sizes; else the first so many changes, often none.
   */
  powerCut(torn: boolean, nowMs: number, random: SimRandom): void {
    this.#writeBack(nowMs)
    const changes = this.#changes
    this.#changes = []
    if (torn && changes.length > 0) {
      const survived = random.below(changes.length + 1)
      const size = changes[survived]?.sizeBefore ?? this.#size
      this.#reserve(Math.max(...changes.map(change => change.sizeBefore)))
      revert(changes, random.pick([0, 1, random.float()]), random, (at, bytes) => this.#bytes.set(bytes, at))
      this.#size = size
      this.#bytes.fill(0, size)
    } else if (!torn) {
      const survived = random.chance(0.5) ? 0 : random.below(changes.length + 1)
      for (const { position, before, sizeBefore } of changes.slice(survived).reverse()) {
        this.#resize(sizeBefore)
        this.#bytes.set(before, position)
      }
    }
    for (const { position, bytes } of this.#lost) this.overwrite(position, bytes)
    if (this.#lostSize !== undefined && random.chance(0.5)) this.#resize(Math.min(this.#size, this.#lostSize))
    this.#lost = []
    this.#lostSize = undefined
  }

  /** Changes what lies on the disk, behind everybody's back; never the size. */
  overwrite(position: number, bytes: Uint8Array): void {
    if (position < this.#size) this.#bytes.set(bytes.subarray(0, this.#size - position), position)
  }

  flipBit(offset: number, bit: number): void {
    this.#bytes[offset]! ^= 1 << bit
  }

  #record(position: number, length: number, before: Uint8Array, nowMs: number): void {
    this.#writeBack(nowMs)
    if (this.#lost.length > 0) this.#lost = without(this.#lost, position, position + length)
    this.#changes.push({ number: ++this.#made, atMs: nowMs, position, length, before, sizeBefore: this.#size })
  }

  #writeBack(nowMs: number): void {
    const old = nowMs - WRITE_BACK_MS
    if (this.#changes.length === 0 || this.#changes[0]!.atMs >= old) return
    const kept = this.#changes.findIndex(change => change.atMs >= old)
    this.#changes = kept < 0 ? [] : this.#changes.slice(kept)
  }

  #take(covered: number): Change[] {
    const left = this.#changes.findIndex(change => change.number > covered)
    return this.#changes.splice(0, left < 0 ? this.#changes.length : left)
  }

  #resize(size: number): void {
    this.#reserve(size)
    if (size < this.#size) this.#bytes.fill(0, size, this.#size)
    this.#size = size
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(size, this.#bytes.length * 2, 256))
    grown.set(this.#bytes.subarray(0, this.#size))
    this.#bytes = grown
  }
}

/**
 * Newest change first: each sector stays as it is now with probability `keep`, else it goes back one change and is drawn
 * again. A sector is written whole, so what an earlier change did to one that stays, stays too.
 */
function revert(
  changes: Change[],
  keep: number,
  random: SimRandom,
  restore: (position: number, bytes: Uint8Array) => void
): void {
  const settled = new Set<number>()
  for (const { position, length, before } of changes.toReversed()) {
    const end = position + length
    for (let at = position; at < end; ) {
      const sector = Math.floor(at / SECTOR_BYTES)
      const next = Math.min(end, (sector + 1) * SECTOR_BYTES)
      if (!settled.has(sector)) {
        if (random.chance(keep)) settled.add(sector)
        else restore(at, padded(before.subarray(at - position, next - position), next - at))
      }
      at = next
    }
  }
}

/** With zeros to `length`. */
function padded(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes
  const whole = new Uint8Array(length)
  whole.set(bytes)
  return whole
}

/** The patches, except what they say of `from` to `to`. */
function without(patches: Patch[], from: number, to: number): Patch[] {
  return patches.flatMap(patch => {
    const end = patch.position + patch.bytes.length
    if (end <= from || patch.position >= to) return [patch]
    const left = { position: patch.position, bytes: patch.bytes.subarray(0, Math.max(0, from - patch.position)) }
    const right = { position: to, bytes: patch.bytes.subarray(Math.min(patch.bytes.length, to - patch.position)) }
    return [left, right].filter(({ bytes }) => bytes.length > 0)
  })
}
