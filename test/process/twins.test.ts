/** One identity runs twice, from a copy of its directory: one of the two stops, and nothing acknowledged is lost (failures 39). */
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../src/errors.ts'
import { NodeProcess, ProcessCluster } from '../support/processes.ts'
import { settled } from './settled.ts'

const test = suite('twins')
const cluster = new ProcessCluster(['--ranges', '16'])
let twin: NodeProcess | undefined

test.before(() => cluster.addMany(3))
test.after(async () => {
  await twin?.stop()
  await cluster.close()
})

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

test('a copied directory is started beside its original, under load', async () => {
  const [n0, n1, n2] = cluster.nodes as [NodeProcess, NodeProcess, NodeProcess]
  const clients = await Promise.all([n0, n1].map(node => cluster.client(node)))
  await settled([...clients, await cluster.client(n2)])
  const acked: string[] = []
  let failed = 0
  let over = false
  const write = async (which: number): Promise<void> => {
    for (let i = 0; !over; i++) {
      const key = `key ${which} ${i}`
      try {
        await clients[which]!.put(key, `value of ${key}`)
        acked.push(key)
      } catch (error) {
        if (!isCoterieError(error, 'not-available', 'overloaded')) throw error
        failed++
      }
    }
  }
  const load = Promise.all([write(0), write(1)])
  const dir = `${n2.dir}-copy`
  cpSync(n2.dir, dir, { recursive: true })
  for (const name of readdirSync(dir)) if (/^(lock\.|node\.json)/.test(name)) rmSync(join(dir, name))
  twin = new NodeProcess(dir, ['--listen', '/ip4/127.0.0.1/tcp/0', '--seed', n0.address])
  const copy = twin
  // Either may be the one that stops, before the copy is ready or after.
  const copyStopped = copy.start().then(
    () => copy.ended(60_000).then(code => ({ who: copy, code })),
    () => copy.ended(60_000).then(code => ({ who: copy, code }))
  )
  const originalStopped = n2.ended(90_000).then(code => ({ who: n2, code }))
  const { who, code } = await Promise.race([copyStopped, originalStopped])
  assert.is(code, 5)
  assert.match(
    who.log,
    /another process runs with the identity of this node .* this one stops\. Give every node a directory/
  )
  const left = who === copy ? n2 : copy
  copyStopped.catch(() => {}) // The one that goes on ends with the test.
  originalStopped.catch(() => {})
  await settled([...clients, await cluster.client(left)])
  over = true
  await load
  console.log(
    `| the ${who === copy ? 'copy' : 'original'} stopped; ${acked.length} writes acknowledged, ${failed} failed`
  )
  assert.ok(acked.length > 100)
  for (const client of [...clients, await cluster.client(left, { route: false })]) {
    const lost: string[] = []
    for (const key of acked) {
      const { values } = await client.get(key, { timeoutMs: 10_000 })
      if (values.map(text).join() !== `value of ${key}`) lost.push(key)
    }
    assert.equal(lost, [])
  }
})

test.run()
