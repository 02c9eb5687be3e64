/** Stores with hints, and what a start finds with and without them. */
import * as assert from 'uvu/assert'
import type { FileIo } from '../../../src/ports.ts'
import { silentLog, systemRandom } from '../../../src/runtime.ts'
import { RangeStore } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { DIR, FILE, filledStore, ManualTime, type OpenOptions, Q, RANGE, textOf } from '../helpers.ts'

export const HINT = `${DIR}/0003-0000000001.hint`
export const SECOND = `${DIR}/0003-0000000002.log`
export const SECOND_HINT = `${DIR}/0003-0000000002.hint`
/** At close from 64 bytes on, in the background from 1024. */
export const SMALL = { hintBytes: 1024 }

/** Its paths, without those that match. */
export function copyOf(files: FakeFiles, without = /^$/): FakeFiles {
  const copy = new FakeFiles()
  for (const path of files.paths()) if (!without.test(path)) copy.set(path, files.peek(path))
  return copy
}

export async function content(store: RangeStore): Promise<string[]> {
  if (store.state(RANGE) === 'absent') return []
  const entries: string[] = []
  const positions: [number, number][] = []
  store.forEach(RANGE, (hi, lo, tag) => {
    entries.push(`${hi}:${lo} ${tag}`)
    positions.push([hi, lo])
  })
  for (const [hi, lo] of positions)
    for (const { key, value } of await store.lookup(RANGE, hi, lo)) entries.push(`${textOf(key)}=${textOf(value)}`)
  return [...entries, JSON.stringify(store.stats(RANGE))]
}

/** What a start finds; `log` takes its warnings. */
export async function found(files: FileIo, warnings: string[] = []) {
  const log = {
    ...silentLog,
    warn: (what: string, fields?: object) => warnings.push(`${what} ${JSON.stringify(fields)}`)
  }
  const time = new ManualTime()
  const store = new RangeStore(
    { clock: time, timers: time, random: systemRandom, files, log },
    { dir: DIR, q: Q, durability: 'os', cacheBytes: 0 }
  )
  const report = await store.open()
  return { store, report, content: await content(store) }
}

/** Says how a start with the hints goes; it must find what one without them finds. */
export async function mustAgree(files: FakeFiles): Promise<{ hintedBytes: number; warnings: string[] }> {
  const warnings: string[] = []
  const given = await found(copyOf(files), warnings)
  const read = await found(copyOf(files, /hint/))
  assert.is(read.report.hintedBytes, 0)
  assert.equal(given.content, read.content)
  assert.equal(given.report.damages, read.report.damages)
  assert.is(given.report.tornBytes, read.report.tornBytes)
  return { hintedBytes: given.report.hintedBytes, warnings }
}

/** The offsets that are read of a log, in place of what a disk would tell. */
export function watched(files: FakeFiles, reads: number[]): FileIo {
  const open: FileIo['open'] = async (path, mode) => {
    const handle = await files.open(path, mode)
    if (!path.endsWith('.log')) return handle
    const read: typeof handle.read = (into, position) => {
      reads.push(position)
      return handle.read(into, position)
    }
    return { ...handle, read }
  }
  return new Proxy(files, {
    get: (target, name) => {
      const member = name === 'open' ? open : target[name as keyof FakeFiles]
      return typeof member === 'function' ? (member as () => unknown).bind(target) : member
    }
  })
}

/** A log of `count` keys with a hint for all of it, closed. */
export async function hinted(count: number, options: OpenOptions = {}) {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, count, { ...SMALL, ...options })
  await store.close()
  assert.ok(files.paths().includes(HINT))
  return { files, keys, hint: files.peek(HINT), bytes: files.peek(FILE) }
}
