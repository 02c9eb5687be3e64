/** Exit codes of the command, by error code: a fixed part of the interface that scripts rely on. */
import type { ErrorCode } from '../errors.ts'

export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  notFound: 3,
  notAvailable: 4,
  refused: 5
} as const

const BY_CODE: Record<ErrorCode, number> = {
  'bad-usage': EXIT.usage,
  'bad-config': EXIT.usage,
  'bad-context': EXIT.usage,
  'directory-in-use': EXIT.usage,
  'address-in-use': EXIT.usage,
  'not-found': EXIT.notFound,
  'not-available': EXIT.notAvailable,
  timeout: EXIT.notAvailable,
  unreachable: EXIT.notAvailable,
  overloaded: EXIT.notAvailable,
  'wrong-node': EXIT.notAvailable,
  'range-busy': EXIT.notAvailable,
  'range-fenced': EXIT.notAvailable,
  'disk-full': EXIT.notAvailable,
  closed: EXIT.notAvailable,
  refused: EXIT.refused,
  'too-large': EXIT.refused,
  'too-many-siblings': EXIT.refused,
  damaged: EXIT.unexpected,
  protocol: EXIT.unexpected,
  internal: EXIT.unexpected
}

export function exitCodeOf(code: ErrorCode): number {
  return BY_CODE[code] ?? EXIT.unexpected
}
