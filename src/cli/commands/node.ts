/** `coterie node`: runs the node in D. */
import type { Command } from '../command.ts'
import { NODE_FLAGS, nodeOptions, prepareDirectory, runNode } from '../run-node.ts'
import { dirOf } from '../target.ts'

export const node: Command = {
  name: 'node',
  summary: 'run the node in D',
  args: [],
  flags: NODE_FLAGS,
  notes: `
Prints "coterie ready PEERID MULTIADDR" once it can serve; logs go to standard error.
SIGINT or SIGTERM: finishes what is in flight, syncs, ends; a second one ends it at once.
A flag beats an environment variable (COTERIE_…) beats D/config.json.`,
  async run(call) {
    const dir = dirOf(call.given)
    // Wrong flags are told before anything is written.
    await nodeOptions(call.given, dir)
    await prepareDirectory(call, dir, undefined)
    return await runNode(call, dir)
  }
}
