import { readFile } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { commands } from '../../src/cli/catalogue.ts'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import { closest, editDistance } from '../../src/cli/suggest.ts'
import { address, level, ttlMs } from '../../src/cli/values.ts'
import { CoterieError, ERROR_CODES } from '../../src/errors.ts'
import { cli, FakeCluster, fakeIo, fakeParts } from './fakes.ts'

const test = suite('cli: program')

test('wrong usage: exit code 2, one line that names what is wrong, nothing on standard output', async () => {
  const cases: [string[], RegExp][] = [
    [['gett', 'x'], /unknown command "gett" \(did you mean get\?\)/],
    [['zzzzzz'], /unknown command "zzzzzz"; /],
    [['constructor'], /unknown command/],
    [['get', 'a', '--jsn'], /unknown flag --jsn for coterie get \(did you mean --json\?\)/],
    [['get', 'a', '-x'], /unknown flag -x/],
    [['get'], /get needs KEY/],
    [['get', 'a', 'b'], /takes only KEY; "b" is one too many/],
    [['get', ''], /the key is empty/],
    [['get', 'abc', '--hex'], /even number of hex digits/],
    [['get', 'a', '--r'], /--r needs a value/],
    [['get', 'a', '--r', 'most'], /--r is "most"; it takes a number from 1 to 16, quorum or all/],
    [['get', 'a', '--json=yes'], /--json takes no value/],
    [['get', 'a', '--timeout', '0'], /--timeout is "0"; it takes a whole number from 1/],
    [['put', 'a', 'b', '--ttl', '-1'], /--ttl/],
    [['put', 'a'], /needs a value: VALUE, or - .*--file/],
    [['put', 'a', 'b', '--file', 'x'], /not both/],
    [['keys', '--range', '1.5'], /--range is "1.5"/],
    [['node', '--seed', '10.0.0.1:4270'], /--seed is "10.0.0.1:4270"; it takes .*\(here: \/ip4\/10.0.0.1\/tcp\/4270\)/],
    [['node', '--listen', '4270'], /--listen is "4270"; it takes a multiaddr such as \/ip4\/HOST\/tcp\/PORT/],
    [['node', '--durability', 'fast'], /it takes os, interval or disk/],
    [['node', '--capacity', '0'], /--capacity is "0"; it takes a number above 0/],
    [['join', 'hello'], /not an invite/],
    [['demo', '--nodes', '0'], /--nodes is "0"/],
    [['inspect', '/nowhere/x.log'], /there is no file/]
  ]
  for (const [argv, pattern] of cases) {
    const { code, out, err } = await cli(argv, fakeIo({ env: { COTERIE_DIR: '/nowhere/coterie' } }))
    assert.is(code, 2, argv.join(' '))
    assert.match(err, pattern, argv.join(' '))
    assert.is(out, '', argv.join(' '))
    assert.is(err.trimEnd().split('\n').length, 1, argv.join(' '))
  }
})

test('no command: the overview on standard error, exit code 2', async () => {
  const { code, out, err } = await cli([])
  assert.is(code, 2)
  assert.is(out, '')
  for (const { name } of commands) assert.match(err, name)
})

test('help and version', async () => {
  assert.equal(await cli(['--version']), { code: 0, out: '9.9.9\n', err: '' })
  for (const { name, flags } of commands) {
    const { code, out } = await cli([name, '--help'])
    assert.is(code, 0)
    for (const flag of Object.keys(flags)) assert.match(out, `--${flag}`)
    assert.is((await cli(['help', name])).out, out)
  }
  assert.is((await cli(['help', 'nothing'])).code, 2)
})

test('--help after -- is an argument', async () => {
  const cluster = new FakeCluster()
  const { code } = await cli(
    ['get', '--connect', '/ip4/1.2.3.4/tcp/5', '--secret-file', 'none', '--', '--help'],
    fakeIo(),
    fakeParts(cluster)
  )
  assert.is(code, 2)
})

test('every error code has an exit code, and a defect shows where', async () => {
  for (const code of ERROR_CODES) assert.ok(exitCodeOf(code) >= 1 && exitCodeOf(code) <= 5, code)
  const parts = { ...fakeParts(), version: async () => Promise.reject(new TypeError('boom')) }
  const { code, err } = await cli(['--version'], fakeIo(), parts)
  assert.is(code, 1)
  assert.match(err, /boom[\s\S]*program.test[\s\S]*please report/)
  const refusing = { ...fakeParts(), version: async () => Promise.reject(new CoterieError('refused', 'go away')) }
  assert.equal(await cli(['--version'], fakeIo(), refusing), { code: 5, out: '', err: 'coterie: go away\n' })
})

test('what the system refuses is no defect of ours: its own words, and what to do', async () => {
  const refused = (path: string) => ({ ...fakeParts(), version: () => readFile(path, 'utf8') })
  assert.equal(await cli(['--version'], fakeIo(), refused(`${import.meta.filename}/under`)), {
    code: 1,
    out: '',
    err: `coterie: ENOTDIR: not a directory, open '${import.meta.filename}/under'; a part of that path is a file where a directory has to be\n`
  })
  const { err } = await cli(['--version'], fakeIo(), refused(`${import.meta.filename}.none`))
  assert.match(err, /ENOENT[\s\S]*please report/)
})

test('suggestions are close or absent', () => {
  assert.is(editDistance('ring', 'ring'), 0)
  assert.is(editDistance('rign', 'ring'), 1)
  assert.is(editDistance('', 'abc'), 3)
  assert.is(closest('memebrs', ['members', 'keys']), 'members')
  assert.is(closest('tra', ['transfers', 'stats']), 'transfers')
  assert.is(closest('xyzzy', ['members', 'keys']), undefined)
})

test('addresses, levels, lifetimes', () => {
  for (const good of [
    '/ip4/10.0.0.1/tcp/4270',
    '/ip6/::1/tcp/0',
    '/dns4/a.example/tcp/65535/p2p/12D3KooWQcQwXgPGFfnJ1tFmEs7QmXoYzVuE7mGq7r7bqEYV8oPp'
  ]) {
    assert.is(address('--seed', good), good)
  }
  const spelled: [string, string][] = [
    ['a.example:4270', '/dns/a.example/tcp/4270'],
    ['[::1]:4270', '/ip6/::1/tcp/4270'],
    ['tcp://10.0.0.1:1', '/ip4/10.0.0.1/tcp/1']
  ]
  for (const [bad, right] of spelled) assert.throws(() => address('--seed', bad), new RegExp(`here: ${right}\\)`))
  for (const bad of [
    '',
    '/ip4/10.0.0.1',
    '/ip4/10.0.0.1/tcp/65536',
    '/ip4/10.0.0.1/udp/1',
    '/ip4/a b/tcp/1',
    'x:99999'
  ]) {
    assert.throws(() => address('--seed', bad), /it takes a multiaddr such as \/ip4\/HOST\/tcp\/PORT$/)
  }
  assert.is(level('r', 'quorum'), 'quorum')
  assert.is(level('r', '16'), 16)
  assert.throws(() => level('r', '17'))
  assert.throws(() => level('r', '1e1'))
  assert.is(ttlMs('ttl', '0.5'), 500)
  assert.throws(() => ttlMs('ttl', ''))
})

test.run()
