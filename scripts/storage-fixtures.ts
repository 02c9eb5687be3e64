/**
 * Makes range files as this program writes them, always the same bytes, with what has to be found in them. They are kept
 * under `test/fixtures/storage/v1`, so that a later version that cannot read them, or writes others, fails its tests. A
 * new format version gets a folder of its own beside; what is in this one never changes.
 *
 *   node scripts/storage-fixtures.ts        # writes them anew; `git diff` must show nothing
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { positionOf, rangeOf } from '../src/ring/position.ts'
import { silentLog } from '../src/runtime.ts'
import { shortFileId } from '../src/storage/format/file-header.ts'
import { recordBytes, viewOf, writeRecord } from '../src/storage/format/record.ts'
import { RangeStore } from '../src/storage/range-store.ts'
import { encodeState as encode } from '../src/version/codec.ts'
import { emptyState, type KeyState, write } from '../src/version/key-state.ts'
import { ManualTime } from '../test/storage/helpers.ts'
import { FakeFiles } from '../test/support/fake-files.ts'

export const FIXTURES = join(import.meta.dirname, '..', 'test', 'fixtures', 'storage', 'v1')
export const Q = 8
const DIR = 'fixtures'
const NOW_MS = Date.UTC(2025, 0, 1)

/** As states and tags were when these files were made: siblings did not say when they were written. */
const untimed = (state: KeyState): KeyState => ({
  ...state,
  siblings: state.siblings.map(sibling => ({ ...sibling, writtenAtMs: 0 }))
})
const encodeState = (state: KeyState): Uint8Array => encode(untimed(state))
const stateTag = (state: KeyState): number => crc32(encodeState({ ...state, replaced: [] }))

export interface ExpectedRange {
  what: string
  /** Values are encoded key states; both are base64. In order of position. */
  keys: { key: string; value: string; tag: number }[]
  damages: { file: string; offset: number; length: number }[]
  tornBytes: number
  hintedBytes: number
}

export interface Expected {
  q: number
  ranges: Record<string, ExpectedRange>
}

/** One range and what is in it, as it is put. */
class Fixture {
  readonly files: FakeFiles
  readonly range: number
  readonly what: string
  readonly keys = new Map<string, KeyState>()
  damages: ExpectedRange['damages'] = []
  tornBytes = 0
  hintedBytes = 0
  time = new ManualTime()
  #store!: RangeStore
  #writes = 0
  #drawn = 0

  constructor(files: FakeFiles, range: number, what: string) {
    this.files = files
    this.range = range
    this.what = what
  }

  name(generation = 1, kind = 'log'): string {
    return `${String(this.range).padStart(4, '0')}-${String(generation).padStart(10, '0')}.${kind}`
  }

  path(generation = 1, kind = 'log'): string {
    return `${DIR}/${this.name(generation, kind)}`
  }

