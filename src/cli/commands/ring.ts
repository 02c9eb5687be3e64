/** `coterie ring`: who owns which range, as a picture. */

import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { widthOf, write, writeJson } from '../io.ts'
import type { MemberInfo, RingInfo } from '../parts.ts'
import { ringLines } from '../render/cluster.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

export const ring: Command = {
  name: 'ring',
  summary: 'show which node owns which range',
  args: [],
  flags: { ...TIMEOUT_FLAG, ...JSON_FLAG, ...TARGET_FLAGS },
  async run(call) {
    const { given, io, style } = call
    await withClient(call, async client => {
      const document = (await client.info('ring')) as RingInfo
      if (given.on('json')) return await writeJson(io, document)
      const members = (await client.info('members')) as MemberInfo[]
      await write(io.stdout, `${ringLines(document, members, widthOf(io.stdout), style).join('\n')}\n`)
    })
    return EXIT.done
  }
}
