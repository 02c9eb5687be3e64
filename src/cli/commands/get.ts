/** `coterie get KEY`: the value as it is; several concurrent ones each with its dot. */
import { writeFile } from 'node:fs/promises'
import { systemClock } from '../../runtime.ts'
import type { GetResult } from '../../store.ts'
import { usage } from '../args.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { type Io, widthOf, write, writeJson, writeLine } from '../io.ts'
import { FILE_FLAG, KEY_FLAGS, keyOf, operationOptions, R_FLAG } from '../operands.ts'
import { siblingLines } from '../render/siblings.ts'
import { bytesJson, keyJson, printable } from '../render/text.ts'
import { withClient } from '../target.ts'

export const get: Command = {
  name: 'get',
  summary: 'read a key',
  args: ['KEY'],
  flags: {
    ...R_FLAG,
    latest: { type: 'boolean', help: 'of several values only the last written, by wall clocks' },
    file: { ...FILE_FLAG.file!, help: 'write the value to this file' },
    ...KEY_FLAGS
  },
  notes: `
One value is written as its bytes are. Several (concurrent writes) are shown with their dots; merge them with
coterie put KEY VALUE --context C, where C is the context that --json prints. No such key: exit code 3.`,
  async run(call) {
    const { given, io, style } = call
    const key = keyOf(given)
    const options = operationOptions(given, 'r')
    const result = await withClient(call, client =>
      client.get(key, { ...options, ...(given.on('latest') && { latest: true }) })
    )
    const found = result.siblings.length > 0
    if (given.on('json')) {
      await writeJson(io, getJson(key, result))
      return found ? EXIT.done : EXIT.notFound
    }
    if (!found) {
      await writeLine(io.stderr, `no such key: ${printable(key)}`)
      return EXIT.notFound
    }
    if (result.siblings.length > 1) {
      if (given.text('file') !== undefined) {
        throw usage(
          `${printable(key)} holds ${result.siblings.length} siblings, but --file takes one value: leave it out`
        )
      }
      const lines = siblingLines(result.siblings, widthOf(io.stdout), systemClock.wallMs(), style)
      await writeLine(io.stderr, `${result.siblings.length} siblings: concurrent values, for you to merge`)
      await write(io.stdout, `${lines.join('\n')}\n`)
      return EXIT.done
    }
    await writeOne(io, result.siblings[0]!.value, given.text('file'))
    return EXIT.done
  }
}

/** The `--json` shape of a get. */
export function getJson(key: Uint8Array, { siblings, context, replies }: GetResult) {
  return {
    ...keyJson(key),
    values: siblings.map(({ value, dot, expiresAt, writtenAt }) => ({
      ...bytesJson(value),
      dot,
      ...(expiresAt !== undefined && { expiresAt }),
      ...(writtenAt !== undefined && { writtenAt })
    })),
    context,
    replies
  }
}

/** To a pipe exactly the bytes; a terminal gets a line end, and nothing that could command it. */
async function writeOne(io: Io, value: Uint8Array, file: string | undefined): Promise<void> {
  if (file !== undefined) await writeFile(file, value)
  else if (io.stdout.isTTY) await writeLine(io.stdout, printable(value))
  else await write(io.stdout, value)
}