  async open(options: { compactBytes?: number; hintBytes?: number } = {}): Promise<void> {
    const never = { compactBytes: Number.POSITIVE_INFINITY, hintBytes: Number.POSITIVE_INFINITY }
    this.time = new ManualTime()
    const random = {
      bytes: (length: number) => digest(`${this.what} ${this.#drawn++}`).subarray(0, length),
      float: () => 0
    }
    const ports = { clock: this.time, timers: this.time, random, files: this.files, log: silentLog }
    const init = { dir: DIR, q: Q, durability: 'os' as const, cacheBytes: 1 << 20, ...never, ...options }
    this.#store = new RangeStore(ports, init)
    await this.#store.open()
    this.#store.create(this.range)
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  get bytes(): number {
    return this.#store.stats(this.range).fileBytes
  }

  get compactions(): number {
    return this.#store.compactions
  }

  /** Keys that lie in the range, whatever else they look like. */
  key(label: string): string {
    for (let i = 0; ; i++) {
      const key = i === 0 ? label : `${label}-${i}`
      if (rangeOf(positionOf(Buffer.from(key, 'latin1')), Q) === this.range) return key
    }
  }

  /** `isSibling`: by one who has not seen what is there. Value undefined: a tombstone. */
  async put(key: string, value: string | undefined, isSibling = false, expiresAtMs = 0): Promise<void> {
    const before = this.keys.get(key) ?? emptyState()
    const counter = ++this.#writes
    const { state } = write(before, {
      dot: { actor: isSibling ? 'bbbbbbbbbbbbbbbb' : 'aaaaaaaaaaaaaaaa', counter },
      value: value === undefined ? undefined : Buffer.from(value),
      ...(isSibling ? {} : { context: before.context }),
      writeId: counter.toString(16).padStart(16, '0'),
      expiresAtMs,
      nowMs: NOW_MS
    })
    this.keys.set(key, state)
    await this.#store.put(this.range, stored(key), encodeState(state), stateTag(state))
  }

  async readAll(): Promise<void> {
    for (const key of this.keys.keys()) await this.#store.get(this.range, stored(key))
  }

  async remove(key: string): Promise<void> {
    this.keys.delete(key)
    await this.#store.remove(this.range, stored(key))
  }

  expected(): ExpectedRange {
    const { what, damages, tornBytes, hintedBytes } = this
    const keys = [...this.keys].map(([key, state]) => ({ key: stored(key), state }))
    keys.sort((a, b) => a.key.hi - b.key.hi || a.key.lo - b.key.lo)
    return {
      what,
      keys: keys.map(({ key, state }) => ({
        key: base64(key.bytes),
        value: base64(encodeState(state)),
        tag: stateTag(state)
      })),
      damages,
      tornBytes,
      hintedBytes
    }
  }
}

const digest = (text: string): Uint8Array => new Uint8Array(createHash('sha256').update(text).digest())
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

function stored(key: string) {
  const bytes = Buffer.from(key, 'latin1')
  return { bytes, ...positionOf(bytes) }
}

async function plain(fixture: Fixture): Promise<void> {
  await fixture.open()
  const [colour, gone, hostile, long] = ['colour', 'gone', '../\0\xff', 'l'.repeat(1000)].map(l => fixture.key(l)) as [
    string,
    string,
    string,
    string
  ]
  for (const value of ['red', 'green', 'blue']) await fixture.put(colour, value)
  await fixture.put(colour, 'yellow', true)
  await fixture.put(gone, 'here')
  await fixture.put(hostile, '')
  await fixture.put(long, 'v'.repeat(3000))
  await fixture.remove(gone)
  await fixture.put(fixture.key('deleted'), 'once')
  await fixture.put(fixture.key('deleted'), undefined)
  await fixture.put(fixture.key('lasts until 2040'), 'v', false, Date.UTC(2040, 0, 1))
  await fixture.close()
}

/** Puts that leave more than half of the file dead. */
async function churned(fixture: Fixture, count: number): Promise<void> {
  for (const text of ['first', 'second', 'third'])
    for (let i = 0; i < count; i++) await fixture.put(fixture.key(`key ${i}`), `${text} ${i}`)
}

async function twoFiles(fixture: Fixture): Promise<void> {
  await fixture.open({ compactBytes: 1000 })
  await churned(fixture, 8)
  // Into memory: no put has to wait for the reads that are held.
  await fixture.readAll()
  const release = fixture.files.hold('read', /0000000001/)
  await fixture.time.advance(1000)
  await fixture.put(fixture.key('key 1'), 'in the newer file')
  await fixture.put(fixture.key('new'), 'in the newer file')
  await fixture.remove(fixture.key('key 2'))
  fixture.files.crash()
  release()
}

async function settled(fixture: Fixture): Promise<void> {
  await fixture.open({ compactBytes: 1000 })
  await churned(fixture, 8)
  await fixture.remove(fixture.key('key 3'))
  for (let i = 0; i < 50 && fixture.compactions === 0; i++) await fixture.time.advance(100)
  await fixture.put(fixture.key('after'), 'rewritten')
  await fixture.close()
}

async function hinted(fixture: Fixture): Promise<void> {
  await fixture.open({ hintBytes: 1000 })
  await churned(fixture, 6)
  fixture.hintedBytes = fixture.bytes
  await fixture.close()
  await fixture.open()
  await fixture.put(fixture.key('key 2'), 'after the hint')
  await fixture.remove(fixture.key('key 4'))
  await fixture.close()
}

async function torn(fixture: Fixture): Promise<void> {
  await fixture.open()
  await churned(fixture, 2)
  const kept = new Map(fixture.keys)
  const whole = fixture.bytes
  await fixture.put(fixture.key('key 0'), 'not finished')
  await fixture.close()
  fixture.files.set(fixture.path(), fixture.files.peek(fixture.path()).slice(0, whole + 61))
  fixture.keys.clear()
  for (const [key, state] of kept) fixture.keys.set(key, state)
  fixture.tornBytes = 61
}

async function damaged(fixture: Fixture): Promise<void> {
  await fixture.open()
  const key = fixture.key('damaged')
  await fixture.put(key, 'the version before')
  const before = fixture.keys.get(key)!
  const offset = fixture.bytes
  await fixture.put(key, 'the version that rots')
  const length = fixture.bytes - offset
  await fixture.put(fixture.key('sound'), 'after it')
  await fixture.close()
  fixture.files.poke(fixture.path(), offset + 44 + key.length + 20, [0xff, 0xff])
  fixture.keys.set(key, before)
  fixture.damages = [{ file: fixture.name(), offset, length }]
}

/** A record of a type that a reader may pass over, between two others. */
async function optional(fixture: Fixture): Promise<void> {
  await fixture.open()
  await fixture.put(fixture.key('before'), 'a record that nobody knows yet')
  await fixture.close()
  const bytes = fixture.files.peek(fixture.path())
  const [key, value] = [Buffer.from('note'), Buffer.from('of a later version')]
  const record = { type: 200, flags: 5, key, value, hi: 1, lo: 2, tag: 3, offset: bytes.length, previous: 0 }
  const added = new Uint8Array(recordBytes(key.length, value.length))
  writeRecord(added, viewOf(added), 0, record, shortFileId(bytes.subarray(24, 32)))
  fixture.files.set(fixture.path(), Buffer.concat([bytes, added]))
  await fixture.open()
  await fixture.put(fixture.key('after'), 'it')
  await fixture.close()
}

const KINDS: [string, (fixture: Fixture) => Promise<void>][] = [
  ['a plain log, with overwrites, siblings, a tombstone and a removal', plain],
  ['two files: the newer continues the older, whose rewriting was cut short', twoFiles],
  ['a rewritten file, alone', settled],
  ['a hint, and records after it', hinted],
  ['a torn tail', torn],
  ['a damaged record in the middle', damaged],
  ['an optional record of a later version', optional]
]

/** Name → content, `expected.json` among them. */
export async function makeFixtures(): Promise<Map<string, Uint8Array>> {
  const made = new Map<string, Uint8Array>()
  const expected: Expected = { q: Q, ranges: {} }
  for (const [range, [what, make]] of KINDS.entries()) {
    const fixture = new Fixture(new FakeFiles(), range, what)
    await make(fixture)
    for (const path of fixture.files.paths()) made.set(path.slice(DIR.length + 1), fixture.files.peek(path))
    expected.ranges[range] = fixture.expected()
  }
  return made.set('expected.json', Buffer.from(`${JSON.stringify(expected, undefined, 2)}\n`))
}

if (import.meta.main) {
  await mkdir(FIXTURES, { recursive: true })
  for (const [name, content] of await makeFixtures()) await writeFile(join(FIXTURES, name), content)
}
