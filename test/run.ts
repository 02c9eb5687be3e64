/**
 * Runs the tests: every file in a process of its own, under a time limit, two at a time; those with real node processes
 * alone. `node test/run.ts [PATTERN]` runs the files whose path matches. Ends with `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'

const ROOT = join(import.meta.dirname, '..')
const UVU = join(ROOT, 'node_modules', 'uvu', 'bin.js')
/** A file that takes longer hangs. */
const FILE_TIMEOUT_MS = 300_000
/** A file whose suites are done and whose process does not end has left something open, which is a failure too. */
const END_TIMEOUT_MS = 10_000
const AT_ONCE = 2
/** Some 500 processes load much the same modules: a quarter of all processor time without it. */
const COMPILE_CACHE = { NODE_COMPILE_CACHE: join(tmpdir(), 'coterie-test-modules') }
/** Real processes share two cores with nobody. */
const ALONE = /^test\/(process|lan)\//

interface Outcome {
  file: string
  passed: number
  failed: number
  skipped: number
  output: string
  seconds: number
}

function run(file: string): Promise<Outcome> {
  return new Promise(resolve => {
    const startMs = performance.now()
    const pattern = `^${file.slice('test/'.length).replace(/[.\\/]/g, '\\$&')}$`
    const child = spawn(process.execPath, [UVU, 'test', pattern], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...COMPILE_CACHE, ...process.env }
    })
    let output = ''
    let ending: NodeJS.Timeout | undefined
    child.stdout.on('data', chunk => {
      output += chunk
      if (ending !== undefined || !/^ {2}Duration: /m.test(output)) return
      ending = setTimeout(() => {
        output += `\n${file}: the suites are done, but the process did not end within ${END_TIMEOUT_MS} ms\n`
        child.kill('SIGKILL')
      }, END_TIMEOUT_MS)
    })
    child.stderr.on('data', chunk => (output += chunk))
    const limit = setTimeout(() => {
      output += `\n${file} was stopped after ${FILE_TIMEOUT_MS} ms\n`
      child.kill('SIGKILL')
    }, FILE_TIMEOUT_MS)
    child.on('close', code => {
      clearTimeout(limit)
      clearTimeout(ending)
      // uvu colours the number of the skipped.
      const count = (name: string) => Number(new RegExp(`${name}:\\s+(?:\\x1b\\[\\d+m)?(\\d+)`).exec(output)?.[1] ?? 0)
      const total = count('Total')
      const passed = count('Passed')
      const skipped = count('Skipped')
      // A file that broke before its suites ran, or ran none, counts as one failure. uvu's total leaves out the skipped.
      const failed = code === 0 && total + skipped > 0 ? total - passed : Math.max(1, total - passed)
      resolve({ file, passed, failed, skipped, output, seconds: (performance.now() - startMs) / 1000 })
    })
  })
}

function report({ file, passed, failed, skipped, output, seconds }: Outcome): void {
  const counts = `${passed} passed${failed > 0 ? `, ${failed} FAILED` : ''}${skipped > 0 ? `, ${skipped} skipped` : ''}`
  console.log(`${failed > 0 ? '✗' : '✓'} ${file}  ${counts}  ${seconds.toFixed(1)} s`)
  const shown = failed > 0 ? output : printed(output).join('\n')
  if (shown !== '') console.log(shown)
}

/** What a test prints on purpose: tables and figures behind a bar, and why it was skipped. uvu's dots may stand before them. */
function printed(output: string): string[] {
  return stripVTControlCharacters(output)
    .split('\n')
    .flatMap(line => /(?:^|[\s•])(\| .*|skipped: .*)$/.exec(line)?.[1] ?? [])
}

async function runAll(files: string[], atOnce: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const queue = [...files]
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const outcome = await run(file)
      report(outcome)
      outcomes.push(outcome)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return outcomes
}

const wanted = new RegExp(process.argv.slice(2).join('|'))
const files = readdirSync(join(ROOT, 'test'), { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && entry.name.endsWith('.test.ts'))
  .map(entry => relative(ROOT, join(entry.parentPath, entry.name)))
  .filter(file => wanted.test(file))
  .sort()
const outcomes = [
  ...(await runAll(
    files.filter(file => !ALONE.test(file)),
    AT_ONCE
  )),
  ...(await runAll(
    files.filter(file => ALONE.test(file)),
    1
  ))
]
const sum = (name: 'passed' | 'failed' | 'skipped') => outcomes.reduce((total, outcome) => total + outcome[name], 0)
if (sum('skipped') > 0) console.log(`${sum('skipped')} skipped`)
console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
process.exitCode = sum('failed') > 0 || outcomes.length === 0 ? 1 : 0
