/** `coterie stats`: counters of the node asked. */

import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { write, writeJson } from '../io.ts'
import { statLines } from '../render/cluster.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

export const stats: Command = {
  name: 'stats',
  summary: 'show counters of the node asked',
  args: [],
  flags: { ...TIMEOUT_FLAG, ...JSON_FLAG, ...TARGET_FLAGS },
  async run(call) {
    const { given, io, style } = call
    const document = await withClient(call, client => client.info('stats'))
    if (given.on('json')) await writeJson(io, document)
    else await write(io.stdout, `${statLines(document, style).join('\n')}\n`)
    return EXIT.done
  }
}
