/** Nothing that was replaced or deleted returns. */
import type { WriteRecord } from '../history.ts'
import type { Case } from './case.ts'
import type { KeyCase, Replaced } from './key-case.ts'
import { type Breach, type Rule, seconds } from './rule.ts'
import { showingReplaced } from './stale-reads.ts'

/**
 * `resurrected`. A value that an acknowledged write or delete covers, through others or not, is in no read and on no
 * replica in the end; nor, under the conditions of `stale-read` and while no range moves, in a read that starts after
 * that acknowledgement. Excused when that write or delete is excused as lost; and for another try of the same
 * put, under a dot that nobody had seen, since a late retry may make a sibling.
 * Source: design §7, §10, §11; failures 4, 6, 9, 22.
 */
export const resurrected: Rule = {
  name: 'resurrected',
  what: 'what an acknowledged write or delete replaced is never read again',
  source: 'design §7, §10, §11; failures 4, 6, 9, 22',
  always: true,
  check: run =>
    run.keys.flatMap(key => [...showingReplaced(run, key, false), ...(run.settled ? inTheEnd(run, key) : [])])
}

function inTheEnd(run: Case, key: KeyCase): Breach[] {
  const { found } = key
  if (found === undefined) return []
  const counts = (write: WriteRecord) =>
    write.outcome === 'acked' && !run.losses.excuse(write) ? write.endMs : undefined
  const replaced = key.replaced(
    counts,
    (blind, write) =>
      run.isQuorumDelete(blind) &&
      run.isQuorumWrite(write) &&
      write.endMs! <= blind.startMs &&
      run.losses.by(blind.endMs!) === 'nothing' &&
      // A read of the coordinator may be stale as others are.
      !run.isMoving(write.startMs, blind.endMs!)
  )
  const holders = new Map<number, string[]>()
  const note = (values: readonly number[], who: string) => {
    for (const value of new Set(values)) holders.set(value, [...(holders.get(value) ?? []), who])
  }
  for (const { via, values } of found.reads) note(values, `a read through ${via}`)
  // What has expired is shown to nobody, and lies there until the whole key is dead.
  const lasts = (value: number) => {
    const write = key.write(value)
    return write === undefined || !run.clocks.mayBeExpired(write, run.endMs)
  }
  for (const { node, values } of found.replicas) note(values.filter(lasts), `the replica of ${node}`)
  const breaches: Breach[] = []
  for (const [value, who] of holders) {
    const by = replaced.get(value)
    const write = key.write(value)
    if (by === undefined || write === undefined || isLateTry(run, key, write, by)) continue
    breaches.push({
      key: key.key,
      message:
        `w${value} of ${key.key} is back: ${who.join(', ')} shows it, though ` +
        `w${by.by.id}, acknowledged at ${seconds(by.sinceMs)} by ${by.by.acks}, had replaced it`,
      writes: [value, by.by.id]
    })
  }
  return breaches
}

/** The findings have no dots; the reads of the history that made them have. */
function isLateTry({ plan }: Case, key: KeyCase, write: WriteRecord, { seers }: Replaced): boolean {
  const last = key.reads.findLast(({ startMs, values }) => startMs >= plan.healAtMs && values.includes(write.id))
  if (last === undefined) return false
  const coverers = seers.map(({ seer }) => seer)
  return key.isLateTry(write, last.dots[last.values.indexOf(write.id)], coverers)
}
