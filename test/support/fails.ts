/** That work is refused, and with which code. */
import * as assert from 'uvu/assert'
import { type ErrorCode, isCoterieError } from '../../src/errors.ts'

export async function fails(code: ErrorCode, work: Promise<unknown>): Promise<void> {
  const error = await work.then(
    () => undefined,
    error => error
  )
  assert.ok(isCoterieError(error, code), `${code} was due, not ${error}`)
}
