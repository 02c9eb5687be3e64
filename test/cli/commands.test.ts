import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { writeNodeFile } from '../../src/directory.ts'
import { CoterieError } from '../../src/errors.ts'
import { encodeInvite, formatSecret } from '../../src/invite.ts'
import { CLUSTER_ID, cli, FakeCluster, type FakeIo, fakeIo, fakeParts, MEMBERS } from './fakes.ts'

const test = suite('cli: one-shot commands')

const secretLine = formatSecret({ clusterId: CLUSTER_ID, secret: new Uint8Array(32).fill(1) })
let dir = ''
let secretFile = ''

test.before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'coterie-commands-'))
  secretFile = join(dir, 'the-secret')
  await writeFile(secretFile, `${secretLine}\n`)
})
test.after(() => rm(dir, { recursive: true, force: true }))

function shell(cluster = new FakeCluster()) {
  const parts = fakeParts(cluster)
  const target = ['--connect', '/ip4/127.0.0.1/tcp/9', '--secret-file', secretFile]
  const sh = (argv: string[], io: FakeIo = fakeIo()) => {
    const [name, ...rest] = argv
    return cli([name!, ...target, ...rest], io, parts)
  }
  return { sh, cluster, parts }
}

test('put, get, delete, get: bytes as they are, and the exit code of "no such key"', async () => {
  const { sh, cluster } = shell()
  assert.equal(await sh(['put', 'k', 'v1']), { code: 0, out: 'new key (2 acks)\n', err: '' })
  assert.equal(await sh(['get', 'k']), { code: 0, out: 'v1', err: '' })
  assert.is((await sh(['get', 'k'], fakeIo({ tty: true }))).out, 'v1\n')
  assert.is((await sh(['delete', 'k'])).out, 'deleted one value (2 acks)\n')
  assert.equal(await sh(['get', 'k']), { code: 3, out: '', err: 'no such key: k\n' })
  assert.is((await sh(['delete', 'k'])).out, 'deleted nothing: there was no value (2 acks)\n')
  assert.is(cluster.closed, 6)
})

test('a terminal is not handed control bytes; a pipe gets them', async () => {
  const { sh } = shell()
  await sh(['put', 'k', 'a\x1b[2Jb'])
  assert.is((await sh(['get', 'k'], fakeIo({ tty: true }))).out, '"a\\x1b[2Jb"\n')
  assert.is((await sh(['get', 'k'])).out, 'a\x1b[2Jb')
})

test('accept-loss takes one range or several, and waits for longer than other commands', async () => {
  const { sh, cluster } = shell()
  assert.equal(await sh(['accept-loss', '7']), {
    code: 0,
    out: 'the loss of 1 range is accepted; what the present copies hold is all there is\n',
    err: ''
  })
  assert.equal(JSON.parse((await sh(['accept-loss', '7', '9', '11', '--force', '--timeout', '9', '--json'])).out), {
    ranges: [7, 9, 11],
    status: 'accepted'
  })
  assert.equal(cluster.calls, [
    { name: 'accept-loss', options: { ranges: [7], force: false, timeoutMs: 120_000 } },
    { name: 'accept-loss', options: { ranges: [7, 9, 11], force: true, timeoutMs: 9 } }
  ])
  const none = await sh(['accept-loss'])
  assert.equal(
    [none.code, none.err],
    [2, 'coterie: coterie accept-loss needs RANGE: coterie accept-loss RANGE [RANGE…]\n']
  )
  assert.match((await sh(['accept-loss', '7', 'x'])).err, 'RANGE is "x"; it takes a whole number from 0 to 4095')
  cluster.failWith = new CoterieError('refused', 'range 7 is not lost')
  assert.is((await sh(['accept-loss', '7'])).code, 5)
})

test('--json is one document and nothing else', async () => {
  const { sh } = shell()
  const stored = JSON.parse((await sh(['put', 'k', 'one', '--json'])).out)
  assert.is(stored.key, 'k')
  assert.is(stored.sloppy, false)
  assert.is(stored.acks, 2)
  await sh(['put', 'k', '-', '--ttl', '60'], fakeIo({ stdin: 'two\n' }))
  const { out, code } = await sh(['get', 'k', '--json'])
  assert.is(code, 0)
  const got = JSON.parse(out)
  assert.equal(
    got.values.map((value: { text: string }) => value.text),
    ['one', 'two\n']
  )
  assert.is(got.values[0].base64, 'b25l')
  assert.not('expiresAt' in got.values[0])
  assert.type(got.values[1].expiresAt, 'number')
  assert.is(got.replies, 2)
  const merged = JSON.parse((await sh(['put', 'k', 'both', '--context', got.context, '--json'])).out)
  assert.is(merged.replaced, 2)
  const absent = await sh(['get', 'nothing', '--json'])
  assert.is(absent.code, 3)
  assert.equal(JSON.parse(absent.out).values, [])
})

