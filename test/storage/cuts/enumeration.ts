/**
 * Lives through a workload once, then cuts it at every point of its journal in every way that fits the budget, opens a
 * store on what each cut leaves, and judges what it serves (as ALICE, OSDI'14, and CrashMonkey, OSDI'18, do for others).
 * CUTS_BUDGET multiplies the images per point.
 */
import { hash } from 'node:crypto'
import type { Durability } from '../../../src/config.ts'
import type { FileIo } from '../../../src/ports.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { DiskReplay } from './disk-replay.ts'
import type { CutKind } from './history.ts'
import type { Image } from './journal-files.ts'
import { drive, Life, type LifeSettings } from './life.ts'
import { Reasons } from './reasons.ts'
import { contentsOf, type KnownKey, type Observation, type ReopenSettings, reopen } from './reopened.ts'
import { selectionsAt } from './selections.ts'
import { failureOf, judge } from './verdict.ts'

export interface Workload {
  name: string
  /** Ranges that it puts to. */
  ranges: number[]
  compactBytes?: number
  hintBytes?: number
  /** Of a disk: so small that records tear. */
  sectorBytes?: number
  run(life: Life): Promise<void>
  /** Between opening an image and looking at it. */
  prepare?: ReopenSettings['prepare']
}

export interface Enumeration {
  operations: number
  points: number
  images: number
  distinct: number
  /** Cuts of what was opened after a cut. */
  second: number
  reasons: Reasons
}

export interface EnumerationOptions {
  budget?: number
  seed?: string
  lie?: (files: FileIo) => FileIo
  /** Of the distinct images, this share is opened, used and cut again. */
  secondShare?: number
}

const BUDGET = Number(process.env.CUTS_BUDGET ?? 1)
const IMAGES_PER_POINT = 20
const IMAGES_PER_SECOND_POINT = 3
const SECOND_SHARE = 0.004
/** So little that the last look at an image can ask for a rewriting. */
const REOPENED_COMPACT_BYTES = 200

export async function enumerateCuts(
  workload: Workload,
  durability: Durability,
  { budget = BUDGET, seed = '1', lie, secondShare = SECOND_SHARE }: EnumerationOptions = {}
): Promise<Enumeration> {
  const label = `${workload.name}, ${durability}, seed ${seed}`
  const settings = { durability, compactBytes: workload.compactBytes ?? 200, hintBytes: workload.hintBytes ?? 1e9 }
  const random = new SimRandom(label)
  const life = new Life(random.fork('life'), { ...settings, lie })
  await drive(life.time, workload.run(life))
  const cuts = new Cuts(label, life, { workload, settings, random: random.fork('cuts') })
  await cuts.run(Math.max(6, Math.round(IMAGES_PER_POINT * budget)), async first => {
    if (!random.chance(secondShare)) return
    const before = (name: string) => first.allowed.get(name) ?? [undefined]
    const second = new Life(random.fork(`second ${cuts.images}`), settings, first.image, before)
    try {
      await drive(second.time, liveOn(second, workload, life.history.keys()))
    } catch (error) {
      cuts.reasons.add(failureOf(error), () => `${label}, image ${cuts.images}, in the life after it: ${error}`)
      return
    }
    const again = new Cuts(`${label}, after ${cuts.images} images`, second, {
      workload,
      settings,
      random: second.random,
      parent: cuts,
      first: first.seen
    })
    await again.run(IMAGES_PER_SECOND_POINT * Math.max(1, budget))
    cuts.second += again.images
  })
  const { images, points, second, reasons } = cuts
  return { operations: life.files.ops.length, points, images, distinct: cuts.distinct, second, reasons }
}

/** A start after a cut, and a little work. */
async function liveOn(life: Life, { ranges, prepare }: Workload, keys: KnownKey[]): Promise<void> {
  const { history } = life
  await life.open()
  await prepare?.(life.store)
  history.serves(keys, await contentsOf(life.store, { keys, ranges }))
  for (const range of ranges) life.store.create(range)
  for (const [i, { range, key }] of keys.slice(0, 4).entries()) {
    if (i === 2) await history.remove(life.store, range, key)
    else await history.put(life.store, range, key, life.size())
  }
  for (const range of ranges) await history.sync(life.store, range)
}

interface CutsInit {
  workload: Workload
  settings: LifeSettings
  random: SimRandom
  parent?: Cuts
  /** What the first start said: a second one may say it again. */
  first?: Observation
}

interface First {
  image: Image
  seen: Observation
  allowed: Map<string, (string | undefined)[]>
}

type OnDistinct = (first: First) => Promise<void>

