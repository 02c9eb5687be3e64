/** What an error of the operating system means for a log: no room, no file handles, or a disk not to be trusted. */
import { CoterieError } from '../../errors.ts'
import type { FileIo } from '../../ports.ts'
import { codeOf } from '../../system-error.ts'

/** Nothing happened to the file; the same call may succeed later. */
const SHORT_OF_RESOURCES = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN']

export function isShortOfResources(error: unknown): boolean {
  return SHORT_OF_RESOURCES.includes(codeOf(error))
}

export function diskFull(path: string, cause: unknown): CoterieError {
  return new CoterieError(
    'disk-full',
    `no room to write to ${path} (${codeOf(cause)}); free some space and write again; reads go on`,
    { cause }
  )
}

export function shortOfResources(path: string, cause: unknown): CoterieError {
  return new CoterieError(
    'overloaded',
    `cannot open ${path} now (${codeOf(cause)}); try again, or raise the limit of open files`,
    { cause }
  )
}

export function fenced(range: number, what: string, path: string, cause: unknown): CoterieError {
  return new CoterieError(
    'range-fenced',
    `range ${range}: ${what} ${path} failed (${codeOf(cause)}); the range takes no reads or writes until it is rebuilt`,
    { cause }
  )
}

export function damaged(path: string, offset: number, detail: string, cause?: unknown): CoterieError {
  return new CoterieError(
    'damaged',
    `the record at offset ${offset} of ${path} does not check: ${detail}; it is set aside until a replica mends it`,
    { cause }
  )
}

/** Throws what unlinking throws, unless there is nothing. */
export async function unlinkIfThere(files: FileIo, path: string): Promise<void> {
  try {
    await files.unlink(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}
