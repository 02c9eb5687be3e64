/**
 * How a simulated disk fails: what is asked of it by plan, and what then happens to bytes. Errors strike range files
 * only: what else a node keeps is small, checked whole and covered by power cuts.
 */

import type { SimRandom } from '../world/random.ts'
import { type DirectoryTree, parentOf } from './directory.ts'
import { type Inode, SECTOR_BYTES } from './inode.ts'

/** Where a fault left its mark. */
export interface DiskInjury {
  atMs: number
  kind: 'failed-write' | 'failed-sync' | 'failed-read' | 'lost-write' | 'misdirected-write' | 'overwritten' | 'rot'
  path: string
  offset: number
  /** Bytes. */
  length: number
}

type Failing = 'write' | 'sync' | 'read'

const MESSAGES: Record<string, string> = {
  EIO: 'i/o error',
  ENOSPC: 'no space left on device',
  ENOENT: 'no such file or directory',
  EEXIST: 'file already exists',
  EBADF: 'bad file descriptor'
}

/** As Node makes them. */
export function fileError(code: string, syscall: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${MESSAGES[code] ?? code}, ${syscall} '${path}'`), { code, syscall, path })
}

export function isRangeFile(path: string): boolean {
  return /\.(log|hint)$/.test(path) && /(^|\/)ranges$/.test(parentOf(path))
}

export class DiskFaults {
  readonly #names: DirectoryTree
  readonly #random: SimRandom
  readonly #report: (injury: Omit<DiskInjury, 'atMs'>) => void
  #failures: Record<Failing, number> = { write: 0, sync: 0, read: 0 }
  #losses = 0
  #misdirections = 0
  /** Nothing on the disk may grow. */
  full = false

  constructor(names: DirectoryTree, random: SimRandom, report: (injury: Omit<DiskInjury, 'atMs'>) => void) {
    this.#names = names
    this.#random = random
    this.#report = report
  }

  failNext(operation: Failing, times: number): void {
    this.#failures[operation] += times
  }

  loseWrites(times: number): void {
    this.#losses += times
  }

  misdirectNext(): void {
    this.#misdirections++
  }

  /** No fault is pending any more. */
  forget(): void {
    this.full = false
    this.#failures = { write: 0, sync: 0, read: 0 }
    this.#losses = 0
    this.#misdirections = 0
  }

  /** Throws ENOSPC when there is no room. */
  checkRoom(syscall: string, path: string): void {
    if (this.full) throw fileError('ENOSPC', syscall, path)
  }

  /** Throws EIO. */
  read(path: string, inode: Inode, into: Uint8Array, position: number): number {
    if (this.#fails('read', path, position, into.length)) throw fileError('EIO', 'read', path)
    return inode.read(into, position)
  }

  /** Throws EIO and ENOSPC; the first bytes may be there all the same. */
  write(path: string, inode: Inode, data: Uint8Array, position: number, nowMs: number): void {
    const fails = this.#fails('write', path, position, data.length)
    if (fails || (this.full && position + data.length > inode.size)) {
      inode.write(this.part(data), position, nowMs)
      throw fileError(fails ? 'EIO' : 'ENOSPC', 'write', path)
    }
    if (this.#losses > 0 && isRangeFile(path)) {
      this.#losses--
      this.#report({ kind: 'lost-write', path, offset: position, length: data.length })
      inode.write(this.#stale(inode, position, data.length), position, nowMs)
      return
    }
    if (this.#misdirections > 0 && isRangeFile(path)) {
      this.#misdirections--
      this.#report({ kind: 'misdirected-write', path, offset: position, length: data.length })
      const stale = this.#stale(inode, position, data.length)
      this.#misdirect(path, inode, data, position)
      inode.write(stale, position, nowMs)
      return
    }
    inode.write(data, position, nowMs)
  }

  /** Throws EIO. */
  sync(path: string, inode: Inode, covered: number): void {
    if (this.#fails('sync', path, 0, inode.size)) {
      inode.failSync(covered, this.#random)
      throw fileError('EIO', 'fdatasync', path)
    }
    inode.sync(covered)
  }

  /** As much of an interrupted write as happened: nothing, something or all. */
  part(data: Uint8Array): Uint8Array {
    return data.subarray(0, this.#random.chance(0.3) ? 0 : this.#random.between(0, data.length))
  }

  /** Flips bits of range files, wherever they lie; nothing if there are none. */
  rot(bits: number): void {
    const files = this.#rangeFiles()
    const total = files.reduce((sum, [, { size }]) => sum + size, 0)
    for (let i = 0; i < bits && total > 0; i++) {
      let offset = this.#random.below(total)
      const hit = files.find(([, { size }]) => {
        if (offset < size) return true
        offset -= size
        return false
      })
      const [path, inode] = hit!
      inode.flipBit(offset, this.#random.below(8))
      this.#report({ kind: 'rot', path, offset, length: 1 })
    }
  }

  #fails(operation: Failing, path: string, offset: number, length: number): boolean {
    if (this.#failures[operation] === 0 || !isRangeFile(path)) return false
    this.#failures[operation]--
    this.#report({ kind: `failed-${operation}`, path, offset, length })
    return true
  }

  #rangeFiles(): [string, Inode][] {
    return [...this.#names.files()].filter(([path, { size }]) => size > 0 && isRangeFile(path))
  }

  /**
   * What is found where a write never arrived: the old content; past it zeros, or what the blocks held when they were
   * part of another file.
   */
  #stale(inode: Inode, position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const others = this.#random.chance(0.4) ? this.#rangeFiles() : []
    if (others.length > 0) {
      const [, other] = this.#random.pick(others)
      const sectors = Math.ceil(other.size / SECTOR_BYTES)
      other.read(bytes, this.#random.below(sectors) * SECTOR_BYTES + (position % SECTOR_BYTES))
    }
    inode.read(bytes, position)
    return bytes
  }

  /** In the same file whole sectors away, or in another at the same place; what lies past a file's end is nobody's. */
  #misdirect(path: string, inode: Inode, data: Uint8Array, position: number): void {
    const random = this.#random
    const own = Math.floor(position / SECTOR_BYTES)
    const sectors = Math.ceil((inode.size - (position % SECTOR_BYTES)) / SECTOR_BYTES)
    const elsewhere = Array.from({ length: Math.max(0, sectors) }, (_, sector) => sector).filter(at => at !== own)
    const others = this.#rangeFiles().filter(([, other]) => other !== inode && other.size > position)
    const inOther = others.length > 0 && (elsewhere.length === 0 || random.chance(0.5))
    if (!inOther && elsewhere.length === 0) return
    const [hitPath, hit] = inOther ? random.pick(others) : ([path, inode] as const)
    const at = inOther ? position : random.pick(elsewhere) * SECTOR_BYTES + (position % SECTOR_BYTES)
    hit.overwrite(at, data)
    const length = Math.min(data.length, hit.size - at)
    this.#report({ kind: 'overwritten', path: hitPath, offset: at, length })
  }
}
