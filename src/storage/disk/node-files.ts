/** Files for real. Thin: no buffering; open files (open-file.ts) decide which thread an operation goes to. */
import { open as openFd, readFileSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FileIo } from '../../ports.ts'
import { IoThread } from './io-thread.ts'
import { syncTurns, writeTurns } from './libuv.ts'
import { type IoThreads, OpenFile } from './open-file.ts'

/** Files whose small operations go through these threads. */
export function filesThrough(threads: IoThreads): FileIo {
  return {
    maxHandles: maxHandles(),
    open: (path, mode) => {
      const opened = () =>
        new Promise<OpenFile>((resolve, reject) =>
          openFd(path, mode, (error, fd) => (error ? reject(error) : resolve(new OpenFile(fd, threads))))
        )
      return mode === 'wx+' ? writeTurns.run(opened) : opened()
    },
    async list(dir) {
      return (await unlessMissing(readdir(dir))) ?? []
    },
    async makeDir(dir) {
      await mkdir(dir, { recursive: true })
    },
    rename: (from, to) => writeTurns.run(() => rename(from, to)),
    // A file of hundreds of megabytes takes as many milliseconds to go: writes must not wait for it.
    unlink: path => syncTurns.run(() => unlink(path)),
    syncDir: dir => syncTurns.run(() => syncDir(dir)),
    async readFile(path) {
      return unlessMissing(readFile(path))
    },
    replaceFile: (path, content) => syncTurns.run(() => replaceFile(path, content))
  }
}

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  const handle = await open(temporary, 'w')
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
  await syncDir(dirname(path))
}

/**
 * All nodes of a process share two threads. That for reads starts at once: a disk that stalls may take all of libuv's pool
 * for writes and syncs, and what the page cache holds can still be read.
 */
export const nodeFiles: FileIo = filesThrough({
  reads: new IoThread('read', { startAfter: 0 }),
  writes: new IoThread('write')
})

/** `ulimit -n`, where a file says it (Linux). */
function maxHandles(): number | undefined {
  try {
    const limit = Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
    return Number.isNaN(limit) ? undefined : limit
  } catch {
    return undefined
  }
}

async function unlessMissing<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
