/** Help texts, made from the table of commands, so that they cannot drift from it. Pure. */
import { type Flag, variableOf } from './args.ts'
import type { Command } from './command.ts'
import type { Style } from './render/style.ts'
import { displayWidth } from './render/text.ts'

const INDENT = '  '

/** All commands, a line each. */
export function overview(commands: Command[], style: Style): string {
  const heads = commands.map(command => [command.name, ...command.args].join(' '))
  const width = Math.max(...heads.map(displayWidth))
  return [
    `${style.bold('coterie')}: an always-writable, replicated key-value store with no master`,
    '',
    `${style.bold('usage:')} coterie COMMAND [flags]`,
    '',
    ...commands.map((command, i) => `${INDENT}${heads[i]!.padEnd(width)}  ${style.dim(command.summary)}`),
    '',
    'coterie COMMAND --help tells more about one of them. Start with: coterie demo',
    ''
  ].join('\n')
}

export function commandHelp(command: Command, style: Style): string {
  const flags = Object.entries(command.flags)
  const heads = flags.map(([name, flag]) => flagHead(name, flag))
  const width = Math.max(0, ...heads.map(displayWidth))
  return [
    `${style.bold('usage:')} ${['coterie', command.name, ...command.args].join(' ')}${flags.length > 0 ? ' [flags]' : ''}`,
    '',
    command.summary,
    ...(command.notes ? ['', ...command.notes.trim().split('\n')] : []),
    ...(flags.length > 0 ? ['', style.bold('flags:')] : []),
    ...flags.map(([name, flag], i) => `${INDENT}${heads[i]!.padEnd(width)}  ${style.dim(flagHelp(name, flag))}`),
    ''
  ].join('\n')
}

function flagHead(name: string, flag: Flag): string {
  const value = flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : ''
  return `--${name}${value}${flag.multiple ? '…' : ''}`
}

function flagHelp(name: string, flag: Flag): string {
  return flag.env ? `${flag.help} [$${variableOf(name)}]` : flag.help
}
