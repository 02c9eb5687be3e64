import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { plausibleAddresses } from '../../src/cli/addresses.ts'
import { layout, lockDirectory, readConfig, readSecret, writeConfig, writeNodeFile } from '../../src/directory.ts'
import { CoterieError } from '../../src/errors.ts'
import { decodeInvite, encodeInvite, formatSecret } from '../../src/invite.ts'
import { CLUSTER_ID, cli, FakeCluster, fakeIo, fakeParts, PEER, until } from './fakes.ts'

const test = suite('cli: init, invite, join, node')

let root = ''
let number = 0
const freshDir = () => join(root, `d${++number}`)
const invite = encodeInvite({
  clusterId: CLUSTER_ID,
  name: 'x',
  secret: new Uint8Array(32).fill(3),
  addresses: ['/ip4/10.0.0.9/tcp/4270/p2p/abc']
})

test.before(async () => {
  root = await mkdtemp(join(tmpdir(), 'coterie-node-'))
})
test.after(() => rm(root, { recursive: true, force: true }))

/** Starts a node command and waits for its ready line. */
async function started(argv: string[], parts = fakeParts(), io = fakeIo()) {
  const ended = cli(argv, io, parts)
  await until(() => io.out().includes('coterie ready') || io.err().includes('coterie:'), 'the ready line')
  return { ended, io, parts }
}

test('init makes a directory and prints an invite for it', async () => {
  const dir = freshDir()
  const { code, out, err } = await cli([
    'init',
    '--dir',
    dir,
    '--name',
    'mine',
    '--ranges',
    '64',
    '--listen',
    '/ip4/10.1.2.3/tcp/77'
  ])
  assert.is(code, 0)
  assert.match(err, `coterie node --dir ${dir}`)
  const carried = decodeInvite(out)
  assert.is(carried.name, 'mine')
  assert.equal(carried.addresses, [`/ip4/10.1.2.3/tcp/77/p2p/${PEER}`])
  assert.equal(await readSecret(dir), { clusterId: carried.clusterId, secret: carried.secret })
  assert.equal(await readConfig(dir), {
    cluster: { clusterId: carried.clusterId, name: 'mine', q: 64, n: 3, r: 2, w: 2 },
    founder: true,
    peerId: PEER,
    listen: ['/ip4/10.1.2.3/tcp/77']
  })
  const again = await cli(['init', '--dir', dir])
  assert.is(again.code, 2)
  assert.match(again.err, 'already holds a node')
  assert.is((await readConfig(dir)).cluster?.name, 'mine')
})

test('init --json, --open, wrong parameters', async () => {
  const dir = freshDir()
  const { code, out, err } = await cli(['init', '--dir', dir, '--json', '--open', '--replicas', '1'])
  assert.is(code, 0)
  assert.match(err, /warning: --open/)
  const made = JSON.parse(out)
  assert.equal(Object.keys(made), ['dir', 'peerId', 'clusterId', 'invite', 'secretFile'])
  assert.is(decodeInvite(made.invite).secret, undefined)
  assert.is(await readFile(made.secretFile, 'utf8'), `coterie-secret-1:${made.clusterId}:open\n`)
  assert.is((await readConfig(dir)).cluster?.r, 1)
  for (const flags of [
    ['--ranges', '100'],
    ['--replicas', '17'],
    ['--read', '4'],
    ['--name', 'a\nb'],
    ['--ranges', 'x']
  ]) {
    const other = freshDir()
    const wrong = await cli(['init', '--dir', other, ...flags])
    assert.is(wrong.code, 2, flags.join(' '))
    assert.is(await stat(other).catch(() => undefined), undefined, flags.join(' '))
  }
})

test('invite prints it again, with the addresses of the running node', async () => {
  const dir = freshDir()
  assert.is((await cli(['invite', '--dir', dir])).code, 2)
  const made = decodeInvite((await cli(['init', '--dir', dir])).out)
  assert.equal(decodeInvite((await cli(['invite', '--dir', dir])).out), made)
  assert.ok(made.addresses.includes(`/ip4/127.0.0.1/tcp/4270/p2p/${PEER}`))
  const addresses = [`/ip4/127.0.0.1/tcp/4999/p2p/${PEER}`]
  await writeNodeFile(dir, { peerId: PEER, addresses, http: null })
  const running = JSON.parse((await cli(['invite', '--dir', dir, '--json'])).out)
  assert.equal(running.addresses, addresses)
})

