/** What a store lives through while it is cut: each small, a handful of keys, values of 20 to 300 bytes. */
import type { StoredKey } from '../../../src/storage/range-store.ts'
import { RANGE, settle } from '../helpers.ts'
import type { Workload } from './enumeration.ts'
import { keyIn, type Life } from './life.ts'
import { contentsOf } from './reopened.ts'

const OTHER_RANGE = 5
const NO_REWRITING = 1e9

export const appending: Workload = {
  name: 'appending',
  ranges: [RANGE],
  async run(life) {
    const keys = await begun(life, 4)
    for (let i = 0; i < 16; i++) {
      const key = life.random.pick(keys)
      if (life.random.chance(0.2)) await life.history.remove(life.store, RANGE, key)
      else await life.history.put(life.store, RANGE, key, life.size())
      if (i % 6 === 5) await life.history.sync(life.store, RANGE)
      if (i % 5 === 4) await life.rest(300)
    }
    await life.history.close(life.store)
  }
}

/** Several at a time, so that records share a write and a sync; the same keys, so that order matters. */
export const batches: Workload = {
  name: 'batches with several writers',
  ranges: [RANGE],
  async run(life) {
    const keys = await begun(life, 5)
    await Promise.all(
      [0, 1, 2].map(async writer => {
        for (let i = 0; i < 6; i++) {
          const pair = [0, 1].map(() => {
            const key = life.random.pick(keys)
            if (life.random.chance(0.25)) return life.history.remove(life.store, RANGE, key)
            return life.history.put(life.store, RANGE, key, life.size())
          })
          await Promise.all(pair)
          if (writer === 0 && i % 3 === 2) await life.history.sync(life.store, RANGE)
        }
      })
    )
    await life.history.sync(life.store, RANGE)
  }
}

export const rewriting: Workload = {
  name: 'rewriting while puts go on',
  ranges: [RANGE],
  compactBytes: 300,
  async run(life) {
    const keys = await begun(life, 6)
    life.files.scanTurns = 4
    for (let round = 0; round < 3; round++) {
      for (const key of keys.slice(0, 5)) await life.history.put(life.store, RANGE, key, life.size())
    }
    await life.history.remove(life.store, RANGE, keys[2]!)
    const before = life.store.compactions
    for (let i = 0; life.store.compactions < before + 2 && i < 60; i++) {
      const key = life.random.pick(keys)
      if (life.random.chance(0.3)) await life.history.remove(life.store, RANGE, key)
      else await life.history.put(life.store, RANGE, key, life.size())
      if (i % 8 === 7) await life.history.sync(life.store, RANGE)
      await life.time.sleep(life.random.pick([0, 300, 700]))
    }
    if (life.store.compactions < 1) throw new Error('nothing was rewritten')
  }
}

export const hinting: Workload = {
  name: 'hints, in the background and at the end',
  ranges: [RANGE],
  compactBytes: NO_REWRITING,
  hintBytes: 500,
  async run(life) {
    const keys = await begun(life, 5)
    for (let life1 = 0; life1 < 2; life1++) {
      for (let i = 0; i < 8; i++) {
        const key = life.random.pick(keys)
        if (life.random.chance(0.2)) await life.history.remove(life.store, RANGE, key)
        else await life.history.put(life.store, RANGE, key, life.size())
        if (i % 4 === 3) await life.time.sleep(1200)
      }
      await life.history.close(life.store)
      const { hintedBytes } = await life.open()
      if (hintedBytes === 0) throw new Error('no hint was of use')
      await serves(life, [RANGE])
    }
    await life.history.put(life.store, RANGE, keys[0]!, life.size())
  }
}

export const killing: Workload = {
  name: 'kills and starts',
  ranges: [RANGE],
  compactBytes: 500,
  hintBytes: 700,
  async run(life) {
    const keys = await begun(life, 4)
    for (let lives = 0; lives < 4; lives++) {
      const puts: Promise<unknown>[] = []
      for (let i = 0; i < 7; i++) {
        const key = life.random.pick(keys)
        if (life.random.chance(0.2)) puts.push(life.history.remove(life.store, RANGE, key))
        else puts.push(life.history.put(life.store, RANGE, key, life.size()))
        if (i < 5) await puts.at(-1)
        if (lives % 2 === 1 && i === 3) await life.rest(1100)
      }
      await life.kill()
      await life.open()
      await serves(life, [RANGE])
    }
  }
}

