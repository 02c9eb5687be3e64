/** `coterie join INVITE`: saves what the invite carries into D, then runs the node. Again with the same invite is fine. */
import { decodeInvite } from '../../invite.ts'
import type { Command } from '../command.ts'
import { NODE_FLAGS, nodeOptions, prepareDirectory, runNode } from '../run-node.ts'
import { dirOf } from '../target.ts'

const { 'secret-file': _, ...flags } = NODE_FLAGS

export const join: Command = {
  name: 'join',
  summary: 'join the cluster that an invite is for, and run the node',
  args: ['INVITE'],
  flags,
  notes:
    'The invite comes from coterie init or coterie invite. What it carries and the flags given are kept in D: later, ' +
    'coterie node --dir D starts the node again.',
  async run(call) {
    const { addresses, ...secret } = decodeInvite(call.given.positionals[0]!)
    const dir = dirOf(call.given)
    // Wrong flags are told before anything is written.
    const { listen, announce, mdns, zone, capacity, durability } = await nodeOptions(call.given, dir)
    const flags = { listen, announce, mdns, zone, capacity, durability }
    const given = Object.fromEntries(
      Object.entries(flags).filter(([name]) => call.given.typed(name === 'mdns' ? 'no-mdns' : name))
    )
    await prepareDirectory(call, dir, { secret, seeds: addresses, keep: given })
    return await runNode(call, dir)
  }
}
