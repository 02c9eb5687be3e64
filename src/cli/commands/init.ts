/** `coterie init`: the first node of a new cluster. Prints the invite; does not start the node. */

import { usage } from '../args.ts'
import type { Command } from '../command.ts'
import { writeJson, writeLine } from '../io.ts'
import { createCluster } from '../new-cluster.ts'
import { DIR_FLAG, dirOf, JSON_FLAG } from '../target.ts'
import * as values from '../values.ts'

const MAX_NAME_LENGTH = 64
/** checkClusterParams knows the true bounds; this only keeps numbers numbers. */
const ANY = 1_000_000

export const init: Command = {
  name: 'init',
  summary: "make the first node's directory and print the invite for the others",
  args: [],
  flags: {
    ...DIR_FLAG,
    name: { type: 'string', value: 'NAME', env: true, help: "the cluster's name, for people; default coterie" },
    ranges: { type: 'string', value: 'Q', env: true, help: 'slices of the key space, a power of two; default 256' },
    replicas: { type: 'string', value: 'N', env: true, help: 'copies of every key; default 3' },
    read: { type: 'string', value: 'R', env: true, help: 'answers that a read waits for; default 2 (or N)' },
    write: { type: 'string', value: 'W', env: true, help: 'copies that a write waits for; default 2 (or N)' },
    open: { type: 'boolean', help: 'no secret: whoever reaches a node is let in' },
    listen: { type: 'string', multiple: true, value: 'MULTIADDR', env: true, help: 'kept for coterie node' },
    announce: { type: 'string', multiple: true, value: 'MULTIADDR', env: true, help: 'kept for coterie node' },
    ...JSON_FLAG
  },
  notes: `
Then: coterie node --dir D starts it, coterie join INVITE on other machines adds nodes.
Ranges and replicas are fixed for the life of the cluster. Keep the invite to yourself: it carries the secret.`,
  async run({ given, io, parts }) {
    const number = (flag: string, fallback: number) =>
      values.optional(given, flag, (name, text) => values.wholeNumber(name, text, 1, ANY)) ?? fallback
    const name = given.text('name') ?? 'coterie'
    if (name.length > MAX_NAME_LENGTH || /[\p{Cc}\p{Cf}]/u.test(name)) {
      throw usage(`--name takes at most ${MAX_NAME_LENGTH} printable characters`)
    }
    const n = number('replicas', 3)
    const { addresses, ...made } = await createCluster(
      dirOf(given),
      {
        name,
        q: number('ranges', 256),
        n,
        r: number('read', Math.min(2, n)),
        w: number('write', Math.min(2, n)),
        open: given.on('open'),
        listen: values.addresses(given, 'listen'),
        announce: values.addresses(given, 'announce')
      },
      parts
    )
    if (given.on('open')) {
      await writeLine(io.stderr, 'warning: --open makes a cluster without a secret: whoever reaches a node may join it')
    }
    if (given.on('json')) {
      await writeJson(io, made)
      return 0
    }
    await writeLine(io.stderr, `made node ${made.peerId} of the new cluster "${name}" in ${made.dir}`)
    await writeLine(io.stderr, `start it:    coterie node --dir ${made.dir}`)
    if (addresses.length === 0) {
      await writeLine(
        io.stderr,
        `the invite names no address, as the port is picked at the start; then: coterie invite --dir ${made.dir}`
      )
    }
    await writeLine(io.stderr, 'on others:   coterie join INVITE, with this invite (it carries the secret):')
    await writeLine(io.stdout, made.invite)
    return 0
  }
}