test('bytes that are no text: base64 alone, in and out of files, keys in hex', async () => {
  const { sh } = shell()
  const file = join(dir, 'value.bin')
  await writeFile(file, Uint8Array.of(0xff, 0, 0xfe))
  await sh(['put', '--hex', 'ff00', '--file', file])
  const got = JSON.parse((await sh(['get', '--hex', 'FF00', '--json'])).out)
  assert.equal(got.values[0].base64, '/wD+')
  assert.not('text' in got.values[0])
  assert.is(got.keyBase64, '/wA=')
  assert.not('key' in got)
  assert.is((await sh(['keys'])).out, '"\\xff\\x00"\n')
  const copy = join(dir, 'copy.bin')
  assert.is((await sh(['get', '--hex', 'ff00', '--file', copy])).code, 0)
  assert.equal(await readFile(copy), Buffer.from([0xff, 0, 0xfe]))
  assert.is((await sh(['put', 'k', '--file', join(dir, 'absent')])).code, 2)
})

test('siblings are shown with their dots, and never written to one file', async () => {
  const { sh } = shell()
  await sh(['put', 'k', 'red'])
  assert.is((await sh(['put', 'k', 'blue'])).out, 'made a second sibling (2 acks)\n')
  const { out, err, code } = await sh(['get', 'k'])
  assert.is(code, 0)
  assert.match(err, '2 siblings')
  assert.match(out, /00000000000000aa:1 +│ 00000000000000aa:2\n[─┼]+\nred +│ blue\n/)
  assert.is((await sh(['get', 'k', '--file', join(dir, 'x')])).code, 2)
})

test('r, w, ttl, timeout reach the cluster; absent ones are left to it', async () => {
  const { sh, cluster, parts } = shell()
  await sh(['get', 'k', '--r', 'all', '--timeout', '250'])
  await sh(['put', 'k', 'v', '--w', '1', '--ttl', '1.5'])
  await sh(['put', 'k', 'v'])
  assert.equal(
    cluster.calls.map(call => call.options),
    [{ timeoutMs: 250, r: 'all' }, { w: 1, ttlMs: 1500 }, {}]
  )
  assert.is(parts.connects[0]!.timeoutMs, 250)
  const fromEnv = fakeIo({ env: { COTERIE_R: '3' } })
  await sh(['get', 'k'], fromEnv)
  assert.equal(cluster.calls.at(-1)!.options, { r: 3 })
  await sh(['get', 'k', '--r', '1'], fakeIo({ env: { COTERIE_R: '3' } }))
  assert.equal(cluster.calls.at(-1)!.options, { r: 1 })
  const bad = await sh(['get', 'k'], fakeIo({ env: { COTERIE_R: 'x' } }))
  assert.is(bad.code, 2)
  assert.match(bad.err, 'COTERIE_R is "x"')
})

test('errors keep standard output clean and carry their exit code', async () => {
  const { sh, cluster } = shell()
  cluster.failWith = new CoterieError('not-available', '1 of 2 replicas answered')
  for (const argv of [['get', 'k'], ['put', 'k', 'v'], ['members']]) {
    const result = await sh([...argv, '--json'])
    assert.equal(result, { code: 4, out: '', err: 'coterie: 1 of 2 replicas answered\n' })
  }
  assert.is(cluster.closed, 3)
})

test('a value over the limit on standard input is refused before it is all read', async () => {
  const { sh, cluster } = shell()
  const { code, err } = await sh(['put', 'k', '-'], fakeIo({ stdin: 'x'.repeat(1024 * 1024 + 1) }))
  assert.is(code, 5)
  assert.match(err, 'more than 1048576 bytes')
  assert.is(cluster.calls.length, 0)
})

test('keys, members, ring, where, stats, transfers, inspect', async () => {
  const { sh } = shell()
  assert.is((await sh(['keys', '--json'])).out, '[]\n')
  for (const key of ['a:1', 'a:2', 'b', '__proto__', '../x', '#tag']) await sh(['put', key, 'v'])
  assert.is((await sh(['keys', '--prefix', 'a:'])).out, 'a:1\na:2\n')
  assert.is((await sh(['keys', '--prefix', '#'])).out, '"#tag"\n')
  const all = JSON.parse((await sh(['keys', '--json'])).out)
  assert.equal(
    all.map((key: { text: string }) => key.text),
    ['a:1', 'a:2', 'b', '__proto__', '../x', '#tag']
  )
  assert.equal(JSON.parse((await sh(['members', '--json'])).out), MEMBERS)
  assert.match((await sh(['members'])).out, /A +…AAAAAAA1 \* +up +alive/)
  assert.is(JSON.parse((await sh(['ring', '--json'])).out).owners.length, 16)
  assert.match((await sh(['ring'])).out, /^ 0 ABCABCABCABCABCA\n/)
  assert.is(JSON.parse((await sh(['where', 'k', '--json'])).out).range, 0)
  assert.match((await sh(['where', 'k'])).out, /owner +12D3KooWPeerAAAAAAAAA1 +- +alive +synced/)
  assert.is(JSON.parse((await sh(['where', 'k', '--json'])).out).replicas[2].zone, 'north')
  assert.is(JSON.parse((await sh(['stats', '--json'])).out).keys, 6)
  assert.match((await sh(['stats'])).out, /bytes +2,048 \(2.0 KiB\)\ngossip\n {2}rounds {2}7/)
  assert.equal(JSON.parse((await sh(['transfers', '--json'])).out), [])
  assert.match((await sh(['transfers'])).out, 'no range is being transferred')
  assert.equal(await cli(['inspect', secretFile, '--json', '--keys']), {
    code: 0,
    out: `${JSON.stringify({ path: secretFile, keys: true })}\n`,
    err: ''
  })
  assert.is((await cli(['inspect', secretFile])).out, `file ${secretFile}\n`)
})

