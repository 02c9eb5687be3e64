/**
 * The story of a violation, for people: who wrote what when through whom and who had seen it, what failed meanwhile,
 * which reads saw what, what the replicas hold in the end, and what was lost. Only what matters for the key.
 *
 * @example
 *   for (const line of tellStory(violations[0], plan, history, findings)) console.log(line)
 */
import { some } from './checker/rule.ts'
import type { Findings, History, KeyFindings, ReadRecord, Violation, WriteRecord } from './history.ts'
import { faultInWords } from './plan/fault-in-words.ts'
import { destroysData, type Fault, type Plan } from './plan/plan.ts'

const MOST_LINES = 30
/** Together, with the healing and the last line, 30. Where there are more, those are told that matter most. */
const MOST_WRITES = 8
const MOST_READS = 5
const MOST_FAULTS = 6
const MOST_JOINS = 2
const MOST_FOUND = 7
/** A fault before the first of the events may be why it came so. */
const BEFORE_MS = 5000
/** Values in one line. */
const MOST_NAMED = 8

interface Told {
  atMs: number
  line: string
}

/** One line each, without ends of line; at most 30. */
export function tellStory(violation: Violation, plan: Plan, history: History, findings: Findings): string[] {
  const key = violation.key ?? keyOf(violation, history)
  if (key === undefined)
    return [
      ...plan.faults
        .slice(0, MOST_LINES - 1)
        .map(tellFault)
        .map(tellEvent),
      ending(violation)
    ]
  const writes = mattering(violation, key, history)
  const reads = readsAround(violation, key, writes, history)
  const found = findings.keys.find(one => one.key === key)
  const times = [...writes, ...reads].map(({ startMs }) => startMs)
  const events = [
    ...writes.map((write): Told => ({ atMs: write.startMs, line: tellWrite(write) })),
    ...reads.map((read): Told => ({ atMs: read.startMs, line: tellRead(read) })),
    ...faultsMeanwhile(plan, times, found?.replicas.map(({ node }) => node) ?? []).map(tellFault),
    ...joinsMeanwhile(plan, times),
    { atMs: plan.healAtMs, line: '** all faults are over' }
  ].sort((a, b) => a.atMs - b.atMs)
  return [...events.map(tellEvent), ...(found === undefined ? [] : inTheEnd(found)), ending(violation)]
}

function keyOf({ writes = [], reads = [] }: Violation, history: History): string | undefined {
  return history.writes[writes[0] ?? -1]?.key ?? history.reads[reads[0] ?? -1]?.key
}

/** The writes of the violation, what they had seen, and what was sent after seeing them. */
function mattering({ writes: ids = [] }: Violation, key: string, history: History): WriteRecord[] {
  const ofKey = history.writes.filter(write => write.key === key)
  const near = new Map<number, number>()
  const note = (id: number, distance: number) => near.set(id, Math.min(distance, near.get(id) ?? distance))
  ids.forEach((id, at) => void note(id, at === 0 ? 0 : 1))
  for (const { id, covers } of ofKey) {
    if (covers === 'unknown') {
      // It may have covered anything before it: it matters if it came near.
      if (ids.some(one => id > one)) note(id, 3)
      continue
    }
    for (const seen of covers) {
      if (ids.includes(id)) note(seen, 2)
      if (ids.includes(seen)) note(id, seen === ids[0] ? 1 : 2)
    }
  }
  return ofKey
    .filter(({ id }) => near.has(id) || ids.length === 0)
    .sort((a, b) => (near.get(a.id) ?? 9) - (near.get(b.id) ?? 9) || a.id - b.id)
    .slice(0, MOST_WRITES)
    .sort((a, b) => a.id - b.id)
}

/** Those of the violation; of what matters most, the last that saw it and the first that did not. */
function readsAround(
  { reads: ids = [], writes: lost = [] }: Violation,
  key: string,
  writes: WriteRecord[],
  history: History
): ReadRecord[] {
  const ofKey = history.reads.filter(read => read.key === key && read.outcome === 'answered')
  const chosen = new Set(ids.map(id => history.reads[id]).filter(read => read !== undefined))
  const subject = writes.find(({ id }) => id === lost[0]) ?? writes[0]
  if (subject !== undefined) {
    const saw = (read: ReadRecord) => read.values.includes(subject.id)
    const lastSeen = ofKey.findLast(saw)
    const firstMissed = ofKey.find(
      read => read.startMs >= (lastSeen?.startMs ?? subject.endMs ?? subject.startMs) && !saw(read)
    )
    for (const read of [
      ofKey.find(saw),
      lastSeen,
      firstMissed,
      ofKey.findLast(read => read.startMs <= subject.startMs)
    ]) {
      if (read !== undefined && chosen.size < MOST_READS) chosen.add(read)
    }
  }
  return [...chosen].sort((a, b) => a.id - b.id)
}

