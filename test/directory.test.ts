import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  checkConfig,
  createDirectory,
  layout,
  lockDirectory,
  readConfig,
  readIdentity,
  readNodeFile,
  readSecret,
  removeNodeFile,
  updateConfig,
  writeNodeFile
} from '../src/directory.ts'
import { type ErrorCode, isCoterieError } from '../src/errors.ts'

const test = suite('directory')

const clusterId = '00112233445566778899aabbccddeeff'
const cluster = { clusterId, name: 'test', q: 256, n: 3, r: 2, w: 2 }
const parts = {
  identity: Uint8Array.of(1, 2, 3),
  secret: { clusterId, secret: new Uint8Array(32).fill(7) },
  config: { cluster, founder: true }
}
const dirs: string[] = []

async function freshDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'coterie-directory-'))
  dirs.push(dir)
  return dir
}

async function refused(code: ErrorCode, pattern: RegExp, action: () => Promise<unknown>): Promise<void> {
  try {
    await action()
  } catch (error) {
    assert.ok(isCoterieError(error, code), String(error))
    assert.match((error as Error).message, pattern)
    return
  }
  assert.unreachable('it was not refused')
}

/** A process that takes the lock of `dir` and says so, then waits to be killed. */
async function holder(dir: string) {
  const script = `const { lockDirectory } = await import(${JSON.stringify(new URL('../src/directory.ts', import.meta.url).href)})
    await lockDirectory(${JSON.stringify(dir)}).then(() => console.log('held'), error => console.log(error.code))
    setTimeout(() => {}, 20000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const said = await new Promise<string>(resolve => child.stdout!.once('data', data => resolve(String(data).trim())))
  const killed = () => new Promise<void>(resolve => child.once('exit', () => resolve()) && child.kill('SIGKILL'))
  return { pid: child.pid!, said, killed }
}

test.after(async () => {
  for (const dir of dirs) await rm(dir, { recursive: true, force: true })
})

test('a new directory reads back, and keeps its secrets to its owner', async () => {
  const dir = join(await freshDir(), 'deep', 'er')
  await createDirectory(dir, parts)
  assert.equal(await readConfig(dir), parts.config)
  assert.equal(await readSecret(dir), parts.secret)
  assert.equal(await readIdentity(dir), parts.identity)
  for (const path of [layout(dir).secret, layout(dir).identity]) {
    assert.is((await stat(path)).mode & 0o777, 0o600, path)
  }
  assert.match(await readFile(layout(dir).secret, 'utf8'), /^coterie-secret-1:\w+:[\w-]+\n$/)
})

test('a directory that holds a node is never made again', async () => {
  const dir = await freshDir()
  await createDirectory(dir, parts)
  const other = { ...parts, identity: Uint8Array.of(9) }
  await refused('bad-usage', /already holds a node .* nothing was changed/, () => createDirectory(dir, other))
  assert.equal(await readIdentity(dir), parts.identity)
  const half = await freshDir()
  await writeFile(layout(half).identity, 'precious')
  await refused('bad-usage', /identity.key is there/, () => createDirectory(half, parts))
  assert.is(await readFile(layout(half).identity, 'utf8'), 'precious')
  assert.equal(await readdir(half), ['identity.key'])
})

test('config.json: absent, changed, wrong', async () => {
  const dir = await freshDir()
  assert.equal(await readConfig(dir), {})
  await updateConfig(dir, { seeds: ['/ip4/10.0.0.1/tcp/1'] })
  await updateConfig(dir, { cluster })
  assert.equal(await readConfig(dir), { seeds: ['/ip4/10.0.0.1/tcp/1'], cluster })
  await writeFile(layout(dir).config, '{ "zone": ')
  await refused('bad-config', /config.json is not JSON/, () => readConfig(dir))
  const file = await readFile(layout(dir).config, 'utf8')
  await refused('bad-config', /not JSON/, () => updateConfig(dir, { zone: 'x' }))
  assert.is(await readFile(layout(dir).config, 'utf8'), file)
})

test('a wrong field is named, with what it takes', () => {
  const wrong: [unknown, RegExp][] = [
    [{ lisen: [] }, /unknown field "lisen"; it takes cluster, founder, listen/],
    [{ __proto__: null, constructor: 1 }, /unknown field "constructor"/],
    [{ listen: '/ip4/…' }, /"listen" is .* it takes a list of multiaddrs/],
    [{ capacity: 0 }, /"capacity" is 0; it takes a number above 0/],
    [{ mdns: 'no' }, /"mdns" is "no"; it takes true or false/],
    [{ durability: 'fast' }, /"durability" .* "os", "interval" or "disk"/],
    [{ cluster: { ...cluster, q: 100 } }, /power of two/],
    [{ cluster: 5 }, /"cluster" is 5/],
    [[], /not a JSON object/],
    [null, /not a JSON object/]
  ]
  for (const [value, pattern] of wrong) assert.throws(() => checkConfig(value), pattern)
})

test('node.json counts only while its process lives', async () => {
  const dir = await freshDir()
  assert.is(await readNodeFile(dir), undefined)
  const file = { peerId: 'p', addresses: ['/ip4/127.0.0.1/tcp/1/p2p/p'], http: null, pid: process.pid }
  await writeNodeFile(dir, file)
  assert.equal(await readNodeFile(dir), file)
  const child = spawn(process.execPath, ['-e', ''])
  await new Promise(resolve => child.once('exit', resolve))
  await writeNodeFile(dir, { ...file, pid: child.pid! })
  assert.is(await readNodeFile(dir), undefined)
  await writeFile(layout(dir).node, '{}')
  await refused('bad-config', /node.json cannot be read/, () => readNodeFile(dir))
  await removeNodeFile(dir)
  await removeNodeFile(dir)
  assert.is(await readNodeFile(dir), undefined)
})

test('the lock: held, released, held again', async () => {
  const dir = await freshDir()
  const first = await lockDirectory(dir)
  await refused('directory-in-use', new RegExp(`process ${process.pid}`), () => lockDirectory(dir))
  await first.release()
  await first.release()
  const second = await lockDirectory(dir)
  await first.release()
  await refused('directory-in-use', /in use/, () => lockDirectory(dir))
  await second.release()
  assert.is((await readdir(dir)).length, 1)
})

test('the lock of another process holds, and is taken over after kill -9', async () => {
  const dir = await freshDir()
  const other = await holder(dir)
  assert.is(other.said, 'held')
  await refused('directory-in-use', new RegExp(`process ${other.pid}`), () => lockDirectory(dir))
  await other.killed()
  const mine = await lockDirectory(dir)
  const third = await holder(dir)
  assert.is(third.said, 'directory-in-use')
  await third.killed()
  await mine.release()
})

test('another run of the same pid holds nothing', async () => {
  const dir = await freshDir()
  // This process's own parent is alive, but never started at that time.
  await writeFile(join(dir, 'lock.4'), JSON.stringify({ pid: process.ppid, mark: 'another-boot/1' }))
  const lock = await lockDirectory(dir)
  assert.equal(await readdir(dir), ['lock.5'])
  await lock.release()
  // A restart in a container often gets the very same pid.
  await writeFile(join(dir, 'lock.6'), JSON.stringify({ pid: process.pid, mark: 'another-boot/1' }))
  await (await lockDirectory(dir)).release()
  await writeFile(join(dir, 'lock.8'), '{ torn')
  await (await lockDirectory(dir)).release()
})

test('of many who find a dead lock at once, one gets it', async () => {
  for (let round = 0; round < 20; round++) {
    const dir = await freshDir()
    await writeFile(join(dir, 'lock.1'), JSON.stringify({ pid: 999_999_999, mark: 'x/1' }))
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(dir)))
    const won = tries.filter(one => one.status === 'fulfilled')
    assert.is(won.length, 1)
    for (const one of tries) if (one.status === 'rejected') assert.is(one.reason.code, 'directory-in-use')
    const [lock] = won
    await lock!.value.release()
  }
})

test.run()
