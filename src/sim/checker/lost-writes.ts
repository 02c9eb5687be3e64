/** Nothing that was acknowledged is lost, and nothing that was seen goes without having been replaced. */
import type { FaultKind } from '../plan/plan.ts'
import type { Case } from './case.ts'
import type { KeyCase } from './key-case.ts'
import { type Breach, type Rule, seconds, some } from './rule.ts'

/**
 * `lost-write`. Every acknowledged value is, after settling, among the values that reads or replicas show, or expired, or
 * causally superseded as `KeyCase.unaccounted` says. Excused when as many nodes may have lost their copy as acknowledged
 * it (`losses.ts`). Source: design §11; failures 1–3, 6–9, 12, 13, 15, 18.
 */
export const lostWrite: Rule = {
  name: 'lost-write',
  what: 'every acknowledged write, or a causal successor, is there in the end, unless as many copies were destroyed as acknowledged it',
  source: 'design §11; failures 1-3, 6-9, 12, 13, 15, 18',
  always: false,
  check: run =>
    run.keys.flatMap(key => {
      const present = shown(key)
      if (present === undefined) return []
      const gone = key.unaccounted(present, run.endMs)
      const lost = key.writes.filter(
        write => gone.has(write.id) && write.outcome === 'acked' && !run.losses.excuse(write)
      )
      return key.heads(new Set(lost.map(({ id }) => id))).map(({ id, acks, endMs, via }): Breach => {
        const coverers = key.coverersOf(id).map(coverer => coverer.id)
        const struck = run.losses.of(key.write(id)!)
        const destroyed = struck.length === 0 ? '' : `; copies that may have been destroyed: ${struck.join(', ')}`
        const seen =
          coverers.length === 0
            ? 'nobody had seen it'
            : `those who had seen it sent ${some(coverers)}, which are gone as well`
        return {
          key: key.key,
          message:
            `w${id} of ${key.key}, acknowledged at ${seconds(endMs!)} by ${acks} (${via ?? 'nobody knows who'} answered), is lost: ` +
            `the key holds ${some([...present])}; ${seen}${destroyed}`,
          writes: [id, ...coverers, ...present]
        }
      })
    })
}

/** After these, what was shown before it was written may be gone; a process that died counts as crashed. */
const FORGETTING: readonly FaultKind[] = [
  'crash',
  'power-cut',
  'restart',
  'wipe',
  'disk-full',
  'eio',
  'bit-rot',
  'lost-write',
  'misdirected-write'
]

/**
 * `dropped-sibling`. A value that was not acknowledged, but that a read has shown, is some replica's sibling, and a sibling
 * goes only by a write that had seen it. Not judged where a process or a disk failed afterwards: a replica shows a write
 * before it is on disk, and owes it to nobody yet. (An acknowledged one that goes is a `lost-write`.)
 * Source: design §7.
 */
export const droppedSibling: Rule = {
  name: 'dropped-sibling',
  what: 'a value that a read has shown goes only by a write that had seen it',
  source: 'design §7; failures 1, 3, 11',
  always: false,
  check: run =>
    run.keys.flatMap(key => {
      const present = shown(key)
      if (present === undefined) return []
      const gone = key.unaccounted(present, run.endMs)
      const dropped = new Map<number, number>()
      for (const { id, values } of key.reads) {
        for (const value of values) if (gone.has(value) && mustStay(run, key, value)) dropped.set(value, id)
      }
      return key.heads(new Set(dropped.keys())).map(
        ({ id }): Breach => ({
          key: key.key,
          message: `w${id} of ${key.key} was never acknowledged, but read r${dropped.get(id)} showed it, and no write that had seen it replaced it: the key holds ${some([...present])}`,
          writes: [id, ...present],
          reads: [dropped.get(id)!]
        })
      )
    })
}

function mustStay({ plan }: Case, key: KeyCase, id: number): boolean {
  const write = key.write(id)
  if (write === undefined || write.outcome === 'acked') return false
  const until = (fault: (typeof plan.faults)[number]) => fault.atMs + ('forMs' in fault ? fault.forMs : 0)
  // What was set up for a disk before may strike later.
  const armed: readonly FaultKind[] = ['eio', 'lost-write', 'misdirected-write']
  return !plan.faults.some(
    fault => FORGETTING.includes(fault.kind) && (armed.includes(fault.kind) || until(fault) >= write.startMs)
  )
}

/** What reads and replicas show in the end; undefined when none of them could be asked. */
function shown({ found }: KeyCase): Set<number> | undefined {
  if (found === undefined) return undefined
  const answers = [...found.reads, ...found.replicas].filter(({ error }) => error === undefined)
  return answers.length === 0 ? undefined : new Set(answers.flatMap(({ values }) => values))
}
