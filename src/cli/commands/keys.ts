/** `coterie keys`: all keys, of one range or with a prefix; a line each, as they arrive. */
import { MAX_RANGES } from '../../config.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { write, writeLine } from '../io.ts'
import { operationOptions } from '../operands.ts'
import { bytesJson, printableKey } from '../render/text.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'
import * as values from '../values.ts'

export const keys: Command = {
  name: 'keys',
  summary: 'list the keys',
  args: [],
  flags: {
    range: { type: 'string', value: 'R', help: 'of this range only' },
    prefix: { type: 'string', value: 'P', help: 'that start with this' },
    ...TIMEOUT_FLAG,
    ...JSON_FLAG,
    ...TARGET_FLAGS
  },
  notes: 'In no order within a range. A prefix is found by looking at every key. Odd bytes are shown as "\\xNN".',
  async run(call) {
    const { given, io } = call
    const range = values.optional(given, 'range', (name, text) => values.wholeNumber(name, text, 0, MAX_RANGES - 1))
    const prefix = given.text('prefix')
    const options = {
      ...operationOptions(given),
      ...(range !== undefined && { range }),
      ...(prefix !== undefined && { prefix })
    }
    const json = given.on('json')
    await withClient(call, async client => {
      // A JSON document too is written as the keys come: there may be more of them than fit in memory.
      let before = json ? '[' : ''
      for await (const key of client.keys(options)) {
        if (!json) await writeLine(io.stdout, printableKey(key))
        else await write(io.stdout, `${before}${JSON.stringify(bytesJson(key))}`)
        before = json ? ',' : ''
      }
      if (json) await writeLine(io.stdout, `${before === '[' ? '[' : ''}]`)
    })
    return EXIT.done
  }
}
