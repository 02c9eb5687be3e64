/** An open file. Small reads and writes go through the I/O threads, all else through libuv's pool. */
import { close, fstat } from 'node:fs'
import { getSystemErrorMap } from 'node:util'
import type { FileHandle } from '../../ports.ts'
import type { IoRequest, IoThread } from './io-thread.ts'
import { readOnPool, syncOnPool, truncateOnPool, writeOnPool } from './libuv.ts'

export interface IoThreads {
  /** Apart, so that no read waits for a write that hangs. */
  reads: IoThread
  writes: IoThread
}

/** At 32 KiB and more, the copy through shared memory costs what the thread saves. */
const SMALL_BYTES = 16 * 1024

type Settle<T> = (value: T) => void
type Fail = (error: Error) => void

export class OpenFile implements FileHandle {
  readonly fd: number
  readonly #threads: IoThreads
  /** Operations that use the descriptor: until they end it must not be closed, or they would hit another file. */
  #uses = 0
  #whenUnused: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(fd: number, threads: IoThreads) {
    this.fd = fd
    this.#threads = threads
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#refused('read', reject)) return
      if (into.length === 0) return resolve(0)
      this.#uses++
      const request = new ReadRequest(this, into, position, resolve, reject)
      if (into.length > SMALL_BYTES || !this.#threads.reads.submit(request)) request.onPool()
    })
  }

  write(buffers: Uint8Array[], position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#refused('write', reject)) return
      let length = 0
      for (const buffer of buffers) length += buffer.length
      if (length === 0) return resolve()
      this.#uses++
      const request = new WriteRequest(this, buffers, length, position, resolve, reject)
      if (length > SMALL_BYTES || !this.#threads.writes.submit(request)) request.onPool()
    })
  }

  sync(): Promise<void> {
    return this.#call('fdatasync', then => syncOnPool(this.fd, then))
  }

  truncate(length: number): Promise<void> {
    return this.#call('ftruncate', then => truncateOnPool(this.fd, length, then))
  }

  async size(): Promise<number> {
    let bytes = 0
    await this.#call('fstat', then =>
      fstat(this.fd, (error, stats) => {
        if (!error) bytes = stats.size
        then(error)
      })
    )
    return bytes
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      if (this.#uses > 0) await new Promise<void>(resolve => (this.#whenUnused = resolve))
      await new Promise<void>((resolve, reject) => close(this.fd, error => (error ? reject(error) : resolve())))
    })()
    return this.#closing
  }

  /** An operation that was begun has ended. */
  letGo(): void {
    this.#uses--
    if (this.#uses === 0) this.#whenUnused?.()
  }

  #call(syscall: string, run: (then: (error: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#refused(syscall, reject)) return
      this.#uses++
      run(error => {
        this.letGo()
        if (error) reject(error)
        else resolve()
      })
    })
  }

  /** The descriptor may belong to another file already: the system must not be asked. */
  #refused(syscall: string, reject: Fail): boolean {
    if (this.#closing === undefined) return false
    const [errno, [code, text]] = [...getSystemErrorMap()].find(([, [name]]) => name === 'EBADF')!
    reject(Object.assign(new Error(`${code}: ${text}, ${syscall}`), { code, errno, syscall }))
    return true
  }
}

class ReadRequest implements IoRequest {
  readonly fd: number
  readonly length: number
  readonly position: number
  readonly #file: OpenFile
  readonly #into: Uint8Array
  readonly #resolve: Settle<number>
  readonly #reject: Fail

  constructor(file: OpenFile, into: Uint8Array, position: number, resolve: Settle<number>, reject: Fail) {
    this.fd = file.fd
    this.length = into.length
    this.position = position
    this.#file = file
    this.#into = into
    this.#resolve = resolve
    this.#reject = reject
  }

  put(): void {}

  take(data: Uint8Array, offset: number, bytes: number): void {
    this.#into.set(data.subarray(offset, offset + bytes))
    this.#file.letGo()
    this.#resolve(bytes)
  }

  onPool(): void {
    readOnPool(this.fd, this.#into, this.position, (error, bytes) => {
      this.#file.letGo()
      if (error) this.#reject(error)
      else this.#resolve(bytes)
    })
  }
}

class WriteRequest implements IoRequest {
  readonly fd: number
  readonly length: number
  readonly position: number
  readonly #file: OpenFile
  readonly #buffers: Uint8Array[]
  readonly #resolve: Settle<void>
  readonly #reject: Fail

  constructor(
    file: OpenFile,
    buffers: Uint8Array[],
    length: number,
    position: number,
    resolve: Settle<void>,
    reject: Fail
  ) {
    this.fd = file.fd
    this.length = length
    this.position = position
    this.#file = file
    this.#buffers = buffers
    this.#resolve = resolve
    this.#reject = reject
  }

  put(data: Uint8Array, offset: number): void {
    let at = offset
    for (const buffer of this.#buffers) {
      data.set(buffer, at)
      at += buffer.length
    }
  }

  /** A write that stops short without an error: the pool hears the reason, as it hears that of a failure. */
  take(_data: Uint8Array, _offset: number, bytes: number): void {
    if (bytes < this.length) this.onPool()
    else {
      this.#file.letGo()
      this.#resolve()
    }
  }

  onPool(): void {
    const buffers = this.#buffers.filter(buffer => buffer.length > 0)
    writeOnPool(this.fd, buffers, this.position, error => {
      this.#file.letGo()
      if (error) this.#reject(error)
      else this.#resolve()
    })
  }
}
