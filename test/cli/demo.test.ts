import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from './fakes.ts'

/** The whole way, with real processes: init, node, join, invite, client, REPL. */
const test = suite('cli: demo')

const bin = fileURLToPath(new URL('../../bin/coterie.ts', import.meta.url))
const LIMIT_MS = 60_000

let dir = ''
test.before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'coterie-test-demo-'))
})
test.after(() => rm(dir, { recursive: true, force: true }))

function demo(args: string[]) {
  const env = { ...process.env, TMPDIR: dir, COTERIE_DIR: '/nowhere' }
  const child = spawn(process.execPath, [bin, 'demo', ...args], { env, stdio: 'pipe', timeout: LIMIT_MS })
  const text = { out: '', err: '' }
  child.stdout.on('data', data => (text.out += data))
  child.stderr.on('data', data => (text.err += data))
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  const pids = () => [...text.err.matchAll(/\(process (\d+)\)/g)].map(found => Number(found[1]))
  return { child, text, ended, pids }
}

const lives = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('a script on a cluster of two; nothing is left behind', async () => {
  const { child, text, ended, pids } = demo(['--nodes', '2'])
  child.stdin.end('put k one\nput k two --blind\nget k\nput k both\nget k\nmembers\nring\ndelete k\nget k\n')
  assert.is(await ended, 3, text.err)
  assert.match(text.out, /^new key .*\nmade a second sibling .*\n.*\n2 siblings/)
  assert.match(text.out, /merged two values .*\nboth\n/)
  assert.match(text.out, /^A .*alive +128 /m)
  assert.match(text.out, /^B .*alive +128 /m)
  assert.match(text.err, /2 nodes ready after \d/)
  assert.match(text.err, /no such key: k\n$/)
  assert.is(pids().length, 2)
  assert.equal(pids().filter(lives), [])
  assert.equal(await readdir(dir), [])
})

test('a signal ends it cleanly; kill -9 ends at least its nodes', async () => {
  for (const [signal, code] of [
    ['SIGTERM', 0],
    ['SIGKILL', null]
  ] as const) {
    const { child, text, ended, pids } = demo(['--nodes', '1'])
    await until(() => text.err.includes('1 node ready') || child.exitCode !== null, 'the demo', LIMIT_MS)
    assert.equal(pids().map(lives), [true], text.err)
    child.kill(signal)
    assert.is(await ended, code)
    await until(() => !pids().some(lives), 'the end of the node')
    if (signal === 'SIGTERM') assert.equal(await readdir(dir), [])
  }
})

test.run()