export const dropping: Workload = {
  name: 'a range that is dropped and made anew',
  ranges: [RANGE],
  async run(life) {
    const keys = await begun(life, 4)
    for (const waits of [true, false]) {
      for (const key of keys) await life.history.put(life.store, RANGE, key, life.size())
      await life.history.sync(life.store, RANGE)
      const dropped = life.history.drop(life.store, RANGE)
      if (waits) await dropped
      life.store.create(RANGE)
      await life.history.put(life.store, RANGE, keys[0]!, life.size())
      await life.history.put(life.store, RANGE, keys[1]!, life.size())
      await dropped
    }
    await life.history.sync(life.store, RANGE)
    await life.history.drop(life.store, RANGE)
  }
}

/** The newer file has what the older one must not bring back. */
export const droppingTwo: Workload = {
  name: 'a range of two files that is dropped',
  ranges: [RANGE],
  compactBytes: 300,
  async run(life) {
    const keys = await begun(life, 4)
    life.files.scanTurns = 100
    for (let round = 0; round < 3; round++) {
      for (const key of keys) await life.history.put(life.store, RANGE, key, life.size())
    }
    while (life.store.compacting === undefined) await settle()
    await Promise.all([
      life.history.put(life.store, RANGE, keys[0]!, life.size()),
      life.history.remove(life.store, RANGE, keys[1]!)
    ])
    if (life.store.compacting === undefined) throw new Error('it was rewritten too soon')
    if (life.files.paths().length !== 2) throw new Error('there are not two files')
    await life.history.drop(life.store, RANGE)
    life.store.create(RANGE)
    await life.history.put(life.store, RANGE, keys[2]!, life.size())
  }
}

export const filling: Workload = {
  name: 'a full disk',
  ranges: [RANGE],
  async run(life) {
    const keys = await begun(life, 4)
    for (let round = 0; round < 4; round++) {
      life.files.capacityBytes = life.files.usedBytes() + life.random.between(20, 700)
      const put = () => life.history.put(life.store, RANGE, life.random.pick(keys), life.size())
      for (let i = 0; i < 3; i++) await Promise.all([put(), put()])
      life.files.capacityBytes = Number.POSITIVE_INFINITY
      await put()
      if (round === 2) await life.history.remove(life.store, RANGE, keys[0]!)
      await life.history.sync(life.store, RANGE)
    }
  }
}

export const interleaving: Workload = {
  name: 'two logs interleaved',
  ranges: [RANGE, OTHER_RANGE],
  compactBytes: 600,
  async run(life) {
    await begun(life, 0)
    life.store.create(OTHER_RANGE)
    const writers = [RANGE, OTHER_RANGE].map(async range => {
      const keys = keysIn(range, 3)
      for (let i = 0; i < 12; i++) {
        if (life.random.chance(0.2)) await life.history.remove(life.store, range, life.random.pick(keys))
        else await life.history.put(life.store, range, life.random.pick(keys), life.size())
        if (i === 6) await life.history.sync(life.store, range)
        if (i === 8) await life.rest(1100)
      }
    })
    await Promise.all(writers)
    await life.history.close(life.store)
  }
}

function keysIn(range: number, count: number): StoredKey[] {
  return Array.from({ length: count }, (_, i) => keyIn(range, `key-${range}-${i}`, i))
}

async function begun(life: Life, count: number): Promise<StoredKey[]> {
  await life.open()
  life.store.create(RANGE)
  return keysIn(RANGE, count)
}

async function serves(life: Life, ranges: number[]): Promise<void> {
  const keys = life.history.keys()
  life.history.serves(keys, await contentsOf(life.store, { keys, ranges }))
  for (const range of ranges) life.store.create(range)
}
