import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startChild } from '../../src/cli/children.ts'
import { isCoterieError } from '../../src/errors.ts'
import { until } from './fakes.ts'

const test = suite('cli: bin and children')

const bin = fileURLToPath(new URL('../../bin/coterie.ts', import.meta.url))
const LIMIT_MS = 20_000

function start(args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT_MS })
  let out = ''
  let err = ''
  child.stdout.on('data', data => (out += data))
  child.stderr.on('data', data => (err += data))
  return new Promise(resolve => child.once('close', code => resolve({ code, out, err })))
}

test('the command runs from source', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  assert.equal(await start([bin, '--version']), { code: 0, out: `${version}\n`, err: '' })
  const wrong = await start([bin, 'gett'])
  assert.is(wrong.code, 2)
  assert.match(wrong.err, 'did you mean get?')
})

test('an old Node is told in one sentence what to do', async () => {
  const pretend = `Object.defineProperty(process.versions, 'node', { value: '18.20.1' }); import(${JSON.stringify(bin)})`
  const { code, out, err } = await start(['-e', pretend])
  assert.is(code, 2)
  assert.is(out, '')
  assert.match(err, /^coterie: this is Node 18\.20\.1, but coterie needs Node 22 or newer: install .*\n$/)
})

test('the check is in words that an old Node can read', async () => {
  const source = (await readFile(bin, 'utf8')).replace(/^\/\/.*$/gm, '')
  // Static imports run before any check; the others are syntax errors in old ones.
  assert.not.match(source, /^\s*(import|export)\s+[\w{*'"]/m)
  assert.not.match(source, /\?\?|\?\.|`|\bawait\b|\basync\b|#!.*-S/)
})

/** A stand-in for the bin file. */
const script = (source: string) => [process.execPath, '-e', source]
const never = new AbortController().signal

test('a child: ready, running, stopped; it ends when its standard input does', async () => {
  const source = `console.log('starting'); console.log('coterie ready PEER /ip4/1.2.3.4/tcp/5')
    setInterval(() => {}, 1000); process.stdin.resume().on('end', () => process.exit(0))`
  const child = await startChild(script(source), ['--'], process.env, never)
  assert.equal([child.peerId, child.address], ['PEER', '/ip4/1.2.3.4/tcp/5'])
  assert.ok(process.kill(child.pid, 0))
  await child.stop()
  await child.stop()
  await until(() => {
    try {
      return !process.kill(child.pid, 0)
    } catch {
      return true
    }
  }, 'the end of the child')
})

test('a child that fails: its last words are told; one that hangs is given up', async () => {
  const failed = await startChild(
    script(`console.error('no room'); process.exit(7)`),
    ['--'],
    process.env,
    never
  ).catch(e => e)
  assert.ok(isCoterieError(failed, 'not-available'))
  assert.match(failed.message, /ended with code 7.*\n.*no room/s)
  const absent = await startChild(['/nowhere/node'], [], process.env, never).catch(e => e)
  assert.ok(isCoterieError(absent, 'not-available'))
  const stop = new AbortController()
  const hanging = startChild(script('setInterval(() => {}, 1000)'), ['--'], process.env, stop.signal).catch(e => e)
  stop.abort(new Error('enough'))
  assert.is((await hanging).message, 'enough')
})

test.run()
