/** What a subcommand is, and what it is handed. */
import type { Arguments, Flags } from './args.ts'
import type { Io } from './io.ts'
import type { Parts } from './parts.ts'
import type { Style } from './render/style.ts'

export interface Command {
  name: string
  /** One line for the overview. */
  summary: string
  /** Positional arguments by name; those in brackets are optional. */
  args: string[]
  flags: Flags
  /** Further help: a few lines. */
  notes?: string
  /** Returns the exit code. Throws CoterieError. */
  run(call: Call): Promise<number>
}

/** All that a command gets. */
export interface Call {
  given: Arguments
  io: Io
  parts: Parts
  /** Colours for standard output. */
  style: Style
}