/** Of one life. */
class Cuts {
  images = 0
  points = 0
  second = 0
  readonly reasons: Reasons
  readonly #label: string
  readonly #life: Life
  readonly #init: CutsInit
  readonly #replay: DiskReplay
  /** By hash of the image: what was seen on it. */
  readonly #seen: Map<string, Observation>
  #allowed = new Map<string, (string | undefined)[]>()
  #onDistinct: OnDistinct = async () => {}

  constructor(label: string, life: Life, init: CutsInit) {
    this.#label = label
    this.#life = life
    this.#init = init
    this.#replay = new DiskReplay(life.files.base, init.workload.sectorBytes ?? 64)
    this.#seen = init.parent ? init.parent.#seen : new Map()
    this.reasons = init.parent?.reasons ?? new Reasons()
  }

  get distinct(): number {
    return this.#seen.size
  }

  async run(budget: number, onDistinct: OnDistinct = async () => {}): Promise<void> {
    const { ops } = this.#life.files
    this.#onDistinct = onDistinct
    for (let i = 0; i <= ops.length; i++) {
      const tick = ops[i]?.at ?? this.#life.files.tick()
      this.points++
      this.#allowedAt(tick, 'power')
      for (const { label, selection } of selectionsAt(this.#replay, ops[i - 1]?.at ?? 0, budget, this.#init.random)) {
        await this.#try(this.#replay.afterCut(selection), 'power', tick, label)
      }
      this.#allowedAt(tick, 'kill')
      await this.#try(this.#replay.afterKill(), 'kill', tick, 'everything')
      const op = ops[i]
      if (op === undefined) continue
      if (op.kind === 'write') {
        const { length } = op.bytes
        for (const bytes of new Set([1, length >> 2, length >> 1, length - 9, length - 1])) {
          if (bytes <= 0 || bytes >= length) continue
          const image = this.#replay.afterKill({ op, bytes })
          await this.#try(image, 'kill', tick, `everything, and ${bytes} of the ${length} bytes of the write under way`)
        }
      }
      this.#replay.apply(op)
    }
  }

  #allowedAt(tick: number, cut: CutKind): void {
    const { history } = this.#life
    this.#allowed = new Map(history.keys().map(({ name }) => [name, history.allowed(name, tick, cut)]))
  }

  async #try(image: Image, cut: CutKind, tick: number, label: string): Promise<void> {
    this.images++
    const { workload, settings } = this.#init
    const { history, files } = this.#life
    const id = hashOf(image)
    let seen = this.#seen.get(id)
    const allowed = this.#allowed
    if (seen === undefined) {
      const { ranges, prepare } = workload
      seen = await reopen(image, {
        ...settings,
        compactBytes: REOPENED_COMPACT_BYTES,
        ranges,
        prepare,
        keys: history.keys()
      })
      this.#seen.set(id, seen)
      await this.#onDistinct({ image, seen, allowed })
    }
    const promises = {
      allowed,
      whole: cut === 'kill' || settings.durability === 'disk',
      durableBytes: (file: string) => (cut === 'kill' ? Number.POSITIVE_INFINITY : this.#replay.durableBytes(file)),
      dropping: history.droppingAt(tick),
      known: this.#init.first
    }
    for (const [reason, detail] of judge(seen, promises)) {
      const next = files.ops.findIndex(({ at }) => at >= tick)
      this.reasons.add(reason, () => {
        const names = [...image].map(([path, { length }]) => `${path} (${length})`).join(', ')
        const around = files.ops
          .slice(Math.max(0, next - 8), next + 1)
          .map(op => describe(op, files.nameOf.bind(files)))
        return `${this.#label}: ${cut} cut before operation ${next} of ${files.ops.length}, leaving ${label}: ${names}\n    ${detail}\n    ${around.join('\n    ')}`
      })
    }
  }
}

function describe(op: Life['files']['ops'][number], nameOf: (inode: number) => string): string {
  const { kind, at } = op
  if (kind === 'write') return `${at} write ${op.bytes.length} at ${op.position} of ${nameOf(op.inode)}`
  if (kind === 'truncate') return `${at} truncate ${nameOf(op.inode)} to ${op.length}`
  if (kind === 'sync') return `${at} sync ${nameOf(op.inode)}, begun ${op.began}`
  if (kind === 'syncDir') return `${at} syncDir, begun ${op.began}`
  return `${at} ${kind} ${op.path}${kind === 'rename' ? ` → ${op.to}` : ''}`
}

function hashOf(image: Image): string {
  const parts = [...image].sort(([a], [b]) => (a < b ? -1 : 1))
  return hash(
    'sha1',
    Buffer.concat(parts.flatMap(([path, bytes]) => [Buffer.from(`\n${path} ${bytes.length}\n`), bytes]))
  )
}
