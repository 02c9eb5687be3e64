/**
 * Which of the unsynced changes a power cut leaves: the corners always; then torn forms of the latest write, each change
 * alone, each change missing; then random subsets. What is past the budget of a cut point is left to a seeded choice.
 */
import type { SimRandom } from '../../../src/sim/world/random.ts'
import type { DataOp, DiskReplay, EntryOp, Kept, Selection } from './disk-replay.ts'

export interface Choice {
  /** In words, for a report. */
  label: string
  selection: Selection
}

/** Of a budget, for random subsets at least. */
const RANDOM_SHARE = 1 / 4
/** So few names are tried in every form, whatever the budget. */
const FEW_ENTRIES = 3
const WHOLE: Kept = { sectors: 'all', grown: false }

export function selectionsAt(replay: DiskReplay, latest: number, budget: number, random: SimRandom): Choice[] {
  const data = replay.pendingData()
  const entries = replay.pendingEntries
  if (data.length + entries.length === 0) return cornersOf(data, entries).slice(0, 1)
  const corners = [...cornersOf(data, entries), ...(entries.length <= FEW_ENTRIES ? entryForms(data, entries) : [])]
  const systematic = [
    ...tornForms(replay, data, entries, latest),
    ...(data.length > 1 ? aloneAndMissing(data, entries) : []),
    ...(entries.length > FEW_ENTRIES ? entryForms(data, entries) : [])
  ]
  const room = Math.max(0, Math.round(budget * (1 - RANDOM_SHARE)) - corners.length)
  const chosen = systematic.length <= room ? systematic : random.shuffle(systematic).slice(0, room)
  const choices = [...corners, ...chosen]
  // A single sector has no subsets that were not named.
  const subsets = data.length + entries.length > 2 || data.some(op => sectorCount(replay, op) > 3)
  for (let i = 0; subsets && choices.length < budget; i++) choices.push(randomChoice(replay, data, entries, random, i))
  return choices
}

function cornersOf(data: DataOp[], entries: readonly EntryOp[]): Choice[] {
  const all = new Map(data.map(op => [op, WHOLE]))
  const corners = [
    { label: 'only what is durable', selection: { data: new Map(), entries: new Set<EntryOp>() } },
    { label: 'everything', selection: { data: all, entries: new Set(entries) } }
  ]
  if (data.length === 0 || entries.length === 0) return corners
  return [
    ...corners,
    { label: 'all names, no bytes', selection: { data: new Map(), entries: new Set(entries) } },
    { label: 'all bytes, no names', selection: { data: all, entries: new Set() } }
  ]
}

/** The change that was made last, if it is a write, in every torn form, beside all and beside none of the others. */
function tornForms(replay: DiskReplay, data: DataOp[], entries: readonly EntryOp[], latest: number): Choice[] {
  const op = data.find(op => op.at === latest)
  if (op?.kind !== 'write') return []
  const sectors = replay.sectorsOf(op)
  const forms: [string, number[], boolean][] = [['the size alone', [], true]]
  for (let i = 1; i < sectors.length; i++) {
    forms.push([`the first ${i} sectors`, sectors.slice(0, i), false])
    forms.push([`the first ${i} sectors and the size`, sectors.slice(0, i), true])
    forms.push([`all but the first ${i} sectors`, sectors.slice(i), false])
  }
  for (let i = 1; i < sectors.length - 1; i++) {
    forms.push([`all but sector ${i}`, sectors.toSpliced(i, 1), false])
    forms.push([`sector ${i} alone, and the size`, [sectors[i]!], true])
  }
  return forms.flatMap(([label, kept, grown]) => {
    const torn: [DataOp, Kept] = [op, { sectors: new Set(kept), grown }]
    const choice = (others: DataOp[]): Selection => ({
      data: new Map([...others.map((other): [DataOp, Kept] => [other, WHOLE]), torn].sort(([a], [b]) => a.at - b.at)),
      entries: new Set(entries)
    })
    const others = data.filter(other => other !== op)
    return [
      { label: `of the last write ${label}, all else`, selection: choice(others) },
      ...(others.length > 0
        ? [{ label: `of the last write ${label}, nothing else unsynced`, selection: choice([]) }]
        : [])
    ]
  })
}

function aloneAndMissing(data: DataOp[], entries: readonly EntryOp[]): Choice[] {
  return data.flatMap(op => [
    {
      label: `of unsynced bytes only the ${op.kind} at ${op.at}`,
      selection: { data: new Map([[op, WHOLE]]), entries: new Set(entries) }
    },
    {
      label: `all but the ${op.kind} at ${op.at}`,
      selection: {
        data: new Map(data.filter(other => other !== op).map(other => [other, WHOLE])),
        entries: new Set(entries)
      }
    }
  ])
}

function entryForms(data: DataOp[], entries: readonly EntryOp[]): Choice[] {
  // One alone is there or not: that is a corner.
  if (entries.length < 2) return []
  const all = new Map(data.map(op => [op, WHOLE]))
  return entries.flatMap(entry => {
    const others = entries.filter(other => other !== entry)
    const name = `the ${entry.kind} of ${entry.path}`
    return [
      { label: `all bytes, of names only ${name}`, selection: { data: all, entries: new Set([entry]) } },
      { label: `all bytes, all names but ${name}`, selection: { data: all, entries: new Set(others) } },
      { label: `no bytes, of names only ${name}`, selection: { data: new Map(), entries: new Set([entry]) } },
      { label: `no bytes, all names but ${name}`, selection: { data: new Map(), entries: new Set(others) } }
    ]
  })
}

function randomChoice(
  replay: DiskReplay,
  data: DataOp[],
  entries: readonly EntryOp[],
  random: SimRandom,
  i: number
): Choice {
  const kept = new Map<DataOp, Kept>()
  // Mostly lost, half and half, mostly kept.
  const share = random.pick([0.15, 0.5, 0.85])
  for (const op of data) {
    const grown = random.chance(0.3)
    if (op.kind === 'truncate' || random.chance(0.4)) {
      if (random.chance(share)) kept.set(op, { sectors: 'all', grown })
      continue
    }
    const sectors = replay.sectorsOf(op).filter(() => random.chance(share))
    if (sectors.length > 0 || grown) kept.set(op, { sectors: new Set(sectors), grown })
  }
  const keptEntries = new Set(entries.filter(() => random.chance(Math.max(share, 0.5))))
  return { label: `random subset ${i}`, selection: { data: kept, entries: keptEntries } }
}

function sectorCount(replay: DiskReplay, op: DataOp): number {
  return op.kind === 'write' ? replay.sectorsOf(op).length : 1
}
