/** The REPL at a terminal (`node:readline`: editing, history, completion), or as a script on standard input. */
import { createInterface } from 'node:readline'
import { systemClock, systemTimers } from '../../runtime.ts'
import { EXIT } from '../exit-codes.ts'
import { type Io, widthOf, writeLine } from '../io.ts'
import { readValueFile } from '../operands.ts'
import type { Cluster } from '../parts.ts'
import { type Style, styleOf } from '../render/style.ts'
import { statusLine } from '../status-line.ts'
import { HISTORY_LINES, historyPath, loadHistory, saveHistory } from './history.ts'
import { Session } from './session.ts'

/** Returns the exit code: of a script, that of its first failed command. */
export async function runRepl(io: Io, style: Style, cluster: Cluster, intro: string): Promise<number> {
  const interactive = io.stdin.isTTY === true
  const session = new Session({
    cluster,
    style,
    width: () => widthOf(io.stdout),
    clock: systemClock,
    timers: systemTimers,
    out: line => writeLine(io.stdout, line),
    err: line => writeLine(interactive ? io.stdout : io.stderr, line),
    status: statusLine(io.stdout),
    readFile: readValueFile,
    timing: interactive
  })
  if (!interactive) return await runScript(io, session)
  await writeLine(io.stdout, intro)
  return await converse(io, styleOf(io.stdout, io.env), session)
}

/** One command a line. Failures are told and the script goes on; a line that starts with `-` may fail. */
async function runScript(io: Io, session: Session): Promise<number> {
  const lines = createInterface({ input: io.stdin, crlfDelay: Number.POSITIVE_INFINITY })
  const never = new AbortController().signal
  let firstFailure: number = EXIT.done
  for await (const line of lines) {
    const mayFail = line.trimStart().startsWith('-')
    const { code, quit } = await session.execute(mayFail ? line.trimStart().slice(1) : line, never)
    if (!mayFail && firstFailure === EXIT.done) firstFailure = code
    if (quit) break
  }
  lines.close()
  return firstFailure
}

async function converse(io: Io, style: Style, session: Session): Promise<number> {
  const path = historyPath(io.env, io.home)
  let history = await loadHistory(path)
  const terminal = createInterface({
    input: io.stdin,
    output: io.stdout,
    terminal: io.stdout.isTTY === true,
    history: [...history],
    historySize: HISTORY_LINES,
    removeHistoryDuplicates: true,
    completer: (line: string) => session.complete(line),
    prompt: style.bold(style.cyan('coterie> '))
  })
  terminal.on('history', (lines: string[]) => {
    history = [...lines]
  })
  const waiting: string[] = []
  let running: AbortController | undefined
  let closed = false
  // Lines typed ahead wait for the one that runs.
  const work = async () => {
    while (waiting.length > 0) {
      running = new AbortController()
      const { quit } = await session.execute(waiting.shift()!, running.signal)
      running = undefined
      if (quit) return terminal.close()
    }
    if (!closed) terminal.prompt()
  }
  await new Promise<void>((resolve, reject) => {
    let working: Promise<void> = Promise.resolve()
    terminal.on('line', line => {
      waiting.push(line)
      if (waiting.length === 1 && !running) working = work().catch(reject)
    })
    terminal.on('SIGINT', () => {
      if (running) return running.abort(new Error('given up'))
      if (terminal.line === '') io.stdout.write('\n(quit or Ctrl-D ends)')
      // Ctrl-E Ctrl-U: an abandoned line is gone, as in a shell.
      terminal.write(null, { ctrl: true, name: 'e' })
      terminal.write(null, { ctrl: true, name: 'u' })
      io.stdout.write('\n')
      terminal.prompt()
    })
    terminal.once('close', () => {
      closed = true
      void working.then(resolve)
    })
    terminal.prompt()
  })
  await saveHistory(path, history)
  return EXIT.done
}
