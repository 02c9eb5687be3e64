/** What the one-shot commands on keys share: their flags, and keys, values and levels from them. */
import { readFile } from 'node:fs/promises'
import { LIMITS } from '../config.ts'
import { CoterieError } from '../errors.ts'
import { checkKey } from '../store.ts'
import { type Arguments, type Flags, usage } from './args.ts'
import { type Io, readAll } from './io.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG } from './target.ts'
import * as values from './values.ts'

const LEVELS = 'n|quorum|all'

export const KEY_FLAGS: Flags = {
  hex: { type: 'boolean', help: 'KEY is given in hex digits' },
  ...TIMEOUT_FLAG,
  ...JSON_FLAG,
  ...TARGET_FLAGS
}
export const R_FLAG: Flags = { r: { type: 'string', value: LEVELS, env: true, help: 'answers to wait for' } }
export const W_FLAG: Flags = { w: { type: 'string', value: LEVELS, env: true, help: 'copies to wait for' } }
export const CONTEXT_FLAG: Flags = {
  context: { type: 'string', value: 'C', help: 'of the get whose values this replaces (from --json)' }
}
export const FILE_FLAG: Flags = { file: { type: 'string', value: 'F', help: 'the value is in this file' } }

/** The first argument as a key. Throws `bad-usage` or `too-large`. */
export function keyOf(given: Arguments): Uint8Array {
  const text = given.positionals[0]!
  return checkKey(given.on('hex') ? values.hexBytes('KEY', text) : text)
}

/** `timeoutMs` and the given ones of `r`, `w`, `ttlMs`, `context`; absent ones are left to the node. */
export function operationOptions(given: Arguments, ...wanted: ('r' | 'w' | 'ttl' | 'context')[]) {
  const has = (name: (typeof wanted)[number]) => wanted.includes(name) && given.text(name) !== undefined
  return {
    ...(given.text('timeout') !== undefined && { timeoutMs: values.optional(given, 'timeout', values.timeoutMs)! }),
    ...(has('r') && { r: values.optional(given, 'r', values.level)! }),
    ...(has('w') && { w: values.optional(given, 'w', values.level)! }),
    ...(has('ttl') && { ttlMs: values.optional(given, 'ttl', values.ttlMs)! }),
    ...(has('context') && { context: given.text('context')! })
  }
}

/** The value of a put: an argument, `-` for standard input, or `--file`. */
export async function valueGiven(given: Arguments, io: Io): Promise<Uint8Array> {
  const text = given.positionals[1]
  const file = given.text('file')
  if (text !== undefined && file !== undefined) throw usage('give VALUE or --file, not both')
  if (file !== undefined) return await readValueFile(file)
  if (text === undefined) throw usage('put needs a value: VALUE, or - to read standard input, or --file F')
  if (text !== '-') return new TextEncoder().encode(text)
  return await readAll(io.stdin, LIMITS.maxValueBytes, () => tooLarge('standard input'))
}

/** Throws `bad-usage` for a file that cannot be read, `too-large` for one that is. */
export async function readValueFile(file: string): Promise<Uint8Array> {
  let bytes: Uint8Array
  try {
    bytes = new Uint8Array(await readFile(file))
  } catch (error) {
    throw new CoterieError('bad-usage', `${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  if (bytes.length > LIMITS.maxValueBytes) throw tooLarge(file)
  return bytes
}

function tooLarge(what: string): CoterieError {
  return new CoterieError('too-large', `${what} holds more than ${LIMITS.maxValueBytes} bytes, the most a value takes`)
}
