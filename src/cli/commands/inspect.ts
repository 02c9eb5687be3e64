/** `coterie inspect FILE`: a range file for a person; needs no running node. */
import { stat } from 'node:fs/promises'
import { usage } from '../args.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { write, writeJson } from '../io.ts'
import { JSON_FLAG } from '../target.ts'

function isWhole(document: unknown): boolean {
  const { problem, damages, nonsense } = document as { problem?: string; damages?: unknown[]; nonsense?: unknown[] }
  return problem === undefined && (damages?.length ?? 0) + (nonsense?.length ?? 0) === 0
}

export const inspect: Command = {
  name: 'inspect',
  summary: 'print a range file: header, records, damage',
  args: ['FILE'],
  notes: 'Exit code 1 when the file is damaged or no range file.',
  flags: {
    keys: { type: 'boolean', help: 'list the keys as well' },
    verify: { type: 'boolean', help: 'also check that what the records say makes sense, and the hint beside the file' },
    ...JSON_FLAG
  },
  async run({ given, io, parts }) {
    const path = given.positionals[0]!
    const there = await stat(path).catch(() => undefined)
    if (!there?.isFile()) throw usage(`there is no file ${path}; range files are D/ranges/*.log`)
    const { document, text } = await parts.inspect(path, { keys: given.on('keys'), verify: given.on('verify') })
    if (given.on('json')) await writeJson(io, document)
    else await write(io.stdout, text.endsWith('\n') ? text : `${text}\n`)
    // Scripts see damage without reading.
    return isWhole(document) ? EXIT.done : EXIT.unexpected
  }
}
