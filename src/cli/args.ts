/** Flags: how a command declares them, and how the command line, the environment and defaults become values. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { CoterieError } from '../errors.ts'
import { hint } from './suggest.ts'

export interface Flag {
  type: 'string' | 'boolean'
  /** May be given several times; in the environment: separated by commas or spaces. */
  multiple?: true
  /** Also read from `COTERIE_NAME`, when the flag is not given. */
  env?: true
  /** Stands for the value in the usage text. */
  value?: string
  help: string
}

export type Flags = Record<string, Flag>

/** What a command was given. `origin` names where a value came from, for messages. */
export interface Arguments {
  positionals: string[]
  text(name: string): string | undefined
  list(name: string): string[] | undefined
  on(name: string): boolean
  /** True when the flag stands on the command line itself. */
  typed(name: string): boolean
  origin(name: string): string
}

export const usage = (message: string): CoterieError => new CoterieError('bad-usage', message)

/** Throws `bad-usage` for an unknown flag, a missing value, and the wrong number of arguments. */
export function parseArguments(
  argv: string[],
  flags: Flags,
  shape: { command: string; args: string[] },
  env: Record<string, string | undefined>
): Arguments {
  const options: ParseArgsConfig['options'] = {}
  for (const [name, { type, multiple }] of Object.entries(flags)) options[name] = { type, multiple: multiple ?? false }
  let parsed: { values: Record<string, unknown>; positionals: string[] }
  try {
    parsed = parseArgs({ args: argv, options, strict: true, allowPositionals: true })
  } catch (error) {
    throw explain(error as NodeJS.ErrnoException, flags, shape.command)
  }
  checkCount(parsed.positionals, shape)
  const fromEnv = (name: string) => (flags[name]?.env ? env[variableOf(name)] : undefined)
  const value = (name: string) => parsed.values[name] ?? environmentValue(flags[name]!, name, fromEnv(name))
  return {
    positionals: parsed.positionals,
    text: name => value(name) as string | undefined,
    list: name => value(name) as string[] | undefined,
    on: name => value(name) === true,
    typed: name => parsed.values[name] !== undefined,
    origin: name => (parsed.values[name] === undefined && fromEnv(name) ? variableOf(name) : `--${name}`)
  }
}

/** `secret-file` → `COTERIE_SECRET_FILE`. */
export function variableOf(name: string): string {
  return `COTERIE_${name.toUpperCase().replaceAll('-', '_')}`
}

function environmentValue(flag: Flag, name: string, text: string | undefined): unknown {
  // An empty variable counts as none, as shells can hardly unset one for a single command.
  if (text === undefined || text === '') return undefined
  if (flag.type === 'string') return flag.multiple ? text.split(/[\s,]+/).filter(Boolean) : text
  if (/^(1|true|yes|on)$/i.test(text)) return true
  if (/^(0|false|no|off)$/i.test(text)) return false
  throw new CoterieError('bad-config', `${variableOf(name)} is "${text}"; it takes 1 or 0`)
}

function checkCount(given: string[], { command, args }: { command: string; args: string[] }): void {
  const needed = args.filter(arg => !arg.startsWith('['))
  const missing = needed[given.length]
  if (missing !== undefined) throw usage(`coterie ${command} needs ${missing}: coterie ${command} ${args.join(' ')}`)
  const takesMore = args.at(-1)?.includes('…') === true
  if (given.length > args.length && !takesMore) {
    const takes = args.length === 0 ? 'takes no arguments' : `takes only ${args.join(' ')}`
    throw usage(`coterie ${command} ${takes}; "${given[args.length]}" is one too many (quote what belongs together)`)
  }
}

function explain(error: NodeJS.ErrnoException, flags: Flags, command: string): Error {
  if (error.code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const name = /'(-[^']*)'/.exec(error.message)?.[1] ?? ''
    const close = hint(name.replace(/^-+/, ''), Object.keys(flags), '--')
    return usage(
      `unknown flag ${name} for coterie ${command}${close}; for an argument that starts with "-", put -- before it`
    )
  }
  if (error.code?.startsWith('ERR_PARSE_ARGS')) {
    const name = /--([\w-]+)/.exec(error.message)?.[1] ?? ''
    const flag = flags[name]
    if (flag?.type === 'boolean') return usage(`--${name} takes no value`)
    if (flag) return usage(`--${name} needs a value: --${name}=${flag.value ?? 'VALUE'}`)
    return usage(error.message)
  }
  return error
}
