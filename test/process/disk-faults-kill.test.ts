/**
 * A process that is killed with SIGKILL again and again (failures 13, 14, 22, 23) while it puts, removes, rewrites files
 * and leaves hints: whatever it acknowledged is there afterwards, in that version or a newer one, and nothing else is left.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../src/config.ts'
import { storedKey } from '../storage/helpers.ts'
import { until } from '../support/until.ts'
import { isRemoval, KEYS, OPTIONS, rangeOf, versionIn } from './faults/killed-store.ts'
import { mustBeWhole, type Opened, openStore } from './faults/stores.ts'

const test = suite('kill -9')

const CHILD = join(import.meta.dirname, 'faults', 'put-until-killed.ts')
const KILLS = 10
/** From the first acknowledgement. */
const MAX_LIFE_MS = 300
const READY_MS = 20_000

interface Account {
  /** The latest acknowledged version of each key; 0: none. */
  acked: number[]
  /** The one that comes after it: the one operation of a key that may be under way. */
  next: number[]
  acks: number
  hints: number
  rolled: number
  torn: number
}

/** One life, to its sudden end. What it acknowledges it writes to a file: that never makes it wait, and outlives it. */
async function live(dir: string, durability: Durability, account: Account): Promise<void> {
  const said = `${dir}.acks`
  const stdout = openSync(said, 'w')
  const child = spawn(process.execPath, [CHILD, dir, durability], { stdio: ['pipe', stdout, 'inherit'] })
  closeSync(stdout)
  const closed = once(child, 'close')
  try {
    child.stdin!.end(JSON.stringify(account.next))
    await until('the child puts', () => statSync(said).size > 0, READY_MS, 5)
    await new Promise(resolve => setTimeout(resolve, Math.random() * MAX_LIFE_MS))
    assert.is(child.exitCode, null, 'the child puts until it is killed')
  } finally {
    child.kill('SIGKILL')
    await closed
  }
  for (const line of readFileSync(said, 'utf8').split('\n').slice(0, -1)) {
    const [key, version] = line.split(' ').map(Number) as [number, number]
    account.acked[key] = version
    account.next[key] = version + 1
    account.acks++
  }
  rmSync(said)
}

/** What is there is the last acknowledged version, or the one that was under way. */
async function check({ store, report }: Opened, account: Account): Promise<void> {
  assert.equal(report.damages, [])
  const wrong: string[] = []
  for (let i = 0; i < KEYS; i++) {
    const key = storedKey(`key-${i}`)
    const value = await store.get(rangeOf(key), key)
    const [acked, next] = [account.acked[i]!, account.next[i]!]
    const possible = [acked, next].filter(version => (version === 0 || isRemoval(version)) === (value === undefined))
    const found = value === undefined ? possible[0] : versionIn(i, value)
    if (found === undefined || !possible.includes(found))
      wrong.push(`key ${i}: ${found}, acknowledged ${acked} of ${next}`)
    account.acked[i] = found ?? acked
    // It may have left no trace: no version is to mean two things.
    account.next[i] = next + 1
  }
  assert.equal(wrong, [])
}

for (const durability of ['os', 'interval', 'disk'] as const) {
  test(`${durability}: nothing acknowledged is lost in ${KILLS} deaths`, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'coterie-kill-'))
    try {
      const zeros = () => Array.from({ length: KEYS }, () => 0)
      const account: Account = { acked: zeros(), next: zeros().map(() => 1), acks: 0, hints: 0, rolled: 0, torn: 0 }
      for (let kill = 0; kill < KILLS; kill++) {
        await live(dir, durability, account)
        const names = readdirSync(dir)
        account.hints += names.filter(name => name.endsWith('.hint')).length
        account.rolled += names.filter(name => name.endsWith('.log')).length - OPTIONS.q
        const opened = await openStore(dir, { ...OPTIONS, durability })
        account.torn += opened.report.tornBytes
        try {
          await check(opened, account)
        } finally {
          await opened.store.close()
        }
        await mustBeWhole(dir)
      }
      await leavesNothing(dir, durability)
      console.log(
        `| ${durability}: ${account.acks} acknowledged in ${KILLS} lives; found ${account.hints} hints, ${account.rolled} files ` +
          `whose rewriting was cut short, ${account.torn} torn bytes; generation ${generationOf(dir)}; nothing lost`
      )
    } finally {
      rmSync(dir, { recursive: true, force: true })
      rmSync(`${dir}.acks`, { force: true })
    }
  })
}

/** What the last deaths left behind is tidied up: one file a range, and nothing but hints beside it. */
async function leavesNothing(dir: string, durability: Durability): Promise<void> {
  const { store } = await openStore(dir, { ...OPTIONS, durability })
  try {
    await until('each range has one file', () => {
      const logs = readdirSync(dir).filter(name => name.endsWith('.log'))
      return logs.length === OPTIONS.q && store.compacting === undefined
    })
  } finally {
    await store.close()
  }
  const names = new Set(readdirSync(dir))
  const strangers = [...names].filter(
    name => !name.endsWith('.log') && !(name.endsWith('.hint') && names.has(name.replace(/hint$/, 'log')))
  )
  assert.equal(strangers, [])
}

/** The highest of all files: how often one was begun. */
function generationOf(dir: string): number {
  return Math.max(...readdirSync(dir).map(name => Number(/-(\d+)\./.exec(name)![1])))
}

test.run()
