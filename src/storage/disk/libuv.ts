/**
 * Reads, writes and syncs of files on the four threads of libuv's pool: what any operation can fall back to. While a disk
 * stalls, whatever changes it keeps its thread. So there are turns: two for syncs and unlinks, one for all else that changes it,
 * and one thread is left to reads of what the page cache holds, and to whatever else needs the pool (failures 24).
 */
import { fdatasync, ftruncate, read, writev } from 'node:fs'
import { Gate } from './gate.ts'

export const syncTurns = new Gate(2)
export const writeTurns = new Gate(1)

type Then = (error: Error | null) => void

/** Begins at once, or when another that was begun has called what it was given. */
function inTurn(turns: Gate, begin: (ended: () => void) => void): void {
  const start = () => begin(() => turns.leave())
  const turn = turns.enter()
  if (turn) void turn.then(start)
  else start()
}

export function syncOnPool(fd: number, then: Then): void {
  inTurn(syncTurns, ended =>
    fdatasync(fd, error => {
      ended()
      then(error)
    })
  )
}

export function truncateOnPool(fd: number, length: number, then: Then): void {
  inTurn(writeTurns, ended =>
    ftruncate(fd, length, error => {
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
export function writeOnPool(fd: number, buffers: Uint8Array[], position: number, then: Then): void {
  inTurn(writeTurns, ended => {
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