test('addresses of a node that does not run yet', () => {
  const hosts = ['10.0.0.5', '192.168.1.5']
  assert.equal(plausibleAddresses({}, 'p', hosts), [
    '/ip4/10.0.0.5/tcp/4270/p2p/p',
    '/ip4/192.168.1.5/tcp/4270/p2p/p',
    '/ip4/127.0.0.1/tcp/4270/p2p/p'
  ])
  assert.equal(plausibleAddresses({ listen: ['/ip4/0.0.0.0/tcp/0'] }, 'p', hosts), [])
  assert.equal(plausibleAddresses({ announce: ['/dns4/a.b/tcp/1/p2p/p'] }, 'p', hosts), ['/dns4/a.b/tcp/1/p2p/p'])
})

test('node: ready line, clean stop on a signal, at once on the second', async () => {
  const dir = freshDir()
  await cli(['init', '--dir', dir])
  const cluster = new FakeCluster()
  let letClose = () => {}
  const closing = new Promise<void>(resolve => {
    letClose = resolve
  })
  const parts = fakeParts(cluster, { close: () => closing })
  const { ended, io } = await started(['node', '--dir', dir, '--zone', 'z1', '--no-mdns'], parts)
  assert.is(io.out(), `coterie ready ${PEER} /ip4/127.0.0.1/tcp/4999/p2p/${PEER}\n`)
  const [options] = parts.nodes
  assert.is(options!.zone, 'z1')
  assert.is(options!.mdns, false)
  assert.equal(options!.listen, ['/ip4/0.0.0.0/tcp/4270'])
  assert.match(options!.secret!, /^coterie-secret-1:/)
  io.signal('SIGINT')
  assert.equal(io.exits, [])
  io.signal('SIGINT')
  assert.equal(io.exits, [1])
  letClose()
  assert.is((await ended).code, 0)
})

test('node: a flag beats the environment beats config.json', async () => {
  const dir = freshDir()
  await cli(['init', '--dir', dir])
  await writeConfig(dir, {
    ...(await readConfig(dir)),
    zone: 'config',
    capacity: 2,
    durability: 'os',
    seeds: ['/ip4/1.1.1.1/tcp/1']
  })
  const env = {
    COTERIE_ZONE: 'env',
    COTERIE_CAPACITY: '3',
    COTERIE_LISTEN: '/ip4/2.2.2.2/tcp/1,/ip4/3.3.3.3/tcp/1',
    COTERIE_NO_MDNS: '1'
  }
  const { ended, io, parts } = await started(['node', '--dir', dir, '--zone', 'flag'], fakeParts(), fakeIo({ env }))
  const { zone, capacity, durability, listen, seeds, mdns } = parts.nodes[0]!
  assert.equal([zone, capacity, durability, mdns], ['flag', 3, 'os', false])
  assert.equal(listen, ['/ip4/2.2.2.2/tcp/1', '/ip4/3.3.3.3/tcp/1'])
  assert.equal(seeds, ['/ip4/1.1.1.1/tcp/1'])
  io.signal('SIGTERM')
  await ended
  await writeConfig(dir, { ...(await readConfig(dir)), seeds: ['1.1.1.1:1'] })
  const wrong = await cli(['node', '--dir', dir])
  assert.is(wrong.code, 2)
  assert.match(wrong.err, /"seeds" in .*config.json is "1.1.1.1:1"/)
  const typo = await cli(['node', '--dir', dir], fakeIo({ env: { COTERIE_SEED: 'host' } }))
  assert.match(typo.err, 'COTERIE_SEED is "host"')
})

test('node: a directory of no cluster, and a node that could never find anybody', async () => {
  const none = await cli(['node', '--dir', freshDir()])
  assert.is(none.code, 2)
  assert.match(none.err, /belongs to no cluster yet: coterie init .* coterie join INVITE/)

  const dir = freshDir()
  const secretFile = join(root, 'secret-line')
  await writeFile(secretFile, formatSecret({ clusterId: CLUSTER_ID }))
  const alone = await cli(['node', '--dir', dir, '--secret-file', secretFile, '--no-mdns'])
  assert.is(alone.code, 2)
  assert.match(alone.err, /knows no other member .* give --seed/)
  const { ended, io } = await started(['node', '--dir', dir, '--secret-file', secretFile])
  assert.match(io.err(), /waiting until a member of the cluster is found on the local network/)
  io.signal('SIGTERM')
  assert.is((await ended).code, 0)
  // An address book: it was in the cluster before.
  await writeFile(layout(dir).peers, '{}')
  const known = await started(['node', '--dir', dir, '--no-mdns'])
  known.io.signal('SIGTERM')
  assert.is((await known.ended).code, 0)
})

