/**
 * Files in memory, with the faults of real disks on demand. What is written but not synced, and what was created,
 * renamed or unlinked in a directory that was not synced, is gone after `powerCut()`. Each operation completes in a
 * microtask, or when a `hold` of it is released.
 *
 * @example
 *   const files = new FakeFiles()
 *   files.fail('write', 'ENOSPC', { path: /0007/, partialBytes: 10 })   // the next write to a path like that
 *   const release = files.hold('sync')                                 // syncs wait …
 *   release()                                                          // … until here
 *   files.powerCut()                                                   // open handles are dead; reopen everything
 */
import type { FileHandle, FileIo } from '../../src/ports.ts'

export type FileOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'size'
  | 'close'
  | 'list'
  | 'makeDir'
  | 'rename'
  | 'unlink'
  | 'syncDir'
  | 'readFile'
  | 'replaceFile'

export interface FaultOptions {
  /** Only for paths that match; default any. */
  path?: RegExp
  /** How many operations fail; default 1. `Infinity`: until `heal()`. */
  times?: number
  /** Of a failing write: how many of its bytes reach the file all the same; default 0. */
  partialBytes?: number
}

interface Fault extends FaultOptions {
  operation: FileOperation
  code: string
  times: number
}

interface Hold {
  operation: FileOperation
  path?: RegExp
  released: Promise<void>
}

class Inode {
  bytes = new Uint8Array(0)
  length = 0
  /** What takes back each change since the last sync, oldest first. */
  undo: (() => void)[] = []
  /** Changes ever made; the last of `undo` is the latest. */
  changes = 0

  content(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  resize(length: number): void {
    if (length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(length, this.bytes.length * 2, 256))
      grown.set(this.bytes.subarray(0, this.length))
      this.bytes = grown
    }
    if (length < this.length) this.bytes.fill(0, length, this.length)
    this.length = length
  }

  write(data: Uint8Array, position: number): void {
    const before = this.length
    const overwritten = this.bytes.slice(position, Math.min(before, position + data.length))
    this.changes++
    this.undo.push(() => {
      this.bytes.set(overwritten, position)
      this.resize(before)
    })
    this.resize(Math.max(before, position + data.length))
    this.bytes.set(data, position)
  }

  truncate(length: number): void {
    const before = this.length
    const cut = this.bytes.slice(length, before)
    this.changes++
    this.undo.push(() => {
      this.resize(before)
      this.bytes.set(cut, length)
    })
    this.resize(length)
  }
}

export class FakeFiles implements FileIo {
  /** Operations begun, by kind; failed ones count. */
  readonly counts: Partial<Record<FileOperation, number>> = {}
  /** Bytes that all files may hold together; past it writes fail with ENOSPC. */
  capacityBytes = Number.POSITIVE_INFINITY
  /** Handles that may be open at once; past it `open` fails with EMFILE. */
  maxOpen = Number.POSITIVE_INFINITY
  openHandles = 0
  readonly #dirs = new Set<string>()
  readonly #entries = new Map<string, Inode>()
  /** The entries that a power cut leaves. */
  readonly #durable = new Map<string, Inode>()
  #faults: Fault[] = []
  #holds: Hold[] = []
  /** Raised by every power cut; handles of an older one are dead. */
  #boot = 0

  // ---- what tests do

  /** Makes the next `times` operations of this kind fail with `code`. */
  fail(operation: FileOperation, code: string, options: FaultOptions = {}): void {
    this.#faults.push({ times: 1, ...options, operation, code })
  }

  /** Forgets all faults that were asked for. */
  heal(): void {
    this.#faults = []
  }

