/** `coterie remove PEER`: a node that will not return is barred for good, and the others take over what it held. */

import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { writeJson, writeLine } from '../io.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

export const removePeer: Command = {
  name: 'remove',
  summary: 'bar a node that will not return, for good',
  args: ['PEER'],
  flags: {
    force: { type: 'boolean', help: 'though it is alive' },
    ...TIMEOUT_FLAG,
    ...JSON_FLAG,
    ...TARGET_FLAGS
  },
  notes:
    'Final for that peer id: a machine that comes back joins with a new directory. A node that runs leaves by itself: coterie leave.',
  async run(call) {
    const { given, io } = call
    const peerId = given.positionals[0]!
    await withClient(call, client => client.manage('remove', { peerId, force: given.on('force') }))
    if (given.on('json')) await writeJson(io, { peerId, status: 'removed' })
    else await writeLine(io.stdout, `${peerId} is removed from the cluster for good`)
    return EXIT.done
  }
}