function tellWrite(write: WriteRecord): string {
  const { id, value, key, client, covers, outcome, acks, via, endMs, error, expiresAtMs, sloppy } = write
  const what = value === undefined ? `deletes ${key} (w${id})` : `puts w${id} into ${key}`
  const until = expiresAtMs === undefined ? '' : `, until ${clock(expiresAtMs).trim()}`
  const seen =
    covers === 'unknown'
      ? 'without a context: what a read finds'
      : `having seen ${covers.length === 0 ? 'nothing' : named(covers)}`
  const through = via === undefined ? '' : ` through ${via}`
  const result =
    outcome === 'acked'
      ? `acknowledged by ${acks}${sloppy ? ' (sloppy)' : ''}${through} at ${clock(endMs!).trim()}`
      : outcome === 'pending'
        ? 'never answered'
        : `nobody knows whether it was done${through}: ${short(error)} at ${clock(endMs!).trim()}`
  return `client ${client} ${what}${until}, ${seen}: ${result}`
}

function tellRead({ id, key, client, values, replies, via, endMs, outcome, error }: ReadRecord): string {
  const who = client < 0 ? 'the last look' : `client ${client}`
  const what = `${who} reads ${key}${via === undefined ? '' : ` through ${via}`} (r${id})`
  if (outcome === 'pending' || endMs === undefined) return `${what}: never answered`
  if (outcome === 'failed') return `${what}: ${short(error)} at ${clock(endMs).trim()}`
  return `${what} and sees ${named(values)}, from ${replies} at ${clock(endMs).trim()}`
}

const named = (ids: readonly number[]): string => (ids.length === 0 ? 'no value' : some(ids, MOST_NAMED))

/** What the replicas hold, those that hold the same in one line, and what is read. */
function inTheEnd({ key, reads, replicas }: KeyFindings): string[] {
  const lines = [`in the end, ${key}:`]
  const holders = new Map<string, string[]>()
  for (const { node, synced, values, error } of replicas) {
    const held = error ?? `${named(values)}${synced ? '' : ' (syncing)'}`
    holders.set(held, [...(holders.get(held) ?? []), node])
  }
  for (const [held, nodes] of holders)
    lines.push(`  replica${nodes.length > 1 ? 's' : ''} ${nodes.join(', ')}: ${short(held)}`)
  const shown = new Map<string, string[]>()
  for (const { via, values, error } of reads) {
    const answer = error ?? named(values)
    shown.set(answer, [...(shown.get(answer) ?? []), via])
  }
  for (const [answer, nodes] of shown) lines.push(`  read through ${nodes.join(', ')}: ${short(answer)}`)
  return lines.slice(0, MOST_FOUND)
}

function ending({ rule, message }: Violation): string {
  return `${rule}: ${short(message, 400)}`
}

/** What was going on from shortly before the first event on; of many, what takes data or processes of the key's replicas. */
function faultsMeanwhile({ faults, healAtMs }: Plan, times: number[], replicas: string[]): Fault[] {
  const fromMs = Math.min(healAtMs, ...times) - BEFORE_MS
  const endOf = (fault: Fault) => fault.atMs + ('forMs' in fault ? fault.forMs : 0)
  const weight = (fault: Fault) =>
    (destroysData(fault, 'os') ? 4 : 0) +
    ('node' in fault && replicas.includes(fault.node) ? 2 : 0) +
    (['crash', 'restart', 'partition'].includes(fault.kind) ? 1 : 0)
  return faults
    .filter(fault => endOf(fault) >= fromMs || destroysData(fault, 'os'))
    .sort((a, b) => weight(b) - weight(a) || a.atMs - b.atMs)
    .slice(0, MOST_FAULTS)
}

function joinsMeanwhile({ nodes, healAtMs }: Plan, times: number[]): Told[] {
  const [firstMs, lastMs] = [Math.min(healAtMs, ...times), Math.max(0, ...times)]
  return nodes
    .filter(({ joinAtMs }) => joinAtMs > 0 && joinAtMs >= firstMs - 2 * BEFORE_MS && joinAtMs <= lastMs)
    .slice(0, MOST_JOINS)
    .map(({ name, joinAtMs }) => ({ atMs: joinAtMs, line: `** ${name} joins` }))
}

function tellFault(fault: Fault): Told {
  const until = 'forMs' in fault ? `, until ${clock(fault.atMs + fault.forMs).trim()}` : ''
  return { atMs: fault.atMs, line: `** ${faultInWords(fault)}${until}` }
}

const tellEvent = ({ atMs, line }: Told): string => `${clock(atMs)}  ${line}`

/** Virtual seconds, aligned. */
const clock = (ms: number): string => `${(ms / 1000).toFixed(3)} s`.padStart(11)

function short(text = '', most = 120): string {
  const line = text.replace(/\s+/g, ' ')
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`
}
