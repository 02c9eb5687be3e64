/** `coterie transfers`: ranges on their way to the node asked. */

import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { widthOf, write, writeJson } from '../io.ts'
import type { TransferInfo } from '../parts.ts'
import { transferLines } from '../render/transfers.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

export const transfers: Command = {
  name: 'transfers',
  summary: 'show which ranges are being copied to the node asked',
  args: [],
  flags: { ...TIMEOUT_FLAG, ...JSON_FLAG, ...TARGET_FLAGS },
  async run(call) {
    const { given, io, style } = call
    const document = (await withClient(call, client => client.info('transfers'))) as TransferInfo[]
    if (given.on('json')) await writeJson(io, document)
    else await write(io.stdout, `${transferLines(document, widthOf(io.stdout), style).join('\n')}\n`)
    return EXIT.done
  }
}
