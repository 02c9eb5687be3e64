/** `coterie leave`: the node asked gives everything to the others, and stops. */
import { CoterieError, isCoterieError } from '../../errors.ts'
import type { Leaving } from '../../repair/leaver.ts'
import { systemClock, systemTimers } from '../../runtime.ts'
import type { Call, Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { writeJson, writeLine } from '../io.ts'
import type { Client, MemberInfo } from '../parts.ts'
import { plural } from '../render/text.ts'
import { statusLine } from '../status-line.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

const POLL_MS = 500
/** Until the others have heard its last word, a node that has left looks like one that stopped: a few rounds of gossip. */
const LAST_WORD_MS = 10_000

export const leave: Command = {
  name: 'leave',
  summary: 'have the node give everything to the others, and stop',
  args: [],
  flags: {
    force: { type: 'boolean', help: 'though fewer than N nodes would be left' },
    ...TIMEOUT_FLAG,
    ...JSON_FLAG,
    ...TARGET_FLAGS
  },
  notes: 'Waits until it has left. If this command is stopped, the node goes on leaving, after a restart too.',
  async run(call) {
    const { given, io } = call
    await withClient(call, async client => {
      const { peerId } = (await membersOf(client)).find(({ self }) => self)!
      await client.manage('leave', { force: given.on('force') })
      await untilLeft(call, client, peerId)
      if (given.on('json')) await writeJson(io, { peerId, status: 'left' })
      else await writeLine(io.stdout, `${peerId} has left the cluster and stopped; the others hold all that it held`)
    })
    return EXIT.done
  }
}

async function untilLeft({ io }: Call, client: Client, peerId: string): Promise<void> {
  const status = statusLine(io.stderr)
  let told = ''
  let silentSinceMs: number | undefined
  try {
    for (;;) {
      const leaving = await progressOf(client)
      if (leaving?.status === 'left') return
      if (leaving === undefined) {
        // Another node has answered: the one asked takes no questions any more.
        const member = (await membersOf(client)).find(one => one.peerId === peerId)
        if (member === undefined || member.status === 'left') return
        const nowMs = systemClock.monotonicMs()
        silentSinceMs = member.alive ? undefined : (silentSinceMs ?? nowMs)
        if (silentSinceMs !== undefined && nowMs - silentSinceMs >= LAST_WORD_MS)
          throw new CoterieError(
            'unreachable',
            `${peerId} stopped before it had left; start it again, and it goes on leaving`
          )
      } else {
        const line = `leaving: ${plural(leaving.ranges, 'range')} to give away, ${plural(leaving.copies, 'copy', 'copies')} to prove, ${plural(leaving.hints, 'range')} kept for others`
        if (io.stderr.isTTY) status.show(line)
        else if (line !== told) status.print(line)
        told = line
      }
      await systemTimers.sleep(POLL_MS)
    }
  } finally {
    status.show('')
  }
}

/** Undefined: the node is not there any more, and another has answered in its place. */
async function progressOf(client: Client): Promise<Leaving | undefined> {
  try {
    return ((await client.info('stats')) as { leaving?: Leaving }).leaving
  } catch (error) {
    // The last node's clients have nobody else to ask.
    if (isCoterieError(error, 'closed', 'unreachable', 'timeout')) return undefined
    throw error
  }
}

const membersOf = async (client: Client): Promise<MemberInfo[]> => (await client.info('members')) as MemberInfo[]
