/**
 * Files in memory that keep a journal of every operation with its effect, in the order in which effects took place: what
 * a disk may look like after a power cut or a kill at any moment follows from it (disk-replay.ts). Operations take a
 * seeded number of turns of the event loop, so that they overlap as on a real disk; a sync covers what was done when it
 * began.
 */
import type { FileHandle, FileIo } from '../../../src/ports.ts'
import type { SimRandom } from '../../../src/sim/world/random.ts'
import { settle } from '../helpers.ts'

/** `at`: the tick at which it took effect. `began`: of a sync, the tick that it covers everything before. */
export type JournalOp =
  | { kind: 'create'; at: number; path: string; inode: number }
  | { kind: 'write'; at: number; inode: number; position: number; bytes: Uint8Array }
  | { kind: 'truncate'; at: number; inode: number; length: number }
  | { kind: 'rename'; at: number; path: string; to: string; inode: number }
  | { kind: 'unlink'; at: number; path: string; inode: number }
  | { kind: 'sync'; at: number; inode: number; began: number }
  | { kind: 'syncDir'; at: number; path: string; began: number }

type Untimed<T> = T extends unknown ? Omit<T, 'at'> : never

/** Path → content. */
export type Image = Map<string, Uint8Array>

const TURNS = { write: 1, sync: 3, syncDir: 2 } as const

export class JournalFiles implements FileIo {
  readonly ops: JournalOp[] = []
  /** What was on the disk, durably, before the first operation. */
  readonly base: Image
  /** Bytes that all files may hold together; past it writes fail with ENOSPC, their first part done. */
  capacityBytes = Number.POSITIVE_INFINITY
  openHandles = 0
  /** What a read through a handle that only reads takes, as one does that rewrites a file. */
  scanTurns = 0
  readonly #random: SimRandom
  readonly #names = new Map<number, string>()
  readonly #content = new Map<number, Buffer>()
  readonly #entries = new Map<string, number>()
  #tick = 0
  #nextInode = 1

  constructor(random: SimRandom, base: Image = new Map()) {
    this.#random = random
    this.base = base
    for (const [path, bytes] of base) this.#content.set(this.#addEntry(path), Buffer.from(bytes))
  }

  /** A new moment: what is done from now on is later than what was done before. */
  tick(): number {
    return ++this.#tick
  }

  /** Inodes of `base`, in the order of its paths, are 1, 2, …; a name that it has had, for people. */
  nameOf(inode: number): string {
    return this.#names.get(inode) ?? `inode ${inode}`
  }

