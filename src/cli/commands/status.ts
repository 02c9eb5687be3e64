/** `coterie status`: whether every range has its N synced copies; exit code 0 when it has. */
import { systemTimers } from '../../runtime.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { write, writeJson } from '../io.ts'
import type { ClusterStatus } from '../parts.ts'
import { isWhole, statusLines } from '../render/status.ts'
import { statusLine } from '../status-line.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

const POLL_MS = 500

export const status: Command = {
  name: 'status',
  summary: 'tell whether every range has all its copies',
  args: [],
  flags: {
    wait: { type: 'boolean', help: 'until it has' },
    ...TIMEOUT_FLAG,
    ...JSON_FLAG,
    ...TARGET_FLAGS
  },
  notes:
    'Exit code 0 when every range has N synced copies, 4 when not. --timeout is for each question, not for --wait.',
  async run(call) {
    const { given, io, style } = call
    const line = statusLine(io.stderr)
    const found = await withClient(call, async client => {
      for (;;) {
        const now = (await client.info('status')) as ClusterStatus
        if (isWhole(now) || !given.on('wait')) return now
        line.show(statusLines(now, style)[0]!)
        await systemTimers.sleep(POLL_MS)
      }
    }).finally(() => line.show(''))
    if (given.on('json')) await writeJson(io, found)
    else await write(io.stdout, `${statusLines(found, style).join('\n')}\n`)
    return isWhole(found) ? EXIT.done : EXIT.notAvailable
  }
}
