/** `coterie plan`: what would move if nodes joined, left, went for good or got another capacity; it changes nothing. */
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { widthOf, write, writeJson } from '../io.ts'
import { PLAN_FLAGS, planOf } from '../plan.ts'
import { planLines } from '../render/plan.ts'
import { JSON_FLAG, TARGET_FLAGS, TIMEOUT_FLAG, withClient } from '../target.ts'

export const plan: Command = {
  name: 'plan',
  summary: 'show what would move if nodes joined or left',
  args: [],
  flags: { ...PLAN_FLAGS, ...TIMEOUT_FLAG, ...JSON_FLAG, ...TARGET_FLAGS },
  notes:
    'Changes nothing. PEER is a peer id, or the end of one. Ranges are counted as the nodes themselves would plan them; bytes are about.',
  async run(call) {
    const { given, io, style } = call
    const document = await withClient(call, client => planOf(given, client))
    if (given.on('json')) await writeJson(io, document)
    else await write(io.stdout, `${planLines(document, widthOf(io.stdout), style).join('\n')}\n`)
    return EXIT.done
  }
}
