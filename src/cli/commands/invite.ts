/** `coterie invite`: what `coterie join` takes on another machine. */

import { readConfig, readIdentity, readNodeFile, readSecret } from '../../directory.ts'
import { encodeInvite } from '../../invite.ts'
import { localHosts, plausibleAddresses } from '../addresses.ts'
import { usage } from '../args.ts'
import type { Command } from '../command.ts'
import { writeJson, writeLine } from '../io.ts'
import { DIR_FLAG, dirOf, JSON_FLAG } from '../target.ts'

export const invite: Command = {
  name: 'invite',
  summary: 'print an invite to the cluster of a node',
  args: [],
  flags: { ...DIR_FLAG, ...JSON_FLAG },
  notes: 'The invite carries the secret of the cluster and the addresses of this node: keep it to yourself.',
  async run({ given, io, parts }) {
    const dir = dirOf(given)
    const secret = await readSecret(dir)
    const identity = await readIdentity(dir)
    if (!secret || !identity) {
      throw usage(`there is no node in ${dir}: coterie init makes one, or give --dir D of another`)
    }
    const { peerId } = await parts.loadIdentity(identity)
    const config = await readConfig(dir)
    const running = await readNodeFile(dir)
    const addresses = running?.addresses ?? plausibleAddresses(config, peerId, localHosts())
    if (addresses.length === 0) {
      await writeLine(
        io.stderr,
        'the invite names no address, as the port is picked at the start: start the node first'
      )
    }
    const text = encodeInvite({ ...secret, name: config.cluster?.name ?? '', addresses })
    if (given.on('json')) await writeJson(io, { invite: text, clusterId: secret.clusterId, addresses })
    else await writeLine(io.stdout, text)
    return 0
  }
}
