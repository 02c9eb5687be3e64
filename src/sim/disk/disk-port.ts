/** The files port of one boot of a simulated machine: every call becomes an operation that takes its time on the disk. */
import type { FileHandle, FileIo } from '../../ports.ts'
import type { SimRandom } from '../world/random.ts'
import { baseName, type DirectoryTree, parentOf } from './directory.ts'
import { type DiskFaults, fileError } from './disk-faults.ts'
import type { DiskOperation } from './in-flight.ts'
import { Inode } from './inode.ts'

/** Kinds of work, by what they cost. */
export type Work = 'look' | 'read' | 'write' | 'sync' | 'replace'

/** What a port needs of its disk. */
export interface DiskParts {
  names: DirectoryTree
  faults: DiskFaults
  random: SimRandom
  nowMs(): number
  /** How long it takes, drawn anew. */
  workMs(work: Work, bytes?: number): number
  /** Never settles for a boot that is over. */
  submit<T>(boot: Boot, operation: DiskOperation<T>): Promise<T>
  /** Bytes that reached a file. */
  wrote(bytes: number): void
}

/** From `attach` until the machine goes down. */
export interface Boot {
  openFiles: number
}

export function diskPort(disk: DiskParts, boot: Boot): FileIo {
  const { names, faults } = disk

  function submit<T>(what: string, work: Work, effect: () => T, bytes = 0): Promise<T> {
    return disk.submit(boot, { what: `disk ${what}`, workMs: disk.workMs(work, bytes), effect })
  }

  function existing(path: string, syscall: string): Inode {
    const inode = names.file(path)
    if (inode === undefined) throw fileError('ENOENT', syscall, path)
    return inode
  }

  function checkParent(path: string, syscall: string): void {
    if (!names.hasDir(parentOf(path))) throw fileError('ENOENT', syscall, path)
  }

  function create(path: string): Inode {
    if (names.has(path)) throw fileError('EEXIST', 'open', path)
    checkParent(path, 'open')
    faults.checkRoom('open', path)
    const inode = new Inode()
    names.link(path, inode, disk.nowMs())
    return inode
  }

  /** Temporary file, sync, rename, directory sync: the first `steps` of them, 4 for all. */
  function replace(path: string, content: Uint8Array, covered: number, steps: number): void {
    if (steps === 0) return
    const nowMs = disk.nowMs()
    const temporary = `${path}.tmp`
    checkParent(path, 'open')
    // A full disk may have had room for the name, and for a part.
    if (disk.random.chance(0.5)) faults.checkRoom('open', temporary)
    const inode = new Inode()
    names.link(temporary, inode, nowMs)
    const written = steps === 1 || faults.full ? faults.part(content) : content
    inode.write(written, 0, nowMs)
    disk.wrote(written.length)
    faults.checkRoom('write', temporary)
    if (steps === 1) return
    inode.sync(inode.made)
    if (steps === 2) return
    names.rename(temporary, path, nowMs)
    if (steps === 4) names.syncWith(path, covered)
  }

  return {
    open: (path, mode) =>
      submit(`open ${baseName(path)}`, 'look', () => {
        const inode = mode === 'wx+' ? create(path) : existing(path, 'open')
        boot.openFiles++
        return openHandle(disk, boot, path, inode, mode !== 'r')
      }),
    list: dir => submit(`list ${dir}`, 'look', () => disk.random.shuffle(names.list(dir))),
    makeDir: dir =>
      submit(`makeDir ${dir}`, 'look', () => {
        if (names.hasDir(dir)) return
        faults.checkRoom('mkdir', dir)
        names.makeDir(dir, disk.nowMs())
      }),
    rename: (from, to) =>
      submit(`rename ${baseName(from)} ${baseName(to)}`, 'look', () => {
        existing(from, 'rename')
        checkParent(to, 'rename')
        names.rename(from, to, disk.nowMs())
      }),
    unlink: path =>
      submit(`unlink ${baseName(path)}`, 'look', () => {
        existing(path, 'unlink')
        names.unlink(path, disk.nowMs())
      }),
    syncDir: dir => {
      const covered = names.made
      return submit(`syncDir ${dir}`, 'sync', () => {
        if (!names.hasDir(dir)) throw fileError('ENOENT', 'open', dir)
        names.sync(dir, covered)
      })
    },
    readFile: path => submit(`readFile ${baseName(path)}`, 'read', () => names.file(path)?.content()),
    replaceFile: (path, content) => {
      const bytes = content.slice()
      const covered = names.made
      return disk.submit(boot, {
        what: `disk replaceFile ${baseName(path)} ${bytes.length}`,
        workMs: disk.workMs('replace', bytes.length),
        effect: () => replace(path, bytes, covered, 4),
        partly: () => replace(path, bytes, covered, disk.random.between(0, 4))
      })
    }
  }
}

function openHandle(disk: DiskParts, boot: Boot, path: string, inode: Inode, writable: boolean): FileHandle {
  const { faults } = disk
  const name = baseName(path)
  let open = true

  async function submit<T>(syscall: string, operation: DiskOperation<T>, writes = false): Promise<T> {
    if (!open || (writes && !writable)) throw fileError('EBADF', syscall, path)
    return disk.submit(boot, operation)
  }

  return {
    read: (into, position) =>
      submit('read', {
        what: `disk read ${name} ${into.length}@${position}`,
        workMs: disk.workMs('read', Math.min(into.length, Math.max(0, inode.size - position))),
        effect: () => faults.read(path, inode, into, position)
      }),
    write(buffers, position) {
      // The bytes of now: a caller may use its buffers again.
      const data = Buffer.concat(buffers)
      const write = (bytes: Uint8Array) => {
        faults.write(path, inode, bytes, position, disk.nowMs())
        disk.wrote(bytes.length)
      }
      const operation = {
        what: `disk write ${name} ${data.length}@${position}`,
        workMs: disk.workMs('write', data.length),
        effect: () => write(data),
        partly: () => write(disk.random.chance(0.5) ? data : faults.part(data))
      }
      return submit('write', operation, true)
    },
    sync() {
      const covered = inode.made
      return submit('fdatasync', {
        what: `disk sync ${name}`,
        workMs: disk.workMs('sync'),
        effect: () => faults.sync(path, inode, covered)
      })
    },
    truncate(length) {
      const effect = () => {
        if (length > inode.size) faults.checkRoom('ftruncate', path)
        inode.truncate(length, disk.nowMs())
      }
      return submit('ftruncate', { what: `disk truncate ${name} ${length}`, workMs: disk.workMs('look'), effect }, true)
    },
    size: () => submit('fstat', { what: `disk size ${name}`, workMs: disk.workMs('look'), effect: () => inode.size }),
    async close() {
      if (!open) throw fileError('EBADF', 'close', path)
      open = false
      await disk.submit(boot, {
        what: `disk close ${name}`,
        workMs: disk.workMs('look'),
        effect: () => void boot.openFiles--
      })
    }
  }
}
