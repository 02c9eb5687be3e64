/** Files for real: the one place of storage that touches `node:fs`. Thin: no buffering, no retries. */
import { mkdir, type FileHandle as NodeHandle, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FileHandle, FileIo } from '../../ports.ts'

export const nodeFiles: FileIo = {
  async open(path, mode) {
    return new OpenFile(await open(path, mode))
  },
  async list(dir) {
    return (await unlessMissing(readdir(dir))) ?? []
  },
  async makeDir(dir) {
    await mkdir(dir, { recursive: true })
  },
  rename,
  unlink,
  async syncDir(dir) {
    const handle = await open(dir, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
  async readFile(path) {
    return unlessMissing(readFile(path))
  },
  async replaceFile(path, content) {
    const temporary = `${path}.tmp`
    const handle = await open(temporary, 'w')
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
    await nodeFiles.syncDir(dirname(path))
  }
}

class OpenFile implements FileHandle {
  readonly #handle: NodeHandle

  constructor(handle: NodeHandle) {
    this.#handle = handle
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let done = 0
    while (done < into.length) {
      const { bytesRead } = await this.#handle.read(into, done, into.length - done, position + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return done
  }

  async write(buffers: Uint8Array[], position: number): Promise<void> {
    let rest = buffers.filter(buffer => buffer.length > 0)
    let at = position
    while (rest.length > 0) {
      const { bytesWritten } = await this.#handle.writev(rest, at)
      // Linux reports a full disk as a short write first; the next try gets the ENOSPC.
      at += bytesWritten
      rest = skip(rest, bytesWritten)
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync()
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length)
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** What is left of `buffers` after their first `bytes`. */
function skip(buffers: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes
  let first = 0
  while (first < buffers.length && left >= buffers[first]!.length) left -= buffers[first++]!.length
  const rest = buffers.slice(first)
  if (left > 0) rest[0] = rest[0]!.subarray(left)
  return rest
}

async function unlessMissing<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
