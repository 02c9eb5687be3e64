/** What a read shows while the run is on: R + W > N gives read-your-writes (design §8). */
import type { ReadRecord } from '../history.ts'
import type { Case } from './case.ts'
import type { KeyCase } from './key-case.ts'
import { type Breach, type Rule, seconds, some } from './rule.ts'

/**
 * `stale-read`. With R + W > N, a read of R answers that starts after a write was acknowledged by W shows it, or a
 * write that covers it and began before the read ended. Not judged once a fault other than a wipe may have destroyed data
 * (a power cut takes what was not synced, and the node answers without it until it has met the others: docs/operations.md);
 * after a wipe, see `false-absence`. Excused for writes all of whose copies may be with nodes that had been given up by then.
 * Source: design §6 (death), §8.
 */
export const staleRead: Rule = {
  name: 'stale-read',
  what: 'a quorum read that begins after a quorum write was acknowledged shows it or a causal successor',
  source: 'design §8',
  always: true,
  check: run => run.keys.flatMap(key => missed(run, key, false))
}

/**
 * `stale-read-moving`. The same, and what `resurrected` says of reads, from a node's joining until a while after: a range
 * moves without a gap (design §6, safety of movement), but where two owners' flips cross, a copy that nobody prepared is
 * on the list, answers, and may miss what was written before. Judged only before a fault ends the first process: read-your-writes
 * is promised while nobody fails. A name of its own, so that it can be switched off.
 */
export const staleReadMoving: Rule = {
  name: 'stale-read-moving',
  what: 'the same while ranges move to a node that has just joined, before any process ends',
  source: 'design §6 (safety of movement) and §8',
  always: true,
  check: run => run.keys.flatMap(key => [...missed(run, key, true), ...showingReplaced(run, key, true)])
}

/** Reads that show, with a quorum, what an acknowledged write had replaced before: the part of `resurrected` while the run is on. */
export function showingReplaced(run: Case, key: KeyCase, moving: boolean): Breach[] {
  const replaced = key.replaced(
    write => (run.isQuorumWrite(write) ? write.endMs : undefined),
    (blind, write) =>
      run.isQuorumDelete(blind) &&
      run.isQuorumWrite(write) &&
      write.endMs! <= blind.startMs &&
      run.losses.by(blind.endMs!) === 'nothing'
  )
  const breaches: Breach[] = []
  for (const read of key.reads) {
    const { id, startMs, endMs, values, dots, via } = read
    if (!run.isQuorumRead(read) || run.losses.by(endMs!) !== 'nothing') continue
    if (moving && run.isDisturbed(endMs!)) continue
    for (const [at, value] of values.entries()) {
      const by = replaced.get(value)
      if (by === undefined || by.sinceMs > startMs || run.isMoving(by.by.startMs, endMs!) !== moving) continue
      if (run.isGivenUp(by.by, endMs!)) continue
      const seers = by.seers.filter(({ sinceMs }) => sinceMs <= startMs).map(({ seer }) => seer)
      if (key.isLateTry(key.write(value)!, dots[at], seers)) continue
      breaches.push({
        key: key.key,
        message:
          `read r${id} of ${key.key} through ${via}, begun at ${seconds(startMs)}, shows w${value}, which w${by.by.id}, ` +
          `acknowledged at ${seconds(by.sinceMs)} by ${by.by.acks}, had replaced`,
        writes: [value, by.by.id],
        reads: [id]
      })
    }
  }
  return breaches
}

function missed(run: Case, key: KeyCase, moving: boolean): Breach[] {
  const breaches: Breach[] = []
  const firm = key.writes.filter(write => write.value !== undefined && run.isQuorumWrite(write))
  if (firm.length === 0) return []
  for (const read of key.reads) {
    if (!run.isQuorumRead(read) || run.losses.by(read.endMs!) !== 'nothing') continue
    if (moving && run.isDisturbed(read.endMs!)) continue
    const gone = key.unaccounted(new Set(read.values), read.endMs!)
    const missing = firm.filter(
      write =>
        gone.has(write.id) &&
        write.endMs! <= read.startMs &&
        run.isMoving(write.startMs, read.endMs!) === moving &&
        !run.isGivenUp(write, read.endMs!)
    )
    for (const write of key.heads(new Set(missing.map(({ id }) => id)))) breaches.push(breach(key, read, write))
  }
  return breaches
}

/**
 * `false-absence`. A read that begins after a write was acknowledged by W never says "no such key": that takes R synced
 * answers, and a copy that was wiped is not synced before it has met N − W + 1 others. (With wipes a value may be
 * stale: its R answers may be an older holder's and a wiped node's.) Not judged for writes with an expiry, or beside which
 * or after which a delete or another such write may have come; and not where wipes took as many copies as acknowledged the write.
 * Source: design §6 (safety of movement 1, 2) and §8; failures 7, 40, 47.
 */
export const falseAbsence: Rule = {
  name: 'false-absence',
  what: 'no read says "no such key" of a key with an acknowledged value, though directories were lost',
  source: 'design §6 and §8; failures 7, 40, 47',
  always: true,
  check: run =>
    run.keys.flatMap(key => {
      const breaches: Breach[] = []
      for (const read of key.reads) {
        const { startMs, endMs, values } = read
        if (values.length > 0 || !run.isQuorumRead(read) || run.losses.by(endMs!) !== 'wipes') continue
        const before = key.writes.filter(write => write.startMs <= endMs!)
        const passing = before.filter(({ value, expiresAtMs }) => value === undefined || expiresAtMs !== undefined)
        // One whose fate is not known may be done late.
        const passedMs = Math.max(
          ...passing.map(({ outcome, endMs }) => (outcome === 'acked' ? endMs! : Number.POSITIVE_INFINITY))
        )
        const firm = before.filter(
          write =>
            write.startMs > passedMs &&
            run.isQuorumWrite(write) &&
            write.endMs! <= startMs &&
            !run.losses.excuse(write) &&
            !run.isGivenUp(write, endMs!)
        )
        const last = firm.at(-1)
        if (last !== undefined) breaches.push(breach(key, read, last))
      }
      return breaches
    })
}

function breach(
  key: KeyCase,
  { id, startMs, values, via, replies }: ReadRecord,
  write: { id: number; endMs: number | undefined; acks: number }
): Breach {
  const coverers = key.coverersOf(write.id).map(coverer => coverer.id)
  return {
    key: key.key,
    message:
      `read r${id} of ${key.key} through ${via}, begun at ${seconds(startMs)} and answered by ${replies}, shows ${some(values)}; ` +
      `w${write.id} was acknowledged at ${seconds(write.endMs!)} by ${write.acks}, and nothing it shows had seen that`,
    writes: [write.id, ...coverers, ...values],
    reads: [id]
  }
}
