/** `coterie where KEY`: which range a key falls into and who holds it. */

import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { write, writeJson } from '../io.ts'
import { KEY_FLAGS, keyOf } from '../operands.ts'
import type { WhereInfo } from '../parts.ts'
import { whereLines } from '../render/cluster.ts'
import { withClient } from '../target.ts'

export const where: Command = {
  name: 'where',
  summary: 'show which nodes hold a key',
  args: ['KEY'],
  flags: KEY_FLAGS,
  async run(call) {
    const { given, io, style } = call
    const key = keyOf(given)
    const document = (await withClient(call, client => client.info('where', key))) as WhereInfo
    if (given.on('json')) await writeJson(io, document)
    else await write(io.stdout, `${whereLines(document, style).join('\n')}\n`)
    return EXIT.done
  }
}
