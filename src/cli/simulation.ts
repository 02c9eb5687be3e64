/** Simulated runs one after another: progress, what is printed of each, and what is done about a failure. */
import { writeFile } from 'node:fs/promises'
import { CoterieError, isCoterieError } from '../errors.ts'
import { systemClock } from '../runtime.ts'
import type { Violation } from '../sim/history.ts'
import type { Plan } from '../sim/plan/plan.ts'
import type { Call } from './command.ts'
import { EXIT } from './exit-codes.ts'
import { type Output, widthOf, write, writeJson, writeLine } from './io.ts'
import type { RunOptions, RunResult, Simulator } from './parts.ts'
import * as render from './render/sim.ts'
import { fit, harmless } from './render/text.ts'
import { type StatusLine, statusLine } from './status-line.ts'

/** Between two lines of progress where there is no terminal to redraw one on. */
const REPORT_EVERY_MS = 10_000
/** Candidates that are tried to make a failing plan smaller, */
const SHRINK_RUNS = 400
/** and how long; one that never settles takes seconds. */
const SHRINK_MS = 180_000
/** Events are many and short: they are written together. */
const TRACE_CHUNK = 1 << 14

export interface Run {
  seed: string
  run(options: RunOptions): Promise<RunResult>
  /** The command that does it again. */
  replay: string
}

export interface Wanted {
  total: number
  /** What goes to standard output; all but `words` leave only that there. */
  output: 'words' | 'json' | 'trace' | 'digest'
  shrink: boolean
  keepGoing: boolean
}

export class Simulation {
  readonly #call: Call
  readonly #simulator: Simulator
  readonly #wanted: Wanted
  readonly #tally = render.emptyTally()
  readonly #status: StatusLine
  /** Where a person reads. */
  readonly #words: Output
  #stopped = false
  #reportedMs = systemClock.monotonicMs()
  #traced = ''

  constructor(call: Call, simulator: Simulator, wanted: Wanted) {
    this.#call = call
    this.#simulator = simulator
    this.#wanted = wanted
    this.#words = wanted.output === 'words' ? call.io.stdout : call.io.stderr
    // Two outputs on one terminal would write into each other's lines.
    const quiet = wanted.output !== 'words' && call.io.stdout.isTTY === true
    const status = statusLine(call.io.stderr)
    this.#status = quiet ? { ...status, show: () => {} } : status
  }

  /** A line about the runs, above the progress. */
  say(line: string): void {
    this.#status.print(line)
  }

  /** True when no rule was broken. Throws `internal` when a run did not come to its end. */
  async all(runs: Iterable<Run>): Promise<boolean> {
    const { io } = this.#call
    const forget = io.onSignal(name => {
      if (this.#stopped) return io.exitNow(EXIT.unexpected)
      this.#stopped = true
      this.#flushTrace()
      this.#status.print(`${name}: ending after this run; once more to end at once`)
    })
    try {
      this.#progress(this.#soFar())
      for (const run of runs) {
        await this.#one(run)
        if (this.#stopped || (this.#tally.failed.length > 0 && !this.#wanted.keepGoing)) break
      }
    } finally {
      this.#status.show('')
      forget()
    }
    await this.#tell(render.summaryLines(this.#tally, this.#wanted.total, this.#call.style))
    return this.#tally.failed.length === 0
  }

  async #one(run: Run): Promise<void> {
    const { output, shrink } = this.#wanted
    const { io } = this.#call
    const result = await this.#run(run)
    render.addRun(this.#tally, run.seed, result)
    if (output === 'json') await writeJson(io, render.runJson(result))
    if (output === 'digest') await writeLine(io.stdout, `${harmless(run.seed)} ${result.digest}`)
    if (result.violations.length > 0) {
      const title = `seed ${harmless(run.seed)} breaks a rule (scenario ${harmless(result.plan.scenario)})`
      await this.#tell(render.failureLines(title, result, this.#simulator, this.#call.style))
      await this.#tell([`replay: ${run.replay}`])
      if (shrink) await this.#shrink(result)
    }
    this.#progress(this.#soFar())
  }

  async #run(run: Run): Promise<RunResult> {
    const trace = (line: string) => {
      this.#traced += `${line}\n`
      if (this.#traced.length >= TRACE_CHUNK || this.#stopped) this.#flushTrace()
    }
    try {
      return await run.run({ realMs: systemClock.monotonicMs, ...(this.#wanted.output === 'trace' && { trace }) })
    } catch (error) {
      if (isCoterieError(error, 'bad-usage')) throw error
      const message = `the run of seed ${harmless(run.seed)} broke down: ${(error as Error).message}; replay: ${run.replay}`
      throw new CoterieError('internal', message, { cause: error })
    } finally {
      this.#flushTrace()
    }
  }

  /** Looks for less that fails alike, tells it and writes it to a file. */
  async #shrink(result: RunResult): Promise<void> {
    const failure = kindOf(result.violations[0]!)
    const endMs = systemClock.monotonicMs() + SHRINK_MS
    const failsAlike = async (candidate: Plan): Promise<boolean> =>
      !this.#stopped &&
      systemClock.monotonicMs() < endMs &&
      (await this.#simulator.runPlan(candidate)).violations.some(one => kindOf(one) === failure)
    const smaller = await this.#simulator.shrink(result.plan, failsAlike, {
      maxRuns: SHRINK_RUNS,
      onProgress: ({ runs, best }) =>
        this.#progress(`looking for a smaller plan that fails: ${runs} of ${SHRINK_RUNS} runs, ${render.sizeOf(best)}`)
    })
    const title = `shrunk from ${render.sizeOf(result.plan)} to ${render.sizeOf(smaller)}`
    const again = await this.#simulator.runPlan(smaller)
    await this.#tell(render.failureLines(title, again, this.#simulator, this.#call.style))
    const file = `coterie-sim-${result.plan.seed.replace(/[^\w.-]+/g, '-')}.json`
    try {
      await writeFile(file, `${JSON.stringify(smaller, undefined, 2)}\n`)
      await this.#tell([`written to ${file}; replay: ${render.replayFile(file)}`])
    } catch (error) {
      await this.#tell([`the smaller plan could not be written to ${file}: ${(error as Error).message}`])
    }
  }

  async #tell(lines: string[]): Promise<void> {
    this.#status.show('')
    await write(this.#words, `${lines.join('\n')}\n`)
  }

  #flushTrace(): void {
    // Not awaited: a run cannot wait. Pipes, files and terminals take it at once.
    if (this.#traced !== '') this.#call.io.stdout.write(this.#traced)
    this.#traced = ''
  }

  #soFar(): string {
    return render.progressLine(this.#tally, this.#wanted.total)
  }

  /** Redrawn in place on a terminal, a line now and then elsewhere. */
  #progress(line: string): void {
    const { stderr } = this.#call.io
    this.#status.show(fit(line, widthOf(stderr) - 1))
    if (stderr.isTTY) return
    const nowMs = systemClock.monotonicMs()
    if (nowMs - this.#reportedMs < REPORT_EVERY_MS) return
    this.#reportedMs = nowMs
    this.#status.print(line)
  }
}

/** What makes two failures the same one: the rule; where the run itself broke, also what the error says. */
function kindOf({ rule, message }: Violation): string {
  return rule === 'broke' ? `${rule} ${message.split('\n')[0]}` : rule
}
