/** `coterie members`: the nodes of the cluster as the node asked sees them. */

import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { widthOf, write, writeJson } from '../io.ts'
import type { MemberInfo } from '../parts.ts'
import { memberLines } from '../render/cluster.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

export const members: Command = {
  name: 'members',
  summary: 'list the nodes of the cluster',
  args: [],
  flags: { ...TIMEOUT_FLAG, ...JSON_FLAG, ...TARGET_FLAGS },
  async run(call) {
    const { given, io, style } = call
    const document = (await withClient(call, client => client.info('members'))) as MemberInfo[]
    if (given.on('json')) await writeJson(io, document)
    else await write(io.stdout, `${memberLines(document, widthOf(io.stdout), style).join('\n')}\n`)
    return EXIT.done
  }
}
