/** A process that used I/O threads ends by itself, not before its operations do; and does without where they are forbidden. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const test = suite('I/O threads: processes')

const DISK = pathToFileURL(join(import.meta.dirname, '../../../src/storage/disk')).href
/** Some reads and writes, until the threads listen where they can. */
const PRELUDE = `
  const { IoThread } = await import('${DISK}/io-thread.ts')
  const { filesThrough } = await import('${DISK}/node-files.ts')
  const reads = new IoThread('read', { startAfter: 0 }), writes = new IoThread('write', { startAfter: 0 })
  const file = await filesThrough({ reads, writes }).open(process.argv[1] + '/f', 'wx+')
  const write = i => file.write([Buffer.from('ab')], 2 * i)
  const into = new Uint8Array(2)
  const read = async i => { await file.read(into, 2 * i); return Buffer.from(into).toString() }
  await write(0)
  await read(0)
  const until = process.uptime() + 20
  while (!(reads.ready && writes.ready) && WAIT && process.uptime() < until)
    await new Promise(resolve => setTimeout(resolve, 5))
  const ready = () => reads.ready && writes.ready
`

async function run(source: string, { wait = true, flags = [] as string[] } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'coterie-io-'))
  try {
    const script = PRELUDE.replace('WAIT', String(wait)) + source
    const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', script, dir], {
      timeout: 60_000,
      env: { ...process.env, FORCE_COLOR: '0' }
    })
    let output = ''
    let saidMs = 0
    child.stdout.on('data', chunk => {
      output += chunk
      saidMs = performance.now()
    })
    child.stderr.on('data', chunk => (output += chunk))
    const code = await new Promise(resolve => child.on('close', resolve))
    return { code, output, endMs: performance.now() - saidMs }
  } finally {
    await rm(dir, { recursive: true })
  }
}

test('ends after many operations, with files open', async () => {
  const { code, output, endMs } = await run(`
    await Promise.all(Array.from({ length: 5000 }, (_, i) => write(i)))
    await Promise.all(Array.from({ length: 5000 }, (_, i) => read(i)))
    console.log(await file.size(), ready())`)
  assert.is(output, '10000 true\n')
  assert.is(code, 0)
  assert.ok(endMs < 5000, `took ${endMs} ms to end`)
})

test('waits for one read, the last thing it does', async () => {
  const { code, output, endMs } = await run(`
    await new Promise(resolve => setTimeout(resolve, 50)) // The thread is at rest.
    console.log(await read(0), ready())`)
  assert.is(output, 'ab true\n')
  assert.is(code, 0)
  assert.ok(endMs < 5000, `took ${endMs} ms to end`)
})

test('waits for one write that nobody awaits', async () => {
  const { code, output } = await run(`
    await new Promise(resolve => setTimeout(resolve, 50))
    write(1).then(() => console.log('written', ready()))`)
  assert.is(output, 'written true\n')
  assert.is(code, 0)
})

test('ends while the threads start', async () => {
  const { code, output } = await run(`console.log('end')`, { wait: false })
  assert.is(output, 'end\n')
  assert.is(code, 0)
})

test('process.exit ends it with operations under way', async () => {
  const { code, output } = await run(`
    for (let i = 0; i < 1000; i++) write(i)
    process.nextTick(() => process.nextTick(() => process.exit(3)))`)
  assert.is(output, '')
  assert.is(code, 3)
})

test('where threads are forbidden, the pool does it, and nothing is said', async () => {
  const flags = ['--permission', '--allow-fs-read=*', '--allow-fs-write=*']
  const { code, output } = await run(
    `
    await Promise.all(Array.from({ length: 100 }, (_, i) => write(i)))
    console.log(await read(99), ready())`,
    { wait: false, flags }
  )
  assert.is(output, 'ab false\n')
  assert.is(code, 0)
})

test.run()
