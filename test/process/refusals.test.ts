/** Bad input to real processes: each gets an exit code and one clear sentence, and loses nothing (issue 2). */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { coterie, type Finished, NodeProcess, ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'

const test = suite('refusals')
const cluster = new ProcessCluster()
test.after(() => cluster.close())

function show(what: string, { code, stderr }: Finished): void {
  console.log(`| ${what}: exit ${code}: ${stderr.trim().split('\n').at(-1)?.replaceAll(cluster.root, 'D')}`)
}
const dir = (name: string) => join(cluster.root, name)
const NODE = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']

test('a cluster of one, to be refused by', async () => {
  await cluster.add()
})

test('a seed that is not a multiaddr: exit 2, naming it and the right spelling', async () => {
  const result = await coterie([
    'node',
    '--dir',
    dir('typo'),
    '--seed',
    '127.0.0.1:4270',
    '--secret-file',
    cluster.secretFile,
    ...NODE
  ])
  show('--seed 127.0.0.1:4270', result)
  assert.is(result.code, 2)
  assert.match(result.stderr, '127.0.0.1:4270')
  assert.match(result.stderr, '/ip4/127.0.0.1/tcp/4270')
  assert.is(result.stdout, '')
})

test('a seed that does not answer: said, tried for ever, and never a cluster of its own', async () => {
  const node = new NodeProcess(dir('lonely'), [
    '--seed',
    '/ip4/127.0.0.1/tcp/9',
    '--secret-file',
    cluster.secretFile,
    ...NODE
  ])
  const started = node.start()
  started.catch(() => {}) // It is stopped before it is ever ready.
  try {
    await until(
      'the log names the silent seed',
      () => node.log.includes('/ip4/127.0.0.1/tcp/9') && node.log.includes('trying on for ever')
    )
    console.log(
      `| --seed /ip4/127.0.0.1/tcp/9: ${node.log
        .split('\n')
        .find(line => line.includes('/tcp/9'))
        ?.replace(/^\S+ /, '')}`
    )
    assert.not.match(node.log, 'coterie ready')
  } finally {
    await node.stop()
  }
})

test('a wrong secret: refused on both sides with the reason', async () => {
  const wrong = dir('wrong-secret')
  const [mark, clusterId, secret] = cluster.secret.split(':')
  writeFileSync(
    wrong,
    `${mark}:${clusterId}:${Buffer.from(Buffer.from(secret, 'base64url').map(byte => byte ^ 1)).toString('base64url')}\n`
  )
  const result = await coterie(['get', 'k', '--connect', cluster.nodes[0].address, '--secret-file', wrong])
  show('a wrong secret', result)
  assert.is(result.code, 5)
  assert.match(result.stderr, /secret/)
  await until('the node has logged the refusal', () => /WARN .*admission.*secret/.test(cluster.nodes[0].log))
  console.log(
    `| the node's side: ${cluster.nodes[0].log
      .split('\n')
      .find(line => /admission.*secret/.test(line))
      ?.replace(/^\S+ /, '')}`
  )
})

test('a second process on one directory: exit 2, naming the first', async () => {
  const [node] = cluster.nodes
  const before = readFileSync(join(node.dir, 'node.json'), 'utf8')
  const result = await coterie(['node', '--dir', node.dir, ...NODE])
  show('a second process', result)
  assert.is(result.code, 2)
  assert.match(result.stderr, `process ${node.pid}`)
  assert.is(readFileSync(join(node.dir, 'node.json'), 'utf8'), before, 'the first one is untouched')
  assert.is((await coterie(['put', 'k', 'v', '--dir', node.dir])).code, 0)
})

test('a taken port: exit 2, naming it', async () => {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  try {
    const result = await coterie([
      'node',
      '--dir',
      dir('taken'),
      '--listen',
      `/ip4/127.0.0.1/tcp/${port}`,
      '--no-mdns',
      '--seed',
      cluster.nodes[0].address,
      '--secret-file',
      cluster.secretFile
    ])
    show('a taken port', result)
    assert.is(result.code, 2)
    assert.match(result.stderr, `/ip4/127.0.0.1/tcp/${port}`)
  } finally {
    await new Promise(resolve => server.close(resolve))
  }
})

test('an invite cut short: exit 2 or 5, said, and nothing made', async () => {
  const invite = (await coterie(['invite', '--dir', cluster.nodes[0].dir])).stdout.trim().split('\n').at(-1)!
  const result = await coterie(['join', invite.slice(0, -20), '--dir', dir('cut'), ...NODE])
  show('an invite cut short', result)
  assert.is(result.code, 2)
  assert.match(result.stderr, /cut short/)
})

test('an unknown flag, a key and a value too large', async () => {
  const { dir } = cluster.nodes[0]
  const flag = await coterie(['get', 'k', '--dri', dir])
  show('an unknown flag', flag)
  assert.is(flag.code, 2)
  assert.match(flag.stderr, '--dri')
  const key = await coterie(['put', 'k'.repeat(1025), 'v', '--dir', dir])
  show('a key of 1,025 bytes', key)
  assert.is(key.code, 5)
  const value = await coterie(['put', 'big', '-', '--dir', dir], { input: 'x'.repeat(1024 * 1024 + 1) })
  show('a value of 1 MiB and a byte', value)
  assert.is(value.code, 5)
  assert.is((await coterie(['get', 'big', '--dir', dir])).code, 3, 'no such key')
})

test('a damaged range file: the node starts, says so, keeps the bytes, and serves the rest', async () => {
  const [node] = cluster.nodes
  for (let i = 0; i < 20; i++) assert.is((await coterie(['put', `d${i}`, `value ${i}`, '--dir', node.dir])).code, 0)
  assert.is(await node.stop(), 0)
  const ranges = join(node.dir, 'ranges')
  const { readdirSync } = await import('node:fs')
  const file = readdirSync(ranges).sort()[0]
  cpSync(join(ranges, file), dir('undamaged'))
  const bytes = readFileSync(join(ranges, file))
  bytes.fill(0xff, 0, 16)
  writeFileSync(join(ranges, file), bytes)
  const inspected = await coterie(['inspect', join(ranges, file)])
  console.log(
    `| inspect of a damaged file: exit ${inspected.code}: ${(inspected.stdout + inspected.stderr).trim().split('\n').slice(0, 2).join('; ').replaceAll(cluster.root, 'D')}`
  )
  await node.start()
  assert.match(node.log, file)
  assert.ok(
    readdirSync(ranges).some(name => name.startsWith(file) && name.endsWith('.damaged')),
    'the file was put aside, not deleted'
  )
  let served = 0
  for (let i = 0; i < 20; i++) if ((await coterie(['get', `d${i}`, '--dir', node.dir])).code === 0) served++
  assert.ok(served >= 15 && served < 21, `${served} of 20 keys are served`)
})

test.run()