test('node: a directory whose key is missing gets no new one: a copy of the first node’s would found the cluster again', async () => {
  const dir = freshDir()
  await cli(['init', '--dir', dir])
  const key = await readFile(layout(dir).identity)
  await rm(layout(dir).identity)
  const keyless = await cli(['node', '--dir', dir])
  assert.is(keyless.code, 5)
  assert.match(keyless.err, `belongs to ${PEER}, and its key is not there`)
  assert.match(keyless.err, /put the key back, or make another node \(coterie join/)
  assert.not.ok((await readdir(dir)).includes('identity.key'), 'nothing was changed')
  await writeFile(layout(dir).identity, key)
  const { ended, io } = await started(['node', '--dir', dir, '--no-mdns'])
  io.signal('SIGTERM')
  assert.is((await ended).code, 0)
})

test('node: failures before and after it is ready end it with their exit code', async () => {
  const dir = freshDir()
  await cli(['init', '--dir', dir])
  const refused = new CoterieError('refused', 'another secret')
  const cluster = new FakeCluster()
  const early = await cli(
    ['node', '--dir', dir],
    fakeIo(),
    fakeParts(cluster, { ready: () => Promise.reject(refused) })
  )
  assert.equal([early.code, early.out, early.err], [5, '', 'coterie: another secret\n'])
  assert.is(cluster.closed, 1)

  let fail = (_: CoterieError) => {}
  const parts = fakeParts(cluster, { onFatal: listener => void (fail = listener) })
  const { ended, io } = await started(['node', '--dir', dir], parts)
  fail(new CoterieError('directory-in-use', 'this identity runs twice'))
  assert.is((await ended).code, 2)
  assert.match(io.err(), 'coterie: this identity runs twice')
  assert.is(cluster.closed, 2)

  const lock = await lockDirectory(dir)
  const busy = await cli(['node', '--dir', dir])
  assert.is(busy.code, 2)
  assert.match(busy.err, 'in use by process')
  await lock.release()
})

test('node --stop-with-stdin ends with its parent', async () => {
  const dir = freshDir()
  await cli(['init', '--dir', dir])
  const { ended, io } = await started(['node', '--dir', dir, '--stop-with-stdin'])
  io.stdin.push(null)
  assert.is((await ended).code, 0)
})

test('node: a progress bar on a terminal, under the log', async () => {
  const dir = freshDir()
  await cli(['init', '--dir', dir])
  const cluster = new FakeCluster()
  cluster.transfers = [{ range: 3, from: 'x', keysDone: 50, keysTotal: 100 }]
  const { ended, io } = await started(
    ['node', '--dir', dir],
    fakeParts(cluster),
    fakeIo({ tty: true, env: { NO_COLOR: '1' } })
  )
  await until(() => io.err().includes('filling 1 range'), 'the bar')
  assert.match(io.err(), /filling 1 range \[█+ +\] +50 % 50\/100 keys/)
  io.signal('SIGTERM')
  await ended
  assert.ok(io.err().endsWith('\r\x1b[K'))
})

test('join: saves, runs, runs again; another cluster is refused and changes nothing', async () => {
  const dir = freshDir()
  for (const _ of [1, 2]) {
    const { ended, io, parts } = await started(['join', invite, '--dir', dir])
    assert.equal(parts.nodes[0]!.seeds, ['/ip4/10.0.0.9/tcp/4270/p2p/abc'])
    io.signal('SIGTERM')
    assert.is((await ended).code, 0)
  }
  assert.equal(await readConfig(dir), { seeds: ['/ip4/10.0.0.9/tcp/4270/p2p/abc'] })
  const later = await started(['node', '--dir', dir, '--no-mdns'])
  assert.equal(later.parts.nodes[0]!.seeds, ['/ip4/10.0.0.9/tcp/4270/p2p/abc'])
  later.io.signal('SIGTERM')
  await later.ended

  const others = [
    { clusterId: CLUSTER_ID.replace('0', '1'), secret: new Uint8Array(32).fill(3) },
    { clusterId: CLUSTER_ID, secret: new Uint8Array(32).fill(4) }
  ]
  for (const other of others) {
    const before = [await readConfig(dir), await readSecret(dir)]
    const foreign = encodeInvite({ ...other, name: '', addresses: ['/ip4/6.6.6.6/tcp/6'] })
    const refused = await cli(['join', foreign, '--dir', dir])
    assert.is(refused.code, 5)
    assert.match(refused.err, 'nothing was changed')
    assert.equal([await readConfig(dir), await readSecret(dir)], before)
  }
  const untouched = freshDir()
  assert.is((await cli(['join', invite.slice(0, -1), '--dir', untouched])).code, 2)
  assert.is((await cli(['join', invite, '--dir', untouched, '--listen', 'x'])).code, 2)
  assert.is(await stat(untouched).catch(() => undefined), undefined)
})

test.run()
