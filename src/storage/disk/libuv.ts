/** Reads and writes of files on the threads of libuv's pool, whole ones: what any operation can fall back to. */
import { fdatasync, read, writev } from 'node:fs'
import { SyncGate } from './sync-gate.ts'

/** Of the pool's four threads, those that may write and sync at once: as long as a disk stalls, one is left for reads. */
const writers = new SyncGate(3)

/** Begins at once, or when another that was begun has called what it was given. */
function inTurn(begin: (ended: () => void) => void): void {
  const start = () => begin(() => writers.leave())
  const turn = writers.enter()
  if (turn) void turn.then(start)
  else start()
}

export function syncOnPool(fd: number, then: (error: Error | null) => void): void {
  inTurn(ended =>
    fdatasync(fd, error => {
      ended()
      then(error)
    })
  )
}

/** Fills `into` from `position`, or as much as there is of it. */
export function readOnPool(
  fd: number,
  into: Uint8Array,
  position: number,
  then: (error: Error | null, bytes: number) => void
): void {
  let done = 0
  const step = (error: Error | null, bytes: number): void => {
    done += bytes
    if (error || bytes === 0 || done === into.length) then(error, done)
    else read(fd, into, done, into.length - done, position + done, step)
  }
  unlessThrown(() => read(fd, into, 0, into.length, position, step), step)
}

/** Writes all of `buffers` from `position`, none of them empty. */
export function writeOnPool(
  fd: number,
  buffers: Uint8Array[],
  position: number,
  then: (error: Error | null) => void
): void {
  inTurn(ended => {
    let rest = buffers
    let at = position
    const step = (error: Error | null, bytes: number): void => {
      at += bytes
      // Linux reports a full disk as a short write first; the next try gets the ENOSPC.
      rest = error ? rest : skip(rest, bytes)
      if (!error && rest.length > 0) {
        writev(fd, rest, at, step)
        return
      }
      ended()
      then(error)
    }
    unlessThrown(() => writev(fd, rest, at, step), step)
  })
}

/** What is no position at all, Node refuses at once; whoever asked is not there to hear it. */
function unlessThrown(call: () => void, then: (error: Error, bytes: number) => void): void {
  try {
    call()
  } catch (error) {
    then(error as Error, 0)
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
