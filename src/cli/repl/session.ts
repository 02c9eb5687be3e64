/** One sitting at the REPL, without the terminal: a line in, output and an outcome out. */
import { asCoterieError, CoterieError, isCoterieError } from '../../errors.ts'
import { usage } from '../args.ts'
import { EXIT, exitCodeOf } from '../exit-codes.ts'
import { duration } from '../render/text.ts'
import { hint } from '../suggest.ts'
import { clusterVerbs, SETTING_NAMES } from './cluster-verbs.ts'
import { dataVerbs } from './data-verbs.ts'
import { Seen, type Sitting, type Verb } from './verb.ts'
import { splitWords, type Word } from './words.ts'

export interface Outcome {
  /** As an exit code: 0 when the command did what it was asked. */
  code: number
  quit: boolean
}

export interface SessionInit extends Omit<Sitting, 'seen' | 'settings'> {
  timing: boolean
  /** Where errors go. */
  err(line: string): Promise<void>
}

const ALIASES: Record<string, string> = { del: 'delete', rm: 'delete', exit: 'quit', '?': 'help', ls: 'keys' }
const OWN = ['help', 'quit']

export class Session {
  readonly #sitting: Sitting
  readonly #err: (line: string) => Promise<void>
  readonly #verbs: Verb[] = [...dataVerbs, ...clusterVerbs]

  constructor({ timing, err, ...init }: SessionInit) {
    this.#sitting = { ...init, seen: new Seen(), settings: { timing } }
    this.#err = err
  }

  /** Runs one line. Never throws: what goes wrong is said, and is in the outcome. */
  async execute(line: string, signal: AbortSignal): Promise<Outcome> {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) return { code: EXIT.done, quit: false }
    const { clock, style } = this.#sitting
    const startMs = clock.monotonicMs()
    let outcome: Outcome
    try {
      outcome = { code: EXIT.done, quit: await this.#run(splitWords(trimmed), signal) }
    } catch (thrown) {
      const error =
        signal.aborted && !isCoterieError(thrown) ? new CoterieError('closed', 'given up') : asCoterieError(thrown)
      const quiet = error.code === 'not-found'
      await this.#err(quiet ? style.yellow(error.message) : `${style.red('error:')} ${error.message}`)
      outcome = { code: exitCodeOf(error.code), quit: false }
    }
    if (this.#sitting.settings.timing && !outcome.quit) {
      await this.#sitting.out(style.dim(duration(clock.monotonicMs() - startMs)))
    }
    return outcome
  }

  /** True when it was `quit`. */
  async #run(words: Word[], signal: AbortSignal): Promise<boolean> {
    const typed = words[0]!.text
    const name = Object.hasOwn(ALIASES, typed) ? ALIASES[typed]! : typed
    if (name === 'quit') return true
    if (name === 'help') {
      await this.#help(words[1]?.text)
      return false
    }
    const verb = this.#verbs.find(one => one.name === name)
    if (!verb) throw usage(`unknown command "${typed}"${hint(typed, this.#names())}; help lists them`)
    await verb.run(this.#sitting, words.slice(1), signal)
    return false
  }

  async #help(name: string | undefined): Promise<void> {
    const { out, style } = this.#sitting
    const shown = name === undefined ? this.#verbs : this.#verbs.filter(verb => verb.name === name)
    if (shown.length === 0) throw usage(`unknown command "${name}"${hint(name!, this.#names())}`)
    for (const verb of shown) {
      await out(`${style.bold(verb.name)} ${verb.usage}`.trimEnd())
      await out(`    ${style.dim(verb.summary)}`)
    }
    if (name !== undefined) return
    await out(`${style.bold('help')} [COMMAND], ${style.bold('quit')}`)
    await out(style.dim('words: "with space", "\\x00\\n", hex:DEADBEEF; a value may be @FILE; Tab completes'))
  }

  /** For readline: what the last word may become, and that word. */
  complete(line: string): [string[], string] {
    const [, head = '', last = ''] = /^(.*?)(\S*)$/s.exec(line) ?? []
    const before = head.trim() === '' ? [] : head.trim().split(/\s+/)
    const choices = this.#choices(before)
    const hits = choices.filter(choice => choice.startsWith(last)).sort()
    return [hits.map(hit => `${hit} `), last]
  }

  #choices(before: string[]): string[] {
    if (before.length === 0) return this.#names()
    if (before.length > 1) return []
    if (before[0] === 'help') return this.#names()
    const completes = this.#verbs.find(verb => verb.name === (ALIASES[before[0]!] ?? before[0]))?.completes
    if (completes === 'keys') return this.#sitting.seen.names()
    return completes === 'settings' ? [...SETTING_NAMES] : []
  }

  #names(): string[] {
    return [...this.#verbs.map(verb => verb.name), ...OWN]
  }
}
