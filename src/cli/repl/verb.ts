/** What a command of the REPL is, and what it may use. */
import type { Level } from '../../messages.ts'
import type { Clock, Timers } from '../../ports.ts'
import { checkKey } from '../../store.ts'
import { usage } from '../args.ts'
import type { Cluster } from '../parts.ts'
import type { Style } from '../render/style.ts'
import { printableKey } from '../render/text.ts'
import type { StatusLine } from '../status-line.ts'
import { hint } from '../suggest.ts'
import type { Word } from './words.ts'

export interface Settings {
  r?: Level
  w?: Level
  timeoutMs?: number
  /** Say after every command how long it took. */
  timing: boolean
}

/** One sitting: the cluster, and what its user has seen of it. */
export interface Sitting {
  cluster: Cluster
  settings: Settings
  seen: Seen
  style: Style
  width(): number
  clock: Clock
  timers: Timers
  /** Prints a line of the answer. */
  out(line: string): Promise<void>
  /** For progress; on a terminal. */
  status: StatusLine
  readFile(path: string): Promise<Uint8Array>
}

export interface Verb {
  name: string
  /** Behind the name in the help. */
  usage: string
  summary: string
  /** What the first word may complete to. */
  completes?: 'keys' | 'settings'
  run(sitting: Sitting, words: Word[], signal: AbortSignal): Promise<void>
}

/** As many keys as a person works with; older ones are forgotten, which costs a sibling, never a value. */
const MOST_SEEN = 10_000

/** The context of every key read or written, and the names for completion. */
export class Seen {
  readonly #contexts = new Map<string, string>()
  readonly #names = new Set<string>()

  context(key: Uint8Array): string | undefined {
    return this.#contexts.get(idOf(key))
  }

  remember(key: Uint8Array, context: string): void {
    const id = idOf(key)
    this.#contexts.delete(id)
    this.#contexts.set(id, context)
    if (this.#contexts.size > MOST_SEEN) this.#contexts.delete(this.#contexts.keys().next().value!)
    this.name(key)
  }

  name(key: Uint8Array): void {
    if (this.#names.size < MOST_SEEN) this.#names.add(printableKey(key))
  }

  names(): string[] {
    return [...this.#names]
  }

  /** False when there was nothing to forget. */
  forget(key: Uint8Array): boolean {
    return this.#contexts.delete(idOf(key))
  }

  forgetAll(): number {
    const size = this.#contexts.size
    this.#contexts.clear()
    return size
  }
}

const idOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')

/** Splits `--flags` off. `spec`: flag → whether it takes a value. Throws `bad-usage`. */
export function takeFlags(words: Word[], spec: Record<string, boolean> = {}) {
  const flags = new Map<string, Word | true>()
  const rest: Word[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    if (word.quoted || !word.text.startsWith('--')) {
      rest.push(word)
      continue
    }
    if (word.text === '--') {
      rest.push(...words.slice(i + 1))
      break
    }
    const name = word.text.slice(2)
    if (!Object.hasOwn(spec, name)) {
      throw usage(
        `unknown flag --${name}${hint(name, Object.keys(spec), '--')}; put -- before a word that starts with --`
      )
    }
    if (!spec[name]) {
      flags.set(name, true)
      continue
    }
    const value = words[++i]
    if (!value) throw usage(`--${name} needs a value`)
    flags.set(name, value)
  }
  return {
    rest,
    on: (name: string) => flags.has(name),
    word: (name: string) => flags.get(name) as Word | undefined
  }
}

/** Throws `bad-usage` unless there are `least` to `most` words. */
export function expect(words: Word[], verb: Pick<Verb, 'name' | 'usage'>, least: number, most: number): void {
  if (words.length < least) throw usage(`${verb.name} takes ${verb.usage || 'nothing'}`)
  if (words.length > most) {
    throw usage(
      `${verb.name} takes ${verb.usage || 'nothing'}; "${words[most]!.text}" is one too many: quote what belongs together`
    )
  }
}

export const keyWord = (word: Word): Uint8Array => checkKey(word.bytes)
