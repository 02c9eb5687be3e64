/** What no answer may ever show, whatever failed: each read is judged by itself. */
import type { ReadRecord, WriteRecord } from '../history.ts'
import type { Case } from './case.ts'
import type { KeyCase } from './key-case.ts'
import { type Breach, type Rule, seconds } from './rule.ts'

/**
 * `false-sibling`. One answer never shows a value together with one that was sent by somebody who had seen it, directly
 * or through others: a merge drops what the other's context covers. Excused for another try of the same put under a
 * dot that nobody had seen. Nor is one value shown twice, however often it was tried: readers hide the second dot.
 * Source: design §7; failures 10.
 */
export const falseSibling: Rule = {
  name: 'false-sibling',
  what: 'siblings are concurrent: none had seen another, and none is shown twice',
  source: 'design §7; failures 10',
  always: true,
  check: run => eachAnswer(run, (key, answer) => [...twice(key, answer), ...seenByOther(key, answer)])
}

/**
 * `phantom`. A value that is read was written to that key, by a put, before the read ended.
 * Source: design §7, §9; failures 15, 17, 50.
 */
export const phantom: Rule = {
  name: 'phantom',
  what: 'a read shows only what was written to that key before',
  source: 'design §7, §9; failures 15, 17, 50',
  always: true,
  check: run =>
    eachAnswer(run, (key, { values, where, reads, endMs }) =>
      [...new Set(values)].flatMap(id => {
        const write: WriteRecord | undefined = run.history.writes[id]
        const why =
          write === undefined
            ? 'that nobody wrote'
            : write.key !== key.key
              ? `that was written to ${write.key}`
              : write.value === undefined
                ? 'which is a delete'
                : endMs < write.startMs
                  ? `that was sent later, at ${seconds(write.startMs)}`
                  : undefined
        if (why === undefined) return []
        return [{ key: key.key, message: `${where} shows w${id}, ${why}`, writes: write ? [id] : [], reads }]
      })
    )
}

/**
 * `expired-read`. A value is not shown once its time is over by the clocks of all nodes: an expired sibling is a tombstone.
 * Source: design §7.
 */
export const expiredRead: Rule = {
  name: 'expired-read',
  what: 'no read that begins after a value expired by all clocks shows it',
  source: 'design §7',
  always: true,
  check: run =>
    run.keys.flatMap(key =>
      key.reads.flatMap(({ id, startMs, values }) =>
        values.flatMap(value => {
          const write = key.write(value)
          if (write === undefined || !run.clocks.mustBeExpired(write, startMs)) return []
          const message = `read r${id} of ${key.key}, begun at ${seconds(startMs)}, shows w${value}, which expired at ${seconds(write.expiresAtMs!)}`
          return [{ key: key.key, message, writes: [value], reads: [id] }]
        })
      )
    )
}

/** What a client, or the look at the cluster in the end, was shown. */
interface Answer extends Pick<ReadRecord, 'values' | 'dots'> {
  where: string
  reads: number[]
  endMs: number
}

function eachAnswer(run: Case, look: (key: KeyCase, answer: Answer) => Breach[]): Breach[] {
  return run.keys.flatMap(key => {
    const answers: Answer[] = key.reads.map(({ id, values, dots, endMs, via }) => ({
      values,
      dots,
      where: `read r${id} of ${key.key} through ${via}, answered at ${seconds(endMs!)},`,
      reads: [id],
      endMs: endMs!
    }))
    const known = new Set(answers.map(({ values }) => values.join()))
    for (const { via, values } of key.found?.reads ?? []) {
      // Most of these are in the history too, with their dots.
      if (known.has(values.join())) continue
      answers.push({
        values,
        dots: [],
        where: `the last read of ${key.key} through ${via}`,
        reads: [],
        endMs: run.endMs
      })
    }
    return answers.flatMap(answer => look(key, answer))
  })
}

function twice(key: KeyCase, { values, where, reads }: Answer): Breach[] {
  const repeated = new Set(values.filter((value, at) => values.indexOf(value) !== at))
  return [...repeated].map(id => ({ key: key.key, message: `${where} shows w${id} twice`, writes: [id], reads }))
}

/** One walk back from all values at once; the oldest value bounds it. */
function seenByOther(key: KeyCase, { values, dots, where, reads }: Answer): Breach[] {
  if (values.length < 2) return []
  const shown = new Set(values)
  const oldest = Math.min(...values)
  const from = new Map<number, number>()
  const walk = [...shown]
  for (let id = walk.pop(); id !== undefined; id = walk.pop()) {
    const write = key.write(id)
    if (write === undefined) continue
    for (const seen of key.coveredBy(write)) {
      if (seen < oldest || from.has(seen)) continue
      from.set(seen, id)
      walk.push(seen)
    }
  }
  return [...shown].flatMap(id => {
    let by = from.get(id)
    const write = key.write(id)
    if (by === undefined || write === undefined) return []
    const coverers = key.coverersOf(id).filter(coverer => shown.has(coverer.id) || from.has(coverer.id))
    if (key.isLateTry(write, dots[values.indexOf(id)], coverers)) return []
    const path = [by]
    while (!shown.has(by)) path.push((by = from.get(by)!))
    const through =
      path.length > 1
        ? ` through ${path
            .slice(0, -1)
            .map(one => `w${one}`)
            .join(', ')}`
        : ''
    const message = `${where} shows w${id} beside w${by}, whose writer had seen it${through}`
    return [{ key: key.key, message, writes: [id, ...path], reads }]
  })
}
