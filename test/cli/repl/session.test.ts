import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { plain } from '../../../src/cli/render/style.ts'
import { Session } from '../../../src/cli/repl/session.ts'
import { CoterieError } from '../../../src/errors.ts'
import { systemClock, systemTimers } from '../../../src/runtime.ts'
import { FakeCluster } from '../fakes.ts'

const test = suite('cli: repl session')

// The real ones never keep a process alive, and here is no socket that would.
const timers: typeof systemTimers = {
  ...systemTimers,
  async sleep(delayMs, signal) {
    const alive = setInterval(() => {}, 1000)
    await systemTimers.sleep(delayMs, signal).finally(() => clearInterval(alive))
  }
}

function sitting(cluster = new FakeCluster(), timing = false) {
  const lines: string[] = []
  const shown: string[] = []
  const session = new Session({
    cluster,
    style: plain,
    width: () => 80,
    clock: systemClock,
    timers,
    out: async line => void lines.push(line),
    err: async line => void lines.push(`! ${line}`),
    status: { show: text => shown.push(text), print: text => lines.push(text) },
    readFile: async path => new Uint8Array(Buffer.from(`<${path}>`)),
    timing
  })
  const type = async (line: string, signal = new AbortController().signal) => {
    lines.length = 0
    const outcome = await session.execute(line, signal)
    return { ...outcome, text: lines.join('\n') }
  }
  return { type, session, cluster, shown }
}

test('a put replaces what its user has seen; --blind adds a sibling; the next put merges', async () => {
  const { type, cluster } = sitting()
  assert.is((await type('put k one')).text, 'new key (2 acks)')
  assert.is((await type('put k two')).text, 'replaced one value (2 acks)')
  assert.match((await type('put k three --blind')).text, 'made a second sibling (2 acks)')
  await cluster.put('k', 'four')
  const { text } = await type('get k')
  assert.match(text, /^3 siblings: concurrent values \(2 replies\)\n/)
  assert.match(text, /two +│ three +│ four\n/)
  assert.match(text, 'the next put of k replaces all 3')
  assert.is((await type('put k all')).text, 'merged three values (2 acks)')
  assert.match((await type('get k')).text, /^all\ndot 00000000000000aa:5, 2 replies$/)
})

test('what another wrote meanwhile stays, and is told', async () => {
  const { type, cluster } = sitting()
  await type('put k mine')
  await cluster.put('k', 'theirs')
  assert.match(
    (await type('put k again')).text,
    'replaced one value; one value written meanwhile stands beside it (2 acks)'
  )
  await type('get k')
  await cluster.put('k', 'late')
  assert.match((await type('delete k')).text, 'deleted two values; one value written meanwhile stays')
})

test('forget: the next put stands beside', async () => {
  const { type } = sitting()
  await type('put k one')
  assert.is((await type('forget k')).text, 'forgot k')
  assert.is((await type('forget k')).text, 'k was not seen yet')
  assert.match((await type('put k two')).text, 'made a second sibling')
  assert.is((await type('forget')).text, 'forgot 1 key')
})

