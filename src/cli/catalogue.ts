/** All commands, in the order of the overview. */

import type { Command } from './command.ts'
import { acceptLoss } from './commands/accept-loss.ts'
import { remove } from './commands/delete.ts'
import { demo } from './commands/demo.ts'
import { get } from './commands/get.ts'
import { init } from './commands/init.ts'
import { inspect } from './commands/inspect.ts'
import { invite } from './commands/invite.ts'
import { join } from './commands/join.ts'
import { keys } from './commands/keys.ts'
import { leave } from './commands/leave.ts'
import { members } from './commands/members.ts'
import { node } from './commands/node.ts'
import { plan } from './commands/plan.ts'
import { put } from './commands/put.ts'
import { removePeer } from './commands/remove.ts'
import { repl } from './commands/repl.ts'
import { ring } from './commands/ring.ts'
import { sim } from './commands/sim.ts'
import { stats } from './commands/stats.ts'
import { status } from './commands/status.ts'
import { transfers } from './commands/transfers.ts'
import { where } from './commands/where.ts'

export const commands: Command[] = [
  demo,
  init,
  join,
  node,
  invite,
  repl,
  get,
  put,
  remove,
  keys,
  where,
  members,
  ring,
  stats,
  status,
  transfers,
  plan,
  leave,
  removePeer,
  acceptLoss,
  inspect,
  sim
]
