/**
 * Too few file handles (failures 21): 4,096 ranges under `ulimit -n 256`, in a store and in a node. Everything waits its
 * turn, handles are left for others, and nothing is lost.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ProcessCluster } from '../support/processes.ts'
import { atOnce } from './faults/stores.ts'

const handlesSuite = suite('few file handles')
const reason =
  spawnSync('sh', ['-c', 'ulimit -n 256']).status === 0 ? undefined : 'the limit of open files cannot be set'
if (reason !== undefined) console.log(`skipped: few file handles (${reason})`)
const test = reason === undefined ? handlesSuite : handlesSuite.skip
const noPrlimit = process.getuid?.() === 0 && spawnSync('prlimit', ['--version']).status === 0
if (!noPrlimit) console.log('skipped: a node with few file handles (it needs root and prlimit)')
const nodeTest = noPrlimit ? test : handlesSuite.skip

const CHILD = join(import.meta.dirname, 'faults', 'many-files.ts')
const LIMIT = 256
const CHILD_MS = 45_000

for (const durability of ['os', 'interval', 'disk'] as const) {
  test(`${durability}: 4,096 ranges with 64 puts in flight under ulimit -n ${LIMIT}`, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'coterie-handles-'))
    const script = `ulimit -n ${LIMIT}; exec "$0" "$@"`
    const child = spawn('sh', ['-c', script, process.execPath, CHILD, dir, durability])
    const limit = setTimeout(() => child.kill('SIGKILL'), CHILD_MS)
    const startMs = performance.now()
    try {
      let out = ''
      let err = ''
      child.stdout.on('data', chunk => (out += chunk))
      child.stderr.on('data', chunk => (err += chunk))
      const [code, signal] = await once(child, 'close')
      assert.is(signal, null, `it got nowhere within ${CHILD_MS} ms; ${err.slice(-2000)}`)
      assert.is(code, 0, err.slice(-2000))
      const { limit: seen, acks, expected, refused, looks, looksWithoutHandle, problems } = JSON.parse(out)
      const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
      console.log(
        `| ${durability}, limit ${seen}: ${acks} of ${expected} puts acknowledged, refused ${JSON.stringify(refused)}, ${seconds} s; ` +
          `no handle left for others at ${looksWithoutHandle} of ${looks} looks`
      )
      assert.is(seen, LIMIT)
      assert.equal(problems, [])
      // Those that meet the first refusal of the system; best none.
      const { overloaded = 0, ...others } = refused
      assert.equal(others, {})
      assert.is(acks + overloaded, expected)
      assert.ok(overloaded < expected / 100, `${overloaded} puts were refused`)
    } finally {
      clearTimeout(limit)
      child.kill('SIGKILL')
      rmSync(dir, { recursive: true, force: true })
    }
  })
}

/** The limit of this process, which those that it starts inherit. As root it may be raised again. */
async function withLimit<T>(limit: number, work: () => Promise<T>): Promise<T> {
  const set = (value: string) => spawnSync('prlimit', ['--pid', `${process.pid}`, `--nofile=${value}`])
  const before = /^Max open files\s+(\d+)\s+(\d+)/m.exec(
    spawnSync('cat', [`/proc/${process.pid}/limits`]).stdout.toString()
  )!
  set(`${limit}:${limit}`)
  try {
    return await work()
  } finally {
    set(`${before[1]}:${before[2]}`)
  }
}

nodeTest(`a node of 4,096 ranges under ulimit -n ${LIMIT} takes keys, and starts again`, async () => {
  const cluster = new ProcessCluster(['--ranges', '4096', '--replicas', '1'])
  try {
    const node = await withLimit(LIMIT, () => cluster.add())
    const keys = Array.from({ length: 1500 }, (_, i) => `key-${i}`)
    const put = await cluster.client()
    await atOnce(keys, 32, async key => void (await put.put(key, `value of ${key}`)))
    assert.is(await node.stop(), 0, 'it ends cleanly')
    await withLimit(LIMIT, () => node.start())
    // A new connection, while range files have all the handles they can get.
    const get = await cluster.client()
    const found: string[] = []
    await atOnce(keys, 32, async key => {
      const { values } = await get.get(key)
      if (values.length === 1) found.push(Buffer.from(values[0]!).toString())
    })
    assert.equal(found.sort(), keys.map(key => `value of ${key}`).sort())
    const late = await cluster.client()
    assert.is((await late.get(keys[0]!)).values.length, 1, 'a client that comes late is let in')
    console.log(`| a node under ulimit -n ${LIMIT}: ${keys.length} keys put, read after a restart`)
  } catch (error) {
    for (const { dir, log } of cluster.nodes) console.error(`--- ${dir}\n${log.slice(-3000)}`)
    throw error
  } finally {
    await cluster.close()
  }
})

handlesSuite.run()
