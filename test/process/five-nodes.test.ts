/**
 * Issue 2, "How we know": five processes; 2,000 keys through random nodes, one of them killed in the middle; it comes
 * back and catches up; then a sixth joins under load.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CoterieClient } from '../../src/client/client.ts'
import { nodeFiles } from '../../src/storage/disk/node-files.ts'
import { inspectFile } from '../../src/storage/inspect.ts'
import { ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Member, settled } from './settled.ts'

const KEYS = 2000
const AT_ONCE = 32
const test = suite('five node processes')
const cluster = new ProcessCluster()
const clients: CoterieClient[] = []
/** What a read of each key must show: its last acknowledged value. */
const expected = new Map<string, string>()

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
const pick = <T>(list: T[]): T => list[Math.floor(Math.random() * list.length)]

async function inParallel<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const worker = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

/** Keys whose read through this client is not what was written. */
async function wrong(client: CoterieClient, r?: number): Promise<string[]> {
  const bad: string[] = []
  await inParallel(expected, async ([key, value]) => {
    const { values } = await client.get(key, { r, timeoutMs: 10_000 })
    if (values.length !== 1 || text(values[0]) !== value) bad.push(`${key}: ${values.map(text)} instead of ${value}`)
  })
  return bad
}

test.before(async () => {
  await cluster.addMany(5)
  for (const node of cluster.nodes) clients.push(await cluster.client(node, { route: false }))
  await settled(clients)
})
test.after(() => cluster.close())

test('2,000 keys through random nodes, one node killed in the middle: every key is read back from every node', async () => {
  const victim = cluster.nodes[4]
  const writers = clients.slice(0, 4)
  let written = 0
  let failed = 0
  const killed = until('half of the writes', () => written >= KEYS / 2, 60_000, 1).then(() => victim.stop('SIGKILL'))
  await inParallel(
    Array.from({ length: KEYS }, (_, i) => `key-${i}`),
    async key => {
      // Through the node that is to die as well, as long as it lives.
      const client = written < KEYS / 2 ? pick(clients) : pick(writers)
      try {
        await client.put(key, `value of ${key}`, { timeoutMs: 10_000 })
        expected.set(key, `value of ${key}`)
      } catch {
        failed++ // Not acknowledged: it may or may not be there, so it is no key to check.
      }
      written++
    }
  )
  await killed
  console.log(`| acknowledged ${expected.size} of ${KEYS}, refused ${failed} around the kill -9`)
  assert.ok(expected.size > KEYS * 0.9, `only ${expected.size} of ${KEYS} writes were acknowledged`)
  for (const client of writers) assert.equal(await wrong(client), [])
})

test('the killed node restarts from its own files and holds within two minutes what it missed', async () => {
  const startMs = performance.now()
  await cluster.nodes[4].start()
  clients[4] = await cluster.client(cluster.nodes[4], { route: false })
  await until('r = 3 agrees on every key', async () => (await wrong(clients[4], 3)).length === 0, 120_000)
  // r = 3 mends what it reads, so the files themselves are counted: each key in three of them.
  await until(
    'three copies of every key',
    async () => {
      const stats = await Promise.all(clients.map(client => client.info('stats') as Promise<{ keys: number }>))
      return stats.reduce((sum, { keys }) => sum + keys, 0) >= 3 * expected.size
    },
    120_000,
    200
  )
  console.log(`| whole again ${((performance.now() - startMs) / 1000).toFixed(1)} s after its restart`)
})

test('a sixth node joins under load: its share from every old node, no operation fails', async () => {
  const owned = (members: Member[]) => new Map(members.map(({ peerId, ranges }) => [peerId, ranges]))
  const before = owned((await clients[0].info('members')) as Member[])
  const failures: string[] = []
  let operations = 0
  let loading = true
  const load = Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; loading; i++) {
        const key = `load-${worker}-${i % 200}`
        const client = pick(clients.slice(0, 5))
        try {
          const { context } = await client.get(key)
          await client.put(key, `${i}`, { context })
          expected.set(key, `${i}`)
        } catch (error) {
          failures.push(`${key}: ${String(error)}`)
        }
        operations += 2
      }
    })
  )
  const sixth = await cluster.add()
  clients.push(await cluster.client(sixth, { route: false }))
  await settled(clients)
  loading = false
  await load
  const after = owned((await clients[0].info('members')) as Member[])
  const given = [...before].map(([peerId, ranges]) => ranges - after.get(peerId)!)
  console.log(
    `| sixth node owns ${after.get(sixth.peerId)} of 256 ranges; the others gave ${given.join(', ')}; ${operations} operations meanwhile, ${failures.length} failed`
  )
  assert.equal(failures, [])
  assert.ok(Math.abs(after.get(sixth.peerId)! - 256 / 6) <= 2, `the sixth node owns ${after.get(sixth.peerId)} ranges`)
  assert.ok(
    given.every(count => count > 0),
    `the others gave ${given}`
  )
  for (const client of clients) assert.equal(await wrong(client), [])
})

test('every file that the sixth node holds is whole', async () => {
  const sixth = cluster.nodes[5]
  await sixth.stop()
  const dir = join(sixth.dir, 'ranges')
  const files = readdirSync(dir)
  let keys = 0
  for (const file of files) {
    const inspection = await inspectFile(nodeFiles, join(dir, file))
    assert.equal(inspection.damages, [], file)
    keys += inspection.keys
  }
  console.log(`| inspected ${files.length} files of the sixth node, ${keys} keys, no damage`)
  assert.ok(keys > 0)
})

test.run()
