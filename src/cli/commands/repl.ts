/** `coterie repl`: talk to a cluster, line by line. */
import type { Command } from '../command.ts'
import { runRepl } from '../repl/shell.ts'
import { TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

export const repl: Command = {
  name: 'repl',
  summary: 'talk to a cluster; reads a script when standard input is not a terminal',
  args: [],
  flags: { ...TIMEOUT_FLAG, ...TARGET_FLAGS },
  notes: `
It remembers the context of every key that it read or wrote, so that a put replaces what you have seen.
A script has one command a line; # starts a comment; a line that starts with - may fail; the exit code is that of
the first command that failed.`,
  async run(call) {
    return await withClient(call, client => {
      const { name, q, n } = client.cluster
      const intro = `cluster "${name}": ${q} ranges, ${n} copies of each. help lists the commands.`
      return runRepl(call.io, call.style, client, intro)
    })
  }
}
