/** Two members took one range at once: whose copies count no more, and that they are doubted once only, whatever restarts. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Claim, reclaimMessage } from '../../src/claim.ts'
import { Collisions } from '../../src/repair/collisions.ts'
import { CopyTable } from '../../src/replica/copy-table.ts'
import { silentLog } from '../../src/runtime.ts'
import { Topology } from '../../src/topology.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { fakeSigner } from '../support/fake-signer.ts'

const test = suite('collisions')
const CLUSTER_ID = 'c'.repeat(32)
const RING = 'ABCABCAB'

/** Node B of a ring, N = 2, whose copies are all synced. */
async function node(files = new FakeFiles()) {
  await files.makeDir('d')
  const topology = new Topology(
    { files, signer: fakeSigner('B'), log: silentLog },
    { dir: 'd', params: { clusterId: CLUSTER_ID, name: 't', q: 8, n: 2, r: 1, w: 1 }, zoneOf: () => '' }
  )
  await topology.open()
  if (!topology.complete) await topology.apply([...RING].map((owner, range) => ({ range, epoch: 1, owner })))
  const copies = new CopyTable({ files }, { dir: 'd' })
  await copies.open([], 8)
  const doubted: number[] = []
  const replicas = {
    status: (range: number) => copies.status(range),
    doubt: (range: number) => {
      doubted.push(range)
      void copies.set([range], 'syncing')
    }
  }
  const collisions = new Collisions({ files, log: silentLog, topology, replicas, copies }, { self: 'B', dir: 'd' })
  topology.onCollision(lost => collisions.settle(lost))
  return { files, topology, copies, doubted }
}

/** Range 2 was C's, which is dead: two have taken it. */
function claim(owner: string, epoch = 2): Claim {
  const taken = { range: 2, epoch, owner }
  return { ...taken, grant: { by: 'A', signature: fakeSigner('A').sign(reclaimMessage(CLUSTER_ID, taken)) } }
}

async function synced(it: Awaited<ReturnType<typeof node>>): Promise<void> {
  await it.copies.set([1, 2, 3], 'synced')
}

test('who is on a list of the winner’s, and would not be on the other’s, is no vote', async () => {
  const it = await node()
  await synced(it)
  // D takes the range from C, and so does B, which wins: it is on the list of range 2 that C and D had without it.
  await it.topology.apply([claim('D')])
  assert.equal(it.doubted, [])
  await it.topology.apply([claim('B')])
  assert.is(it.topology.claim(2)?.owner, 'B')
  assert.equal(it.doubted, [2])
  assert.is(it.copies.status(2), 'syncing')
})

test('once only, after a restart too; a later collision is another one', async () => {
  const it = await node()
  await synced(it)
  await it.topology.apply([claim('B')])
  await it.topology.apply([claim('D')])
  assert.equal(it.doubted, [2])
  await it.copies.set([2], 'synced')
  await it.topology.apply([claim('D')])
  const again = await node(it.files)
  assert.is(again.copies.status(2), 'synced')
  await again.topology.apply([claim('D')])
  assert.equal(again.doubted, [])
  await again.topology.apply([claim('B', 3)])
  await again.topology.apply([claim('D', 3)])
  assert.equal(again.doubted, [2])
  assert.equal(JSON.parse(new TextDecoder().decode(it.files.peek('d/collisions.json'))), {
    settled: [{ range: 2, epoch: 3, owner: 'D' }]
  })
})

test('a node that is killed before its doubt is on disk has the collision before it again', async () => {
  const it = await node()
  await synced(it)
  await it.topology.apply([claim('D')])
  const release = it.files.hold('replaceFile', /copies/)
  const applied = it.topology.apply([claim('B')])
  await new Promise(resolve => setImmediate(resolve))
  assert.is(it.topology.claim(2)?.owner, 'B')
  const disk = new FakeFiles()
  for (const path of it.files.paths()) disk.set(path, it.files.peek(path))
  release()
  await applied
  const again = await node(disk)
  assert.is(again.copies.status(2), 'synced')
  assert.is(again.topology.claim(2)?.owner, 'D', 'the map does not know of the other claim, either')
  await again.topology.apply([claim('B')])
  assert.equal(again.doubted, [2])
})

test('a file that cannot be read has copies compared again', async () => {
  const it = await node()
  await synced(it)
  it.files.set('d/collisions.json', new TextEncoder().encode('{"settled":3}'))
  await it.topology.apply([claim('B')])
  await it.topology.apply([claim('D')])
  assert.equal(it.doubted, [2])
})

test.run()
