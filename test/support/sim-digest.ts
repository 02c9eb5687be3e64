/**
 * What a simulated run comes to, in a form that can be compared across processes.
 *
 *   node test/support/sim-digest.ts '[{"seed":"1","scenario":"join"}]'          a line of JSON for each: its fingerprint
 *   node test/support/sim-digest.ts '[{"seed":"1","scenario":"join"}]' --lines  the same, with all that happened
 */
import { hash } from 'node:crypto'
import { runSeed } from '../../src/sim/run.ts'

export interface Case {
  seed: string
  scenario: string
  nodes?: number
}

export interface Fingerprint {
  /** Of the events. */
  digest: string
  events: number
  virtualMs: number
  /** SHA-256 of the plan, of what clients saw and of what was found in the end. */
  outcome: string
  /** Breaches of determinism, `what at where`. */
  breaches: string[]
  /** Every event, then the outcome, for people. */
  lines: string[]
}

export async function fingerprint({ seed, scenario, nodes }: Case, strict = false): Promise<Fingerprint> {
  const lines: string[] = []
  const result = await runSeed(seed, { scenario, nodes, strict, trace: line => void lines.push(line) })
  const { plan, history, findings, violations } = result
  const outcome = JSON.stringify(
    { plan, writes: history.writes, reads: history.reads, findings, violations },
    undefined,
    1
  )
  for (const line of outcome.split('\n')) lines.push(line)
  return {
    digest: result.digest,
    events: result.events,
    virtualMs: result.virtualMs,
    outcome: hash('sha256', outcome),
    breaches: violations.filter(({ rule }) => rule === 'nondeterminism').map(({ message }) => message),
    lines
  }
}

if (process.argv[1] === import.meta.filename) {
  const cases: Case[] = JSON.parse(process.argv[2]!)
  for (const one of cases) {
    const { lines, ...print } = await fingerprint(one)
    console.log(JSON.stringify(process.argv.includes('--lines') ? { ...print, lines } : print))
  }
}
