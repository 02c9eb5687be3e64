/**
 * The command line as a function: `run(argv, io, parts)` → exit code. Finds the command, reads its flags, runs it, and
 * turns whatever goes wrong into one sentence on standard error and the exit code for it.
 */
import { asCoterieError, isCoterieError } from '../errors.ts'
import { parseArguments, usage } from './args.ts'
import type { Command } from './command.ts'
import { exitCodeOf } from './exit-codes.ts'
import { commandHelp, overview } from './help.ts'
import { type Io, write, writeLine } from './io.ts'
import type { Parts } from './parts.ts'
import { styleOf } from './render/style.ts'
import { hint } from './suggest.ts'
import { systemAdvice } from './system-advice.ts'

export async function run(argv: string[], io: Io, parts: Parts, commands: Command[]): Promise<number> {
  try {
    return await dispatch(argv, io, parts, commands)
  } catch (error) {
    return await report(error, io)
  }
}

async function dispatch(argv: string[], io: Io, parts: Parts, commands: Command[]): Promise<number> {
  const style = styleOf(io.stdout, io.env)
  const [name, ...rest] = argv
  if (name === undefined) {
    await write(io.stderr, overview(commands, styleOf(io.stderr, io.env)))
    throw usage('no command was given')
  }
  if (name === '--version' || name === '-v' || name === 'version') {
    await writeLine(io.stdout, await parts.version())
    return 0
  }
  if (name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) {
    await write(io.stdout, overview(commands, style))
    return 0
  }
  const asked = name === 'help' ? rest[0]! : name
  const command = commands.find(one => one.name === asked)
  if (!command) {
    const names = commands.map(one => one.name)
    throw usage(`unknown command "${asked}"${hint(asked, names)}; coterie --help lists them`)
  }
  const ownFlags = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
  if (name === 'help' || ownFlags.includes('--help') || ownFlags.includes('-h')) {
    await write(io.stdout, commandHelp(command, style))
    return 0
  }
  const given = parseArguments(rest, command.flags, { command: command.name, args: command.args }, io.env)
  return await command.run({ given, io, parts, style })
}

/** What happened, on standard error; returns its exit code. */
async function report(thrown: unknown, io: Io): Promise<number> {
  const error = asCoterieError(thrown)
  const { red } = styleOf(io.stderr, io.env)
  const advice = systemAdvice(error.cause ?? thrown)
  if (advice !== undefined) {
    await writeLine(io.stderr, `${red('coterie:')} ${error.message}; ${advice}`)
    return exitCodeOf(error.code)
  }
  await writeLine(io.stderr, `${red('coterie:')} ${error.message}`)
  // A defect: whoever reports it needs to say where.
  if (isCoterieError(error, 'internal')) {
    const cause = error.cause instanceof Error ? error.cause : error
    await writeLine(
      io.stderr,
      `${cause.stack}\nThis looks like a defect in coterie: please report it with these lines.`
    )
  }
  return exitCodeOf(error.code)
}