  paths(): string[] {
    return [...this.#entries.keys()].sort()
  }

  usedBytes(): number {
    let total = 0
    for (const inode of this.#entries.values()) total += this.#content.get(inode)!.length
    return total
  }

  // ---- FileIo

  async open(path: string, mode: 'r' | 'r+' | 'wx+'): Promise<FileHandle> {
    await null
    let inode = this.#entries.get(path)
    if (mode === 'wx+') {
      if (inode !== undefined) throw fileError('EEXIST', 'open', path)
      inode = this.#create(path)
    }
    if (inode === undefined) throw fileError('ENOENT', 'open', path)
    this.openHandles++
    return this.#handle(inode, path, mode !== 'r')
  }

  async list(dir: string): Promise<string[]> {
    await null
    return [...this.#entries.keys()].filter(path => parentOf(path) === dir).map(path => path.slice(dir.length + 1))
  }

  async makeDir(): Promise<void> {
    await null
  }

  async rename(path: string, to: string): Promise<void> {
    await null
    const inode = this.#inode(path, 'rename')
    this.#log({ kind: 'rename', path, to, inode })
    this.#entries.delete(path)
    this.#entries.set(to, inode)
    this.#names.set(inode, to)
  }

  async unlink(path: string): Promise<void> {
    await null
    const inode = this.#inode(path, 'unlink')
    this.#log({ kind: 'unlink', path, inode })
    this.#entries.delete(path)
  }

  async syncDir(dir: string): Promise<void> {
    const began = this.tick()
    await this.#wait('syncDir')
    this.#log({ kind: 'syncDir', path: dir, began })
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    await null
    const inode = this.#entries.get(path)
    return inode === undefined ? undefined : new Uint8Array(this.#content.get(inode)!)
  }

  async replaceFile(path: string, content: Uint8Array): Promise<void> {
    const temporary = `${path}.tmp`
    if (this.#entries.has(temporary)) await this.unlink(temporary)
    const handle = await this.open(temporary, 'wx+')
    try {
      await handle.write([content], 0)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await this.rename(temporary, path)
    await this.syncDir(parentOf(path))
  }

  // ---- effects

  #create(path: string): number {
    const inode = this.#addEntry(path)
    this.#log({ kind: 'create', path, inode })
    return inode
  }

  #addEntry(path: string): number {
    const inode = this.#nextInode++
    this.#entries.set(path, inode)
    this.#names.set(inode, path)
    this.#content.set(inode, Buffer.alloc(0))
    return inode
  }

  #write(inode: number, position: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#log({ kind: 'write', inode, position, bytes })
    this.#content.set(inode, written(this.#content.get(inode)!, position, bytes))
  }

  #log(op: Untimed<JournalOp>): void {
    this.ops.push({ ...op, at: this.tick() } as JournalOp)
  }

  async #wait(kind: keyof typeof TURNS): Promise<void> {
    await null
    for (let turns = this.#random.between(0, TURNS[kind]); turns > 0; turns--) await settle()
  }

  #inode(path: string, operation: string): number {
    const inode = this.#entries.get(path)
    if (inode === undefined) throw fileError('ENOENT', operation, path)
    return inode
  }

  #handle(inode: number, path: string, writable: boolean): FileHandle {
    let open = true
    const begin = (operation: string, writes = false) => {
      if (!open || (writes && !writable)) throw fileError('EBADF', operation, path)
    }
    return {
      read: async (into, position) => {
        begin('read')
        await null
        for (let turns = writable ? 0 : this.scanTurns; turns > 0; turns--) await settle()
        return this.#content.get(inode)!.copy(into, 0, position)
      },
      write: async (buffers, position) => {
        begin('write', true)
        const bytes = Buffer.concat(buffers)
        await this.#wait('write')
        const grows = position + bytes.length - this.#content.get(inode)!.length
        const over = grows - Math.max(0, this.capacityBytes - this.usedBytes())
        this.#write(inode, position, over > 0 ? bytes.subarray(0, Math.max(0, bytes.length - over)) : bytes)
        if (over > 0) throw fileError('ENOSPC', 'write', path)
      },
      sync: async () => {
        begin('sync')
        const began = this.tick()
        await this.#wait('sync')
        this.#log({ kind: 'sync', inode, began })
      },
      truncate: async length => {
        begin('truncate', true)
        await null
        this.#log({ kind: 'truncate', inode, length })
        this.#content.set(inode, truncated(this.#content.get(inode)!, length))
      },
      size: async () => {
        begin('size')
        await null
        return this.#content.get(inode)!.length
      },
      close: async () => {
        begin('close')
        await null
        open = false
        this.openHandles--
      }
    }
  }
}

/** A file's content after a write to it, holes filled with zeros. */
export function written(content: Uint8Array, position: number, bytes: Uint8Array): Buffer {
  const after = Buffer.alloc(Math.max(content.length, position + bytes.length))
  after.set(content)
  after.set(bytes, position)
  return after
}

export function truncated(content: Uint8Array, length: number): Buffer {
  const after = Buffer.alloc(length)
  after.set(content.subarray(0, length))
  return after
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

function fileError(code: string, operation: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${operation} '${path}'`), { code, syscall: operation, path })
}
