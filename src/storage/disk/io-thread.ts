/**
 * A thread for small reads or small writes. Through libuv's pool, several at once cost 15 to 30 µs of CPU each, nearly
 * all of it for passing them on; a thread that takes them in batches through shared memory, 3 to 7 µs. It is one thread
 * though: when the disk is slow, operations go to the pool, where four wait for it at once, and one that hangs keeps
 * few others. Without the thread (not started yet, forbidden, dead) everything goes there.
 */
import { SHARE_ENV, Worker } from 'node:worker_threads'
import { systemTimers } from '../../runtime.ts'
import {
  BATCH,
  COUNT,
  DONE,
  ELAPSED,
  FAILED,
  FD,
  type IoKind,
  IoShared,
  type IoWorkerData,
  LENGTH,
  MAX_BYTES,
  MAX_REQUESTS,
  NEXT,
  NOT_READY,
  OFFSET,
  POSITION,
  RESULT,
  ROW
} from './io-shared.ts'

/** A read or a write. Done twice it does the same: whatever goes wrong here, the pool tries again and says why. */
export interface IoRequest {
  readonly fd: number
  readonly length: number
  readonly position: number
  /** Puts what is to be written into the thread's memory. */
  put(data: Uint8Array, offset: number): void
  /** The thread has done it: what was read is in its memory. */
  take(data: Uint8Array, offset: number, bytes: number): void
  onPool(): void
}

export interface IoThreadOptions {
  /** Requests until the thread is started, which costs as much CPU as several thousand of them, and 12 to 20 MB. */
  startAfter?: number
  script?: URL
}

const START_AFTER = 1000
/** As the main thread's own file: `.ts` in the sources, `.js` in `dist`. */
const SCRIPT = new URL(import.meta.url.endsWith('.ts') ? './io-worker.ts' : './io-worker.js', import.meta.url)
/** Enough for Node to strip types in it, which only the sources need. */
const LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 }
/** How often a batch under way is looked at, and the requests of it that must have been done since, or it is stuck. */
const WATCH_MS = 4
const LEAST_PROGRESS = 32
/** A batch that took longer met the disk, not the page cache. */
const SLOW_US_PER_REQUEST = 30
const SLOW_US = 200
/** How many requests go to the pool after a slow batch, until the thread gets another chance; more each time. */
const DETOUR = 64
const MAX_DETOUR = 4096

export class IoThread {
  readonly #kind: IoKind
  readonly #script: URL
  #startsIn: number
  #worker: Worker | undefined
  #shared: IoShared | undefined
  /** The thread listens. */
  #ready = false
  /** Number of the last batch. */
  #batch = 0
  /** Requests of the batch under way; those from `#from` to `#to` are not settled. */
  #flying: IoRequest[] = []
  #from = 0
  #to = 0
  #underWay = false
  /** The batch under way is stuck. */
  #stuck = false
  /** Requests for the next batch. */
  #waiting: IoRequest[] = []
  #waitingBytes = 0
  #kicked = false
  #detour = 0
  #nextDetour = DETOUR
  /** While true, the worker keeps the process alive. */
  #watching = false
  /** What was under way when the watch looked last, and how far it had come. */
  #seenBatch = 0
  #seenNext = 0

  constructor(kind: IoKind, options: IoThreadOptions = {}) {
    this.#kind = kind
    this.#script = options.script ?? SCRIPT
    this.#startsIn = options.startAfter ?? START_AFTER
  }

  get ready(): boolean {
    return this.#ready
  }

