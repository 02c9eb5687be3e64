/** `update` when others write the same key at the same time, through whole cores in memory. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Request } from '../../src/messages.ts'
import { systemTimers } from '../../src/runtime.ts'
import { type RetryParts, type Store, type UpdateOptions, updateByRetry } from '../../src/store.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { textOf } from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

const test = suite('updates')
const NEVER_MS = 3_600_000
const RETRIES: RetryParts = {
  nowMs: () => performance.now(),
  pause: () => systemTimers.sleep(20 * Math.random())
}
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster({}, { antiEntropyIntervalMs: NEVER_MS, hedgeDelayMs: 2000 })
})
test.after.each(() => cluster.close())

/** Everything that was ever added to the list, each once. */
const append = (item: string) => (values: Uint8Array[]) =>
  [...new Set([...values.flatMap(value => textOf(value).split(',')), item])].filter(Boolean).sort().join()

/** Passes nobody until so many have come. */
function barrier(count: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  return () => {
    if (--count === 0) resolve()
    return promise
  }
}

/** The node's store; its first read is answered once all the others have read as well. */
function readingTogether({ core }: MemoryNode, allHaveRead: () => Promise<void>) {
  let isFirst = true
  return {
    get: async (...args: Parameters<Store['get']>) => {
      const result = await core.store.get(...args)
      if (isFirst) await allHaveRead()
      isFirst = false
      return result
    },
    put: core.store.put.bind(core.store),
    delete: core.store.delete.bind(core.store)
  }
}

/** Updates through these nodes, none of which has seen another: no merge arrives before all of them have minted. */
async function updateAtOnce(key: string, nodes: MemoryNode[], options: UpdateOptions = {}): Promise<void> {
  const minted = new Set<string>()
  cluster.hub.beforeRequest = async (from, _to, { type }: Request) => {
    if (type !== 'merge') return
    minted.add(from)
    await until('all have minted', () => minted.size === nodes.length)
  }
  const allHaveRead = barrier(nodes.length)
  await Promise.all(
    nodes.map(node => updateByRetry(readingTogether(node, allHaveRead), key, append(node.name), options, RETRIES))
  )
}

test('updates through two coordinators at once end in one value that holds both', async () => {
  const [n0, n1, n2] = await cluster.startMany(3)
  for (let i = 0; i < 5; i++) {
    await updateAtOnce(`list ${i}`, [n0, n1])
    const { values } = await n2.core.store.get(`list ${i}`, { r: 'all' })
    assert.equal(values.map(textOf), ['n0,n1'])
  }
})

test('and through three', async () => {
  const nodes = await cluster.startMany(3)
  for (let i = 0; i < 5; i++) {
    await updateAtOnce(`list ${i}`, nodes)
    const { values } = await nodes[0].core.store.get(`list ${i}`, { r: 'all' })
    assert.equal(values.map(textOf), ['n0,n1,n2'])
  }
})

test('a put says how many values the fullest copy has of those that hold it', async () => {
  const [n0, n1] = await cluster.startMany(3)
  cluster.hub.beforeRequest = (from, _to, { type }) => {
    if (type === 'merge' && from === n0.peerId) throw new Error('lost')
  }
  assert.is((await n0.core.store.put('k', 'only here', { w: 1 })).siblings, 1)
  cluster.hub.beforeRequest = undefined
  assert.is((await n1.core.store.put('k', 'elsewhere', { w: 'all' })).siblings, 2)
})

test.run()
