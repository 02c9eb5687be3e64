/**
 * `node put-until-killed.ts DIR DURABILITY`: reads from standard input which version comes next of each key, then puts
 * and removes with 64 in flight until it is killed, and writes each acknowledgement to standard output (a file), one a line,
 * before it goes on: `KEY VERSION`.
 */
import { readFileSync, writeSync } from 'node:fs'
import process from 'node:process'
import type { Durability } from '../../../src/config.ts'
import { keepAlive } from '../../../src/runtime.ts'
import { storedKey } from '../../storage/helpers.ts'
import { contentOf, isRemoval, OPTIONS, rangeOf } from './killed-store.ts'
import { openStore } from './stores.ts'

const AT_ONCE = 64
const STDOUT = 1

const [dir, durability] = process.argv.slice(2) as [string, Durability]
const next = JSON.parse(readFileSync(0, 'utf8')) as number[]
keepAlive()
const { store } = await openStore(dir, { ...OPTIONS, durability })

async function work(first: number): Promise<void> {
  for (let i = first; ; i = i + AT_ONCE < next.length ? i + AT_ONCE : first) {
    const version = next[i]!++
    const key = storedKey(`key-${i}`)
    if (isRemoval(version)) await store.remove(rangeOf(key), key)
    else await store.put(rangeOf(key), key, contentOf(i, version), version)
    // At once and whole, whatever comes after it.
    writeSync(STDOUT, `${i} ${version}\n`)
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => work(i)))
