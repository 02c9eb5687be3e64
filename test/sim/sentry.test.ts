import childProcess from 'node:child_process'
import crypto, { getRandomValues, randomBytes, randomUUID } from 'node:crypto'
import dns from 'node:dns'
import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, relative } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import { gzip, gzipSync } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Breach, guarded } from '../../src/sim/sentry.ts'
import { EventLog } from '../../src/sim/world/event-log.ts'
import { simTimers } from '../../src/sim/world/process.ts'
import { SimRandom } from '../../src/sim/world/random.ts'
import { WORLD, World } from '../../src/sim/world/world.ts'

const test = suite('sim sentry')

const FILE = relative(join(import.meta.dirname, '..', '..'), import.meta.filename)
/** Put aside before any run, where only the strict mode can see it used. */
const keptTimeout = globalThis.setTimeout

async function breaches(strict: boolean, work: () => unknown): Promise<Breach[]> {
  const found: Breach[] = []
  await guarded({ strict, onBreach: breach => found.push(breach) }, async () => void (await work()))
  return found
}

/** Line of the call, found by what stands in it: there is one such line in this file. */
function lineOf(text: string): number {
  const lines = readFileSync(import.meta.filename, 'utf8').split('\n')
  const at = lines.findIndex(line => line.includes(text) && !line.includes('lineOf'))
  return at + 1
}

/** Name in the report → a call that makes it. */
const CALLS: Record<string, () => unknown> = {
  'Math.random': () => Math.random(),
  'Date.now': () => Date.now(),
  'new Date()': () => new Date(),
  'Date()': () => Date(),
  'performance.now': () => performance.now(),
  'performance.mark': () => performance.mark('mark'),
  'process.hrtime': () => process.hrtime(),
  'process.hrtime.bigint': () => process.hrtime.bigint(),
  'process.uptime': () => process.uptime(),
  setTimeout: () => clearTimeout(setTimeout(() => {}, 1)),
  setInterval: () => clearInterval(setInterval(() => {}, 1)),
  setImmediate: () => clearImmediate(setImmediate(() => {})),
  'timers/promises.setTimeout': () => wait(1),
  'AbortSignal.timeout': () => AbortSignal.timeout(1),
  'crypto.randomBytes': () => randomBytes(8),
  'crypto.randomInt': () => crypto.randomInt(8),
  'crypto.randomUUID': () => randomUUID(),
  'crypto.randomFillSync': () => crypto.randomFillSync(new Uint8Array(8)),
  'crypto.getRandomValues': () => getRandomValues(new Uint8Array(8)),
  'crypto.generateKeyPairSync': () => crypto.generateKeyPairSync('ed25519'),
  'crypto.subtle.digest': () => globalThis.crypto.subtle.digest('SHA-256', new Uint8Array(8)),
  fetch: () => fetch('data:,x').then(response => response.text()),
  WeakRef: () => new WeakRef({}),
  FinalizationRegistry: () => new FinalizationRegistry(() => {}),
  'child_process.spawnSync': () => childProcess.spawnSync(process.execPath, ['--version'])
}

for (const [what, call] of Object.entries(CALLS)) {
  test(`${what} is caught, where it stands`, async () => {
    const found = await breaches(false, call)
    const line = lineOf(call.toString())
    assert.ok(line > 0)
    assert.equal(found, [{ what, where: `${FILE}:${line}` }])
  })
}

test('through the global object, too', async () => {
  const names = await breaches(false, () => {
    globalThis.crypto.randomUUID()
    globalThis.crypto.getRandomValues(new Uint8Array(1))
    crypto.webcrypto.getRandomValues(new Uint8Array(1))
  })
  assert.equal(
    names.map(({ what }) => what),
    ['crypto.randomUUID', 'crypto.getRandomValues', 'crypto.getRandomValues']
  )
})

test('what is caught works all the same', async () => {
  await breaches(true, async () => {
    const made = new Date()
    assert.ok(made instanceof Date)
    assert.is(made.constructor.name, 'Date')
    assert.ok(Math.abs(made.getTime() - Date.now()) < 60_000)
    assert.is(typeof Date(), 'string')
    class Later extends Date {}
    assert.ok(new Later() instanceof Later)
    assert.is(randomBytes(5).length, 5)
    assert.is(await promisify(setTimeout)(1, 'value'), 'value')
    assert.match(randomUUID(), /^[0-9a-f-]{36}$/)
    assert.match(await readFile(import.meta.filename, 'utf8'), /sentry/)
  })
})

test('what depends on nothing outside is free', async () => {
  const key = crypto.createPrivateKey(ED25519)
  const found = await breaches(true, async () => {
    assert.is(new Date(1e12).toISOString(), '2001-09-09T01:46:40.000Z')
    assert.is(Date.parse('1970-01-01T00:00:01Z') + Date.UTC(1970, 0, 1), 1000)
    await Promise.all([1, Promise.resolve(2), (async () => 3)()])
    queueMicrotask(() => {})
    crypto.hash('sha256', 'x')
    crypto.createHash('sha256').update('x').digest('hex')
    crypto.hkdfSync('sha256', 'key', 'salt', 'info', 16)
    assert.is(crypto.sign(null, Buffer.from('x'), key).length, 64)
    gzipSync('x')
    structuredClone({ a: [1] })
    AbortSignal.any([new AbortController().signal, AbortSignal.abort()])
    new EventTarget().dispatchEvent(new Event('x'))
    console.log('')
  })
  assert.equal(found, [])
})

