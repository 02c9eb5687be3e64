/** `coterie accept-loss RANGE…`: what the lost copies of ranges held is given up, so that they answer "no such key" again. */

import { MAX_RANGES } from '../../config.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { writeJson, writeLine } from '../io.ts'
import { plural } from '../render/text.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'
import * as values from '../values.ts'

/** Copies are compared, and ranges taken over, before the answer. */
const PATIENCE_MS = 120_000

export const acceptLoss: Command = {
  name: 'accept-loss',
  summary: 'give up what the lost copies of ranges held',
  args: ['RANGE', '[RANGE…]'],
  flags: {
    force: { type: 'boolean', help: 'though a node that cannot be reached may have a copy' },
    ...TIMEOUT_FLAG,
    ...JSON_FLAG,
    ...TARGET_FLAGS
  },
  notes:
    'For ranges of which no synced copy is left (coterie status names them): what the present copies hold counts as all there is. Refused while a synced copy can be reached, or may return.',
  async run(call) {
    const { given, io } = call
    const ranges = given.positionals.map(text => values.wholeNumber('RANGE', text, 0, MAX_RANGES - 1))
    const timeoutMs = values.optional(given, 'timeout', values.timeoutMs) ?? PATIENCE_MS
    await withClient(call, client => client.manage('accept-loss', { ranges, force: given.on('force'), timeoutMs }))
    if (given.on('json')) await writeJson(io, { ranges, status: 'accepted' })
    else
      await writeLine(
        io.stdout,
        `the loss of ${plural(ranges.length, 'range')} is accepted; what the present copies hold is all there is`
      )
    return EXIT.done
  }
}
