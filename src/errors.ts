/**
 * One class, one stable `code` per cause. Branch on `code`, never on the message. A message says what happened, to
 * what, and what to do about it. Codes travel on the wire, in JSON and (in `cli/exit-codes.ts`) as exit codes.
 */
export const ERROR_CODES = [
  'bad-usage', // a flag, field or argument is wrong
  'bad-config', // a configuration value or file is wrong
  'too-large', // key, value, key state or message over its limit
  'too-many-siblings', // the key is at its sibling limit and the write would not shrink it
  'bad-context', // a context that cannot be read, or belongs to another key or cluster
  'not-available', // too few replicas answered in time
  'not-found', // no such key (the command line only: the library answers `values: []`)
  'timeout', // the deadline passed
  'unreachable', // no connection to the peer; nothing was sent
  'overloaded', // a bound was reached; try again later
  'refused', // admission: secret, cluster, parameters or a ban
  'wrong-node', // the peer asked does not hold the range and the request was forwarded once already
  'range-busy', // another flip changes one of the same preference lists; ask again later
  'range-fenced', // the range's file failed; it takes no reads or writes until rebuilt
  'disk-full', // no room; reads go on
  'damaged', // bytes on disk do not check
  'directory-in-use', // another process holds the data directory
  'address-in-use', // the port that was asked for is taken
  'protocol', // the other side sent something that the protocol does not allow
  'closed', // the node or client is stopping or stopped
  'internal' // a defect in coterie
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

export class CoterieError extends Error {
  override readonly name = 'CoterieError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** True for a CoterieError, optionally with one of the given codes. */
export function isCoterieError(error: unknown, ...codes: ErrorCode[]): error is CoterieError {
  return error instanceof CoterieError && (codes.length === 0 || codes.includes(error.code))
}

/** What another node may do better: `not-available` too, since the one asked may be the one that is cut off. */
export const RETRY_CODES = [
  'not-available',
  'unreachable',
  'timeout',
  'overloaded',
  'closed',
  'wrong-node',
  'disk-full',
  'range-fenced'
] as const satisfies readonly ErrorCode[]

/** Any thrown value as a CoterieError: unknown ones become `internal` and keep their cause. */
export function asCoterieError(error: unknown): CoterieError {
  if (error instanceof CoterieError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new CoterieError('internal', message, { cause: error })
}