test('update merges siblings', async () => {
  const { type } = sitting()
  await type('put k a')
  await type('put k b --blind')
  await type('put k b --blind')
  assert.is((await type('update k --join ", " --append !')).text, 'merged three values (2 acks)')
  assert.match((await type('get k')).text, /^"?a, b!/)
  assert.is((await type('update k fresh')).text, 'replaced one value (2 acks)')
  assert.is((await type('update k --append @f')).code, 0)
  assert.match((await type('get k')).text, /^fresh<f>\n/)
  assert.is((await type('update new --append first')).text, 'new key (2 acks)')
  assert.is((await type('update absent --join ,')).code, 3)
  assert.is((await type('update k')).code, 2)
  assert.is((await type('update k x --append y')).code, 2)
})

test('settings reach every operation, flags beat them', async () => {
  const { type, cluster } = sitting()
  await type('set r 1')
  await type('set w all')
  assert.is((await type('set timeout 500')).text, 'r 1, w all, timeout 500 ms, timing off')
  await type('get k')
  await type('put k v --w 2 --ttl 2')
  const options = cluster.calls.map(call => call.options as Record<string, unknown>)
  assert.is(options[0]!.r, 1)
  assert.is(options[0]!.timeoutMs, 500)
  assert.is(options[1]!.w, 2)
  assert.is(options[1]!.ttlMs, 2000)
  assert.is((await type('set timeout default')).text, 'r 1, w all, timeout default, timing off')
  for (const line of ['set r', 'set x 1', 'set r 99', 'set timeout soon', 'set timing maybe']) {
    assert.is((await type(line)).code, 2, line)
  }
})

test('no such key, errors, unknown words: told, with their codes', async () => {
  const { type, cluster } = sitting()
  assert.equal(await type('get k'), { code: 3, quit: false, text: '! no such key: k' })
  assert.equal(await type('gte k'), {
    code: 2,
    quit: false,
    text: '! error: unknown command "gte" (did you mean get?); help lists them'
  })
  assert.match((await type('put k a b')).text, '"b" is one too many')
  assert.match((await type('put k --blnd v')).text, 'did you mean --blind?')
  assert.match((await type('put k v --ttl')).text, '--ttl needs a value')
  assert.is((await type('get "unclosed')).code, 2)
  assert.is((await type('get ""')).code, 2)
  assert.is((await type('constructor')).code, 2)
  cluster.failWith = new CoterieError('not-available', 'too few')
  assert.equal(await type('get k'), { code: 4, quit: false, text: '! error: too few' })
})

test('flags in quotes and after -- are values', async () => {
  const { type } = sitting()
  await type('put k "--blind"')
  assert.match((await type('get k')).text, /^--blind\n/)
  await type('put k -- --x')
  assert.match((await type('get k')).text, /^--x\n/)
})

test('comments, empty lines, quit, help, aliases, timing', async () => {
  const { type } = sitting()
  assert.equal(await type('  # put k v'), { code: 0, quit: false, text: '' })
  assert.equal(await type(''), { code: 0, quit: false, text: '' })
  assert.is((await type('quit')).quit, true)
  assert.is((await type('exit')).quit, true)
  const { text } = await type('help')
  for (const verb of [
    'get',
    'put',
    'delete',
    'update',
    'keys',
    'where',
    'members',
    'ring',
    'stats',
    'transfers',
    'plan',
    'set',
    'forget'
  ]) {
    assert.match(text, new RegExp(`^${verb} `.trimEnd(), 'm'))
  }
  assert.match((await type('help put')).text, '--blind')
  assert.is((await type('help nothing')).code, 2)
  assert.is((await type('rm k')).code, 0)
  assert.match((await type('set timing on')).text, /\d ms$/)
})

test('keys: the first hundred, all, a prefix', async () => {
  const { type } = sitting()
  for (let i = 0; i < 105; i++) await type(`put key:${i} v`)
  assert.match((await type('keys')).text, /key:99\n… and more/)
  assert.match((await type('keys --all')).text, /key:104\n105 keys$/)
  assert.is((await type('keys key:104')).text, 'key:104\n1 key')
})

test('the cluster in pictures', async () => {
  const { type } = sitting()
  assert.match((await type('members')).text, 'north')
  assert.match((await type('ring')).text, 'ABCABC')
  assert.match((await type('where k')).text, /^owner [\s\S]+ north /m)
  assert.match((await type('stats')).text, 'rounds')
  assert.match((await type('transfers')).text, 'no range is being transferred')
})

test('plan: what would move, and what it refuses', async () => {
  const { type, cluster } = sitting()
  const { code, text } = await type('plan --join 2 --zone "far away"')
  assert.is(code, 0)
  assert.match(text, /^\d+ of 16 ranges would change owner\n/)
  assert.match(text, /^new-2 +joins +0 +\d+ +3\.2 +1 +far away$/m)
  assert.match((await type('plan --leave AAAAAAAAA1')).text, /^…AAAAAAA1 +leaves +6 +0 +0\.0/m)
  assert.equal(await type('plan --leave nobody'), {
    code: 2,
    quit: false,
    text: '! error: --leave is "nobody", which is no member of this cluster; coterie members lists them'
  })
  assert.match((await type('plan --jion 2')).text, 'did you mean --join')
  assert.ok(cluster.calls.every(({ name }) => name === 'info'))
})

test('transfers --watch draws until all has arrived, or until Ctrl-C', async () => {
  const { type, cluster, shown } = sitting()
  cluster.transfers = [
    { range: 1, ranges: 43, from: 'x', keysDone: 1, keysTotal: 2 },
    { range: 2, ranges: 42, from: 'y', keysDone: 0, keysTotal: 2 }
  ]
  const watching = type('transfers --watch')
  while (shown.length === 0) await new Promise(resolve => setImmediate(resolve))
  cluster.transfers = []
  assert.is((await watching).text, '85 ranges arrived')
  assert.match(shown[0]!, /^filling 85 ranges .* 25 % 1\/4 keys/)
  assert.is(shown.at(-1), '')

  cluster.transfers = [{ range: 1, from: 'x', keysDone: 1, keysTotal: 2 }]
  const stop = new AbortController()
  const stopped = type('transfers --watch', stop.signal)
  stop.abort(new Error('given up'))
  assert.is((await stopped).text, '! error: given up')
})

test('completion: commands, keys seen, settings', async () => {
  const { type, session } = sitting()
  await type('put cart:7 v')
  await type('put "c d" v')
  await type('get care')
  assert.equal(session.complete('me'), [['members '], 'me'])
  assert.equal(session.complete('get car'), [['care ', 'cart:7 '], 'car'])
  assert.equal(session.complete('get '), [['"c d" ', 'care ', 'cart:7 '], ''])
  assert.equal(session.complete('set t'), [['timeout ', 'timing '], 't'])
  assert.equal(session.complete('help p'), [['plan ', 'put '], 'p'])
  assert.equal(session.complete('put cart:7 x'), [[], 'x'])
})

test.run()