  /** Operations of this kind wait, before they do anything, until the returned function is called. */
  hold(operation: FileOperation, path?: RegExp): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    const hold: Hold = { operation, path, released: promise }
    this.#holds.push(hold)
    return () => {
      this.#holds = this.#holds.filter(other => other !== hold)
      resolve()
    }
  }

  /**
   * The power fails and returns. `tornWrites`: of each file's unsynced changes the first so many survive (default
   * none): the disk had begun to write them.
   */
  powerCut(options: { tornWrites?: number } = {}): void {
    this.#boot++
    this.openHandles = 0
    this.#faults = []
    this.#entries.clear()
    for (const [path, inode] of this.#durable) {
      this.#entries.set(path, inode)
      for (const undo of inode.undo.splice(options.tornWrites ?? 0).reverse()) undo()
      inode.undo = []
    }
  }

  /** Kill −9: handles are gone, everything written stays. */
  crash(): void {
    this.#boot++
    this.openHandles = 0
  }

  paths(): string[] {
    return [...this.#entries.keys()].sort()
  }

  peek(path: string): Uint8Array {
    return this.#inode(path, 'peek').content()
  }

  /** Changes bytes in place, as bit rot would. */
  poke(path: string, position: number, bytes: Uint8Array | number[]): void {
    const inode = this.#inode(path, 'poke')
    inode.resize(Math.max(inode.length, position + bytes.length))
    inode.bytes.set(bytes, position)
  }

  /** Sets a file's whole content, durably; undefined removes it. */
  set(path: string, content: Uint8Array | undefined): void {
    if (content === undefined) {
      this.#entries.delete(path)
      this.#durable.delete(path)
      return
    }
    const inode = new Inode()
    inode.bytes = new Uint8Array(content)
    inode.length = content.length
    this.#addDir(parentOf(path))
    this.#entries.set(path, inode)
    this.#durable.set(path, inode)
  }

  usedBytes(): number {
    let total = 0
    for (const inode of new Set(this.#entries.values())) total += inode.length
    return total
  }

  // ---- FileIo

  async open(path: string, mode: 'r' | 'r+' | 'wx+'): Promise<FileHandle> {
    await this.#begin('open', path)
    if (this.openHandles >= this.maxOpen) throw fileError('EMFILE', 'open', path)
    if (mode === 'wx+') {
      if (this.#entries.has(path)) throw fileError('EEXIST', 'open', path)
      if (!this.#dirs.has(parentOf(path))) throw fileError('ENOENT', 'open', path)
      this.#entries.set(path, new Inode())
    }
    const inode = this.#inode(path, 'open')
    this.openHandles++
    return this.#handle(path, inode, mode !== 'r')
  }

  async list(dir: string): Promise<string[]> {
    await this.#begin('list', dir)
    const names = new Set<string>()
    for (const path of [...this.#entries.keys(), ...this.#dirs]) {
      if (path.startsWith(`${dir}/`)) names.add(path.slice(dir.length + 1).split('/', 1)[0]!)
    }
    return [...names]
  }

  /** Directories, unlike files in them, are durable at once. */
  async makeDir(dir: string): Promise<void> {
    await this.#begin('makeDir', dir)
    this.#addDir(dir)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#begin('rename', from)
    const inode = this.#inode(from, 'rename')
    this.#entries.delete(from)
    this.#entries.set(to, inode)
  }

  async unlink(path: string): Promise<void> {
    await this.#begin('unlink', path)
    this.#inode(path, 'unlink')
    this.#entries.delete(path)
  }

  async syncDir(dir: string): Promise<void> {
    await this.#begin('syncDir', dir)
    for (const path of [...this.#durable.keys()]) {
      if (parentOf(path) === dir && !this.#entries.has(path)) this.#durable.delete(path)
    }
    for (const [path, inode] of this.#entries) if (parentOf(path) === dir) this.#durable.set(path, inode)
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    await this.#begin('readFile', path)
    return this.#entries.get(path)?.content()
  }

  async replaceFile(path: string, content: Uint8Array): Promise<void> {
    await this.#begin('replaceFile', path)
    if (!this.#dirs.has(parentOf(path))) throw fileError('ENOENT', 'open', path)
    const before = this.#entries.get(path)?.length ?? 0
    if (this.usedBytes() - before + content.length > this.capacityBytes) throw fileError('ENOSPC', 'write', path)
    this.set(path, content)
  }

  /** Counts, waits for holds, fails if a fault asks for it. Every operation starts here. */
  async #begin(operation: FileOperation, path: string, onFault?: (fault: FaultOptions) => void): Promise<void> {
    this.counts[operation] = (this.counts[operation] ?? 0) + 1
    await null
    for (let hold: Hold | undefined; (hold = this.#holds.find(hold => applies(hold, operation, path))); ) {
      await hold.released
    }
    const fault = this.#faults.find(fault => applies(fault, operation, path))
    if (!fault) return
    if (--fault.times <= 0) this.#faults = this.#faults.filter(other => other !== fault)
    onFault?.(fault)
    throw fileError(fault.code, operation, path)
  }

  #handle(path: string, inode: Inode, writable: boolean): FileHandle {
    const boot = this.#boot
    let open = true
    const begin = async (operation: FileOperation, onFault?: (fault: FaultOptions) => void) => {
      const check = () => {
        if (!open || boot !== this.#boot) throw fileError('EBADF', operation, path)
      }
      check()
      await this.#begin(operation, path, onFault)
      // A close waits in the kernel for nobody; only a power cut or crash that came meanwhile ends an operation.
      if (boot !== this.#boot) throw fileError('EBADF', operation, path)
    }
    return {
      read: async (into, position) => {
        await begin('read')
        const found = inode.bytes.subarray(position, Math.min(inode.length, position + into.length))
        into.set(found)
        return found.length
      },
      write: async (buffers, position) => {
        if (!writable) throw fileError('EBADF', 'write', path)
        // The bytes of now, as a caller may not change them while they are written.
        const data = Buffer.concat(buffers)
        await begin('write', fault => {
          if (fault.partialBytes) inode.write(data.subarray(0, fault.partialBytes), position)
        })
        const room = this.capacityBytes - this.usedBytes() + Math.max(0, inode.length - position)
        if (data.length > room) {
          if (room > 0) inode.write(data.subarray(0, room), position)
          throw fileError('ENOSPC', 'write', path)
        }
        inode.write(data, position)
      },
      sync: async () => {
        // Only what was written when the sync began is certain.
        const covered = inode.changes
        await begin('sync')
        inode.undo.splice(0, Math.max(0, inode.undo.length - (inode.changes - covered)))
      },
      truncate: async length => {
        if (!writable) throw fileError('EBADF', 'truncate', path)
        await begin('truncate')
        inode.truncate(length)
      },
      size: async () => {
        await begin('size')
        return inode.length
      },
      close: async () => {
        await begin('close')
        open = false
        this.openHandles--
      }
    }
  }

  #inode(path: string, operation: string): Inode {
    const inode = this.#entries.get(path)
    if (!inode) throw fileError('ENOENT', operation, path)
    return inode
  }

  #addDir(dir: string): void {
    for (let path = dir; path !== '' && !this.#dirs.has(path); path = parentOf(path)) this.#dirs.add(path)
  }
}

function applies(rule: { operation: FileOperation; path?: RegExp }, operation: FileOperation, path: string): boolean {
  return rule.operation === operation && (rule.path === undefined || rule.path.test(path))
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

function fileError(code: string, operation: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${operation} '${path}'`), { code, syscall: operation, path })
}
