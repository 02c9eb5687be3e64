/** Whether what a store serves after a cut is what was promised: reasons why not, with the case in words. Pure. */
import type { Observation } from './reopened.ts'

const UNSYNCED_IS_ASIDE = 'a file that was never synced is moved aside'

export interface Promises {
  /** Name → what the key may be. */
  allowed: Map<string, (string | undefined)[]>
  /** Nothing may be reported as damaged but the torn part of a write that nobody was promised. */
  whole: boolean
  /** Up to where a file was certain to last. */
  durableBytes: (file: string) => number
  /** Ranges that were being dropped: of two files one may be left, if it says so. */
  dropping: number[]
  /** Damage that was there before. */
  known?: Observation
}

export function judge(
  { failure, damages, aside, values }: Observation,
  { allowed, whole, durableBytes, dropping, known }: Promises
): [reason: string, detail: string][] {
  if (failure !== undefined) return [[failureOf(failure), failure]]
  const reasons: [string, string][] = []
  for (const [name, choices] of allowed) {
    const value = values.get(name)
    if (choices.includes(value)) continue
    const isBack = choices[0] === undefined
    const reason = value === undefined ? 'a value is lost' : isBack ? 'a removed key is back' : 'a wrong value'
    reasons.push([reason, `${name} is ${value}; allowed: ${choices.map(choice => choice ?? 'nothing').join(' | ')}`])
  }
  for (const damage of damages) {
    if (known?.damages.some(({ file, offset }) => file === damage.file && offset === damage.offset)) continue
    if (dropping.includes(damage.range) && /which is missing/.test(damage.detail)) continue
    const isUnsynced = damage.offset >= durableBytes(damage.file)
    if (!isUnsynced && damage.length > 0) reasons.push(['damage in what was durable', JSON.stringify(damage)])
    // Of a torn write of several records a later one may be there: nobody can tell that from rot, so it is said.
    else if (isUnsynced && damage.length > 0) continue
    else if (whole) reasons.push([`damage: ${damage.detail.replace(/\d+/g, 'n').slice(0, 60)}`, JSON.stringify(damage)])
  }
  for (const path of aside) {
    if (known?.aside.includes(path)) continue
    const wasDurable = durableBytes(path.replace(/\.damaged.*$/, '')) > 0
    if (wasDurable || whole) reasons.push([wasDurable ? 'a durable file is moved aside' : UNSYNCED_IS_ASIDE, path])
  }
  return reasons
}

/** Failures that differ in numbers alone are one. */
export function failureOf(error: unknown): string {
  return `it fails: ${String(error).split('\n')[0]!.replace(/\d+/g, 'n').slice(0, 100)}`
}
