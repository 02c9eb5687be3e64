import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { plain } from '../../../src/cli/render/style.ts'
import { historyPath, loadHistory, saveHistory } from '../../../src/cli/repl/history.ts'
import { runRepl } from '../../../src/cli/repl/shell.ts'
import { encodeInvite } from '../../../src/invite.ts'
import { CLUSTER_ID, cli, FakeCluster, fakeIo, fakeParts, until } from '../fakes.ts'

const test = suite('cli: repl shell')

let dir = ''
test.before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'coterie-shell-'))
})
test.after(() => rm(dir, { recursive: true, force: true }))

const invite = encodeInvite({ clusterId: CLUSTER_ID, name: 'x', addresses: [] })
const script = (stdin: string, cluster = new FakeCluster()) =>
  cli(['repl', '--connect', invite], fakeIo({ stdin }), fakeParts(cluster))

test('a script: answers on standard output, failures on standard error, the first failure is the exit code', async () => {
  const cluster = new FakeCluster()
  const result = await script('# a script\nput k v\r\nget k\n\nget absent\nbad\nkeys', cluster)
  assert.is(result.code, 3)
  assert.match(result.out, /^new key \(2 acks\)\nv\ndot .*\nk\n1 key\n$/)
  assert.match(result.err, /^no such key: absent\nerror: unknown command "bad"/)
  assert.is(cluster.closed, 1)
})

test('a script: a line that starts with - may fail; quit ends it', async () => {
  assert.is((await script('-get absent\n- get absent\nput k v\n')).code, 0)
  const { code, out } = await script('put k v\nquit\nget absent\n')
  assert.is(code, 0)
  assert.is(out, 'new key (2 acks)\n')
  assert.is((await script('')).code, 0)
})

test('at a terminal: prompt, answers with their time, history', async () => {
  const path = join(dir, 'deep', 'history')
  const io = fakeIo({ tty: true, env: { NO_COLOR: '1', COTERIE_HISTORY: path } })
  const ended = runRepl(io, plain, new FakeCluster(), 'welcome')
  await until(() => io.out().includes('coterie> '), 'the prompt')
  io.stdin.push('put k v\r')
  await until(() => io.out().includes('new key'), 'the answer')
  io.stdin.push('get k\rget absent\rquit\r')
  assert.is(await ended, 0)
  assert.match(io.out(), 'welcome')
  assert.match(io.out(), /no such key: absent/)
  assert.match(io.out(), /\d\.\d ms/)
  assert.is(await readFile(path, 'utf8'), 'put k v\nget k\nget absent\nquit\n')
  const again = fakeIo({ tty: true, env: { NO_COLOR: '1', COTERIE_HISTORY: path } })
  const second = runRepl(again, plain, new FakeCluster(), 'welcome')
  await until(() => again.out().includes('coterie> '), 'the prompt')
  // Up: quit is the last line of the history.
  again.stdin.push('\x1b[A\r')
  assert.is(await second, 0)
})

test('at a terminal: Ctrl-C gives up the running command or the line, Ctrl-D ends', async () => {
  const io = fakeIo({ tty: true, env: { NO_COLOR: '1', COTERIE_HISTORY: join(dir, 'h2') } })
  const cluster = new FakeCluster()
  cluster.transfers = [{ range: 1, from: 'x', keysDone: 1, keysTotal: 2 }]
  const ended = runRepl(io, plain, cluster, 'welcome')
  await until(() => io.out().includes('coterie> '), 'the prompt')
  io.stdin.push('transfers --watch\r')
  await until(() => io.out().includes('filling'), 'the bar')
  io.stdin.push('\x03')
  await until(() => io.out().includes('given up'), 'the end of the watch')
  io.stdin.push('put half')
  io.stdin.push('\x03')
  io.stdin.push('get k\r')
  await until(() => io.out().includes('no such key: k'), 'the next command')
  io.stdin.push('\x04')
  assert.is(await ended, 0)
})

test('the history file: where it is, how long it gets, and that it may be missing', async () => {
  assert.is(historyPath({ XDG_STATE_HOME: '/s' }, '/h'), '/s/coterie/history')
  assert.is(historyPath({}, '/h'), '/h/.local/state/coterie/history')
  assert.is(historyPath({}, undefined), undefined)
  const path = join(dir, 'long')
  await saveHistory(
    path,
    Array.from({ length: 1500 }, (_, i) => `line ${i}`)
  )
  const loaded = await loadHistory(path)
  assert.is(loaded.length, 1000)
  assert.is(loaded[0], 'line 0')
  assert.equal(await loadHistory(join(dir, 'absent')), [])
  await writeFile(join(dir, 'file'), '')
  await saveHistory(join(dir, 'file', 'below-a-file'), ['x'])
})

test.run()
