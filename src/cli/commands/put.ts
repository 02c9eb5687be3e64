/** `coterie put KEY VALUE`: writes a value; with `--context` it replaces what that context covers. */
import type { PutResult } from '../../store.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { writeJson, writeLine } from '../io.ts'
import { CONTEXT_FLAG, FILE_FLAG, KEY_FLAGS, keyOf, operationOptions, valueGiven, W_FLAG } from '../operands.ts'
import { ackWords, putOutcome } from '../render/outcome.ts'
import { keyJson } from '../render/text.ts'
import { withClient } from '../target.ts'

export const put: Command = {
  name: 'put',
  summary: 'write a key; VALUE may be - for standard input',
  args: ['KEY', '[VALUE]'],
  flags: {
    ...CONTEXT_FLAG,
    ...W_FLAG,
    ttl: { type: 'string', value: 's', help: 'expires after this many seconds' },
    ...FILE_FLAG,
    ...KEY_FLAGS
  },
  notes:
    'Without --context the value is added beside those that are there, as a sibling. An argument that starts\nwith "-" goes after --.',
  async run(call) {
    const { given, io } = call
    const key = keyOf(given)
    const options = operationOptions(given, 'w', 'ttl', 'context')
    const value = await valueGiven(given, io)
    const result = await withClient(call, client => client.put(key, value, options))
    if (given.on('json')) await writeJson(io, putJson(key, result))
    else await writeLine(io.stdout, `${putOutcome(result)} (${ackWords(result)})`)
    return EXIT.done
  }
}

/** The `--json` shape of a put or delete. */
export function putJson(key: Uint8Array, { context, dot, acks, sloppy, siblings, replaced }: PutResult) {
  return { ...keyJson(key), context, dot, acks, sloppy, siblings, replaced }
}