test('plan: one document, or what it comes to in words; it asks, and changes nothing', async () => {
  const { sh, cluster } = shell()
  const plan = JSON.parse((await sh(['plan', '--join', '2', '--zone', 'attic', '--json'])).out)
  assert.equal(plan.change.join, [
    { peerId: 'new-1', zone: 'attic', capacity: 1 },
    { peerId: 'new-2', zone: 'attic', capacity: 1 }
  ])
  assert.equal([plan.ranges, plan.copies, plan.nodes.length], [16, 3, 5])
  assert.is(
    plan.moved,
    plan.nodes.slice(3).reduce((sum: number, { after }: { after: number }) => sum + after, 0)
  )
  const { code, out, err } = await sh(['plan', '--join', '2', '--zone', 'attic'])
  assert.equal([code, err], [0, ''])
  assert.match(out, `${plan.moved} of 16 ranges would change owner\n${plan.copied} copies would be made, about `)
  assert.match(out, /warning: 5 nodes are more than one for every 8 ranges/)
  assert.match((await sh(['plan', '--capacity', `${MEMBERS[0]!.peerId}=3`])).out, /AAAAAAA1 +stays +6 +\d+ +9\.6 +3 +-/)
  const bad = await sh(['plan', '--leave', 'nobody'])
  assert.equal([bad.code, bad.out], [2, ''])
  assert.match(bad.err, '--leave is "nobody", which is no member of this cluster')
  assert.ok(cluster.calls.every(({ name }) => name === 'info'))
})

test('the target: an invite, a running node, none, or a missing secret', async () => {
  const parts = fakeParts()
  const text = encodeInvite({ clusterId: CLUSTER_ID, name: 'x', addresses: [] })
  assert.is((await cli(['stats', '--connect', text], fakeIo(), parts)).code, 0)
  assert.equal(parts.connects.at(-1), { invite: text })
  assert.is((await cli(['stats', '--connect', text.slice(0, -3)], fakeIo(), parts)).code, 2)

  const none = await cli(['stats', '--dir', join(dir, 'absent')], fakeIo(), parts)
  assert.is(none.code, 2)
  assert.match(none.err, 'there is no data directory')
  await writeFile(join(dir, 'secret'), secretLine)
  const idle = await cli(['stats', '--dir', dir], fakeIo(), parts)
  assert.is(idle.code, 4)
  assert.match(idle.err, /no node runs in .*coterie node --dir/)
  const addresses = ['/ip4/127.0.0.1/tcp/9/p2p/x']
  await writeNodeFile(dir, { peerId: 'x', addresses, http: null, pid: process.pid })
  // --dir on the command line beats COTERIE_CONNECT.
  const io = fakeIo({ env: { COTERIE_CONNECT: '/ip4/9.9.9.9/tcp/9' } })
  assert.is((await cli(['stats', '--dir', dir], io, parts)).code, 0)
  assert.equal(parts.connects.at(-1), { seeds: addresses, secret: secretLine })
  // --connect takes the secret of --dir when no --secret-file is given.
  await cli(['stats', '--connect', '/ip4/9.9.9.9/tcp/9', '--dir', dir], fakeIo(), parts)
  assert.equal(parts.connects.at(-1), { seeds: ['/ip4/9.9.9.9/tcp/9'], secret: secretLine })
  const bare = await cli(
    ['stats', '--connect', '/ip4/9.9.9.9/tcp/9'],
    fakeIo({ env: { COTERIE_DIR: '/nowhere' } }),
    parts
  )
  assert.is(bare.code, 2)
  assert.match(bare.err, 'needs --secret-file')
  const wrong = await cli(['stats', '--connect', '/ip4/9.9.9.9/tcp/9', '--secret-file', dir], fakeIo(), parts)
  assert.is(wrong.code, 2)
})

test.run()
