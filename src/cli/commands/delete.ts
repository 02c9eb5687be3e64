/** `coterie delete KEY`: deletes what it reads, or exactly what `--context` covers. */

import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { writeJson, writeLine } from '../io.ts'
import { CONTEXT_FLAG, KEY_FLAGS, keyOf, operationOptions, W_FLAG } from '../operands.ts'
import { ackWords, deleteOutcome } from '../render/outcome.ts'
import { withClient } from '../target.ts'
import { putJson } from './put.ts'

export const remove: Command = {
  name: 'delete',
  summary: 'delete a key',
  args: ['KEY'],
  flags: { ...CONTEXT_FLAG, ...W_FLAG, ...KEY_FLAGS },
  notes: 'Values written meanwhile by others, that the context does not cover, stay.',
  async run(call) {
    const { given, io } = call
    const key = keyOf(given)
    const options = operationOptions(given, 'w', 'context')
    const result = await withClient(call, client => client.delete(key, options))
    if (given.on('json')) await writeJson(io, putJson(key, result))
    else await writeLine(io.stdout, `${deleteOutcome(result)} (${ackWords(result)})`)
    return EXIT.done
  }
}