test("the world's own immediates and virtual timers are free", async () => {
  const world = new World(new SimRandom('sentry'), new EventLog())
  const timers = simTimers(world, WORLD)
  let ticks = 0
  const found = await breaches(true, async () => {
    await world.run(async () => {
      for (; ticks < 2000; ticks++) await timers.sleep(10)
    })
  })
  assert.is(ticks, 2000)
  assert.equal(found, [])
})

test('strict sees what was put aside before, real I/O and other threads', async () => {
  const seen: [string, () => unknown][] = [
    ['real timer (Timeout)', () => new Promise(resolve => keptTimeout(resolve, 1))],
    ['file I/O (FSREQPROMISE)', () => readFile(import.meta.filename)],
    ['fs.existsSync', () => existsSync('/nowhere')],
    ['name lookup (GETADDRINFOREQWRAP)', () => promisify(dns.lookup)('127.0.0.1.').catch(() => {})],
    ['compression in the background (ZLIB)', () => promisify(gzip)('squeezed')],
    ['crypto.randomBytes', () => promisify(crypto.randomBytes)(9)],
    ['cryptography in the background (PBKDF2REQUEST)', () => promisify(crypto.pbkdf2)('a', 'b', 1, 16, 'sha256')],
    ['crypto.sign with a callback', () => promisify(crypto.sign)(null, Buffer.from('y'), ED25519)],
    ['thread (MESSAGEPORT)', () => new MessageChannel().port1.close()],
    ['process.nextTick', () => process.nextTick(() => {})]
  ]
  for (const [what, call] of seen) {
    const [first] = await breaches(true, call)
    assert.equal(first, { what, where: `${FILE}:${lineOf(call.toString())}` })
  }
})

test('strict sees a server', async () => {
  const found = await breaches(true, async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    await new Promise(resolve => server.close(resolve))
  })
  assert.is(found[0]?.what, 'socket (TCPSERVERWRAP)')
  assert.match(found[0]?.where ?? '', new RegExp(`^${FILE}:\\d+$`))
})

test('work that was under way before the run is not its own', async () => {
  const child = childProcess.spawn(process.execPath, ['--version'])
  const ended = new Promise(resolve => child.on('close', resolve))
  assert.equal(await breaches(true, () => ended), [])
})

test('a breach in a promise callback, long after the call, has its place', async () => {
  const later = async () => {
    for (let i = 0; i < 5; i++) await i
    return Math.random() + 1
  }
  const [found] = await breaches(false, later)
  assert.equal(found, { what: 'Math.random', where: `${FILE}:${lineOf('Math.random() + 1')}` })
})

test('one place is reported once, however often it is used, and two places twice', async () => {
  const found = await breaches(false, () => {
    for (let i = 0; i < 1000; i++) Math.random()
    Math.random()
  })
  assert.is(found.length, 2)
  assert.is(new Set(found.map(({ where }) => where)).size, 2)
})

test('nothing stays replaced, whatever became of the run', async () => {
  const now = () => [
    ...[globalThis.setTimeout, globalThis.setInterval, globalThis.setImmediate, globalThis.fetch, globalThis.WeakRef],
    ...[Date, Date.now, Math.random, performance.now, AbortSignal.timeout, process.hrtime, process.hrtime.bigint],
    ...[crypto.randomBytes, crypto.sign, randomBytes, getRandomValues, globalThis.crypto.getRandomValues],
    ...[readFileSync, existsSync, wait, globalThis.crypto.subtle.digest]
  ]
  const before = now()
  const own = [globalThis, Math, Date, performance, crypto, process].map(holder =>
    Object.getOwnPropertyDescriptors(holder)
  )
  for (const strict of [false, true]) {
    let within: unknown[] = []
    await breaches(strict, () => (within = now()))
    assert.is.not(within[0], before[0])
    await breaches(strict, () => {
      throw new Error('the run broke')
    }).then(
      () => assert.unreachable(),
      error => assert.is((error as Error).message, 'the run broke')
    )
    assert.ok(now().every((value, i) => value === before[i]))
    const after = [globalThis, Math, Date, performance, crypto, process].map(holder =>
      Object.getOwnPropertyDescriptors(holder)
    )
    assert.ok(after.every((descriptors, i) => Object.keys(descriptors).join() === Object.keys(own[i]!).join()))
  }
})

test('after the run whatever somebody kept of it reports nothing', async () => {
  let kept = Math.random
  const found = await breaches(false, () => {
    kept = Math.random
  })
  assert.ok(kept() < 1)
  assert.equal(found, [])
})

test('one run at a time', async () => {
  const nested = () => guarded({ strict: false, onBreach: () => {} }, async () => {})
  const message = await breaches(false, nested).catch(error => (error as Error).message)
  assert.match(String(message), /one after another/)
  await nested()
})

test('the result and the error of the work come through', async () => {
  assert.is(await guarded({ strict: true, onBreach: () => {} }, async () => 7), 7)
})

const ED25519 = crypto.generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string

test.run()