  /** False when the pool is the better place for it now; otherwise `take` or `onPool` of the request is called. */
  submit(request: IoRequest): boolean {
    if (!this.#ready) {
      if (this.#startsIn >= 0 && this.#startsIn-- === 0) this.#start()
      return false
    }
    if (this.#stuck) return false
    if (this.#detour > 0) {
      this.#detour--
      return false
    }
    const bytes = this.#waitingBytes + request.length
    if (this.#waiting.length === MAX_REQUESTS || bytes > MAX_BYTES) return false
    this.#waitingBytes = bytes
    this.#waiting.push(request)
    if (!this.#underWay && !this.#kicked) {
      // Not at once: others that are made in this turn go along.
      this.#kicked = true
      systemTimers.soon(this.#kick)
    }
    return true
  }

  /** For tests: ends the thread, as a failure would. */
  async end(): Promise<void> {
    await this.#worker?.terminate()
  }

  #start(): void {
    const shared = new IoShared()
    const { control } = shared
    control[DONE] = NOT_READY
    try {
      const workerData: IoWorkerData = { kind: this.#kind, buffer: shared.buffer }
      this.#worker = new Worker(this.#script, {
        name: `coterie ${this.#kind}s`,
        workerData,
        env: SHARE_ENV,
        execArgv: [],
        resourceLimits: LIMITS
      })
    } catch {
      return
    }
    this.#shared = shared
    this.#worker.unref()
    this.#worker.on('error', this.#dead)
    this.#worker.on('exit', this.#dead)
    const started = Atomics.waitAsync(control, DONE, NOT_READY)
    const ready = () => (this.#ready = this.#worker !== undefined)
    if (started.async) void started.value.then(ready)
    else ready()
  }

  #kick = (): void => {
    this.#kicked = false
    if (this.#underWay || this.#waiting.length === 0 || !this.#ready) return
    const { control, requests, data } = this.#shared!
    const flying = this.#waiting
    this.#waiting = this.#flying
    this.#waitingBytes = 0
    this.#flying = flying
    this.#from = 0
    this.#to = flying.length
    let offset = 0
    for (let i = 0; i < flying.length; i++) {
      const request = flying[i]!
      const row = i * ROW
      requests[row + FD] = request.fd
      requests[row + OFFSET] = offset
      requests[row + LENGTH] = request.length
      requests[row + POSITION] = request.position
      request.put(data, offset)
      offset += request.length
    }
    this.#underWay = true
    control[COUNT] = flying.length
    control[NEXT] = 0
    const before = this.#batch
    this.#batch = (before + 1) | 0
    const done = Atomics.waitAsync(control, DONE, before)
    Atomics.store(control, BATCH, this.#batch)
    Atomics.notify(control, BATCH)
    if (!this.#watching) this.#watch()
    if (done.async) void done.value.then(this.#done)
    else this.#done()
  }

  #done = (): void => {
    if (!this.#underWay || Atomics.load(this.#shared!.control, DONE) !== this.#batch) return
    const elapsed = this.#shared!.control[ELAPSED]!
    const slow = this.#stuck || elapsed > SLOW_US + SLOW_US_PER_REQUEST * this.#flying.length
    this.#stuck = false
    this.#underWay = false
    this.#settle(this.#to)
    this.#flying.length = 0
    if (slow) {
      this.#detour = this.#nextDetour
      this.#nextDetour = Math.min(MAX_DETOUR, this.#nextDetour * 4)
    } else this.#nextDetour = DETOUR
    this.#kick()
  }

  /** Those before `to` are done. */
  #settle(to: number): void {
    const { requests, data } = this.#shared!
    for (let i = this.#from; i < to; i++) {
      const request = this.#flying[i]!
      const result = requests[i * ROW + RESULT]!
      if (result === FAILED) request.onPool()
      else request.take(data, requests[i * ROW + OFFSET]!, result)
    }
    this.#from = to
  }

  /** Looks every now and then, while there is something to do, whether it gets done. */
  #watch = (): void => {
    if (!this.#watching) {
      this.#watching = true
      // The promises of Atomics.waitAsync do not keep a process alive.
      this.#worker!.ref()
    } else {
      if (this.#underWay && this.#seenBatch === this.#batch) this.#unstick()
      if (this.#from === this.#to && this.#waiting.length === 0) {
        this.#watching = false
        this.#worker?.unref()
        return
      }
    }
    this.#seenBatch = this.#underWay ? this.#batch : this.#batch - 1
    this.#seenNext = Atomics.load(this.#shared!.control, NEXT)
    systemTimers.after(WATCH_MS, this.#watch)
  }

  /** Leaves the thread only the one request that it works on, unless it has finished unnoticed. */
  #unstick(): void {
    const { control } = this.#shared!
    if (this.#stuck) return
    if (Atomics.load(control, DONE) === this.#batch) {
      this.#done()
      return
    }
    // Not begun when last seen: what it waited for was a processor, and so would the pool.
    if (this.#seenNext === 0 || Atomics.load(control, NEXT) - this.#seenNext >= LEAST_PROGRESS) return
    this.#stuck = true
    const claimed = Atomics.exchange(control, NEXT, MAX_REQUESTS)
    // It has just come to the end.
    if (claimed > this.#to) return
    this.#settle(claimed - 1)
    const rest = this.#flying.slice(claimed, this.#to)
    this.#to = claimed
    this.#toPool(rest)
    this.#toPool(this.#takeWaiting())
  }

  #takeWaiting(): IoRequest[] {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    return waiting
  }

  #toPool(requests: IoRequest[]): void {
    for (const request of requests) request.onPool()
  }

  /** For good: what ended it might do so again. */
  #dead = (): void => {
    if (this.#worker === undefined) return
    this.#worker = undefined
    this.#ready = false
    this.#underWay = false
    const rest = this.#flying.slice(this.#from, this.#to)
    this.#from = this.#to
    this.#toPool(rest)
    this.#toPool(this.#takeWaiting())
  }
}
