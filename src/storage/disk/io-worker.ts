/**
 * What an I/O thread runs: it waits for batches of requests in shared memory (io-shared.ts) and works them off with
 * synchronous calls. It says only that a request failed; why, the main thread hears by trying again itself.
 */
import { readSync, writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import {
  BATCH,
  COUNT,
  DONE,
  ELAPSED,
  FAILED,
  FD,
  IoShared,
  type IoWorkerData,
  LENGTH,
  NEXT,
  OFFSET,
  POSITION,
  RESULT,
  ROW
} from './io-shared.ts'

const { kind, buffer } = workerData as IoWorkerData
const { control, requests, data } = new IoShared(buffer)
type Call = (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => number
const call: Call = kind === 'read' ? readSync : writeSync

/** All of it, or what there is up to the end of the file. */
function work(row: number): number {
  const fd = requests[row + FD]!
  const offset = requests[row + OFFSET]!
  const length = requests[row + LENGTH]!
  const position = requests[row + POSITION]!
  let done = 0
  try {
    while (done < length) {
      const bytes = call(fd, data, offset + done, length - done, position + done)
      if (bytes === 0) break
      done += bytes
    }
  } catch {
    return FAILED
  }
  return done
}

let batch = 0
for (;;) {
  Atomics.store(control, DONE, batch)
  Atomics.notify(control, DONE)
  Atomics.wait(control, BATCH, batch)
  batch = Atomics.load(control, BATCH)
  const count = control[COUNT]!
  const startMs = performance.now()
  for (let i = Atomics.add(control, NEXT, 1); i < count; i = Atomics.add(control, NEXT, 1)) {
    const row = i * ROW
    requests[row + RESULT] = work(row)
  }
  control[ELAPSED] = (performance.now() - startMs) * 1000
}
