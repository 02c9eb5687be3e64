/** The runs that caught planted bugs, in `catches.json`: found by `search.ts`, replayed by `*-bugs.test.ts`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUGS } from './bugs.ts'

const CATCHES = join(import.meta.dirname, 'catches.json')

export interface Catch {
  scenario: string
  seed: string
  /** The first of the rules that it broke. */
  rule: string
  /** Runs until a first one was caught, which may have been a longer one. */
  tried: number
}

export function readCatches(): Record<string, Catch> {
  return existsSync(CATCHES) ? (JSON.parse(readFileSync(CATCHES, 'utf8')) as Record<string, Catch>) : {}
}

/** In the order of the bugs, without bugs that are no more. */
export function writeCatches(catches: Record<string, Catch>): void {
  const sorted = BUGS.flatMap(({ name }) => (catches[name] === undefined ? [] : [[name, catches[name]] as const]))
  writeFileSync(CATCHES, `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`)
}
