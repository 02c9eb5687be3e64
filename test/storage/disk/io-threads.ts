/** Files on I/O threads of their own, for tests: started at once, with faults planted in their system calls. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FileHandle, FileIo } from '../../../src/ports.ts'
import { keepAlive } from '../../../src/runtime.ts'
import { IoThread } from '../../../src/storage/disk/io-thread.ts'
import { filesThrough } from '../../../src/storage/disk/node-files.ts'
import { until } from '../../support/until.ts'

const WORKER = pathToFileURL(join(import.meta.dirname, '../../../src/storage/disk/io-worker.ts')).href

/** What a test plants: bodies of functions `(call, data, offset, length, position)`, where `call()` does it. */
export interface Faults {
  read?: string
  write?: string
}

/** Reads of a thread give this instead of what is in the file: that tells them from those of the pool. */
export const MARKED = `const bytes = call(); data.fill(33, offset, offset + bytes); return bytes`

/** What is at this position hangs from when there is a file `hanging`, which it makes, to when there is a file `go`. */
export const hang = (dir: string, at: number): string => `
  if (position === ${at}) {
    fs.closeSync(fs.openSync('${dir}/hanging', 'w'))
    while (!fs.existsSync('${dir}/go')) sleep(5)
  }
  return call()`

/** The real worker, with faulty files below it. */
function faultyWorker({ read = 'return call()', write = 'return call()' }: Faults): URL {
  const source = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const word = new Int32Array(new SharedArrayBuffer(4))
    const sleep = ms => Atomics.wait(word, 0, 0, ms)
    const plant = (name, fault) => {
      const real = fs[name]
      fs[name] = (fd, data, offset, length, position) =>
        // Node reads modules with it too.
        !(data.buffer instanceof SharedArrayBuffer)
          ? real(fd, data, offset, length, position)
          : fault((most = length) => real(fd, data, offset, Math.min(most, length), position), data, offset, length, position)
    }
    plant('readSync', (call, data, offset, length, position) => { ${read} })
    plant('writeSync', (call, data, offset, length, position) => { ${write} })
    syncBuiltinESMExports()
    await import(${JSON.stringify(WORKER)})`
  return script(source)
}

export const script = (source: string): URL => new URL(`data:text/javascript,${encodeURIComponent(source)}`)

export interface Threads {
  files: FileIo
  dir: string
  reads: IoThread
  writes: IoThread
  /** A new file of such content. */
  fileOf(content: Uint8Array): Promise<FileHandle>
}

/** Gives `run` files whose threads are listening (unless `worker` is one that never will), and cleans up. */
export async function withThreads(
  options: { faults?: (dir: string) => Faults; worker?: URL },
  run: (threads: Threads) => Promise<void>
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'coterie-io-'))
  const url = options.worker ?? faultyWorker(options.faults?.(dir) ?? {})
  const reads = new IoThread('read', { startAfter: 0, script: url })
  const writes = new IoThread('write', { startAfter: 0, script: url })
  const files = filesThrough({ reads, writes })
  let names = 0
  const fileOf = async (content: Uint8Array) => {
    const handle = await files.open(`${dir}/${names++}`, 'wx+')
    await handle.write([content], 0)
    return handle
  }
  try {
    const first = await fileOf(Uint8Array.of(1))
    await first.read(new Uint8Array(1), 0)
    await first.close()
    if (!options.worker) await until('the threads listen', () => reads.ready && writes.ready, undefined, 2)
    await run({ files, dir, reads, writes, fileOf })
  } finally {
    // An idle thread does not.
    const end = keepAlive()
    await reads.end()
    await writes.end()
    end()
    await rm(dir, { recursive: true })
  }
}

/** `length` bytes that say where they are. */
export function pattern(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = i * 7 + (i >> 8) * 13 + seed * 31
  return bytes
}
